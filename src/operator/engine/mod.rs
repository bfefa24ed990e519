//! The reconcile engine: watches, queue, driver, connections. It knows no kind; kinds are registered with it.
//!
//! ```text
//! kubectl -> API server -> watch --\
//!                                   >-- cache -> queue -> driver: desired -> plan -> one call -> fold -> plan again
//! backend -> feed -> mirror -------/                      \-> report -> outcome -> status, event, metric, next pass
//! ```

mod addresses;
mod apply;
mod backends;
mod bindings;
mod bounds;
pub mod cache;
pub mod common;
mod connections;
mod contest;
mod definition;
mod deletion;
mod driver;
mod events;
mod exports;
mod grants;
pub mod key;
pub mod kind;
pub mod leadership;
mod link;
pub mod observe;
pub mod outcome;
mod parents;
pub mod plan;
pub mod registry;
mod resolve;
mod runner;
mod secrets;
mod start;
mod stored;
mod usage;
mod watch;
mod writes;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use kube::{ResourceExt, api::DynamicObject};
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

pub use self::start::{Options, StartError, start};
use self::{
    addresses::Addresses,
    cache::{Cache, Subject, Taken, trimmed},
    connections::{Bound, Connections, Links},
    contest::{Reached, Told},
    definition::Definitions,
    events::Events,
    key::Key,
    kind::Lookup,
    link::{Health, Link, LinkEvent},
    outcome::Note,
    registry::Registered,
    secrets::Secrets,
    writes::{WriteError, Writer},
};
use crate::{
    protocol::{
        Owner, Permission, RetireOptions,
        client::{CallError, Exchange},
    },
    runtime::{
        Drain, Metrics, Queue, World,
        queue::{Keyed, Trigger},
    },
};

const NAMESPACE: &str = "Namespace";
const CRD: &str = "CustomResourceDefinition";

impl Keyed for Key {
    fn kind(&self) -> &str {
        &self.kind
    }
}

/// What the engine remembers of one object from pass to pass. Losing it costs a read, nothing else.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Which object this is about: a namesake that came after it is another.
    uid: String,
    /// The intent that the backend last took from us.
    reached: Option<Reached>,
    /// How its owner was retired by this process.
    retired: Option<RetireOptions>,
    /// When a number that moves by itself was stored last, or first seen stored.
    usage_at: Option<Instant>,
    /// The status that it stored last; `None` when an answer is missing.
    told: Option<Told>,
    /// A status whose answer has not come, and what to tell if it is found to be stored.
    untold: Option<(Value, Vec<Note>)>,
    /// Since when it has been worked on without an end.
    working_since: Option<Instant>,
    /// Since when its present generation has been known, until it is Ready.
    changed_at: Option<(i64, Instant)>,
    /// The generation that was last seen Ready.
    ready_generation: Option<i64>,
}

/// Everything that passes share.
pub struct Engine {
    pub(super) cluster: String,
    pub(super) own_backend: Option<Url>,
    pub(super) cache: Arc<Cache>,
    pub(super) queue: Queue<Key>,
    pub(super) writer: Writer,
    pub(super) connections: Connections,
    pub(super) links: Links,
    pub(super) secrets: Secrets,
    pub(super) world: World,
    pub(super) drain: Drain,
    kinds: BTreeMap<String, Registered>,
    memories: Mutex<BTreeMap<Key, Memory>>,
    /// Namespaces that are watched; empty: all.
    namespaces: Vec<String>,
    addresses: Addresses,
    /// To addresses of administrators, and of tenants.
    trusted: Arc<dyn Exchange>,
    checked: Arc<dyn Exchange>,
    definitions: Definitions,
    events: Events,
    metrics: Metrics,
    passes: AtomicU64,
}

impl Engine {
    /// The cluster's name among owners.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// What is remembered of an object.
    fn memory<T>(&self, key: &Key, with: impl FnOnce(&mut Memory) -> T) -> T {
        with(self.memories.lock().unwrap_or_else(PoisonError::into_inner).entry(key.clone()).or_default())
    }

