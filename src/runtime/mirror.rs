//! A copy of one project's objects, kept by its feed and by the answers to our own writes.
//!
//! The mirror decides whether to look, never whether a write is safe. Its entries only move forward by revision.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use serde_json::Value;

use crate::protocol::{Cursor, Frame, ObjectId, Owner, RawObject, Revision};

/// How many ids of objects that are gone are remembered, so that a late answer does not bring one back.
const GRAVES: usize = 16_384;

/// How much the objects may weigh, about a byte a unit: a backend that never ends does not take all memory.
const WEIGHT: usize = 256 << 20;

/// Where an object stands: collection and id.
pub type Place = (String, ObjectId);

/// An object that changed: who should look at it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Where it is, or was.
    pub place: Place,
    /// Owners before and after, without repetition.
    pub owners: Vec<Owner>,
}

/// Identity of what is mirrored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The store.
    pub store: String,
    /// The backend's run.
    pub epoch: String,
    /// The project.
    pub project_id: String,
}

/// What the reader of the feed does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// These changed.
    Changed(Vec<Notice>),
    /// The mirror is complete; these vanished while nobody looked.
    Synced(Vec<Notice>),
    /// Start over without a cursor.
    Restart,
    /// There is more than is kept; the mirror is empty again.
    Overfull,
}

/// A copy of one project's objects.
#[derive(Debug, Default)]
pub struct Mirror {
    objects: BTreeMap<Place, Kept>,
    /// (cluster, uid) to place.
    owners: BTreeMap<(String, String), Place>,
    /// In the order of the owners' names: a resource that was re-created finds what its predecessor left.
    names: BTreeSet<(Arc<Owner>, Place)>,
    graves: Graves,
    source: Option<Source>,
    cursor: Option<Cursor>,
    synced: bool,
    /// While a snapshot is read: what it, or an answer meanwhile, has shown.
    snapshot: Option<BTreeSet<Place>>,
    /// Of all objects together.
    weight: usize,
}

/// An object as text. Most are looked at rarely, and parsed they take five times the memory.
#[derive(Debug)]
struct Kept {
    revision: Revision,
    owner: Option<Arc<Owner>>,
    text: Box<str>,
}

impl Kept {
    /// `None`: an object that is no JSON, which nobody could have sent.
    fn of(object: RawObject) -> Option<Self> {
        let text = serde_json::to_string(&object).ok()?.into();
        Some(Self { revision: object.revision, owner: object.owner.map(Arc::new), text })
    }

    fn object(&self) -> Option<Arc<RawObject>> {
        let object: RawObject = serde_json::from_str(&self.text).ok()?;
        Some(Arc::new(RawObject { revision: self.revision, ..object }))
    }

    /// What it takes with its place in all indices, by and large.
    fn weight(&self) -> usize {
        1_024 + self.text.len()
    }
}

/// The least of all owners with the name of this one, whatever its UID.
fn first_of(owner: &Owner) -> Owner {
    Owner { uid: String::new(), ..owner.clone() }
}

fn same_name(one: &Owner, other: &Owner) -> bool {
    (&one.cluster, &one.kind, &one.namespace, &one.name) == (&other.cluster, &other.kind, &other.namespace, &other.name)
}

#[derive(Debug, Default)]
struct Graves {
    order: VecDeque<ObjectId>,
    ids: BTreeSet<ObjectId>,
}

impl Graves {
    fn dig(&mut self, id: &str) {
        if self.ids.insert(id.to_owned()) {
            self.order.push_back(id.to_owned());
        }
        while self.order.len() > GRAVES {
            if let Some(oldest) = self.order.pop_front() {
                self.ids.remove(&oldest);
            }
        }
    }
}

impl Mirror {
    /// Whether it has been complete since the last start from nothing.
    #[must_use]
    pub fn synced(&self) -> bool {
        self.synced
    }

    /// What is mirrored; `None` before first contact.
    #[must_use]
    pub fn source(&self) -> Option<&Source> {
        self.source.as_ref()
    }

    /// Where to go on from.
    #[must_use]
    pub fn cursor(&self) -> Option<&Cursor> {
        self.cursor.as_ref()
    }

    /// An object by its id.
    #[must_use]
    pub fn get(&self, collection: &str, id: &str) -> Option<Arc<RawObject>> {
        self.at(&(collection.to_owned(), id.to_owned()))
    }

