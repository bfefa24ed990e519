//! Kubernetes objects as our watches and the answers to our own writes have shown them, and who has read which.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use kube::{
    Resource, ResourceExt,
    api::{DynamicObject, ObjectMeta, TypeMeta},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    common::{typed, uid},
    key::Key,
    kind::Lookup,
};

/// How many UIDs of objects that are gone are remembered, so that a late answer does not bring one back.
const GRAVES: usize = 16_384;
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Something that a pass looked at. When it changes, the reader has another pass.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A Kubernetes object, whether it exists or not.
    Object(Key),
    /// A backend object by its id.
    Remote(String),
    /// Backend objects by collection and the name that people gave them.
    RemoteName(String, String),
}

impl Subject {
    /// No other comes before it.
    fn first() -> Self {
        Self::Object(Key::new("", "", ""))
    }
}

/// Objects and edges. Cheap to share; nothing here waits.
#[derive(Debug, Default)]
pub struct Cache(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<Key, Kept>,
    synced: BTreeSet<Arc<str>>,
    /// Namespaces by kind whose list is complete.
    listed: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
    graves: VecDeque<String>,
    buried: BTreeSet<String>,
    /// Who read what, in both orders: one set of pairs takes a third of a map of small sets.
    readers: BTreeSet<(Subject, Key)>,
    reads: BTreeSet<(Key, Subject)>,
}

/// An object as text. Most are looked at rarely, and parsed they take five times the memory.
#[derive(Clone, Debug)]
struct Kept {
    uid: Arc<str>,
    version: u128,
    text: Arc<str>,
}

impl Kept {
    /// `None`: an object that is no JSON, which nobody could have sent.
    fn of(object: &DynamicObject) -> Option<Self> {
        // A tuple is read faster than the object itself, whose fields lie flat beside each other.
        let text = serde_json::to_string(&(&object.types, &object.metadata, &object.data)).ok()?;
        Some(Self { uid: uid(object).into(), version: version(object), text: text.into() })
    }

    fn object(&self) -> Option<DynamicObject> {
        let (types, metadata, data): (Option<TypeMeta>, ObjectMeta, Value) = serde_json::from_str(&self.text).ok()?;
        Some(DynamicObject { types, metadata, data })
    }

    fn shared(&self) -> Option<Arc<DynamicObject>> {
        self.object().map(Arc::new)
    }
}

/// What taking in an object changed.
#[derive(Clone, Debug, PartialEq)]
pub enum Taken {
    /// Nothing: we have this version or a newer one.
    Known,
    /// It is new to us.
    New,
    /// It replaced this version.
    Replaced(Arc<DynamicObject>),
}

