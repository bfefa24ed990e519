//! The laws, judged by what the servers took and hold, never by the operator's word.

mod kube;
mod leaks;
mod settled;
mod wire;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::FutureExt;
use loopback_operator::{
    backend::{
        records::{Stored, split_key},
        store::{MemoryStore, Table, View, decode, read},
    },
    protocol::{Phase, RawObject},
};
use serde_json::Value;

use self::leaks::Finder;
use crate::{
    apiserver::ApiServer,
    journal::Journal,
    kinds::{self, KINDS},
    operator::CLUSTER,
};

/// Where finalizers stand.
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
    canaries: Finder,
    /// How often the backend was started.
    lives: u32,
    /// The backend was started on an older copy: what was deleted since may be there again.
    older: bool,
    /// Nothing is on its way any more that was sent for an older spec.
    calm: bool,
    /// What resources have said, by UID.
    said: BTreeMap<String, Said>,
}

/// What a resource has ever said.
#[derive(Clone, Copy, Debug, Default)]
struct Said {
    manage: bool,
    /// Its object shall stay when it is deleted.
    keep: bool,
    lose: bool,
    purge: bool,
    /// Its finalizer was removed by force.
    forced: bool,
}

impl Said {
    fn hear(&mut self, spec: &Value) {
        let observe = spec["managementPolicy"] == "Observe";
        let keep = observe || spec["deletionPolicy"] == "Retain";
        self.manage |= !observe;
        self.keep |= keep;
        self.lose |= !keep;
        self.purge |= spec["deletionPolicy"] == "Purge";
    }
}

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

    /// A text that must not leave Secrets.
    pub fn canary(&self, text: &str) {
        // The id of a token is no secret.
        let secret = text.strip_prefix("lbt_").and_then(|rest| rest.split_once('_')).map_or(text, |(_, secret)| secret);
        self.state().canaries.add(secret);
    }

    pub fn went_back(&self) {
        self.state().older = true;
    }

    pub fn calm(&self) {
        self.state().calm = true;
    }

    /// A user has written a resource.
    pub fn wrote(&self, resource: &Value) {
        if let (Some(_), Some(uid)) = (kinds::of(resource), resource["metadata"]["uid"].as_str()) {
            self.state().said.entry(uid.to_owned()).or_default().hear(&resource["spec"]);
        }
    }

    /// A user removes the finalizer of a resource.
    pub fn forced(&self, uid: &str) {
        self.state().said.entry(uid.to_owned()).or_default().forced = true;
    }

    fn said(&self, uid: &str) -> Said {
        self.state().said.get(uid).copied().unwrap_or_default()
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
        self.inventory().into_iter().filter(|(_, object)| ours(object) == Some(uid)).collect()
    }

    fn object(&self, id: &str) -> Option<RawObject> {
        self.inventory().into_iter().map(|(_, object)| object).find(|object| object.id == id)
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

    fn broken(&self, law: &str, what: impl std::fmt::Display) {
        self.journal.broken(law, what);
    }
}

/// UID of the owner, if it is of our cluster.
fn ours(object: &RawObject) -> Option<&str> {
    object.owner.as_ref().filter(|owner| owner.cluster == CLUSTER).map(|owner| owner.uid.as_str())
}

fn finalizers(resource: &Value) -> Vec<&str> {
    let list = resource.pointer(FINALIZERS).and_then(Value::as_array);
    let ours = list.into_iter().flatten().filter_map(Value::as_str);
    ours.filter(|finalizer| finalizer.starts_with("loopback.cloud/")).collect()
}

fn deleting(resource: &Value) -> bool {
    !resource["metadata"]["deletionTimestamp"].is_null()
}

fn observes(resource: &Value) -> bool {
    resource["spec"]["managementPolicy"] == "Observe"
}

/// Whether a condition is true, for this reason if there is one.
pub fn is(resource: &Value, condition: &str, reason: Option<&str>) -> bool {
    let conditions = resource.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|one| {
        one["type"] == condition && one["status"] == "True" && reason.is_none_or(|reason| one["reason"] == reason)
    })
}

fn inventory(store: &MemoryStore) -> Vec<(String, RawObject)> {
    let look = |view: &dyn View| Ok(view.scan(Table::Objects, b"", b"", usize::MAX)?);
    let rows = read(store, look).now_or_never().and_then(Result::ok).unwrap_or_default();
    let object = |(key, value): (Vec<u8>, Vec<u8>)| {
        let (_, collection, _) = split_key(&key)?;
        Some((collection.to_owned(), decode::<Stored>(&value).ok()?.object))
    };
    rows.into_iter().filter_map(object).collect()
}

/// Live objects of a collection.
fn live<'a>(
    inventory: &'a [(String, RawObject)],
    collection: &'static str,
) -> impl Iterator<Item = &'a RawObject> + use<'a> {
    let of = move |(found, object): &&(String, RawObject)| found == collection && object.phase == Phase::Live;
    inventory.iter().filter(of).map(|(_, object)| object)
}
