//! Calls to the backend.

use std::collections::BTreeMap;

use loopback_operator::protocol::{Phase, RawObject};
use serde_json::Value;

use super::{Watchman, deleting, finalizers, observes, ours};
use crate::{journal::Entry, kinds, line::OPERATOR, operator::CLUSTER};

/// What was wrong with a request before it was served; a violation only if it is done.
pub type Suspicion = Option<(&'static str, String)>;

impl Watchman {
    /// Looks at a call to the backend before it is served.
    pub fn before_wire(&self, entry: &Entry) -> Suspicion {
        if entry.who != OPERATOR {
            return None;
        }
        let parts: Vec<&str> = entry.path.split('/').collect();
        match (entry.verb.as_str(), parts.as_slice()) {
            ("POST", [.., "acknowledge" | "reissue"]) => None,
            ("POST", _) => self.create(entry),
            ("PUT", [.., id, "owner"]) => self.claim(entry, id),
            ("DELETE", [.., "owners", cluster, uid]) => self.retire(entry, cluster, uid),
            ("PATCH", [.., id]) => self.change(entry, id),
            ("DELETE", [.., id]) => self.delete(entry, id),
            _ => None,
        }
    }

    fn create(&self, entry: &Entry) -> Suspicion {
        let Some(uid) = entry.body.pointer("/owner/uid").and_then(Value::as_str) else {
            return Some(("S1", format!("{} creates without an owner", entry.path)));
        };
        self.begins(entry, uid, "creates")
    }

    /// Something becomes ours.
    fn begins(&self, entry: &Entry, uid: &str, how: &str) -> Suspicion {
        let (said, calm) = (self.said(uid), self.state().calm);
        match self.resource(uid) {
            _ if said.forced => None,
            // What would have been left there may still come late.
            None if said.keep => None,
            // A backend on an older copy has forgotten who was retired, and takes what was on its way since then.
            None if self.state().older && self.state().said.contains_key(uid) => None,
            None => Some(("S4", format!("{} {how} for {uid}, which does not exist", entry.path))),
            Some(_) if !said.manage => Some(("S3", format!("{} {how} for {uid}, which only observes", entry.path))),
            Some(resource) if finalizers(&resource).is_empty() => {
                Some(("S4", format!("{} {how} for {uid}, whose finalizer is not stored", entry.path)))
            }
            Some(resource) if calm && observes(&resource) => {
                Some(("S3", format!("{} {how} for {uid}, which observes", entry.path)))
            }
            Some(_) => None,
        }
    }

    fn claim(&self, entry: &Entry, id: &str) -> Suspicion {
        let (Some(to), Some(object)) = (entry.body.pointer("/to/uid").and_then(Value::as_str), self.object(id)) else {
            return Some(("S3", format!("{} claims for nobody", entry.path)));
        };
        self.begins(entry, to, "claims").or_else(|| self.takes(entry, to, &object))
    }

    /// Who is it taken from?
    fn takes(&self, entry: &Entry, to: &str, object: &RawObject) -> Suspicion {
        let holder = object.owner.as_ref().filter(|holder| holder.uid != to)?;
        let resource = self.resource(to);
        let given = resource.as_ref().and_then(|resource| resource.pointer("/spec/import/fromCluster"));
        let may = match holder.cluster == CLUSTER {
            true => self.resource(&holder.uid).is_none(),
            false => given.is_some_and(|cluster| *cluster == holder.cluster),
        };
        (!may).then(|| ("S3", format!("{} takes it from {holder:?}", entry.path)))
    }

    fn retire(&self, entry: &Entry, cluster: &str, uid: &str) -> Suspicion {
        if cluster != CLUSTER {
            return Some(("S3", format!("the owner {uid} of cluster {cluster} is retired")));
        }
        let (said, calm, resource) = (self.said(uid), self.state().calm, self.resource(uid));
        if resource.as_ref().is_some_and(|resource| !deleting(resource)) {
            return Some(("S3", format!("{uid} is retired, but its resource was not deleted")));
        }
        let keeps = |resource: &Value| observes(resource) || resource["spec"]["deletionPolicy"] == "Retain";
        if !said.lose || (calm && resource.is_some_and(|resource| keeps(&resource))) {
            return Some(("S3", format!("{uid} is retired, but its object shall stay")));
        }
        let purges = entry.query.contains("purge=true") && !said.purge;
        purges.then(|| ("S3", format!("{uid} is purged, but nobody said so")))
    }

    /// What is changed must be ours and as it was seen.
    fn change(&self, entry: &Entry, id: &str) -> Suspicion {
        if entry.condition.is_none() {
            return Some(("S3", format!("{} is changed without If-Match", entry.path)));
        }
        let object = self.object(id)?;
        let Some(uid) = ours(&object) else {
            return Some(("S3", format!("{} is changed, but is not ours", entry.path)));
        };
        let observed = !self.said(uid).manage
            || (self.state().calm && self.resource(uid).is_some_and(|resource| observes(&resource)));
        observed.then(|| ("S3", format!("{} is changed, but only observed", entry.path)))
    }

    /// Past its owner only a child goes that is below another parent than the one that its resource names.
    fn delete(&self, entry: &Entry, id: &str) -> Suspicion {
        let object = self.object(id)?;
        let strayed = || {
            let resource = self.resource(ours(&object)?)?;
            let (parent, field) = kinds::of(&resource)?.parent?;
            let name = resource.pointer(field)?;
            let above = self.api.objects(kinds::GROUP, parent);
            let above = above.iter().find(|one| one["metadata"]["name"] == *name)?;
            let holder = self.object(object.parent.as_deref()?).and_then(|parent| parent.owner);
            (holder.map(|holder| holder.uid).as_deref() != above["metadata"]["uid"].as_str()).then_some(())
        };
        let past = strayed().is_none();
        past.then(|| ("S3", format!("{} deletes past the owner", entry.path))).or_else(|| self.change(entry, id))
    }

    /// Looks at a call to the backend that was served.
    pub fn after_wire(&self, entry: &Entry, suspicion: Suspicion) {
        if !entry.done() {
            return;
        }
        if let Some((law, what)) = suspicion {
            self.broken(law, what);
        }
        if entry.who == OPERATOR {
            self.leaks(entry);
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
            self.broken("S1", format!("{uid} has {ids:?}"));
        }
    }
}