impl Cache {
    /// The newest version of an object.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<Arc<DynamicObject>> {
        let kept = self.state().objects.get(key)?.clone();
        kept.shared()
    }

    /// Whether there is such an object.
    #[must_use]
    pub fn has(&self, key: &Key) -> bool {
        self.state().objects.contains_key(key)
    }

    /// The UID of an object.
    #[must_use]
    pub fn uid(&self, key: &Key) -> Option<Arc<str>> {
        self.state().objects.get(key).map(|kept| kept.uid.clone())
    }

    /// All objects of a kind in a namespace, or in all when `namespace` is `None`.
    #[must_use]
    pub fn list(&self, kind: &str, namespace: Option<&str>) -> Vec<Arc<DynamicObject>> {
        let first = Key::new(kind, namespace.unwrap_or(""), "");
        let state = self.state();
        let fits = |key: &Key| &*key.kind == kind && namespace.is_none_or(|n| n == &*key.namespace);
        let fitting = state.objects.range(first..).take_while(|(key, _)| fits(key));
        let kept: Vec<Kept> = fitting.map(|(_, kept)| kept.clone()).collect();
        drop(state);
        kept.iter().filter_map(Kept::shared).collect()
    }

    /// The objects of a kind in the reader's namespace of which this is true. The reader is woken when something happens to them: it
    /// is remembered before they are looked at for good, or what happens between the two would wake nobody.
    pub(super) fn those(&self, reader: &Key, kind: &str, is: impl Fn(&Key, &DynamicObject) -> bool) -> Vec<Key> {
        let mut those = Vec::new();
        for object in self.list(kind, Some(&reader.namespace)) {
            let key = Key::new(kind, &reader.namespace, &object.name_any());
            if is(&key, &object) {
                self.note(reader, Subject::Object(key.clone()));
                those.push(key);
            }
        }
        those.retain(|key| self.get(key).is_some_and(|object| is(key, &object)));
        those
    }

    /// Whether a kind's watch has listed all its objects once.
    #[must_use]
    pub fn synced(&self, kind: &str) -> bool {
        self.state().synced.contains(kind)
    }

    /// A list of a kind is complete; of those in single namespaces there are `of` in all.
    pub(super) fn set_listed(&self, kind: &str, namespace: Option<&str>, of: usize) {
        let mut state = self.state();
        let lists = state.listed.entry(kind.into()).or_default();
        lists.insert(namespace.unwrap_or_default().into());
        if lists.len() >= of {
            state.synced.insert(kind.into());
        }
    }

    /// Takes in an object from a watch or from the answer to a write, unless we have a newer version.
    pub(super) fn take(&self, key: &Key, object: impl Into<Arc<DynamicObject>>) -> Taken {
        let object = trimmed(object.into());
        let Some(kept) = Kept::of(&object) else { return Taken::Known };
        let mut state = self.state();
        if state.buried.contains(object.metadata.uid.as_deref().unwrap_or_default()) {
            return Taken::Known;
        }
        // What holds a namespace stands in its spec, which is not watched.
        let held = &*key.kind == super::NAMESPACE || !object.finalizers().is_empty();
        if object.metadata.deletion_timestamp.is_some() && !held {
            // The answer to the removal of the last finalizer: the object is gone, and its watch event will say so.
            return Taken::Known;
        }
        match state.objects.get(key) {
            Some(known) if known.version >= kept.version => Taken::Known,
            _ => {
                let old = state.objects.insert(key.clone(), kept);
                drop(state);
                old.and_then(|old| old.shared()).map_or(Taken::New, Taken::Replaced)
            }
        }
    }

    /// Forgets an object that is gone. `uid: None` when only its absence was seen.
    pub(super) fn remove(&self, key: &Key, uid: Option<&str>) -> Option<Arc<DynamicObject>> {
        let mut state = self.state();
        if uid.is_some_and(|uid| state.objects.get(key).is_none_or(|present| &*present.uid != uid)) {
            return None;
        }
        let gone = state.objects.remove(key)?;
        if !gone.uid.is_empty() {
            state.bury(&gone.uid);
        }
        drop(state);
        gone.shared()
    }

    /// Keys of a kind, to find out what a new list does not show.
    pub(super) fn keys(&self, kind: &str, namespace: Option<&str>) -> BTreeSet<Key> {
        let state = self.state();
        let first = Key::new(kind, namespace.unwrap_or(""), "");
        let fits = |key: &&Key| &*key.kind == kind && namespace.is_none_or(|n| n == &*key.namespace);
        state.objects.range(first..).map(|(key, _)| key).take_while(fits).cloned().collect()
    }

    /// Forgets what a reader has read: called when its pass begins.
    pub(super) fn begin(&self, reader: &Key) {
        let mut state = self.state();
        let first = (reader.clone(), Subject::first());
        let read: Vec<_> = state.reads.range(first..).take_while(|(one, _)| one == reader).cloned().collect();
        for (reader, subject) in read {
            let edge = (reader, subject);
            state.reads.remove(&edge);
            state.readers.remove(&(edge.1, edge.0));
        }
    }

    /// Remembers that `reader` looked at `subject`.
    pub(super) fn note(&self, reader: &Key, subject: Subject) {
        self.state().note(reader, subject);
    }

    /// Who looked at `subject` in their last pass.
    #[must_use]
    pub fn readers(&self, subject: &Subject) -> Vec<Key> {
        let (state, first) = (self.state(), (subject.clone(), Key::new("", "", "")));
        state.readers.range(first..).take_while(|(of, _)| of == subject).map(|(_, reader)| reader.clone()).collect()
    }

    /// Who looked at any object of a kind in their last pass.
    #[must_use]
    pub fn readers_of_kind(&self, kind: &str) -> BTreeSet<Key> {
        let (state, first) = (self.state(), (Subject::Object(Key::new(kind, "", "")), Key::new("", "", "")));
        let of_kind = |(of, _): &&(Subject, Key)| matches!(of, Subject::Object(key) if &*key.kind == kind);
        state.readers.range(first..).take_while(of_kind).map(|(_, reader)| reader.clone()).collect()
    }

    /// Looks an object up and remembers it.
    pub(super) fn read<R>(&self, reader: &Key, key: &Key) -> Lookup<R>
    where
        R: Resource<DynamicType = ()> + DeserializeOwned,
    {
        let mut state = self.state();
        state.note(reader, Subject::Object(key.clone()));
        let synced = state.synced.contains(&key.kind);
        let Some(kept) = state.objects.get(key).cloned() else {
            return if synced { Lookup::Absent } else { Lookup::Unknown };
        };
        drop(state);
        // An object that cannot be read is reported on itself; to its readers it is not known.
        kept.object().and_then(|object| typed(&object).ok()).map_or(Lookup::Unknown, Lookup::Found)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn note(&mut self, reader: &Key, subject: Subject) {
        self.readers.insert((subject.clone(), reader.clone()));
        self.reads.insert((reader.clone(), subject));
    }

    fn bury(&mut self, uid: &str) {
        if self.buried.insert(uid.to_owned()) {
            self.graves.push_back(uid.to_owned());
        }
        while self.graves.len() > GRAVES {
            if let Some(oldest) = self.graves.pop_front() {
                self.buried.remove(&oldest);
            }
        }
    }
}

