//! What happens to objects: pure functions on a transaction, the same for every service.

mod children;
mod etag;
mod lifecycle;
mod owners;
mod reality;
mod secrets;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::{
    etag::IfMatch,
    lifecycle::{Judge, create, delete, patch},
    owners::{Retirement, check_owner, claim, owned_by, retire},
    reality::{Families, Report, released, report},
    secrets::{acknowledge, fetch_secret, reissue},
};
use super::{
    checks::Checks,
    store::{self, StoreProblem, Table, Transaction, View, decode, encode, prefix_end},
};
use crate::protocol::{Code, Problem, Project, RawObject, SecretValues};

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
    /// The collection of its parent, when its collection has one.
    pub parent: Option<&'a str>,
    /// Its parent, when the path names it: objects of another are not there.
    pub under: Option<&'a str>,
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
    /// The newest minted secret. It stays for the plane when its delivery is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretValues>,
    /// The plane holds nothing of it any more; it waits for its children.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub released: bool,
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
    /// Only children of this object.
    pub under: Option<&'a str>,
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
    let mut after = query.after.to_owned();
    let (mut found, mut size) = (Vec::new(), 0);
    loop {
        let rows = match query.under {
            Some(parent) => children::rows(view, project_id, parent, collection, &after)?,
            None => own_rows(view, project_id, collection, &after)?,
        };
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

/// Ids and values of the next few objects of a collection.
fn own_rows(
    view: &dyn View,
    project_id: &str,
    collection: &str,
    after: &str,
) -> Result<Vec<(String, Vec<u8>)>, StoreProblem> {
    let after = if after.is_empty() { Vec::new() } else { object_key(project_id, collection, after) };
    let rows = rows_after(view, &store::key(&[project_id, collection]), &after)?;
    let id = |key: &[u8]| split_key(key).map(|(_, _, id)| id.to_owned());
    Ok(rows.into_iter().filter_map(|(key, value)| Some((id(&key)?, value))).collect())
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
    let stored = get(view, &place.project.id, place.collection, id)?;
    let here = |stored: &Stored| place.under.is_none_or(|under| stored.object.parent.as_deref() == Some(under));
    stored.filter(here).ok_or_else(|| missing(id))
}

fn save(tx: &mut dyn Transaction, place: &Place<'_>, stored: &Stored) -> Result<(), Problem> {
    Ok(put(tx, &place.project.id, place.collection, stored)?)
}

fn put(tx: &mut dyn Transaction, project_id: &str, collection: &str, stored: &Stored) -> Result<(), StoreProblem> {
    tx.put(Table::Objects, &object_key(project_id, collection, &stored.object.id), encode(stored)?)
}

/// Reads an object where the path says that it is.
///
/// # Errors
/// [`Code::NotFound`].
pub fn find(view: &dyn View, place: &Place<'_>, id: &str) -> Result<RawObject, Problem> {
    Ok(load(view, place, id)?.object)
}

fn missing(id: &str) -> Problem {
    // The id comes from a path and is shown as it came, but not without end.
    Problem::not_found(format_args!("object {:?}", id.chars().take(64).collect::<String>()))
}

fn deleting(id: &str) -> Problem {
    Problem { id: Some(id.to_owned()), ..Problem::new(Code::Conflict, format!("{id} is being deleted")) }
}
