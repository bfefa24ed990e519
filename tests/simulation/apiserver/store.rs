//! Objects, their history and the one counter of versions.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use loopback_operator::runtime::World;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{
    apply::{Managers, document},
    journal::Entry,
    kinds::{Kind, KindId, Kinds},
    status::Refusal,
};

/// One version of an object.
#[derive(Debug)]
pub struct Object {
    pub value: Arc<Value>,
    pub managers: Managers,
    /// Whether it is stored without what its schema has as default: the next write of it is never without effect.
    pub bare: bool,
    text: OnceLock<Bytes>,
}

impl Object {
    pub fn new(value: Value, managers: Managers, bare: bool) -> Arc<Self> {
        Arc::new(Self { value: Arc::new(value), managers, bare, text: OnceLock::new() })
    }

    pub fn meta(&self, field: &str) -> &str {
        self.value["metadata"][field].as_str().unwrap_or("")
    }

    pub fn deleting(&self) -> bool {
        !self.meta("deletionTimestamp").is_empty()
    }

    /// As it is sent.
    pub fn text(&self, managed: bool) -> Bytes {
        self.text.get_or_init(|| serde_json::to_vec(&self.shown(managed)).unwrap().into()).clone()
    }

    /// As it is sent, with `managedFields` if they are shown.
    pub fn shown(&self, managed: bool) -> Arc<Value> {
        if !managed || self.managers.is_empty() {
            return self.value.clone();
        }
        let mut value = (*self.value).clone();
        let api_version = value["apiVersion"].as_str().unwrap_or("").to_owned();
        value["metadata"]["managedFields"] = document(&self.managers, &api_version);
        Arc::new(value)
    }
}

/// One step of a kind's history.
#[derive(Clone, Debug)]
pub struct Change {
    pub revision: u64,
    pub key: String,
    pub old: Option<Arc<Object>>,
    /// What it became; of a deletion the last version, under the version of the deletion.
    pub new: Arc<Object>,
    pub deleted: bool,
}

/// All of one kind.
#[derive(Debug, Default)]
pub struct Shelf {
    pub objects: BTreeMap<String, Arc<Object>>,
    pub log: Vec<Change>,
    pub changed: Arc<Notify>,
}

/// All that the server holds.
pub struct State {
    pub world: World,
    pub kinds: Kinds,
    pub shelves: Vec<Shelf>,
    /// Of all kinds.
    pub changed: Arc<Notify>,
    pub revision: u64,
    /// What is older cannot be read any more.
    pub oldest: u64,
    /// Watches of another epoch end.
    pub epoch: u64,
    /// How often bookmarks were ordered.
    pub bookmarks: u64,
    pub journal: Vec<Entry>,
    /// Whether `managedFields` are sent.
    pub managed: bool,
    /// Whether it is known who owns which field of an object to which nobody has applied yet.
    pub tracked: bool,
    made: u64,
}

/// Where an object stands on its shelf: sorted as the real store sorts.
pub fn key(namespace: &str, name: &str) -> String {
    if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") }
}

impl State {
    pub fn new(world: World) -> Self {
        let kinds = Kinds::builtin();
        let shelves = (0..kinds.len()).map(|_| Shelf::default()).collect();
        let (journal, revision) = (Vec::new(), 100);
        Self {
            world,
            kinds,
            shelves,
            changed: Arc::default(),
            revision,
            oldest: revision,
            epoch: 0,
            bookmarks: 0,
            journal,
            managed: false,
            tracked: true,
            made: 0,
        }
    }

    /// Another server that holds the same.
    pub fn copy(&self, world: World) -> Self {
        let shelf =
            |shelf: &Shelf| Shelf { objects: shelf.objects.clone(), log: shelf.log.clone(), changed: Arc::default() };
        Self {
            world,
            kinds: self.kinds.clone(),
            shelves: self.shelves.iter().map(shelf).collect(),
            changed: Arc::default(),
            journal: Vec::new(),
            ..*self
        }
    }

