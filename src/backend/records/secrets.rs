//! Minted secrets: kept beside their object, delivered until they are acknowledged.

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::{Place, Stored, deleting, load, save};
use crate::{
    backend::store::{Transaction, View, encode},
    protocol::{Code, Delivered, Delivery, DeliveryRef, Phase, Problem, RawObject, SecretValues},
};

/// Mints a secret, if the service has any to mint. The one before is gone with it.
pub(super) fn mint(tx: &mut dyn Transaction, place: &Place<'_>, stored: &mut Stored) -> Result<(), Problem> {
    let id = stored.object.id.clone();
    let Some(secret) = place.checks.mint(tx, &id, &stored.chosen)? else { return Ok(()) };
    stored.object.deliveries = vec![Delivery { id: delivery_id(&id, &secret)?, pending: true }];
    stored.secret = Some(secret);
    Ok(())
}

/// Follows from the secret, so that a store which was set back never gives two secrets one id. Minted secrets are random and
/// long: a part of their hash says nothing about them.
fn delivery_id(id: &str, secret: &SecretValues) -> Result<String, Problem> {
    let hash = Sha256::new().chain_update(id).chain_update(encode(secret)?).finalize();
    Ok(format!("sec-{}", HEXLOWER.encode(hash.get(..8).unwrap_or_default())))
}

/// The secret whose delivery is pending.
///
/// # Errors
/// [`Code::NotFound`] when there is none.
pub fn fetch_secret(view: &dyn View, place: &Place<'_>, id: &str) -> Result<Delivered, Problem> {
    let stored = load(view, place, id)?;
    let pending = stored.object.deliveries.into_iter().rfind(|delivery| delivery.pending);
    match (pending, stored.secret) {
        (Some(delivery), Some(values)) => Ok(Delivered { id: delivery.id, values }),
        _ => Err(Problem::new(
            Code::NotFound,
            "no secret waits to be fetched: it was acknowledged before. Where it was lost, have another issued (POST reissue)",
        )),
    }
}

/// Ends a delivery. May be repeated.
///
/// # Errors
/// [`Code::NotFound`], [`Code::Stale`] when the delivery is not the present one.
pub fn acknowledge(
    tx: &mut dyn Transaction,
    place: &Place<'_>,
    id: &str,
    seen: &DeliveryRef,
) -> Result<RawObject, Problem> {
    let mut stored = load(tx, place, id)?;
    let delivery = stored.object.deliveries.iter_mut().find(|delivery| delivery.id == seen.id).ok_or_else(stale)?;
    if std::mem::replace(&mut delivery.pending, false) {
        stored.object.revision = tx.revision();
        save(tx, place, &stored)?;
    }
    Ok(stored.object)
}

/// Revokes the present secret and mints another. The plane is told as of a new intent.
///
/// # Errors
/// [`Code::NotFound`], [`Code::Stale`] when `seen` is not the present delivery, [`Code::Conflict`] while the object is being
/// deleted or when its service mints nothing.
pub fn reissue(
    tx: &mut dyn Transaction,
    place: &Place<'_>,
    id: &str,
    seen: &DeliveryRef,
) -> Result<RawObject, Problem> {
    let mut stored = load(tx, place, id)?;
    if stored.object.phase == Phase::Deleting {
        return Err(deleting(id));
    }
    if stored.object.deliveries.last().is_none_or(|delivery| delivery.id != seen.id) {
        return Err(stale());
    }
    mint(tx, place, &mut stored)?;
    stored.object.revision = tx.revision();
    stored.object.intent_revision = tx.revision();
    save(tx, place, &stored)?;
    Ok(stored.object)
}

fn stale() -> Problem {
    Problem::new(Code::Stale, "this is not the present secret of the object; read the object again")
}