    /// A pass of the object with this UID begins: nothing is remembered of a namesake that was here before it.
    fn recall(&self, key: &Key, uid: &str) {
        self.memory(key, |memory| {
            if memory.uid != uid {
                *memory = Memory { uid: uid.to_owned(), ..Memory::default() };
            }
        });
    }

    /// Whether an owner is a resource of this cluster that does not exist any more.
    fn vanished(&self, owner: &Owner) -> bool {
        // An operator that watches single namespaces cannot know.
        let known =
            self.namespaces.is_empty() && self.kinds.contains_key(&owner.kind) && self.cache.synced(&owner.kind);
        let present = || self.cache.uid(&Key::new(&owner.kind, &owner.namespace, &owner.name));
        owner.cluster == self.cluster && known && present().is_none_or(|present| *present != *owner.uid)
    }

    /// How many backend objects of each kind have lost their resource: it was retained, its finalizer was removed by force, or
    /// an older copy of the store came back. People decide about them.
    fn orphans(&self) -> Vec<(String, usize)> {
        let links = self.links.all();
        let of = |kind: &Registered| {
            let mut ids = BTreeSet::new();
            for link in &links {
                link.look(|mirror| {
                    let lost = mirror.owned(kind.collection).filter(|(_, owner)| self.vanished(owner));
                    ids.extend(lost.map(|(id, _)| id.clone()));
                });
            }
            (kind.kind().to_owned(), ids.len())
        };
        self.kinds.values().map(of).collect()
    }