    /// The object of an owner.
    #[must_use]
    pub fn of_owner(&self, collection: &str, cluster: &str, uid: &str) -> Option<Arc<RawObject>> {
        let place = self.owners.get(&(cluster.to_owned(), uid.to_owned()))?;
        (place.0 == collection).then(|| self.at(place)).flatten()
    }

    /// Objects owned under the name of this owner, by it or by a namesake with another UID, by id.
    pub fn of_name(&self, collection: &str, owner: &Owner) -> impl Iterator<Item = Arc<RawObject>> {
        let first = (Arc::new(first_of(owner)), (String::new(), String::new()));
        let owned = self.names.range(first..).take_while(|(one, _)| same_name(one, owner));
        let mut places: Vec<&Place> = owned.map(|(_, place)| place).filter(|place| place.0 == collection).collect();
        places.sort_unstable();
        places.into_iter().filter_map(|place| self.at(place))
    }

    /// All objects of a collection, by id.
    pub fn all<'a>(&'a self, collection: &'a str) -> impl Iterator<Item = Arc<RawObject>> + 'a {
        self.collection(collection).filter_map(|(_, kept)| kept.object())
    }

    /// Ids and owners of the objects of a collection that have one.
    pub fn owned<'a>(&'a self, collection: &'a str) -> impl Iterator<Item = (&'a ObjectId, &'a Owner)> + 'a {
        self.collection(collection).filter_map(|(place, kept)| Some((&place.1, kept.owner.as_deref()?)))
    }

    /// Objects of a collection whose intent has this text in a field.
    #[must_use]
    pub fn having(&self, collection: &str, field: &str, text: &str) -> Vec<Arc<RawObject>> {
        let written = Value::from(text).to_string();
        // Only those are parsed in which it stands anywhere.
        let near = self.collection(collection).filter(|(_, kept)| kept.text.contains(&written));
        let has = |object: &Arc<RawObject>| object.intent.get(field).and_then(Value::as_str) == Some(text);
        near.filter_map(|(_, kept)| kept.object()).filter(has).collect()
    }

    fn at(&self, place: &Place) -> Option<Arc<RawObject>> {
        self.objects.get(place)?.object()
    }

    fn collection<'a>(&'a self, collection: &'a str) -> impl Iterator<Item = (&'a Place, &'a Kept)> + 'a {
        let first = (collection.to_owned(), String::new());
        self.objects.range(first..).take_while(move |(place, _)| place.0 == collection)
    }

    /// Takes in one line of the feed.
    pub fn apply(&mut self, frame: Frame) -> Step {
        match frame {
            Frame::Hello { store, epoch, project_id } => self.hello(Source { store, epoch, project_id }),
            Frame::Change { collection, object, cursor } => {
                self.cursor = cursor.or(self.cursor.take());
                let notice = self.put((collection, object.id.clone()), *object);
                if self.weight > WEIGHT {
                    *self = Self::default();
                    return Step::Overfull;
                }
                Step::Changed(notice.into_iter().collect())
            }
            Frame::Gone { collection, id, cursor, .. } => {
                self.cursor = Some(cursor);
                Step::Changed(self.bury(&(collection, id)).into_iter().collect())
            }
            Frame::Synced { cursor } => {
                self.cursor = Some(cursor);
                self.synced = true;
                Step::Synced(self.sweep())
            }
            Frame::Progress { cursor } => {
                self.cursor = Some(cursor);
                Step::Changed(vec![])
            }
            Frame::Reset { .. } => {
                self.cursor = None;
                Step::Restart
            }
        }
    }

    /// Takes in the answer to a call of our own.
    pub fn fold(&mut self, collection: &str, object: RawObject) -> Option<Notice> {
        self.put((collection.to_owned(), object.id.clone()), object)
    }

    /// Takes in that the backend has no such object any more.
    pub fn fold_gone(&mut self, collection: &str, id: &str) -> Option<Notice> {
        self.bury(&(collection.to_owned(), id.to_owned()))
    }

    fn hello(&mut self, source: Source) -> Step {
        let resumed = self.cursor.is_some() && self.source.as_ref() == Some(&source);
        if self.cursor.is_some() && !resumed {
            // The backend took a cursor that was not its own; believe the identities.
            self.cursor = None;
            return Step::Restart;
        }
        if !resumed {
            if self.source.as_ref() != Some(&source) {
                self.forget_revisions();
            }
            self.snapshot = Some(BTreeSet::new());
        }
        self.source = Some(source);
        Step::Changed(vec![])
    }

