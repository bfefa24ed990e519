//! Who owns what: an owner has at most one object in a project, and a retired owner never has one again.

use serde::{Deserialize, Serialize};

use super::{Place, children, deleting, etag::etag, get, load, save};
use crate::{
    backend::store::{StoreProblem, Table, Transaction, View, decode, encode, key},
    protocol::{Claim, Code, ObjectId, Owner, Phase, Problem, RawObject},
};

/// Longest part of an owner, in bytes: the longest name in Kubernetes.
const LONGEST: usize = 253;

/// What is known about an owner.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Ownership {
    /// Collection and id of its object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    object: Option<(String, ObjectId)>,
    /// Whether it was retired, for good.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    retired: bool,
}

/// Refuses what cannot be an owner. `pointer` is where it stands in the request.
///
/// # Errors
/// [`Code::Invalid`] with the field.
pub fn check_owner(owner: &Owner, pointer: &str) -> Result<(), Problem> {
    let Owner { cluster, kind, namespace, name, uid } = owner;
    for (field, text) in [("cluster", cluster), ("kind", kind), ("name", name), ("uid", uid)] {
        check_part(text, &format!("{pointer}/{field}"))?;
    }
    // Objects that belong to no namespace have an empty one.
    if namespace.is_empty() { Ok(()) } else { check_part(namespace, &format!("{pointer}/namespace")) }
}

fn check_part(text: &str, pointer: &str) -> Result<(), Problem> {
    if text.is_empty() || text.len() > LONGEST || text.chars().any(char::is_control) {
        let detail = format!("must have 1 to {LONGEST} bytes and no control characters");
        return Err(Problem::invalid(pointer, detail));
    }
    Ok(())
}

/// Collection and id of an owner's object.
///
/// # Errors
/// When the store fails.
pub fn owned_by(
    view: &dyn View,
    project_id: &str,
    cluster: &str,
    uid: &str,
) -> Result<Option<(String, ObjectId)>, StoreProblem> {
    Ok(ownership(view, project_id, cluster, uid)?.object)
}

/// Gives `id` to an owner that has nothing.
pub(super) fn take(tx: &mut dyn Transaction, place: &Place<'_>, id: &str, owner: &Owner) -> Result<(), Problem> {
    let Owner { cluster, uid, .. } = owner;
    let present = ownership(tx, &place.project.id, cluster, uid)?;
    if present.retired {
        return Err(Problem::new(Code::OwnerRetired, "this owner was retired and can own nothing any more"));
    }
    if let Some((collection, id)) = present.object {
        let detail = format!("the owner has {id} in {collection}");
        return Err(Problem { id: Some(id), ..Problem::new(Code::Exists, detail) });
    }
    let object = Some((place.collection.to_owned(), id.to_owned()));
    Ok(put(tx, &place.project.id, cluster, uid, &Ownership { object, retired: false })?)
}

/// Takes the object from an owner. What is known of a retired one stays.
pub(super) fn give_up(tx: &mut dyn Transaction, project_id: &str, owner: &Owner) -> Result<(), StoreProblem> {
    let Owner { cluster, uid, .. } = owner;
    if ownership(tx, project_id, cluster, uid)?.retired {
        return put(tx, project_id, cluster, uid, &Ownership { object: None, retired: true });
    }
    tx.delete(Table::Owners, &key(&[project_id, cluster, uid]))
}

/// Compare-and-set of the owner. The same claim twice is fine.
///
/// # Errors
/// [`Code::Owned`] with the holder when another than `from` holds it, [`Code::Stale`] when nobody does although `from` says
/// so, [`Code::OwnerRetired`] and [`Code::Exists`] when the new owner cannot take it, [`Code::Conflict`] while it is being
/// deleted, [`Code::NotFound`].
pub fn claim(tx: &mut dyn Transaction, place: &Place<'_>, id: &str, claim: &Claim) -> Result<RawObject, Problem> {
    check_owner(&claim.to, "/to")?;
    let mut stored = load(tx, place, id)?;
    if stored.object.phase == Phase::Deleting {
        return Err(deleting(id));
    }
    let holder = stored.object.owner.take();
    if holder.as_ref() == Some(&claim.to) {
        stored.object.owner = holder;
        return Ok(stored.object);
    }
    if holder != claim.from {
        return Err(held(holder));
    }
    // The same (cluster, uid) may come with another name or kind; then it gives the object to itself.
    if let Some(holder) = &holder {
        give_up(tx, &place.project.id, holder)?;
    }
    take(tx, place, id, &claim.to)?;
    let object = &mut stored.object;
    object.etag = etag(id, Some(&claim.to), &object.intent);
    object.owner = Some(claim.to.clone());
    object.revision = tx.revision();
    save(tx, place, &stored)?;
    Ok(stored.object)
}

fn held(holder: Option<Owner>) -> Problem {
    match holder {
        Some(holder) => {
            let detail = format!("{} {}/{} holds it", holder.kind, holder.namespace, holder.name);
            Problem { holder: Some(Box::new(holder)), ..Problem::new(Code::Owned, detail) }
        }
        None => Problem::new(Code::Stale, "nobody holds it; claim it without `from`"),
    }
}

/// How a retirement went. The owner is retired in any case.
#[derive(Clone, Debug, PartialEq)]
pub enum Retirement {
    /// With its object, now Deleting, when there is one.
    Done(Option<RawObject>),
    /// Its object stays Live while children of the owner's namespace need it. Retire again when they are gone.
    InUse(Problem),
}

/// Retires an owner for good and marks its object as being deleted, with all that belongs to it. May be repeated, also to add
/// `purge`. `allow` decides by the collection of the object, `None` when there is none.
///
/// # Errors
/// What `allow` refuses.
pub fn retire(
    tx: &mut dyn Transaction,
    project_id: &str,
    (cluster, uid): (&str, &str),
    purge: bool,
    allow: &dyn Fn(Option<&str>) -> Result<(), Problem>,
) -> Result<Retirement, Problem> {
    check_part(cluster, "/cluster")?;
    check_part(uid, "/uid")?;
    let mut present = ownership(tx, project_id, cluster, uid)?;
    allow(present.object.as_ref().map(|(collection, _)| collection.as_str()))?;
    present.retired = true;
    put(tx, project_id, cluster, uid, &present)?;
    let Some((collection, id)) = present.object else { return Ok(Retirement::Done(None)) };
    let Some(mut stored) = get(tx, project_id, &collection, &id)? else { return Ok(Retirement::Done(None)) };
    if stored.object.phase == Phase::Live
        && let Some(problem) = children::in_use(tx, project_id, &stored.object)?
    {
        return Ok(Retirement::InUse(problem));
    }
    children::take_along(tx, project_id, &collection, &mut stored, purge)?;
    Ok(Retirement::Done(Some(stored.object)))
}

fn ownership(view: &dyn View, project_id: &str, cluster: &str, uid: &str) -> Result<Ownership, StoreProblem> {
    let row = view.get(Table::Owners, &key(&[project_id, cluster, uid]))?;
    row.map_or_else(|| Ok(Ownership::default()), |bytes| decode(&bytes))
}

fn put(
    tx: &mut dyn Transaction,
    project_id: &str,
    cluster: &str,
    uid: &str,
    ownership: &Ownership,
) -> Result<(), StoreProblem> {
    tx.put(Table::Owners, &key(&[project_id, cluster, uid]), encode(ownership)?)
}