/// The version of an object, for comparison: resource versions are ordered numbers (Kubernetes 1.35, KEP-5504).
fn version(object: &DynamicObject) -> u128 {
    object.metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0)
}

/// Drops what nobody here reads and what can be larger than all the rest.
pub(super) fn trimmed(mut object: Arc<DynamicObject>) -> Arc<DynamicObject> {
    if object.metadata.managed_fields.is_some() || object.annotations().contains_key(LAST_APPLIED) {
        let object = Arc::make_mut(&mut object);
        object.metadata.managed_fields = None;
        if let Some(annotations) = &mut object.metadata.annotations {
            annotations.remove(LAST_APPLIED);
        }
    }
    object
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(uid: &str, version: &str) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "loopback.cloud/v1alpha1", "kind": "K",
            "metadata": {"name": "a", "namespace": "n", "uid": uid, "resourceVersion": version,
                "managedFields": [{}], "annotations": {LAST_APPLIED: "{}", "keep": "me"}},
            "spec": {}
        }))
        .unwrap()
    }

    fn key() -> Key {
        Key::new("K", "n", "a")
    }

    #[test]
    fn versions_only_move_forward_and_objects_are_trimmed() {
        let cache = Cache::default();
        assert_eq!(cache.take(&key(), object("u", "10")), Taken::New);
        assert_eq!(cache.take(&key(), object("u", "9")), Taken::Known);
        assert!(matches!(cache.take(&key(), object("u", "11")), Taken::Replaced(_)));
        let kept = cache.get(&key()).unwrap();
        assert!(kept.metadata.managed_fields.is_none());
        assert_eq!(kept.annotations().keys().collect::<Vec<_>>(), ["keep"]);
    }

    #[test]
    fn what_is_taken_comes_back_as_it_was() {
        let mut taken = object("u", "10");
        taken.metadata.creation_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        taken.data["status"] = json!({"a": -1, "b": u64::MAX, "c": "\u{0}\"\u{1F600}", "d": [null, {}, []], "e": 0.5});
        let cache = Cache::default();
        cache.take(&key(), taken.clone());
        let kept = cache.get(&key()).unwrap();
        assert_eq!(kept, trimmed(Arc::new(taken)));
        assert_eq!(cache.list("K", None), [kept]);
        assert_eq!(cache.uid(&key()).as_deref(), Some("u"));
    }

    #[test]
    fn a_kind_is_known_when_all_its_namespaces_are_listed() {
        let cache = Cache::default();
        cache.set_listed("K", Some("a"), 2);
        cache.set_listed("K", Some("a"), 2);
        assert!(!cache.synced("K"));
        cache.set_listed("K", Some("b"), 2);
        cache.set_listed("Other", None, 1);
        assert!(cache.synced("K") && cache.synced("Other"));
    }

    #[test]
    fn a_late_answer_does_not_bring_an_object_back() {
        let cache = Cache::default();
        cache.take(&key(), object("u", "10"));
        assert!(cache.remove(&key(), Some("other")).is_none());
        assert!(cache.remove(&key(), Some("u")).is_some());
        assert_eq!(cache.take(&key(), object("u", "12")), Taken::Known);
        assert_eq!(cache.take(&key(), object("v", "13")), Taken::New);
    }

    #[test]
    fn a_namespace_that_is_being_deleted_is_still_there() {
        let mut ending = object("u", "10");
        ending.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        let cache = Cache::default();
        assert_eq!(cache.take(&key(), ending.clone()), Taken::Known);
        let namespace = Key::new(super::super::NAMESPACE, "", "n");
        assert_eq!(cache.take(&namespace, ending), Taken::New);
        assert!(cache.get(&namespace).is_some());
    }

    #[test]
    fn edges_belong_to_the_last_pass() {
        let cache = Cache::default();
        let (reader, other) = (Key::new("K", "n", "r"), Subject::Object(key()));
        cache.note(&reader, other.clone());
        cache.note(&reader, Subject::Remote("lb-1".into()));
        assert_eq!(cache.readers(&other), std::slice::from_ref(&reader));
        cache.begin(&reader);
        assert!(cache.readers(&other).is_empty());
    }

    /// What goes between the look and the note would wake nobody: it is not among those.
    #[test]
    fn those_are_still_so_when_they_are_watched() {
        let (cache, reader) = (Cache::default(), Key::new("Parent", "n", "p"));
        for name in ["a", "b", "c"] {
            let mut object = object(name, "1");
            object.metadata.name = Some(name.into());
            cache.take(&Key::new("K", "n", name), object);
        }
        let gone = std::cell::Cell::new(false);
        let those = cache.those(&reader, "K", |key, _| {
            if *key.name == *"c" && !gone.replace(true) {
                cache.remove(key, None);
            }
            *key.name != *"b"
        });
        assert_eq!(those, [Key::new("K", "n", "a")]);
        assert_eq!(cache.readers(&Subject::Object(Key::new("K", "n", "a"))), [reader]);
    }
}
