//! The laws, judged by what the servers took and hold, never by the operator's word.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::FutureExt;
use loopback_operator::{
    backend::{
        records::Stored,
        store::{MemoryStore, Store, Table, View, decode, read},
    },
    protocol::{Phase, RawObject},
};
use serde_json::{Value, json};

use crate::{
    apiserver::ApiServer,
    journal::{Entry, Journal},
    kinds::{self, KINDS, matches},
    line::OPERATOR,
    operator::CLUSTER,
};

const FINALIZERS: &str = "/metadata/finalizers";

/// Judges each write as it is taken.
pub struct Watchman {
    api: ApiServer,
    journal: Journal,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    store: Option<Arc<MemoryStore>>,
    /// Texts that must not leave Secrets.
    canaries: Vec<String>,
    /// How often the backend was started.
    lives: u32,
    /// The backend was started on an older copy: what was deleted since may be there again.
    older: bool,
}

/// What was wrong with a request before it was served; a violation only if it is done.
pub type Suspicion = Option<(&'static str, String)>;

impl Watchman {
    pub fn new(api: ApiServer, journal: Journal) -> Arc<Self> {
        Arc::new(Self { api, journal, state: Mutex::default() })
    }

    /// The backend runs on this store now.
    pub fn follow(&self, store: Arc<MemoryStore>) {
        let mut state = self.state();
        state.lives += 1;
        state.store = Some(store);
    }

    pub fn canary(&self, text: &str) {
        self.state().canaries.push(text.to_owned());
    }

    pub fn went_back(&self) {
        self.state().older = true;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that the backend holds, by collection.
    pub fn inventory(&self) -> Vec<(String, RawObject)> {
        let store = self.state().store.clone();
        store.map(|store| inventory(&store)).unwrap_or_default()
    }

    fn of_uid(&self, uid: &str) -> Vec<(String, RawObject)> {
        let ours = |(_, object): &(String, RawObject)| {
            object.owner.as_ref().is_some_and(|owner| owner.uid == uid && owner.cluster == CLUSTER)
        };
        self.inventory().into_iter().filter(ours).collect()
    }

    /// Looks at a call to the backend before it is served.
    pub fn before_wire(&self, entry: &Entry) -> Suspicion {
        if entry.who != OPERATOR {
            return None;
        }
        let parts: Vec<&str> = entry.path.split('/').collect();
        match (entry.verb.as_str(), parts.as_slice()) {
            ("POST", [.., "acknowledge" | "reissue"]) => None,
            ("POST", _) => self.create(entry),
            ("DELETE", [.., "owners", cluster, uid]) => self.retire(cluster, uid),
            ("PATCH", [.., id]) => self.patch(entry, id),
            ("DELETE", _) => Some(("S3", format!("{} deletes past the owner", entry.path))),
            _ => None,
        }
    }

    fn create(&self, entry: &Entry) -> Suspicion {
        let Some(uid) = entry.body.pointer("/owner/uid").and_then(Value::as_str) else {
            return Some(("S1", format!("{} creates without an owner", entry.path)));
        };
        match self.resource(uid) {
            Some(resource) if finalizers(&resource).is_empty() => {
                Some(("S4", format!("{} creates for {uid}, whose finalizer is not stored", entry.path)))
            }
            None => Some(("S4", format!("{} creates for {uid}, which does not exist", entry.path))),
            Some(_) => None,
        }
    }

    fn retire(&self, cluster: &str, uid: &str) -> Suspicion {
        if cluster != CLUSTER {
            return Some(("S3", format!("the owner {uid} of cluster {cluster} is retired")));
        }
        let live = self.resource(uid).is_some_and(|resource| resource["metadata"]["deletionTimestamp"].is_null());
        live.then(|| ("S3", format!("{uid} is retired, but its resource was not deleted")))
    }

    fn patch(&self, entry: &Entry, id: &str) -> Suspicion {
        if entry.condition.is_none() {
            return Some(("S3", format!("{} is changed without If-Match", entry.path)));
        }
        let object = self.inventory().into_iter().find(|(_, object)| object.id == id)?.1;
        let ours = object.owner.as_ref().is_some_and(|owner| owner.cluster == CLUSTER);
        (!ours).then(|| ("S3", format!("{} is changed, but is not ours", entry.path)))
    }

    /// Looks at a call to the backend that was served.
    pub fn after_wire(&self, entry: &Entry, suspicion: Suspicion) {
        if !entry.done() {
            return;
        }
        if let Some((law, what)) = suspicion {
            self.journal.broken(law, what);
        }
        if entry.verb == "POST" {
            self.doubles();
        }
    }

    fn doubles(&self) {
        let mut live: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (_, object) in self.inventory() {
            if let (Phase::Live, Some(owner)) = (object.phase, object.owner) {
                live.entry(owner.uid).or_default().push(object.id);
            }
        }
        for (uid, ids) in live.into_iter().filter(|(_, ids)| ids.len() > 1) {
            self.journal.broken("S1", format!("{uid} has {ids:?}"));
        }
    }

    /// Looks at a write to Kubernetes that was answered.
    pub fn kube(&self, entry: &Entry) {
        if entry.who != OPERATOR || !entry.done() {
            return;
        }
        if !entry.path.contains("/secrets") {
            self.leaks(entry);
        }
        if !entry.path.contains("/loopback.cloud/") {
            return;
        }
        if entry.path.ends_with("/status") {
            return self.ready(entry);
        }
        self.touches(entry);
    }

    fn leaks(&self, entry: &Entry) {
        let text = entry.body.to_string();
        if self.state().canaries.iter().any(|canary| text.contains(canary.as_str())) {
            self.journal.broken("S5", format!("{} {} carries a secret", entry.verb, entry.path));
        }
    }

    /// Of users' objects only our finalizer and our annotations are ours.
    fn touches(&self, entry: &Entry) {
        let Some(operations) = entry.body.as_array() else {
            let mut rest = entry.body.clone();
            if let Some(metadata) = rest.pointer_mut("/metadata").and_then(Value::as_object_mut) {
                metadata.remove("uid");
                let ours = ["loopback.cloud/store", "loopback.cloud/token-secret"];
                if let Some(all) = metadata["annotations"].as_object_mut() {
                    all.retain(|name, _| !ours.contains(&name.as_str()));
                }
            }
            if rest == json!({"metadata": {"annotations": {}}}) && entry.body["metadata"]["uid"].is_string() {
                return;
            }
            return self.journal.broken("S7", format!("{} {}: {}", entry.verb, entry.path, entry.body));
        };
        for operation in operations {
            let path = operation["path"].as_str().unwrap_or_default();
            let ours = path.starts_with(FINALIZERS) || path.starts_with("/metadata/annotations");
            if operation["op"] != "test" && !ours {
                self.journal.broken("S7", format!("{}: {operation}", entry.path));
            }
            if operation["op"] == "remove" && path.starts_with(FINALIZERS) {
                self.let_go(entry, operations);
            }
        }
    }

    fn let_go(&self, entry: &Entry, operations: &[Value]) {
        let uid = operations.iter().find(|operation| operation["path"] == "/metadata/uid");
        let Some(uid) = uid.and_then(|operation| operation["value"].as_str()) else {
            return self.journal.broken("S7", format!("{}: a finalizer goes without a test of the uid", entry.path));
        };
        let left = self.of_uid(uid);
        if !left.is_empty() && !self.state().older {
            let ids: Vec<&str> = left.iter().map(|(_, object)| object.id.as_str()).collect();
            self.journal.broken("S2", format!("{} is let go, but the backend holds {ids:?}", entry.path));
        }
    }

    /// Ready means that the backend has held this very spec.
    fn ready(&self, entry: &Entry) {
        let Some(status) = status(&entry.body) else { return };
        let conditions = status["conditions"].as_array();
        let ready = conditions.into_iter().flatten().any(|one| one["type"] == "Ready" && one["status"] == "True");
        let Some(resource) = self.at(&entry.path) else { return };
        let (Some(kind), true) = (kinds::of(&resource), ready) else { return };
        let generation = &resource["metadata"]["generation"];
        if status["observedGeneration"] != *generation {
            return;
        }
        let uid = resource["metadata"]["uid"].as_str().unwrap_or_default();
        let held = |object: &RawObject| matches(kind.plural, &resource, &object.intent);
        if !self.of_uid(uid).iter().any(|(_, object)| held(object)) && !self.ever(uid, held) {
            self.journal.broken("S6", format!("{} says Ready, but the backend never held its spec", entry.path));
        }
    }

    /// Whether an object of this owner ever was so. Of earlier lives of the backend nothing is known.
    fn ever(&self, uid: &str, held: impl Fn(&RawObject) -> bool) -> bool {
        let state = self.state();
        if state.lives > 1 {
            return true;
        }
        let Some(store) = &state.store else { return true };
        let Ok(commits) = store.log().after(1 << 20, usize::MAX) else { return true };
        let changes = commits.iter().flat_map(|commit| &commit.changes).filter(|change| change.table == Table::Objects);
        let objects = changes.filter_map(|change| decode::<Stored>(change.value.as_ref()?).ok());
        objects
            .map(|stored| stored.object)
            .any(|object| object.owner.as_ref().is_some_and(|owner| owner.uid == uid) && held(&object))
    }

    /// Our resources.
    pub fn resources(&self) -> Vec<(&'static kinds::Named, Arc<Value>)> {
        let of = |kind: &'static kinds::Named| {
            self.api.objects(kinds::GROUP, kind.plural).into_iter().map(move |object| (kind, object))
        };
        KINDS.iter().flat_map(of).collect()
    }

    fn resource(&self, uid: &str) -> Option<Arc<Value>> {
        self.resources().into_iter().map(|(_, object)| object).find(|object| object["metadata"]["uid"] == uid)
    }

    fn at(&self, path: &str) -> Option<Arc<Value>> {
        let parts: Vec<&str> = path.split('/').collect();
        let [.., "namespaces", namespace, plural, name, "status"] = parts.as_slice() else { return None };
        let same = |object: &Arc<Value>| {
            object["metadata"]["name"] == **name && object["metadata"]["namespace"] == **namespace
        };
        self.api.objects(kinds::GROUP, plural).into_iter().find(same)
    }

    /// Whether a parent waits for its children: that is for its user to end, and until then the children are tried again.
    pub fn waits(&self) -> bool {
        self.resources().iter().any(|(_, resource)| !resource["metadata"]["deletionTimestamp"].is_null())
    }

    /// What keeps the world from being as its users want it; `None` when it is.
    pub fn unfinished(&self) -> Option<String> {
        let (resources, inventory) = (self.resources(), self.inventory());
        for (kind, resource) in &resources {
            if let Some(why) = unfinished(kind, resource, &resources, &inventory) {
                return Some(format!("{} {}: {why}", kind.plural, resource["metadata"]["name"]));
            }
        }
        let older = self.state().older;
        for (collection, object) in &inventory {
            let Some(owner) = object.owner.as_ref().filter(|owner| owner.cluster == CLUSTER) else { continue };
            let known = resources.iter().any(|(_, resource)| resource["metadata"]["uid"] == *owner.uid);
            if !known && !older {
                return Some(format!("S2: {collection} {} belongs to {}, which is gone", object.id, owner.uid));
            }
        }
        None
    }
}

/// The status that a write to it brings.
fn status(body: &Value) -> Option<&Value> {
    match body.as_array() {
        Some(operations) => operations.iter().find(|one| one["path"] == "/status").map(|one| &one["value"]),
        None => body.get("status"),
    }
}

fn finalizers(resource: &Value) -> Vec<&str> {
    let list = resource.pointer(FINALIZERS).and_then(Value::as_array);
    let ours = list.into_iter().flatten().filter_map(Value::as_str);
    ours.filter(|finalizer| finalizer.starts_with("loopback.cloud/")).collect()
}

fn unfinished(
    kind: &kinds::Named,
    resource: &Value,
    all: &[(&kinds::Named, Arc<Value>)],
    inventory: &[(String, RawObject)],
) -> Option<String> {
    let metadata = &resource["metadata"];
    let (name, namespace) = (&metadata["name"], &metadata["namespace"]);
    let deleting = !metadata["deletionTimestamp"].is_null();
    if deleting {
        let child = |(other, child): &&(&kinds::Named, Arc<Value>)| {
            child["metadata"]["namespace"] == *namespace
                && other
                    .parent
                    .is_some_and(|(plural, field)| plural == kind.plural && child.pointer(field) == Some(name))
        };
        // A parent waits for its children.
        let left = || {
            inventory
                .iter()
                .filter(|(_, object)| object.owner.as_ref().is_some_and(|owner| metadata["uid"] == *owner.uid))
        };
        let left = || left().map(|(_, object)| format!("{} {:?}", object.id, object.phase)).collect::<Vec<_>>();
        let status = &resource["status"];
        return all
            .iter()
            .find(child)
            .is_none()
            .then(|| format!("its deletion does not end; the backend holds {:?}: {status}", left()));
    }
    if let Some((plural, field)) = kind.parent {
        let parent = all.iter().find(|(other, parent)| {
            other.plural == plural
                && parent["metadata"]["namespace"] == *namespace
                && resource.pointer(field) == Some(&parent["metadata"]["name"])
        });
        if parent.is_none_or(|(_, parent)| !parent["metadata"]["deletionTimestamp"].is_null()) {
            return None;
        }
    }
    let conditions = resource.pointer("/status/conditions").and_then(Value::as_array);
    let ready = conditions.into_iter().flatten().find(|one| one["type"] == "Ready");
    let generation = resource.pointer("/status/observedGeneration");
    if ready.is_none_or(|ready| ready["status"] != "True") || generation != Some(&metadata["generation"]) {
        return Some(format!("not Ready at {}: {}", metadata["generation"], resource["status"]));
    }
    let uid = metadata["uid"].as_str().unwrap_or_default();
    let owned: Vec<&RawObject> = inventory
        .iter()
        .map(|(_, object)| object)
        .filter(|object| object.owner.as_ref().is_some_and(|owner| owner.uid == uid))
        .collect();
    match owned.as_slice() {
        [one] if one.phase == Phase::Live && matches(kind.plural, resource, &one.intent) => None,
        [one] => Some(format!("the backend holds {:?} {}", one.phase, one.intent)),
        many => Some(format!("the backend holds {} objects", many.len())),
    }
}

fn inventory(store: &MemoryStore) -> Vec<(String, RawObject)> {
    let look = |view: &dyn View| Ok(view.scan(Table::Objects, b"", b"", usize::MAX)?);
    let rows = read(store, look).now_or_never().and_then(Result::ok).unwrap_or_default();
    let object = |(key, value): (Vec<u8>, Vec<u8>)| {
        let (_, collection, _) = loopback_operator::backend::records::split_key(&key)?;
        Some((collection.to_owned(), decode::<Stored>(&value).ok()?.object))
    };
    rows.into_iter().filter_map(object).collect()
}
