//! What the world must be like when all is said and done.

use std::{collections::BTreeMap, sync::Arc};

use loopback_operator::protocol::{Phase, RawObject, object_storage::member};
use serde_json::Value;

use super::{Watchman, deleting, is, live, observes, ours};
use crate::{
    kinds::{self, GROUP, Named, matches},
    operator::CLUSTER,
};

type Inventory = [(String, RawObject)];
type Resources = [(&'static Named, Arc<Value>)];

impl Watchman {
    /// Whether something waits for a person: until then it is tried again now and then.
    pub fn waits(&self) -> bool {
        self.resources().iter().any(|(_, resource)| deleting(resource))
    }

    /// What keeps the world from being as its users want it; `None` when it is.
    pub fn unfinished(&self) -> Option<String> {
        let (resources, inventory) = (self.resources(), self.inventory());
        for (kind, resource) in &resources {
            if let Some(why) = unfinished(kind, resource, &resources, &inventory) {
                return Some(format!("{} {}: {why}", kind.plural, resource["metadata"]["name"]));
            }
        }
        self.left(&resources, &inventory)
    }

    /// S2: what has lost its resource although nobody wanted that, and what is there twice.
    fn left(&self, resources: &Resources, inventory: &Inventory) -> Option<String> {
        let older = self.state().older;
        let mut names: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
        for (collection, object) in inventory {
            let Some(owner) = object.owner.as_ref().filter(|owner| owner.cluster == CLUSTER) else { continue };
            let said = self.said(&owner.uid);
            if older || said.forced || said.keep {
                continue;
            }
            let known = resources.iter().any(|(_, resource)| resource["metadata"]["uid"] == *owner.uid);
            if !known {
                return Some(format!("S2: {collection} {} belongs to {}, which is gone", object.id, owner.uid));
            }
            names.entry((collection, &owner.name)).or_default().push(&object.id);
        }
        let twice = names.into_iter().find(|(_, ids)| ids.len() > 1);
        twice.map(|(name, ids)| format!("S1: {name:?} is there as {ids:?}"))
    }

    /// Whether there is a binding that works: without one nothing is known of the backend.
    pub fn connected(&self) -> bool {
        self.api.objects(GROUP, "projectbindings").iter().any(|one| !deleting(one) && is(one, "Ready", None))
    }

    /// How many objects of our cluster have lost their resource: what the operator must report.
    pub fn orphans(&self) -> usize {
        let resources = self.resources();
        let known = |uid: &str| resources.iter().any(|(_, resource)| resource["metadata"]["uid"] == *uid);
        self.inventory().iter().filter(|(_, object)| ours(object).is_some_and(|uid| !known(uid))).count()
    }

    /// Objects without a resource below one whose resource is being deleted.
    pub fn in_the_way(&self) -> Vec<(String, RawObject)> {
        let (resources, inventory) = (self.resources(), self.inventory());
        let of = |object: &RawObject| {
            let uid = ours(object)?;
            resources.iter().find(|(_, resource)| resource["metadata"]["uid"] == *uid)
        };
        let going = |id: &String| {
            let parent = inventory.iter().find(|(_, object)| object.id == *id);
            parent.and_then(|(_, parent)| of(parent)).is_some_and(|(_, resource)| deleting(resource))
        };
        let lost = |(_, object): &&(String, RawObject)| {
            ours(object).is_some() && of(object).is_none() && object.parent.as_ref().is_some_and(going)
        };
        inventory.iter().filter(lost).cloned().collect()
    }

    /// What is still there although everything was deleted.
    pub fn remains(&self, namespace: bool) -> Option<String> {
        let resources = self.resources();
        let kinds = resources.iter().map(|(kind, one)| (kind.plural, one.clone()));
        let others = ["projectbindings"].into_iter().flat_map(|plural| {
            self.api.objects(GROUP, plural).into_iter().filter(|one| deleting(one)).map(move |one| (plural, one))
        });
        let namespaces = self.api.objects("v1", "namespaces").into_iter().filter(|one| namespace && deleting(one));
        let all = kinds.chain(others).chain(namespaces.map(|one| ("namespaces", one)));
        let left = all.into_iter().next();
        left.map(|(plural, one)| format!("{plural} {} is still there: {}", one["metadata"], one["status"]))
    }
}

fn unfinished(kind: &Named, resource: &Value, all: &Resources, inventory: &Inventory) -> Option<String> {
    if deleting(resource) {
        return stuck(kind, resource, all, inventory);
    }
    if orphaned(kind, resource, all, inventory) {
        return None;
    }
    let metadata = &resource["metadata"];
    let unsaid = || Some(format!("not Ready at {}: {}", metadata["generation"], resource["status"]));
    if resource.pointer("/status/observedGeneration") != Some(&metadata["generation"]) {
        return unsaid();
    }
    let uid = metadata["uid"].as_str().unwrap_or_default();
    let right = |object: &RawObject| matches(kind.plural, resource, &object.intent);
    let owned: Vec<&RawObject> =
        inventory.iter().map(|(_, object)| object).filter(|object| ours(object) == Some(uid)).collect();
    let ready = is(resource, "Ready", None);
    if observes(resource) {
        let good = seen(kind, resource, inventory);
        return if good { None } else { Some(format!("observes wrongly: {}", resource["status"])) };
    }
    match owned.as_slice() {
        [one] if ready && one.phase == Phase::Live && right(one) => None,
        // Somebody else has deleted it past us, and has to empty it.
        [one] if one.phase == Phase::Deleting && one.reality.members.contains_key(member::CONTENT) => None,
        [one] if ready => Some(format!("the backend holds {:?} {}", one.phase, one.intent)),
        [] if !ready && stalled(kind, resource, inventory) => None,
        [] | [_] => unsaid(),
        many => Some(format!("the backend holds {} objects", many.len())),
    }
}

/// A deletion that does not end, unless it waits for children, or for somebody to empty the bucket.
fn stuck(kind: &Named, resource: &Value, all: &Resources, inventory: &Inventory) -> Option<String> {
    let metadata = &resource["metadata"];
    let child = |(other, child): &&(&Named, Arc<Value>)| {
        child["metadata"]["namespace"] == metadata["namespace"]
            && other
                .parent
                .is_some_and(|(plural, field)| plural == kind.plural && child.pointer(field) == Some(&metadata["name"]))
    };
    if all.iter().any(|one| child(&one)) || is(resource, "Stalled", Some("NotEmpty")) {
        return None;
    }
    let left = inventory.iter().filter(|(_, object)| ours(object).is_some_and(|uid| metadata["uid"] == *uid));
    let left: Vec<String> = left.map(|(_, object)| format!("{} {:?}", object.id, object.phase)).collect();
    Some(format!("its deletion does not end; the backend holds {left:?}: {}", resource["status"]))
}

/// A child that has no parent, or one that is going, or one that has nothing in the backend.
fn orphaned(kind: &Named, resource: &Value, all: &Resources, inventory: &Inventory) -> bool {
    let Some((plural, field)) = kind.parent else { return false };
    let named = |(other, parent): &&(&'static Named, Arc<Value>)| {
        other.plural == plural
            && parent["metadata"]["namespace"] == resource["metadata"]["namespace"]
            && resource.pointer(field) == Some(&parent["metadata"]["name"])
    };
    let Some((kind, parent)) = all.iter().find(named) else { return true };
    let own = |object: &RawObject| ours(object).is_some_and(|uid| parent["metadata"]["uid"] == *uid);
    let seen = |object: &RawObject| observes(parent) && parent["status"]["id"] == *object.id;
    deleting(parent) || !live(inventory, kind.collection).any(|object| own(object) || seen(object))
}

/// Whether a resource that only observes says what is there.
fn seen(kind: &Named, resource: &Value, inventory: &Inventory) -> bool {
    let metadata = &resource["metadata"];
    let all = || live(inventory, kind.collection);
    let own = |object: &&RawObject| ours(object).is_some_and(|uid| metadata["uid"] == *uid);
    let left = |object: &&RawObject| {
        object
            .owner
            .as_ref()
            .is_some_and(|owner| owner.cluster == CLUSTER && owner.kind == kind.kind && metadata["name"] == *owner.name)
    };
    let import = &resource["spec"]["import"]["id"];
    let found: Vec<&RawObject> = match all().find(own).or_else(|| all().find(left)) {
        Some(one) => vec![one],
        None if import.is_string() => all().filter(|object| *import == *object.id).collect(),
        None => all().filter(|object| kinds::namesake(kind, resource, &object.intent)).collect(),
    };
    // One that is on its way out is neither there nor gone.
    let going = |object: &RawObject| {
        object.phase == Phase::Deleting && (kinds::namesake(kind, resource, &object.intent) || *import == *object.id)
    };
    if found.is_empty() && inventory.iter().any(|(at, object)| at == kind.collection && going(object)) {
        return !is(resource, "Ready", None);
    }
    match found.as_slice() {
        [] => is(resource, "Stalled", Some("ImportNotFound")),
        [one] => {
            let same = matches(kind.plural, resource, &one.intent) && kinds::namesake(kind, resource, &one.intent);
            resource["status"]["id"] == *one.id
                && is(resource, "Ready", None) == same
                && is(resource, "Drifted", None) != same
        }
        _ => is(resource, "Stalled", Some("Ambiguous")),
    }
}

/// Whether a resource without an object has a reason for it that takes a person.
fn stalled(kind: &Named, resource: &Value, inventory: &Inventory) -> bool {
    let of = |id: &Value| live(inventory, kind.collection).find(|object| *id == *object.id);
    let held = |object: &RawObject| object.owner.is_some();
    let import = &resource["spec"]["import"]["id"];
    let name = &resource["spec"]["bucketName"];
    let taken = || inventory.iter().any(|(at, object)| at == kind.collection && object.intent["bucketName"] == *name);
    (is(resource, "Stalled", Some("ImportNotFound")) && import.is_string() && of(import).is_none())
        || (is(resource, "Stalled", Some("OwnedByAnother"))
            && (of(import).is_some_and(held) || of(&resource["status"]["id"]).is_some_and(held)))
        || (is(resource, "Stalled", Some("Refused")) && name.is_string() && taken())
}
