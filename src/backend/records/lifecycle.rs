//! Create, patch, delete.

use serde_json::Value;

use super::{INTENT_LIMIT, IfMatch, Place, Stored, children, deleting, etag::etag, load, owners, save, secrets};
use crate::{
    backend::store::Transaction,
    protocol::{Code, Create, Phase, Problem, RawObject, Reality},
    rules::merge_patch,
};

/// Decides whether an intent may become another: its shape, and the caller's permissions. The first is absent at create.
pub type Judge<'a> = dyn Fn(Option<&Value>, &Value) -> Result<(), Problem> + 'a;

/// Creates an object under `id`, which must be new.
///
/// # Errors
/// [`Code::Exists`] with the id when the owner has an object, [`Code::OwnerRetired`] when it may never have one again,
/// [`Code::NotFound`] and [`Code::Conflict`] when the parent is not there or being deleted, and what `judge` or the checks
/// refuse.
pub fn create(
    tx: &mut dyn Transaction,
    place: &Place<'_>,
    id: &str,
    create: &Create,
    judge: &Judge<'_>,
) -> Result<RawObject, Problem> {
    let Create { owner, parent, intent } = create;
    fits(intent)?;
    judge(None, intent)?;
    if let Some(owner) = owner {
        owners::check_owner(owner, "/owner")?;
        owners::take(tx, place, id, owner)?;
    }
    let parent = children::attach(tx, place, id, parent.as_deref())?;
    let chosen = place.checks.accept(tx, id, place.project, intent, None)?;
    let object = RawObject {
        id: id.to_owned(),
        parent,
        owner: owner.clone(),
        etag: etag(id, owner.as_ref(), intent),
        revision: tx.revision(),
        intent_revision: tx.revision(),
        phase: Phase::Live,
        intent: intent.clone(),
        reality: Reality::default(),
        deliveries: Vec::new(),
    };
    let mut stored = Stored { object, chosen, purge: false, secret: None, released: false };
    secrets::mint(tx, place, &mut stored)?;
    save(tx, place, &stored)?;
    Ok(stored.object)
}

/// Applies a merge patch to the intent. One that changes nothing changes nothing: same etag, same revision.
///
/// # Errors
/// [`Code::NotFound`], [`Code::Stale`], [`Code::Conflict`] while it is being deleted, and what `judge` or the checks refuse.
pub fn patch(
    tx: &mut dyn Transaction,
    place: &Place<'_>,
    id: &str,
    if_match: &IfMatch,
    patch: &Value,
    judge: &Judge<'_>,
) -> Result<RawObject, Problem> {
    let mut stored = load(tx, place, id)?;
    if_match.check(&stored.object.etag)?;
    let intent = merge_patch(&stored.object.intent, patch);
    fits(&intent)?;
    judge(Some(&stored.object.intent), &intent)?;
    if stored.object.phase == Phase::Deleting {
        return Err(deleting(id));
    }
    if intent == stored.object.intent {
        return Ok(stored.object);
    }
    stored.chosen = place.checks.accept(tx, id, place.project, &intent, Some(&stored.chosen))?;
    let object = &mut stored.object;
    object.etag = etag(id, object.owner.as_ref(), &intent);
    object.intent = intent;
    object.revision = tx.revision();
    object.intent_revision = tx.revision();
    save(tx, place, &stored)?;
    Ok(stored.object)
}

/// Accepts the deletion of an object and of all that belongs to it; their plane lets go of them, see [`super::released`]. May
/// be repeated.
///
/// # Errors
/// [`Code::NotFound`], [`Code::Stale`], [`Code::InUse`].
pub fn delete(tx: &mut dyn Transaction, place: &Place<'_>, id: &str, if_match: &IfMatch) -> Result<RawObject, Problem> {
    let mut stored = load(tx, place, id)?;
    if_match.check(&stored.object.etag)?;
    if stored.object.phase == Phase::Live
        && let Some(problem) = children::in_use(tx, &place.project.id, &stored.object)?
    {
        return Err(problem);
    }
    children::take_along(tx, &place.project.id, place.collection, &mut stored, false)?;
    Ok(stored.object)
}

/// Marks an object as being deleted. False when it was already, with all that is asked for.
pub(super) fn mark_deleting(tx: &dyn Transaction, stored: &mut Stored, purge: bool) -> bool {
    if stored.object.phase == Phase::Deleting && (stored.purge || !purge) {
        return false;
    }
    stored.object.phase = Phase::Deleting;
    stored.purge |= purge;
    stored.object.revision = tx.revision();
    true
}

fn fits(intent: &Value) -> Result<(), Problem> {
    let size = intent.to_string().len();
    if size > INTENT_LIMIT {
        let detail = format!("the intent has {size} bytes of JSON; at most {INTENT_LIMIT} fit");
        return Err(Problem::new(Code::TooLarge, detail));
    }
    Ok(())
}
