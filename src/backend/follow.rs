//! What some commits did to objects, each object once.

use std::{collections::BTreeMap, sync::Arc};

use super::store::{Commit, Table};
use crate::protocol::Revision;

/// The last thing that happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// When.
    pub revision: Revision,
    /// The object's key.
    pub key: &'a [u8],
    /// What it is; absent when it is gone.
    pub value: Option<&'a [u8]>,
    /// What it was; only when it is gone.
    pub removed: Option<&'a [u8]>,
}

/// The last event of each object in these commits, in the order of revisions.
#[must_use]
pub fn latest(commits: &[Arc<Commit>]) -> Vec<Event<'_>> {
    let mut events = BTreeMap::new();
    for commit in commits {
        for change in commit.changes.iter().filter(|change| change.table == Table::Objects) {
            let (value, removed) = (change.value.as_deref(), change.removed.as_deref());
            events.insert(&*change.key, Event { revision: commit.revision, key: &change.key, value, removed });
        }
    }
    let mut events: Vec<_> = events.into_values().collect();
    events.sort_by_key(|event| event.revision);
    events
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::backend::store::Change;

    #[test]
    fn each_object_once_in_the_order_of_its_last_change() {
        let change = |table, key: &'static str, value: Option<&'static str>| Change {
            table,
            key: Bytes::from(key),
            removed: value.is_none().then(|| Bytes::from("old")),
            value: value.map(Bytes::from),
        };
        let commit = |revision, changes| Arc::new(Commit { revision, changes });
        let commits = [
            commit(1, vec![change(Table::Objects, "a", Some("1")), change(Table::Objects, "b", Some("1"))]),
            commit(2, vec![change(Table::Objects, "c", Some("1")), change(Table::Owners, "o", Some("1"))]),
            commit(3, vec![change(Table::Objects, "a", None)]),
        ];
        let seen: Vec<_> = latest(&commits).iter().map(|e| (e.revision, e.key, e.value.is_some())).collect();
        assert_eq!(seen, [(1, &b"b"[..], true), (2, b"c", true), (3, b"a", false)]);
    }
}
