//! What the controller manager does: the garbage collector, the namespace controller, the end of definitions.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    apply::{self, Author},
    call::{Call, Verb},
    delete::Deleted,
    kinds::{DEFINITIONS, KindId, NAMESPACES},
    meta,
    store::{Object, State},
    write::Target,
};

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";
const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

type Place = (KindId, String, Arc<Object>);

impl State {
    /// One round. Whether anything was done.
    pub fn tick(&mut self) -> bool {
        let before = self.revision;
        self.collect();
        self.end_namespaces();
        self.end_definitions();
        self.revision != before
    }

    fn places(&self) -> Vec<Place> {
        let shelf = |(id, shelf): (usize, &super::store::Shelf)| {
            shelf.objects.iter().map(move |(key, object)| (id, key.clone(), object.clone())).collect::<Vec<_>>()
        };
        self.shelves.iter().enumerate().flat_map(shelf).collect()
    }

    fn collect(&mut self) {
        let concerned = |object: &Object| object.deleting() || !object.value["metadata"]["ownerReferences"].is_null();
        let shelves = self.shelves.iter().enumerate();
        let all = shelves.flat_map(|(id, shelf)| shelf.objects.iter().map(move |(key, object)| (id, key, object)));
        let some: Vec<(KindId, String)> =
            all.filter(|(.., object)| concerned(object)).map(|(id, key, _)| (id, key.clone())).collect();
        for (id, key) in some {
            let Some(object) = self.get(id, &key).cloned() else { continue };
            if !owners(&object).is_empty() {
                self.collect_one(id, &key, &object);
            }
            let Some(object) = self.get(id, &key).cloned() else { continue };
            if object.deleting() {
                self.let_go(id, &key, &object);
            }
        }
    }

    /// An object none of whose owners is there any more goes; references to owners that are gone go alone.
    fn collect_one(&mut self, id: KindId, key: &str, object: &Arc<Object>) {
        let (there, gone): (Vec<Value>, Vec<Value>) =
            owners(object).into_iter().partition(|owner| self.owner(object, owner).is_some());
        let awaited = |owner: &Value| self.owner(object, owner).is_some_and(|owner| waits(&owner, FOREGROUND));
        let all_awaited = !there.is_empty() && there.iter().all(awaited);
        if there.is_empty() || all_awaited {
            if !object.deleting() {
                self.delete_as_controller(id, object);
            }
        } else if !gone.is_empty() {
            let mut value = (*object.value).clone();
            value["metadata"]["ownerReferences"] = there.into();
            self.rewrite(id, key, object, value);
        }
    }

    /// The owner that a reference means, if it is there.
    fn owner(&self, object: &Object, reference: &Value) -> Option<Arc<Object>> {
        let text = |field: &str| reference[field].as_str().unwrap_or("");
        let id = self.kinds.named(text("apiVersion"), text("kind"))?;
        let namespace = if self.kinds.get(id).namespaced { object.meta("namespace") } else { "" };
        let owner = self.get(id, &super::store::key(namespace, text("name")))?;
        (owner.meta("uid") == text("uid")).then(|| owner.clone())
    }

    /// Takes the collector's finalizers off, once what they wait for is done.
    fn let_go(&mut self, id: KindId, key: &str, object: &Arc<Object>) {
        if !waits(object, FOREGROUND) && !waits(object, ORPHAN) {
            return;
        }
        let uid = object.meta("uid").to_owned();
        let owned = |reference: &Value| reference["uid"] == *uid;
        let dependents: Vec<Place> =
            self.places().into_iter().filter(|(_, _, object)| owners(object).iter().any(owned)).collect();
        if waits(object, ORPHAN) {
            for (id, key, dependent) in dependents {
                let mut value = (*dependent.value).clone();
                let left: Vec<Value> = owners(&dependent).into_iter().filter(|owner| !owned(owner)).collect();
                value["metadata"]["ownerReferences"] = left.into();
                meta::normalise(&mut value);
                self.rewrite(id, &key, &dependent, value);
            }
            return self.drop_finalizer(id, key, ORPHAN);
        }
        let blocks = |owner: &Value| owned(owner) && owner["blockOwnerDeletion"] == true;
        if !dependents.iter().any(|(_, _, dependent)| owners(dependent).iter().any(blocks)) {
            self.drop_finalizer(id, key, FOREGROUND);
        }
    }

