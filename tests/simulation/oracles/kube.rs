//! Writes to Kubernetes.

use std::sync::Arc;

use loopback_operator::{
    backend::{
        records::Stored,
        store::{Store, Table, decode},
    },
    protocol::RawObject,
};
use serde_json::{Value, json};

use super::{FINALIZERS, Watchman, is, observes};
use crate::{
    journal::Entry,
    kinds::{self, matches},
    line::OPERATOR,
};

impl Watchman {
    /// Looks at a write to Kubernetes that was answered.
    pub fn kube(&self, entry: &Entry) {
        if entry.who != OPERATOR || !entry.done() {
            return;
        }
        if entry.path.contains("/secrets") {
            return self.minted(&entry.body);
        }
        self.leaks(entry);
        if !entry.path.contains("/loopback.cloud/") {
            return;
        }
        if entry.path.ends_with("/status") {
            return self.ready(entry);
        }
        self.touches(entry);
    }

    /// A replica sends a write: the Lease must say that it leads.
    pub fn acts(&self, identity: &str, call: &str) {
        if call.contains("/leases") || call.contains("/events") {
            return;
        }
        let leases = self.api.objects("coordination.k8s.io/v1", "leases");
        let holder = leases.first().map(|lease| lease["spec"]["holderIdentity"].clone()).unwrap_or_default();
        if holder != *identity {
            self.broken("Lease", format!("{identity} sends {call}, but {holder} leads"));
        }
    }

    /// Of users' objects only our finalizer and our annotations are ours.
    fn touches(&self, entry: &Entry) {
        let Some(operations) = entry.body.as_array() else {
            let mut rest = entry.body.clone();
            if let Some(metadata) = rest.pointer_mut("/metadata").and_then(Value::as_object_mut) {
                metadata.remove("uid");
                let ours = ["loopback.cloud/store", "loopback.cloud/token-secret"];
                if let Some(all) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
                    all.retain(|name, _| !ours.contains(&name.as_str()));
                }
            }
            if rest == json!({"metadata": {"annotations": {}}}) && entry.body["metadata"]["uid"].is_string() {
                return;
            }
            return self.broken("S7", format!("{} {}: {}", entry.verb, entry.path, entry.body));
        };
        for operation in operations {
            let path = operation["path"].as_str().unwrap_or_default();
            let ours = path.starts_with(FINALIZERS) || path.starts_with("/metadata/annotations");
            if operation["op"] != "test" && !ours {
                self.broken("S7", format!("{}: {operation}", entry.path));
            }
            if operation["op"] == "remove" && path.starts_with(FINALIZERS) {
                self.let_go(entry, operations);
            }
        }
    }

    fn let_go(&self, entry: &Entry, operations: &[Value]) {
        let uid = operations.iter().find(|operation| operation["path"] == "/metadata/uid");
        let Some(uid) = uid.and_then(|operation| operation["value"].as_str()) else {
            return self.broken("S7", format!("{}: a finalizer goes without a test of the uid", entry.path));
        };
        let left = self.of_uid(uid);
        if !left.is_empty() && !self.state().older && !self.said(uid).keep {
            let ids: Vec<&str> = left.iter().map(|(_, object)| object.id.as_str()).collect();
            self.broken("S2", format!("{} is let go, but the backend holds {ids:?}", entry.path));
        }
    }

    /// Ready means that the backend has held this very spec.
    fn ready(&self, entry: &Entry) {
        let Some(status) = status(&entry.body) else { return };
        let Some(resource) = self.at(&entry.path) else { return };
        let (Some(kind), true) = (kinds::of(&resource), is(&json!({"status": status}), "Ready", None)) else { return };
        let generation = &resource["metadata"]["generation"];
        if status["observedGeneration"] != *generation {
            return;
        }
        let uid = resource["metadata"]["uid"].as_str().unwrap_or_default();
        let concerns =
            |object: &RawObject| observes(&resource) || object.owner.as_ref().is_some_and(|owner| owner.uid == uid);
        let held = |object: &RawObject| concerns(object) && matches(kind.plural, &resource, &object.intent);
        let now = self.inventory().into_iter().any(|(at, object)| at == kind.collection && held(&object));
        if !now && !self.ever(held) {
            self.broken("S6", format!("{} says Ready, but the backend never held its spec", entry.path));
        }
    }

    /// Whether an object ever was so. Of earlier lives of the backend nothing is known.
    fn ever(&self, held: impl Fn(&RawObject) -> bool) -> bool {
        let state = self.state();
        if state.lives > 1 {
            return true;
        }
        let Some(store) = &state.store else { return true };
        let Ok(commits) = store.log().after(1 << 20, usize::MAX) else { return true };
        let changes = commits.iter().flat_map(|commit| &commit.changes).filter(|change| change.table == Table::Objects);
        let objects = changes.filter_map(|change| decode::<Stored>(change.value.as_ref()?).ok());
        objects.map(|stored| stored.object).any(|object| held(&object))
    }

    fn at(&self, path: &str) -> Option<Arc<Value>> {
        let parts: Vec<&str> = path.split('/').collect();
        let [.., "namespaces", namespace, plural, name, "status"] = parts.as_slice() else { return None };
        let same = |object: &Arc<Value>| {
            object["metadata"]["name"] == **name && object["metadata"]["namespace"] == **namespace
        };
        self.api.objects(kinds::GROUP, plural).into_iter().find(same)
    }
}

/// The status that a write to it brings.
fn status(body: &Value) -> Option<&Value> {
    match body.as_array() {
        Some(operations) => operations.iter().find(|one| one["path"] == "/status").map(|one| &one["value"]),
        None => body.get("status"),
    }
}