    fn forget(&self, key: &Key) {
        self.memories.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// Kinds that live in the backend.
    fn kinds(&self) -> impl Iterator<Item = &str> {
        self.kinds.keys().map(String::as_str)
    }

    /// What all kinds need together.
    fn permissions(&self) -> impl Iterator<Item = &Permission> {
        self.kinds.values().flat_map(|kind| &kind.permissions)
    }

    fn exchange(&self, checked: bool) -> Arc<dyn Exchange> {
        if checked { self.checked.clone() } else { self.trusted.clone() }
    }

    fn outbound(&self, url: &Url) -> Result<(), String> {
        self.addresses.check(url)
    }

    /// Labels of the namespace of `reader`, which is woken when they change.
    fn namespace_labels(&self, reader: &Key) -> Lookup<BTreeMap<String, String>> {
        let key = Key::new(NAMESPACE, "", &reader.namespace);
        self.cache.note(reader, Subject::Object(key.clone()));
        match self.cache.get(&key) {
            Some(namespace) => Lookup::Found(namespace.labels().clone()),
            None if self.cache.synced(NAMESPACE) => Lookup::Absent,
            None => Lookup::Unknown,
        }
    }

    /// Whether grants can be judged at all: not by an operator that sees only some namespaces.
    fn sees_grants(&self) -> bool {
        self.namespaces.is_empty()
    }

    /// Whether a kind is being removed from the cluster: then nothing is removed from the backend.
    async fn crd_deleting(&self, kind: &str) -> Result<bool, String> {
        let Some(kind) = self.kinds.get(kind) else { return Ok(false) };
        let name = registry::crd_name(&kind.resource);
        if self.cache.get(&Key::new(CRD, "", &name)).is_some_and(|crd| common::deleting(&crd)) {
            return Ok(true);
        }
        self.definitions.deleting(&name).await
    }

    /// A watch saw a change.
    fn changed(&self, key: &Key, trigger: Trigger) {
        if matches!(&*key.kind, bindings::KIND | backends::KIND) || self.kinds.contains_key(&*key.kind) {
            self.queue.add(key.clone(), trigger);
        }
        // Users of a binding are woken when its connection changes, not by each word of its status; and a namespace or a
        // backend matters by its labels and its spec.
        let silent = match &*key.kind {
            bindings::KIND => self.cache.has(key),
            backends::KIND | NAMESPACE | CRD => trigger == Trigger::Echo,
            _ => false,
        };
        if !silent {
            self.wake(&Subject::Object(key.clone()));
        }
    }

    /// An object was seen. `new`: why one that was not known deserves a pass.
    fn shown(&self, key: &Key, object: impl Into<Arc<DynamicObject>>, new: Trigger) {
        let object = trimmed(object.into());
        match self.cache.take(key, object.clone()) {
            Taken::Known => {}
            Taken::New => self.changed(key, new),
            Taken::Replaced(old) => self.changed(key, watch::difference(&old, &object)),
        }
    }

    /// An object as the API server has it now, asked before what cannot be undone: watches may lag by any time, and
    /// another replica, or we ourselves before a restart, may have done more than they show. What is news is taken in.
    ///
    /// # Errors
    /// See [`WriteError`]; [`WriteError::Gone`] also when another object has its name.
    async fn live(&self, key: &Key, object: &DynamicObject) -> Result<Arc<DynamicObject>, WriteError> {
        let live = Arc::new(self.writer.read(key).await?);
        self.shown(key, live.clone(), Trigger::User);
        if common::uid(&live) == common::uid(object) { Ok(live) } else { Err(WriteError::Gone) }
    }

    /// An object is gone. `uid: None` when only its absence was seen.
    fn gone(&self, key: &Key, uid: Option<&str>) {
        if self.cache.remove(key, uid).is_some() {
            self.changed(key, Trigger::User);
        }
    }

    /// A kind was listed: who found it unknown may know now.
    fn listed(&self, kind: &str) {
        for reader in self.cache.readers_of_kind(kind) {
            self.queue.add(reader, Trigger::Dependency);
        }
    }

    fn wake(&self, subject: &Subject) {
        for reader in self.cache.readers(subject) {
            self.queue.add(reader, Trigger::Dependency);
        }
    }

    /// Stores where a binding leads, and wakes who goes through it when that is news.
    fn bind(&self, key: &Key, bound: Option<Bound>) {
        if self.connections.set(key, bound) {
            self.wake(&Subject::Object(key.clone()));
        }
    }

    /// A link has something to say.
    fn heard(&self, link: &Link, event: LinkEvent) {
        match event {
            LinkEvent::Objects(notices) => notices.iter().for_each(|notice| self.noticed(link, notice)),
            LinkEvent::Health => {
                let up = link.health() == Health::Up;
                for binding in self.links.users(link) {
                    if up {
                        self.wake(&Subject::Object(binding.clone()));
                    }
                    self.queue.add(binding, Trigger::Dependency);
                }
            }
        }
    }

    fn noticed(&self, link: &Link, notice: &crate::runtime::mirror::Notice) {
        let (collection, id) = &notice.place;
        for owner in notice.owners.iter().filter(|owner| owner.cluster == self.cluster) {
            if self.kinds.contains_key(&owner.kind) {
                self.queue.add(Key::new(&owner.kind, &owner.namespace, &owner.name), Trigger::Dependency);
            }
        }
        self.wake(&Subject::Remote(id.clone()));
        let object = link.look(|mirror| mirror.get(collection, id));
        for name_field in self.kinds.values().map(|kind| kind.name_field) {
            let name = object.as_ref().and_then(|object| object.intent.get(name_field)).and_then(Value::as_str);
            if let Some(name) = name {
                self.wake(&Subject::RemoteName(collection.clone(), name.to_owned()));
            }
        }
    }

    /// Counts a call to the backend.
    fn count<T>(&self, operation: &'static str, answer: &Result<T, CallError>, took: Duration) {
        let code = match answer {
            Ok(_) => "ok".to_owned(),
            Err(CallError::Refused(problem)) => problem.code.to_string(),
            Err(CallError::Unreachable(_)) => "unreachable".to_owned(),
            Err(CallError::Doubtful(_)) => "doubtful".to_owned(),
        };
        if let Err(CallError::Refused(problem)) = answer
            && let Some(seconds) = problem.retry_after
        {
            self.metrics.backend_throttled(Duration::from_secs(seconds));
        }
        self.metrics.backend_request(operation, &code, took);
    }
}
