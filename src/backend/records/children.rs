//! Objects that belong to others. A parent is there as long as one of its children is.

use super::{Place, Stored, deleting, get, lifecycle::mark_deleting, put};
use crate::{
    backend::store::{StoreProblem, Table, Transaction, View, key, prefix_end},
    protocol::{Code, ObjectId, Owner, Phase, Problem, RawObject},
};

/// Rows that are read at once.
const CHUNK: usize = 64;
/// Users of a parent that a refusal names.
const NAMED: usize = 3;

/// Checks the parent of a new object, and makes the object its child.
pub(super) fn attach(
    tx: &mut dyn Transaction,
    place: &Place<'_>,
    id: &str,
    parent: Option<&str>,
) -> Result<Option<ObjectId>, Problem> {
    let field = |problem: Problem| Problem { field: Some("/parent".into()), ..problem };
    let (collection, parent) = match (place.parent, parent) {
        (None, None) => return Ok(None),
        (None, Some(_)) => return Err(Problem::invalid("/parent", "objects of this collection have no parent")),
        (Some(collection), None) => {
            return Err(Problem::invalid("/parent", format!("must be the id of an object of {collection}")));
        }
        (Some(collection), Some(parent)) => (collection, parent),
    };
    let stored = get(tx, &place.project.id, collection, parent)?.ok_or_else(|| field(super::missing(parent)))?;
    if stored.object.phase == Phase::Deleting {
        return Err(field(deleting(parent)));
    }
    tx.put(Table::Children, &key(&[&place.project.id, parent, place.collection, id]), Vec::new())?;
    Ok(Some(parent.to_owned()))
}

/// Forgets a child that is gone.
pub(super) fn detach(
    tx: &mut dyn Transaction,
    project_id: &str,
    parent: &str,
    collection: &str,
    id: &str,
) -> Result<(), StoreProblem> {
    tx.delete(Table::Children, &key(&[project_id, parent, collection, id]))
}

/// Whether an object has children.
pub(super) fn any(view: &dyn View, project_id: &str, parent: &str) -> Result<bool, StoreProblem> {
    let prefix = key(&[project_id, parent]);
    Ok(!view.scan(Table::Children, &prefix, &prefix_end(&prefix), 1)?.is_empty())
}

/// Ids and values of the next few children in a collection.
pub(super) fn rows(
    view: &dyn View,
    project_id: &str,
    parent: &str,
    collection: &str,
    after: &str,
) -> Result<Vec<(String, Vec<u8>)>, StoreProblem> {
    let prefix = key(&[project_id, parent, collection]);
    let from =
        if after.is_empty() { prefix.clone() } else { prefix_end(&key(&[project_id, parent, collection, after])) };
    let mut rows = Vec::new();
    for (row, _) in view.scan(Table::Children, &from, &prefix_end(&prefix), CHUNK)? {
        let Some((_, id)) = split(&row) else { continue };
        if let Some(value) = view.get(Table::Objects, &super::object_key(project_id, collection, id))? {
            rows.push((id.to_owned(), value));
        }
    }
    Ok(rows)
}

/// All children of an object.
fn all(view: &dyn View, project_id: &str, parent: &str) -> Result<Vec<(String, Stored)>, StoreProblem> {
    let prefix = key(&[project_id, parent]);
    let mut children = Vec::new();
    for (row, _) in view.scan(Table::Children, &prefix, &prefix_end(&prefix), usize::MAX)? {
        let Some((collection, id)) = split(&row) else { continue };
        if let Some(stored) = get(view, project_id, collection, id)? {
            children.push((collection.to_owned(), stored));
        }
    }
    Ok(children)
}

/// Collection and id of a child in its row.
fn split(row: &[u8]) -> Option<(&str, &str)> {
    let mut parts = std::str::from_utf8(row).ok()?.split('\0').skip(2);
    Some((parts.next()?, parts.next()?))
}

/// Why an object may not be deleted yet: children of the owner's own namespace, also those that are on their way out. Users in
/// other namespaces never block an owner. Of an object that nobody owns every owned child is a user, since nobody can say that
/// it is theirs to take along.
pub(super) fn in_use(view: &dyn View, project_id: &str, object: &RawObject) -> Result<Option<Problem>, StoreProblem> {
    let same = |child: &Owner| {
        object.owner.as_ref().is_none_or(|own| (&own.cluster, &own.namespace) == (&child.cluster, &child.namespace))
    };
    let owners = all(view, project_id, &object.id)?.into_iter().filter_map(|(_, child)| child.object.owner);
    let users: Vec<String> =
        owners.filter(same).map(|Owner { kind, namespace, name, .. }| format!("{kind} {namespace}/{name}")).collect();
    if users.is_empty() {
        return Ok(None);
    }
    let mut detail = format!("used by {}", users.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", "));
    if let Some(more @ 1..) = users.len().checked_sub(NAMED) {
        detail.push_str(&format!(" and {more} more"));
    }
    detail.push_str("; delete them first");
    Ok(Some(Problem { id: Some(object.id.clone()), ..Problem::new(Code::InUse, detail) }))
}

/// Marks an object as being deleted, and with it all that belongs to it.
pub(super) fn take_along(
    tx: &mut dyn Transaction,
    project_id: &str,
    collection: &str,
    stored: &mut Stored,
    purge: bool,
) -> Result<(), StoreProblem> {
    if !mark_deleting(tx, stored, purge) {
        return Ok(());
    }
    put(tx, project_id, collection, stored)?;
    for (collection, mut child) in all(tx, project_id, &stored.object.id)? {
        take_along(tx, project_id, &collection, &mut child, false)?;
    }
    Ok(())
}
