//! Which backend object concerns a resource. Pure: reads the mirror only.

use std::sync::Arc;

use super::{common::Common, plan::Observed};
use crate::{
    crd::ManagementPolicy,
    protocol::{Owner, Phase, RawObject},
    runtime::mirror::Mirror,
};

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
        return Observed::Takeable(object);
    }
    if let Some(import) = &common.import {
        return match mirror.get(collection, &import.id).filter(|object| object.phase == Phase::Live) {
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
    let found = mirror.having(search.collection, search.name_field, name);
    match found.as_slice() {
        [] => Observed::Nothing,
        [one] => Observed::Foreign(one.clone()),
        several => Observed::Ambiguous(several.iter().map(|object| object.id.clone()).collect()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        crd::Import,
        protocol::{Cursor, Frame, Reality},
    };

    fn owner(cluster: &str, uid: &str) -> Owner {
        let [kind, namespace, name] = ["K", "n", "x"].map(str::to_owned);
        Owner { cluster: cluster.into(), kind, namespace, name, uid: uid.into() }
    }

    fn object(id: &str, owner: Option<Owner>, phase: Phase, name: &str) -> RawObject {
        RawObject {
            parent: None,
            deliveries: vec![],
            id: id.into(),
            owner,
            etag: "e".into(),
            revision: 1,
            intent_revision: 1,
            phase,
            intent: json!({"name": name}),
            reality: Reality { of: 0, state: serde_json::Value::Null, members: std::collections::BTreeMap::new() },
        }
    }

    fn mirror(objects: Vec<RawObject>) -> Mirror {
        let mut mirror = Mirror::default();
        mirror.apply(Frame::Hello { store: "s".into(), epoch: "e".into(), project_id: "p".into() });
        for object in objects {
            mirror.apply(Frame::Change { collection: "k".into(), object: Box::new(object), cursor: None });
        }
        mirror.apply(Frame::Synced { cursor: Cursor("1".into()) });
        mirror
    }

    fn found(mirror: &Mirror, common: &Common) -> Observed {
        let owner = owner("ours", "u");
        let vanished = |owner: &Owner| owner.uid == "vanished";
        let search = Search {
            collection: "k",
            name_field: "name",
            name: Some("web"),
            last: Some("last"),
            owner: &owner,
            common,
            vanished: &vanished,
        };
        observe(mirror, &search)
    }

    fn import(id: &str, from_cluster: Option<&str>) -> Common {
        let import = Import { id: id.into(), from_cluster: from_cluster.map(str::to_owned) };
        Common { import: Some(import), ..Common::default() }
    }

    fn observing() -> Common {
        Common { management_policy: Some(ManagementPolicy::Observe), ..Common::default() }
    }

    #[test]
    fn its_own_object_first_then_what_a_namesake_left() {
        let ours = object("1", Some(owner("ours", "u")), Phase::Live, "web");
        let left = object("2", Some(owner("ours", "old")), Phase::Live, "web");
        let going = object("3", Some(owner("ours", "older")), Phase::Deleting, "web");
        let common = Common::default();
        assert!(matches!(found(&mirror(vec![ours, left.clone()]), &common), Observed::Ours(o) if o.id == "1"));
        assert!(matches!(found(&mirror(vec![left, going.clone()]), &common), Observed::Takeable(o) if o.id == "2"));
        assert_eq!(found(&mirror(vec![going]), &common), Observed::Nothing);
    }

    #[test]
    fn a_namesake_of_another_cluster_is_not_ours() {
        let foreign = object("1", Some(owner("other", "u")), Phase::Live, "web");
        assert_eq!(found(&mirror(vec![foreign]), &Common::default()), Observed::Nothing);
    }

    #[test]
    fn imports_take_what_nobody_has_or_what_a_dead_cluster_had() {
        let free = mirror(vec![object("1", None, Phase::Live, "web")]);
        let held = mirror(vec![object("1", Some(owner("other", "v")), Phase::Live, "web")]);
        assert!(matches!(found(&free, &import("1", None)), Observed::Takeable(_)));
        assert!(matches!(found(&held, &import("1", None)), Observed::Foreign(_)));
        assert!(matches!(found(&held, &import("1", Some("third"))), Observed::Foreign(_)));
        assert!(matches!(found(&held, &import("1", Some("other"))), Observed::Takeable(_)));
        assert_eq!(found(&held, &import("2", None)), Observed::Missing("2".into()));
    }

    #[test]
    fn what_the_status_remembers_is_taken_or_reported_but_never_made_twice() {
        let last = |owner, phase| mirror(vec![object("last", owner, phase, "x")]);
        let common = Common::default();
        assert!(matches!(found(&last(None, Phase::Live), &common), Observed::Takeable(_)));
        assert!(matches!(found(&last(Some(owner("ours", "vanished")), Phase::Live), &common), Observed::Takeable(_)));
        assert!(matches!(found(&last(Some(owner("other", "v")), Phase::Live), &common), Observed::Foreign(_)));
        assert_eq!(found(&last(None, Phase::Deleting), &common), Observed::Nothing);
    }

    #[test]
    fn observers_find_by_name_if_that_is_clear() {
        let one = object("1", Some(owner("other", "v")), Phase::Live, "web");
        let two = object("2", None, Phase::Live, "web");
        assert!(matches!(found(&mirror(vec![one.clone()]), &observing()), Observed::Foreign(_)));
        assert!(matches!(found(&mirror(vec![one, two]), &observing()), Observed::Ambiguous(ids) if ids.len() == 2));
        assert_eq!(found(&mirror(vec![]), &observing()), Observed::Nothing);
    }
}