    fn drop_finalizer(&mut self, id: KindId, key: &str, finalizer: &str) {
        let Some(object) = self.get(id, key).cloned() else { return };
        let mut value = (*object.value).clone();
        let left: Vec<&str> = meta::finalizers(&object.value).into_iter().filter(|one| *one != finalizer).collect();
        value["metadata"]["finalizers"] = json!(left);
        meta::normalise(&mut value);
        if meta::released(&value) {
            self.remove(id, key);
        } else {
            self.rewrite(id, key, &object, value);
        }
    }

    /// Stores what a controller changed; nobody owns what it took away.
    fn rewrite(&mut self, id: KindId, key: &str, old: &Object, value: Value) {
        let (kind, time) = (self.kind(id), self.now());
        let author = Author {
            name: "kube-controller-manager",
            applies: false,
            subresource: "",
            force: true,
            time: &time,
            split: kind.status,
            custom: kind.custom,
        };
        let managers = apply::updated(Some(&old.value), &value, &kind.schema, &old.managers, &author);
        self.put(id, key, value, managers, false);
    }

    fn delete_as_controller(&mut self, id: KindId, object: &Object) {
        let call = Call {
            verb: Verb::Delete,
            namespace: object.meta("namespace").to_owned(),
            name: object.meta("name").to_owned(),
            ..Call::default()
        };
        let options = json!({"preconditions": {"uid": object.meta("uid")}});
        let target = Target::new(self, &call, id);
        match self.delete(&target, &options) {
            Ok(Deleted::Pending(_) | Deleted::Gone(_)) | Err(_) => {}
        }
    }

    /// Objects of a kind that are being deleted.
    fn ending(&self, id: KindId) -> Vec<(String, Arc<Object>)> {
        let all = self.shelves[id].objects.iter().filter(|(_, object)| object.deleting());
        all.map(|(key, object)| (key.clone(), object.clone())).collect()
    }

    /// Empties namespaces that are being deleted, and lets go of those that are empty.
    fn end_namespaces(&mut self) {
        for (key, namespace) in self.ending(NAMESPACES) {
            let inside = |place: &Place| place.2.meta("namespace") == key;
            for (id, _, object) in self.places().into_iter().filter(inside) {
                if !object.deleting() {
                    self.delete_as_controller(id, &object);
                }
            }
            if !self.places().iter().any(inside) {
                self.finish_namespace(&key, &namespace);
            }
        }
    }

    fn finish_namespace(&mut self, key: &str, namespace: &Arc<Object>) {
        let mut value = (*namespace.value).clone();
        value["spec"] = json!({});
        if meta::released(&value) {
            self.remove(NAMESPACES, key);
        } else if value != *namespace.value {
            self.put(NAMESPACES, key, value, namespace.managers.clone(), false);
        }
    }

    /// Removes the objects of definitions that are being deleted, then the kind.
    fn end_definitions(&mut self) {
        for (key, definition) in self.ending(DEFINITIONS) {
            let text =
                |pointer: &str| definition.value.pointer(pointer).and_then(Value::as_str).unwrap_or("").to_owned();
            let group = text("/spec/group");
            let version = text("/spec/versions/0/name");
            let Some(id) = self.kinds.named(&format!("{group}/{version}"), &text("/spec/names/kind")) else {
                self.drop_finalizer(DEFINITIONS, &key, CLEANUP);
                continue;
            };
            let objects: Vec<Arc<Object>> = self.shelves[id].objects.values().cloned().collect();
            for object in objects.iter().filter(|object| !object.deleting()) {
                self.delete_as_controller(id, object);
            }
            if self.shelves[id].objects.is_empty() {
                self.drop_finalizer(DEFINITIONS, &key, CLEANUP);
                if self.get(DEFINITIONS, &key).is_none() {
                    self.kinds.remove(id);
                    self.hang_up();
                }
            }
        }
    }
}

fn owners(object: &Object) -> Vec<Value> {
    object.value["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default()
}

fn waits(object: &Object, finalizer: &str) -> bool {
    object.deleting() && meta::finalizers(&object.value).contains(&finalizer)
}
