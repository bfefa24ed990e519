//! What planes say about objects.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{children, get, object_key, owners, put};
use crate::{
    backend::{
        checks::Checks,
        store::{StoreProblem, Table, Transaction},
    },
    protocol::{Member, Phase, Problem, Reality, Revision},
};

/// What a plane found.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The intent revision that it realised.
    pub of: Revision,
    /// The service's state.
    pub state: Value,
    /// Its members.
    pub members: BTreeMap<String, Member>,
}

/// Keeps a report. Dropped when the object is gone, when an intent newer than the report's was reported before, or when it
/// says nothing new.
///
/// # Errors
/// When the store fails.
pub fn report(
    tx: &mut dyn Transaction,
    project_id: &str,
    collection: &str,
    id: &str,
    report: &Report,
) -> Result<(), StoreProblem> {
    let Some(mut stored) = get(tx, project_id, collection, id)? else { return Ok(()) };
    let object = &mut stored.object;
    let Report { of, state, members } = report.clone();
    let next = Reality { of, state, members };
    if of < object.reality.of || of > object.intent_revision || object.reality == next {
        return Ok(());
    }
    object.reality = next;
    object.revision = tx.revision();
    put(tx, project_id, collection, &stored)
}

/// Which collections there are, and who decides about them.
pub trait Families {
    /// The checks of a collection.
    fn checks(&self, collection: &str) -> Option<&dyn Checks>;
    /// The collection of its objects' parents.
    fn parent(&self, collection: &str) -> Option<&'static str>;
}

/// Removes an object that its plane has let go of; one with children goes with the last of them. Dropped when it is gone
/// already, or not being deleted.
///
/// # Errors
/// When the store fails.
pub fn released(
    tx: &mut dyn Transaction,
    project_id: &str,
    families: &dyn Families,
    collection: &str,
    id: &str,
) -> Result<(), Problem> {
    let Some(mut stored) = get(tx, project_id, collection, id)? else { return Ok(()) };
    if stored.object.phase != Phase::Deleting {
        return Ok(());
    }
    if children::any(tx, project_id, id)? {
        if !std::mem::replace(&mut stored.released, true) {
            put(tx, project_id, collection, &stored)?;
        }
        return Ok(());
    }
    if let Some(checks) = families.checks(collection) {
        checks.release(tx, id, &stored.chosen)?;
    }
    if let Some(owner) = &stored.object.owner {
        owners::give_up(tx, project_id, owner)?;
    }
    tx.delete(Table::Objects, &object_key(project_id, collection, id))?;
    let (Some(parent), Some(above)) = (&stored.object.parent, families.parent(collection)) else { return Ok(()) };
    children::detach(tx, project_id, parent, collection, id)?;
    match get(tx, project_id, above, parent)? {
        Some(waiting) if waiting.released => released(tx, project_id, families, above, parent),
        _ => Ok(()),
    }
}
