//! Children and parents: a child goes through its parent's binding, waits for its parent, and keeps it from going first.

use std::sync::Arc;

use kube::api::DynamicObject;
use serde_json::Value;

use super::{
    Engine,
    apply::dotted,
    cache::Subject,
    common::{Common, deleting, has_finalizer, uid},
    connections::Connection,
    key::Key,
    kind::{ParentOf, Remark},
    link::Link,
    registry::Registered,
};
use crate::{
    crd::{ManagementPolicy, Reason},
    protocol::ObjectId,
    runtime::queue::Trigger,
};

/// A child's parent in Kubernetes.
pub(super) struct Parent {
    key: Key,
    object: Arc<DynamicObject>,
}

impl Parent {
    /// Name of the binding that it goes through, and its children with it.
    pub(super) fn binding(&self) -> String {
        Common::of(&self.object).unwrap_or_default().binding().to_owned()
    }

    /// Why nothing is begun under it any more: it would keep the parent from going.
    pub(super) fn going(&self) -> Option<Remark> {
        let message = format!("{} is being deleted; once it is gone, create it anew", self.key);
        deleting(&self.object).then(|| Remark::new(Reason::ReferenceMissing, message))
    }
}

/// The name in the field of a child that names its parent.
fn named<'a>(object: &'a DynamicObject, parent: &ParentOf) -> Option<&'a str> {
    object.data.pointer(parent.field).and_then(Value::as_str)
}

impl Engine {
    /// The parent of an object of a kind that has one. The object is woken when its parent changes.
    ///
    /// # Errors
    /// When there is none (yet).
    pub(super) fn parent(&self, key: &Key, object: &DynamicObject) -> Result<Option<Parent>, Remark> {
        let Some(parent) = self.kinds.get(&*key.kind).and_then(|kind| kind.parent) else { return Ok(None) };
        let name = named(object, &parent).unwrap_or_default();
        let parent_key = Key::new(parent.kind, &key.namespace, name);
        self.cache.note(key, Subject::Object(parent_key.clone()));
        match self.cache.get(&parent_key) {
            Some(object) => Ok(Some(Parent { key: parent_key, object })),
            None => {
                let field = dotted(parent.field);
                let message =
                    format!("There is no {} {name} in this namespace, as {field} says; create it", parent.kind);
                Err(Remark::new(Reason::ReferenceMissing, message))
            }
        }
    }

    /// The parent's id in the backend, where its children are made.
    ///
    /// # Errors
    /// When the backend does not have it yet.
    pub(super) fn parent_id(&self, link: &Link, parent: &Parent) -> Result<ObjectId, Remark> {
        let collection = self.kinds.get(&*parent.key.kind).map_or("", |kind| kind.collection);
        let own = link.look(|mirror| mirror.of_owner(collection, &self.cluster, uid(&parent.object)));
        // One that is only observed is another's: its status says which it is. Else its status may be about one that is gone.
        let observes = Common::of(&parent.object).is_ok_and(|common| common.management() == ManagementPolicy::Observe);
        let status = || parent.object.data.pointer("/status/id").and_then(Value::as_str).map(str::to_owned);
        let observed = || observes.then(status).flatten();
        own.map(|object| object.id.clone())
            .or_else(observed)
            .ok_or_else(|| Remark::new(Reason::ReferenceMissing, format!("{} is not in the backend yet", parent.key)))
    }

    /// Name of the binding that an object goes through.
    pub(super) fn binding_of(&self, key: &Key, object: &DynamicObject) -> String {
        match self.parent(key, object) {
            Ok(Some(parent)) => parent.binding(),
            _ => Common::of(object).unwrap_or_default().binding().to_owned(),
        }
    }

    /// Where an object that is being deleted is to be deleted. A child may have outlived its parent: then the binding whose
    /// project has it.
    pub(super) fn connection_of_deleted(&self, key: &Key, object: &DynamicObject, collection: &str) -> Connection {
        let orphan = self.parent(key, object).is_err();
        let holder = || {
            self.connections.in_namespace(&key.namespace).into_iter().find(|binding| {
                let connection = self.connections.of(self, key, &binding.name);
                let (Connection::Open(link) | Connection::Held(link, _)) = connection else { return false };
                link.look(|mirror| mirror.of_owner(collection, &self.cluster, uid(object)).is_some())
            })
        };
        match orphan.then(holder).flatten() {
            Some(binding) => self.connections.of(self, key, &binding.name),
            None => self.connections.of(self, key, &self.binding_of(key, object)),
        }
    }

    /// Children in the parent's namespace that may have something in the backend. The parent is woken when they go.
    pub(super) fn children(&self, key: &Key) -> Vec<Key> {
        let mut children = Vec::new();
        for kind in self.kinds.values() {
            let Some(parent) = kind.parent.filter(|parent| parent.kind == &*key.kind) else { continue };
            let child =
                |_: &Key, object: &DynamicObject| named(object, &parent) == Some(&*key.name) && has_finalizer(object);
            children.extend(self.cache.those(key, kind.kind(), child));
        }
        children
    }
}

impl Engine {
    /// Which of these kinds has not been listed since this process began: what is not known yet cannot be waited for. `reader`
    /// is woken when it is.
    pub(super) fn unlisted<'a>(&self, reader: &Key, mut kinds: impl Iterator<Item = &'a str>) -> Option<&'a str> {
        let kind = kinds.find(|kind| !self.cache.synced(kind))?;
        self.cache.note(reader, Subject::Object(Key::new(kind, &reader.namespace, "")));
        // It may have been listed before that was noted.
        if self.cache.synced(kind) {
            self.queue.add(reader.clone(), Trigger::Dependency);
        }
        Some(kind)
    }

    /// Kinds whose objects belong to objects of a kind.
    pub(super) fn child_kinds<'a>(&'a self, parent: &'a str) -> impl Iterator<Item = &'a str> {
        let of = move |kind: &&Registered| kind.parent.is_some_and(|found| found.kind == parent);
        self.kinds.values().filter(of).map(Registered::kind)
    }
}

/// What to say of an object whose deletion waits until these are known.
pub(super) fn unknown_users(kind: &str) -> Remark {
    Remark::new(Reason::Deleting, format!("Looking for {kind}s that need it"))
}

/// How many users of an object are named in a message.
const NAMED: usize = 5;

/// What to say of an object whose deletion waits for these.
pub(super) fn in_use(users: &[Key]) -> Remark {
    let named = users.iter().take(NAMED).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let more = users.len().saturating_sub(NAMED);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    Remark::new(Reason::InUse, format!("Waits until these are deleted: {named}{rest}"))
}
