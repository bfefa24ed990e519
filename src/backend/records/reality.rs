//! What planes say about objects.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{get, object_key, owners};
use crate::{
    backend::{
        checks::Checks,
        store::{StoreProblem, Table, Transaction, encode},
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
    tx.put(Table::Objects, &object_key(project_id, collection, id), encode(&stored)?)
}

/// Removes an object that its plane has let go of. Dropped when it is gone already, or not being deleted.
///
/// # Errors
/// When the store fails.
pub fn released(
    tx: &mut dyn Transaction,
    project_id: &str,
    collection: &str,
    checks: &dyn Checks,
    id: &str,
) -> Result<(), Problem> {
    let Some(stored) = get(tx, project_id, collection, id)? else { return Ok(()) };
    if stored.object.phase != Phase::Deleting {
        return Ok(());
    }
    checks.release(tx, id, &stored.chosen)?;
    if let Some(owner) = &stored.object.owner {
        owners::give_up(tx, project_id, owner)?;
    }
    Ok(tx.delete(Table::Objects, &object_key(project_id, collection, id))?)
}
