//! All writes to Kubernetes, and the reads that no watch answers. Each is bounded in time; a write names the UID that it
//! means, and folds its answer into the cache.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use json_patch::{AddOperation, PatchOperation, TestOperation, jsonptr::PointerBuf};
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    cache::{Cache, trimmed},
    common::uid,
    key::Key,
};
use crate::crd::FINALIZER;

/// How long one call to the API server may take.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// Field manager of all that we apply.
pub const MANAGER: &str = "loopback-operator";

/// Why a call did not happen, or may not have.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The object is gone, or is another one under the same name.
    #[error("the object is gone")]
    Gone,
    /// It changed meanwhile: its watch will wake us.
    #[error("the object changed meanwhile")]
    Changed,
    /// The API server does not take what would be written.
    #[error("Kubernetes refuses it: {0}")]
    Refused(String),
    /// Anything else.
    #[error("Kubernetes: {0}")]
    Failed(String),
}

/// The writer of Kubernetes objects.
#[derive(Clone)]
pub struct Writer {
    client: Client,
    cache: Arc<Cache>,
    resources: Arc<BTreeMap<String, ApiResource>>,
    pace: Arc<Pace>,
}

/// How long the API server takes for a write at present, in microseconds: a mean in which older ones count less and less.
#[derive(Default)]
struct Pace(AtomicU64);

impl Pace {
    fn took(&self, time: Duration) {
        let took = u64::try_from(time.as_micros()).unwrap_or(u64::MAX) / 8;
        // Of two at once one may be lost: it is a mean.
        let mean = self.0.load(Ordering::Relaxed);
        self.0.store(mean - mean / 8 + took, Ordering::Relaxed);
    }

    fn now(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
}

impl Writer {
    /// A writer of these kinds.
    #[must_use]
    pub fn new(client: Client, cache: Arc<Cache>, resources: impl IntoIterator<Item = ApiResource>) -> Self {
        let resources = resources.into_iter().map(|resource| (resource.kind.clone(), resource)).collect();
        Self { client, cache, resources: Arc::new(resources), pace: Arc::default() }
    }

    /// An object as the API server has it now, whatever watches have shown.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn read(&self, key: &Key) -> Result<DynamicObject, WriteError> {
        bounded(self.api(key)?.get(&key.name)).await
    }

    /// The objects of a kind in a namespace as the API server has them now; none where there is no such kind.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn list(&self, kind: &str, namespace: &str) -> Result<Vec<DynamicObject>, WriteError> {
        let api = self.api(&Key::new(kind, namespace, ""))?;
        match bounded(api.list(&ListParams::default())).await {
            Ok(list) => Ok(list.items),
            Err(WriteError::Gone) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Adds our finalizer. The answer is the object as it is now.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn add_finalizer(&self, key: &Key, object: &DynamicObject) -> Result<Arc<DynamicObject>, WriteError> {
        self.patch(key, finalizer_added(object)).await
    }

    /// Removes our finalizer; done also when the object is gone, and then the answer is false.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn remove_finalizer(&self, key: &Key, object: &DynamicObject) -> Result<bool, WriteError> {
        let Some(patch) = finalizer_removed(object) else { return Ok(true) };
        match self.patch(key, patch).await {
            Ok(_) => Ok(true),
            Err(WriteError::Gone) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sets an annotation of ours, or removes it.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn annotate(
        &self,
        key: &Key,
        object: &DynamicObject,
        name: &str,
        value: Option<&str>,
    ) -> Result<(), WriteError> {
        let patch = json!({"metadata": {"uid": uid(object), "annotations": {name: value}}});
        let api = self.api(key)?;
        let (parameters, patch) = (PatchParams::default(), Patch::Merge(patch));
        self.fold(key, Arc::new(bounded(api.patch(&key.name, &parameters, &patch)).await?));
        Ok(())
    }

    /// Stores a status, the whole of it. Answers with the object as it is then, which may have been edited meanwhile.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn status(
        &self,
        key: &Key,
        object: &DynamicObject,
        status: &Value,
    ) -> Result<Arc<DynamicObject>, WriteError> {
        let api = self.api(key)?;
        let (parameters, patch) = (PatchParams::default(), Patch::<Value>::Json(status_stored(object, status)));
        let stored = trimmed(Arc::new(self.timed(api.patch_status(&key.name, &parameters, &patch)).await?));
        self.fold(key, stored.clone());
        Ok(stored)
    }

    async fn patch(&self, key: &Key, patch: Value) -> Result<Arc<DynamicObject>, WriteError> {
        let patch = json_patch_of(patch)?;
        let api = self.api(key)?;
        let parameters = PatchParams::default();
        let patch = Patch::<Value>::Json(patch);
        let object = match self.timed(api.patch(&key.name, &parameters, &patch)).await {
            // a `test` that does not hold
            Err(WriteError::Refused(_)) => return Err(WriteError::Changed),
            answer => trimmed(Arc::new(answer?)),
        };
        self.fold(key, object.clone());
        Ok(object)
    }

    /// How long the API server takes for a write at present.
    pub fn pace(&self) -> Duration {
        self.pace.now()
    }

    async fn timed<T>(&self, call: impl Future<Output = kube::Result<T>>) -> Result<T, WriteError> {
        let began = Instant::now();
        let answer = bounded(call).await;
        self.pace.took(began.elapsed());
        answer
    }

    fn fold(&self, key: &Key, object: Arc<DynamicObject>) {
        self.cache.take(key, object);
    }

    fn resource(&self, key: &Key) -> Result<&ApiResource, WriteError> {
        self.resources.get(&*key.kind).ok_or_else(|| WriteError::Failed(format!("{} is no kind of ours", key.kind)))
    }

    fn api(&self, key: &Key) -> Result<Api<DynamicObject>, WriteError> {
        let resource = self.resource(key)?;
        Ok(match &*key.namespace {
            "" => Api::all_with(self.client.clone(), resource),
            namespace => Api::namespaced_with(self.client.clone(), namespace, resource),
        })
    }
}

async fn bounded<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, WriteError> {
    match tokio::time::timeout(CALL_TIMEOUT, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(kube::Error::Api(status))) => Err(match status.code {
            404 => WriteError::Gone,
            // another UID, or another writer
            409 => WriteError::Changed,
            422 => WriteError::Refused(status.message.clone()),
            _ => WriteError::Failed(status.message.clone()),
        }),
        Ok(Err(error)) => Err(WriteError::Failed(error.to_string())),
        Err(_) => Err(WriteError::Failed(format!("no answer within {} s", CALL_TIMEOUT.as_secs()))),
    }
}

