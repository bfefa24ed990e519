//! What happens to objects: pure functions on a transaction, the same for every service.

mod etag;
mod lifecycle;
mod owners;
mod reality;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::{
    etag::IfMatch,
    lifecycle::{Judge, create, delete, patch},
    owners::{check_owner, claim, owned_by, retire},
    reality::{Report, released, report},
};
use super::{
    checks::Checks,
    store::{self, StoreProblem, Table, Transaction, View, decode, encode, prefix_end},
};
use crate::protocol::{Code, Problem, Project, RawObject};

/// Largest intent, in bytes of JSON.
pub const INTENT_LIMIT: usize = 1 << 20;

/// Where an object lives, and who decides about it.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// Its project.
    pub project: &'a Project,
    /// Its collection, for instance `load-balancers`.
    pub collection: &'a str,
    /// Its service's checks.
    pub checks: &'a dyn Checks,
}

/// An object as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stored {
    /// What the API shows.
    pub object: RawObject,
    /// What the service's checks chose.
    pub chosen: Value,
    /// Whether deletion may empty it first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub purge: bool,
}

/// The key of an object.
#[must_use]
pub fn object_key(project_id: &str, collection: &str, id: &str) -> Vec<u8> {
    store::key(&[project_id, collection, id])
}

/// The project id, collection and id in an object's key.
#[must_use]
pub fn split_key(key: &[u8]) -> Option<(&str, &str, &str)> {
    let mut parts = std::str::from_utf8(key).ok()?.split('\0');
    Some((parts.next()?, parts.next()?, parts.next()?))
}

/// Reads an object.
///
/// # Errors
/// When the store fails.
pub fn get(view: &dyn View, project_id: &str, collection: &str, id: &str) -> Result<Option<Stored>, StoreProblem> {
    view.get(Table::Objects, &object_key(project_id, collection, id))?.map(|bytes| decode(&bytes)).transpose()
}

/// Which objects of a collection are wanted.
pub struct Query<'a> {
    /// Only ids after this one; empty: from the first.
    pub after: &'a str,
    /// At most so many.
    pub limit: usize,
    /// Stop rather than hand out more bytes of stored rows, but hand out at least one object.
    pub bytes: usize,
    /// Which ones.
    pub keep: &'a dyn Fn(&RawObject) -> bool,
}

/// Rows that are read at once.
const CHUNK: usize = 64;

/// Objects of a collection by id, and whether there are more.
///
/// # Errors
/// When the store fails.
pub fn page(
    view: &dyn View,
    project_id: &str,
    collection: &str,
    query: &Query<'_>,
) -> Result<(Vec<RawObject>, bool), StoreProblem> {
    let prefix = store::key(&[project_id, collection]);
    let mut after = if query.after.is_empty() { Vec::new() } else { object_key(project_id, collection, query.after) };
    let (mut found, mut size) = (Vec::new(), 0);
    loop {
        let rows = rows_after(view, &prefix, &after)?;
        let Some((last, _)) = rows.last() else { return Ok((found, false)) };
        after.clone_from(last);
        for (_, value) in rows {
            let object = decode::<Stored>(&value)?.object;
            if !(query.keep)(&object) {
                continue;
            }
            size += value.len();
            if found.len() == query.limit || (size > query.bytes && !found.is_empty()) {
                return Ok((found, true));
            }
            found.push(object);
        }
    }
}

/// The next few rows of objects under `prefix` after the key `after`; `after` empty: the first ones.
///
/// # Errors
/// When the store fails.
pub fn rows_after(view: &dyn View, prefix: &[u8], after: &[u8]) -> Result<Vec<store::Row>, StoreProblem> {
    let mut from = if after.is_empty() { prefix } else { after }.to_vec();
    if !after.is_empty() {
        // The smallest key that is larger.
        from.push(0);
    }
    view.scan(Table::Objects, &from, &prefix_end(prefix), CHUNK)
}

fn load(view: &dyn View, place: &Place<'_>, id: &str) -> Result<Stored, Problem> {
    get(view, &place.project.id, place.collection, id)?.ok_or_else(|| missing(id))
}

fn save(tx: &mut dyn Transaction, place: &Place<'_>, stored: &Stored) -> Result<(), Problem> {
    let key = object_key(&place.project.id, place.collection, &stored.object.id);
    Ok(tx.put(Table::Objects, &key, encode(stored)?)?)
}

fn missing(id: &str) -> Problem {
    // The id comes from a path and is shown as it came, but not without end.
    Problem::not_found(format_args!("object {:?}", id.chars().take(64).collect::<String>()))
}

fn deleting(id: &str) -> Problem {
    Problem { id: Some(id.to_owned()), ..Problem::new(Code::Conflict, format!("{id} is being deleted")) }
}