    pub fn now(&self) -> String {
        self.world.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// A new UID.
    pub fn uid(&mut self) -> String {
        self.made += 1;
        format!("00000000-0000-4000-8000-{:012x}", self.made)
    }

    /// The end of a generated name.
    pub fn suffix(&mut self) -> String {
        const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        self.made += 1;
        let mut rest = self.made.wrapping_mul(7_368_787);
        let mut letter = || {
            let at = usize::try_from(rest % 27).unwrap();
            rest /= 27;
            char::from(LETTERS[at])
        };
        (0..5).map(|_| letter()).collect()
    }

    pub fn kind(&self, id: KindId) -> Arc<Kind> {
        self.kinds.get(id).clone()
    }

    pub fn get(&self, id: KindId, key: &str) -> Option<&Arc<Object>> {
        self.shelves[id].objects.get(key)
    }

    pub fn find(&self, id: KindId, key: &str, name: &str) -> Result<Arc<Object>, Refusal> {
        self.get(id, key).cloned().ok_or_else(|| Refusal::not_found(self.kinds.get(id), name))
    }

    /// Adds a kind, with a shelf.
    pub fn register(&mut self, kind: Kind) {
        let id = self.kinds.add(kind);
        if id == self.shelves.len() {
            self.shelves.push(Shelf::default());
        }
    }

    /// Stores a version of an object under the next number.
    pub fn put(&mut self, id: KindId, key: &str, mut value: Value, managers: Managers, bare: bool) -> Arc<Object> {
        self.revision += 1;
        value["metadata"]["resourceVersion"] = self.revision.to_string().into();
        let object = Object::new(value, managers, bare);
        let old = self.shelves[id].objects.insert(key.to_owned(), object.clone());
        self.note(id, key, old, object.clone(), false);
        object
    }

    /// Takes an object away.
    pub fn take(&mut self, id: KindId, key: &str) {
        let Some(old) = self.shelves[id].objects.remove(key) else { return };
        self.revision += 1;
        let last = self.renumbered(&old);
        self.note(id, key, Some(old), last, true);
    }

    /// A version under the present number.
    fn renumbered(&self, object: &Object) -> Arc<Object> {
        let mut value = (*object.value).clone();
        value["metadata"]["resourceVersion"] = self.revision.to_string().into();
        Object::new(value, object.managers.clone(), object.bare)
    }

    fn note(&mut self, id: KindId, key: &str, old: Option<Arc<Object>>, new: Arc<Object>, deleted: bool) {
        let shelf = &mut self.shelves[id];
        shelf.log.push(Change { revision: self.revision, key: key.to_owned(), old, new, deleted });
        shelf.changed.notify_waiters();
        self.changed.notify_waiters();
    }

    /// A kind as it was at a version.
    pub fn at(&self, id: KindId, revision: u64) -> BTreeMap<String, Arc<Object>> {
        let mut objects = BTreeMap::new();
        for change in self.shelves[id].log.iter().take_while(|change| change.revision <= revision) {
            if change.deleted {
                objects.remove(&change.key);
            } else {
                objects.insert(change.key.clone(), change.new.clone());
            }
        }
        objects
    }

    /// Ends all watches.
    pub fn hang_up(&mut self) {
        self.epoch += 1;
        self.shelves.iter().for_each(|shelf| shelf.changed.notify_waiters());
    }

    /// The object of a definition, as the API server answers with it once it serves the kind.
    pub fn define(&mut self, definition: &Value) {
        let mut value = definition.clone();
        let now = self.now();
        let condition = |kind: &str, reason: &str| {
            json!({"type": kind, "status": "True", "reason": reason,
            "message": "", "lastTransitionTime": now})
        };
        value["apiVersion"] = "apiextensions.k8s.io/v1".into();
        value["kind"] = "CustomResourceDefinition".into();
        value["metadata"]["uid"] = self.uid().into();
        value["metadata"]["creationTimestamp"] = self.now().into();
        value["metadata"]["generation"] = 1.into();
        value["metadata"]["finalizers"] = json!(["customresourcecleanup.apiextensions.k8s.io"]);
        value["status"] = json!({"acceptedNames": value["spec"]["names"], "storedVersions": ["v1alpha1"],
            "conditions": [condition("NamesAccepted", "NoConflicts"), condition("Established", "InitialNamesAccepted")]});
        let name = value["metadata"]["name"].as_str().unwrap_or("").to_owned();
        self.put(super::kinds::DEFINITIONS, &name, value, Managers::default(), false);
    }
}
