//! Which backend object concerns a resource. Pure: reads the mirror only.

use serde_json::Value;

use super::{common::Common, plan::Observed};
use crate::{
    crd::ManagementPolicy,
    protocol::{Owner, Phase, RawObject},
    runtime::mirror::Mirror,
};
use std::sync::Arc;

/// Where to look for a resource's object.
pub struct Search<'a> {
    /// The collection of its kind.
    pub collection: &'a str,
    /// Field of the intent that holds the natural name.
    pub name_field: &'a str,
    /// The natural name that this resource asks for; absent while its spec cannot say.
    pub name: Option<&'a str>,
    /// Id of the object that it had or observed, as its status remembers.
    pub last: Option<&'a str>,
    /// Who looks.
    pub owner: &'a Owner,
    /// Its policies.
    pub common: &'a Common,
    /// Whether an owner is a resource of our cluster that does not exist any more: it was deleted with Retain.
    pub vanished: &'a dyn Fn(&Owner) -> bool,
}

/// The object of a resource: its own; else what a namesake of it with another UID left; else what it imports; else, under
/// Observe, the one with its natural name, and under Manage the one that its status remembers.
#[must_use]
pub fn observe(mirror: &Mirror, search: &Search<'_>) -> Observed {
    let Search { collection, owner, common, .. } = *search;
    if let Some(object) = mirror.of_owner(collection, &owner.cluster, &owner.uid) {
        return Observed::Ours(object);
    }
    let left = mirror.of_name(collection, owner).find(|object| object.phase == Phase::Live);
    if let Some(object) = left {
        return Observed::Takeable(object.clone());
    }
    if let Some(import) = &common.import {
        return match mirror.get(collection, &import.id) {
            Some(object) => imported(search, object, import.from_cluster.as_deref()),
            None => Observed::Missing(import.id.clone()),
        };
    }
    match (common.management(), search.name) {
        (ManagementPolicy::Observe, Some(name)) => natural(mirror, search, name),
        (ManagementPolicy::Observe, None) => Observed::Nothing,
        (ManagementPolicy::Manage, _) => remembered(mirror, search),
    }
}

/// What was observed becomes ours under Manage; what another took from us is not made a second time.
fn remembered(mirror: &Mirror, search: &Search<'_>) -> Observed {
    let last = search.last.and_then(|id| mirror.get(search.collection, id));
    match last.filter(|object| object.phase == Phase::Live) {
        Some(object) => imported(search, object, None),
        None => Observed::Nothing,
    }
}

fn imported(search: &Search<'_>, object: Arc<RawObject>, from_cluster: Option<&str>) -> Observed {
    match &object.owner {
        None => Observed::Takeable(object),
        Some(holder) if from_cluster == Some(&holder.cluster) || (search.vanished)(holder) => {
            Observed::Takeable(object)
        }
        Some(_) => Observed::Foreign(object),
    }
}

fn natural(mirror: &Mirror, search: &Search<'_>, name: &str) -> Observed {
    let named = |object: &&Arc<RawObject>| object.intent.get(search.name_field).and_then(Value::as_str) == Some(name);
    let found: Vec<_> = mirror.all(search.collection).filter(named).cloned().collect();
    match found.as_slice() {
        [] => Observed::Nothing,
        [one] => Observed::Foreign(one.clone()),
        several => Observed::Ambiguous(several.iter().map(|object| object.id.clone()).collect()),
    }
}