    /// Another run of the backend may stand on an older copy of its store: what it says now is newer than what we have.
    fn forget_revisions(&mut self) {
        self.graves = Graves::default();
        self.objects.values_mut().for_each(|kept| kept.revision = 0);
    }

    fn put(&mut self, place: Place, object: RawObject) -> Option<Notice> {
        if self.graves.ids.contains(&place.1) {
            return None;
        }
        if let Some(seen) = &mut self.snapshot {
            seen.insert(place.clone());
        }
        let known: Revision = self.objects.get(&place).map_or(0, |known| known.revision);
        if object.revision <= known {
            return None;
        }
        let kept = Kept::of(object)?;
        let owner = kept.owner.clone();
        if let Some(owner) = &owner {
            self.owners.insert((owner.cluster.clone(), owner.uid.clone()), place.clone());
        }
        self.weight += kept.weight();
        let before = self.objects.insert(place.clone(), kept);
        self.weight -= before.as_ref().map_or(0, Kept::weight);
        let old = before.and_then(|before| before.owner);
        if old != owner {
            self.disown(&place, old.as_ref());
            self.names.extend(owner.clone().map(|owner| (owner, place.clone())));
        }
        Some(notice(place, old.as_deref(), owner.as_deref()))
    }

    fn bury(&mut self, place: &Place) -> Option<Notice> {
        self.graves.dig(&place.1);
        self.remove(place)
    }

    fn remove(&mut self, place: &Place) -> Option<Notice> {
        let gone = self.objects.remove(place)?;
        self.weight -= gone.weight();
        self.disown(place, gone.owner.as_ref());
        Some(notice(place.clone(), gone.owner.as_deref(), None))
    }

    fn disown(&mut self, place: &Place, owner: Option<&Arc<Owner>>) {
        let Some(owner) = owner else { return };
        let key = (owner.cluster.clone(), owner.uid.clone());
        if self.owners.get(&key) == Some(place) {
            self.owners.remove(&key);
        }
        self.names.remove(&(owner.clone(), place.clone()));
    }

    /// What the snapshot did not show vanished while nobody looked.
    fn sweep(&mut self) -> Vec<Notice> {
        let Some(seen) = self.snapshot.take() else { return vec![] };
        let lost: Vec<Place> = self.objects.keys().filter(|place| !seen.contains(*place)).cloned().collect();
        lost.iter().filter_map(|place| self.remove(place)).collect()
    }
}

