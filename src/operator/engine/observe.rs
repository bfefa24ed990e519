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
    /// Who looks.
    pub owner: &'a Owner,
    /// Its policies.
    pub common: &'a Common,
}

/// The object of a resource: its own; else what a namesake of it with another UID left; else what it imports; else, under
/// Observe, the one with its natural name.
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
            Some(object) => imported(object, import.from_cluster.as_deref()),
            None => Observed::Missing(import.id.clone()),
        };
    }
    match (common.management(), search.name) {
        (ManagementPolicy::Observe, Some(name)) => natural(mirror, search, name),
        _ => Observed::Nothing,
    }
}

fn imported(object: Arc<RawObject>, from_cluster: Option<&str>) -> Observed {
    match &object.owner {
        None => Observed::Takeable(object),
        Some(holder) if from_cluster == Some(&holder.cluster) => Observed::Takeable(object),
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