fn json_patch_of(patch: Value) -> Result<json_patch::Patch, WriteError> {
    serde_json::from_value(patch).map_err(|error| WriteError::Failed(error.to_string()))
}

/// A test is the only thing that keeps a status from a namesake that was created meanwhile: of what is applied or merged into
/// `/status` the API server takes the status alone, and looks at no UID.
fn status_stored(object: &DynamicObject, status: &Value) -> json_patch::Patch {
    let same = TestOperation { path: PointerBuf::from_tokens(["metadata", "uid"]), value: uid(object).into() };
    let stored = AddOperation { path: PointerBuf::from_tokens(["status"]), value: status.clone() };
    json_patch::Patch(vec![PatchOperation::Test(same), PatchOperation::Add(stored)])
}

/// Tests the UID as well: a namesake that was created meanwhile is not touched.
fn finalizer_added(object: &DynamicObject) -> Value {
    let same = json!({"op": "test", "path": "/metadata/uid", "value": uid(object)});
    match object.finalizers() {
        [] => json!([same, {"op": "add", "path": "/metadata/finalizers", "value": [FINALIZER]}]),
        some => json!([
            same,
            {"op": "test", "path": "/metadata/finalizers", "value": some},
            {"op": "add", "path": "/metadata/finalizers/-", "value": FINALIZER},
        ]),
    }
}

fn finalizer_removed(object: &DynamicObject) -> Option<Value> {
    let at = object.finalizers().iter().position(|finalizer| finalizer == FINALIZER)?;
    let path = format!("/metadata/finalizers/{at}");
    Some(json!([
        {"op": "test", "path": "/metadata/uid", "value": uid(object)},
        {"op": "test", "path": path, "value": FINALIZER},
        {"op": "remove", "path": path},
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(finalizers: &[&str]) -> DynamicObject {
        let metadata = json!({"name": "a", "uid": "u", "finalizers": finalizers});
        serde_json::from_value(json!({"apiVersion": "v1", "kind": "K", "metadata": metadata})).unwrap()
    }

    #[test]
    fn a_status_reaches_no_namesake() {
        let patch = status_stored(&object(&[]), &json!({"id": "lb-1"}));
        let namesake = |uid: &str| json!({"metadata": {"name": "a", "uid": uid}, "status": {"id": "old", "more": 1}});
        let (mut same, mut other) = (namesake("u"), namesake("v"));
        json_patch::patch(&mut same, &patch).unwrap();
        assert_eq!(same["status"], json!({"id": "lb-1"}));
        assert!(json_patch::patch(&mut other, &patch).is_err());
        assert_eq!(other, namesake("v"));
    }

    #[test]
    fn foreign_finalizers_are_left_alone() {
        assert_eq!(finalizer_added(&object(&[]))[1]["value"], json!([FINALIZER]));
        assert_eq!(finalizer_added(&object(&["x"]))[2]["path"], "/metadata/finalizers/-");
        let patch = finalizer_removed(&object(&["x", FINALIZER])).unwrap();
        assert_eq!(patch[2]["path"], "/metadata/finalizers/1");
        assert_eq!(patch[0]["value"], "u");
        assert_eq!(finalizer_removed(&object(&["x"])), None);
    }
}