fn notice(place: Place, before: Option<&Owner>, after: Option<&Owner>) -> Notice {
    let mut owners: Vec<Owner> = before.into_iter().chain(after).cloned().collect();
    owners.dedup();
    Notice { place, owners }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::protocol::{Member, Phase, Reality};

    fn object(id: &str, revision: Revision, uid: &str) -> RawObject {
        let owner =
            Owner { cluster: "c".into(), kind: "K".into(), namespace: "n".into(), name: "x".into(), uid: uid.into() };
        RawObject {
            parent: None,
            deliveries: vec![],
            id: id.into(),
            owner: Some(owner),
            etag: "e".into(),
            revision,
            intent_revision: revision,
            phase: Phase::Live,
            intent: json!({}),
            reality: Reality { of: 0, state: json!(null), members: BTreeMap::new() },
        }
    }

    fn change(id: &str, revision: Revision, uid: &str) -> Frame {
        Frame::Change { collection: "k".into(), object: Box::new(object(id, revision, uid)), cursor: None }
    }

    fn hello(epoch: &str) -> Frame {
        Frame::Hello { store: "s".into(), epoch: epoch.into(), project_id: "p".into() }
    }

    fn cursor(text: &str) -> Cursor {
        Cursor(text.into())
    }

    fn synced() -> Mirror {
        let mut mirror = Mirror::default();
        for frame in [hello("1"), change("a", 5, "u1"), change("b", 6, "u2"), Frame::Synced { cursor: cursor("6") }] {
            mirror.apply(frame);
        }
        mirror
    }

    #[test]
    fn entries_only_move_forward() {
        let mut mirror = synced();
        assert!(mirror.synced());
        assert!(mirror.fold("k", object("a", 9, "u1")).is_some());
        assert_eq!(mirror.apply(change("a", 7, "u1")), Step::Changed(vec![]));
        assert_eq!(mirror.get("k", "a").unwrap().revision, 9);
    }

    #[test]
    fn the_dead_stay_dead() {
        let mut mirror = synced();
        let gone =
            Frame::Gone { collection: "k".into(), id: "a".into(), owner: None, revision: 8, cursor: cursor("8") };
        assert!(matches!(mirror.apply(gone), Step::Changed(notices) if notices.len() == 1));
        assert!(mirror.fold("k", object("a", 9, "u1")).is_none());
        assert!(mirror.of_owner("k", "c", "u1").is_none());
    }

    #[test]
    fn a_new_snapshot_tells_what_vanished_but_keeps_what_was_folded_meanwhile() {
        let mut mirror = synced();
        assert_eq!(mirror.apply(Frame::Reset { reason: String::new() }), Step::Restart);
        mirror.apply(hello("1"));
        mirror.apply(change("b", 6, "u2"));
        mirror.fold("k", object("c", 11, "u3"));
        let Step::Synced(lost) = mirror.apply(Frame::Synced { cursor: cursor("10") }) else { panic!("not synced") };
        assert_eq!(lost.iter().map(|n| n.place.1.as_str()).collect::<Vec<_>>(), ["a"]);
        assert!(mirror.of_owner("k", "c", "u3").is_some());
    }

    #[test]
    fn another_run_of_the_backend_is_believed_even_with_older_revisions() {
        let mut mirror = synced();
        mirror.apply(Frame::Reset { reason: String::new() });
        mirror.apply(hello("2"));
        mirror.apply(change("a", 3, "u1"));
        mirror.apply(Frame::Synced { cursor: cursor("3") });
        assert_eq!(mirror.get("k", "a").unwrap().revision, 3);
        assert!(mirror.get("k", "b").is_none());
    }

    #[test]
    fn a_foreign_backend_that_takes_our_cursor_is_not_believed() {
        let mut mirror = synced();
        assert_eq!(mirror.apply(hello("2")), Step::Restart);
    }

    #[test]
    fn a_feed_that_never_ends_does_not_take_all_memory() {
        let mut mirror = synced();
        let large = |id: &str, revision| {
            let mut large = object(id, revision, id);
            large.intent = json!("x".repeat(WEIGHT / 4));
            Frame::Change { collection: "k".into(), object: Box::new(large), cursor: None }
        };
        for revision in 10..20 {
            assert!(
                matches!(mirror.apply(large("a", revision)), Step::Changed(_)),
                "the same one again weighs no more"
            );
        }
        for id in ["b", "c"] {
            assert!(matches!(mirror.apply(large(id, 20)), Step::Changed(_)));
        }
        assert_eq!(mirror.apply(large("d", 20)), Step::Overfull);
        assert!(mirror.get("k", "a").is_none() && mirror.cursor().is_none() && !mirror.synced());
        assert_eq!(mirror.weight, 0);
    }

    #[test]
    fn what_is_taken_in_comes_back_as_it_was() {
        let mut mirror = synced();
        let mut taken = object("c", 9, "u3");
        (taken.parent, taken.phase) = (Some("p".into()), Phase::Deleting);
        taken.intent = json!({"name": "a \"quoted\" name", "other": "plain", "list": [1, null, {"x": u64::MAX}]});
        let member = Member { state: "s".into(), reason: "r".into(), message: "\u{1F600}".into() };
        taken.reality = Reality { of: 7, state: json!({"y": -1}), members: [("m".to_owned(), member)].into() };
        mirror.fold("k", taken.clone());
        assert_eq!(mirror.get("k", "c").as_deref(), Some(&taken));
        assert_eq!(mirror.having("k", "name", "a \"quoted\" name").len(), 1);
        assert_eq!(mirror.having("k", "name", "plain"), []);
        let owned: Vec<_> = mirror.owned("k").map(|(id, owner)| (id.as_str(), owner.uid.as_str())).collect();
        assert_eq!(owned, [("a", "u1"), ("b", "u2"), ("c", "u3")]);
    }

    #[test]
    fn a_change_of_owner_is_told_to_both() {
        let mut mirror = synced();
        let notice = mirror.fold("k", object("a", 9, "u9")).unwrap();
        assert_eq!(notice.owners.iter().map(|o| o.uid.as_str()).collect::<Vec<_>>(), ["u1", "u9"]);
        assert!(mirror.of_owner("k", "c", "u1").is_none());
        assert!(mirror.of_owner("k", "c", "u9").is_some());
        let namesake = object("a", 1, "u7").owner.unwrap();
        assert_eq!(mirror.of_name("k", &namesake).map(|o| o.id.clone()).collect::<Vec<_>>(), ["a", "b"]);
        mirror.fold_gone("k", "b");
        assert_eq!(mirror.of_name("k", &namesake).count(), 1);
    }
}
