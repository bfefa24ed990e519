//! Domains that organizations own.

use super::{answer::Answer, call::Call, paging::Paging, tenants::made};
use crate::{
    backend::{
        domains,
        store::{self, Transaction, View},
    },
    protocol::{Domain, Page, Permission, Problem, Verb},
};

/// The organization in the path, for a caller with that right on its domains.
fn enter(call: &Call, verb: Verb) -> Result<String, Problem> {
    let organization = call.path("o").to_owned();
    call.caller.require(&Permission::new("organization.domain", verb), Some(&organization), None)?;
    Ok(organization)
}

pub(super) async fn put(call: Call) -> Result<Answer, Problem> {
    let organization = enter(&call, Verb::Create)?;
    let (id, name) = (call.api.world.id("dom"), call.path("domain").to_owned());
    let work = move |tx: &mut dyn Transaction| domains::ensure(tx, &id, &organization, &name);
    made(store::write(&*call.api.store, true, work).await?.answer)
}

pub(super) async fn get(call: Call) -> Result<Answer, Problem> {
    let (organization, name) = (enter(&call, Verb::Read)?, call.path("domain").to_owned());
    let look = move |view: &dyn View| domains::of(view, &organization, &name);
    Answer::ok(&store::read(&*call.api.store, look).await?)
}

pub(super) async fn list(call: Call) -> Result<Answer, Problem> {
    let (organization, paging) = (enter(&call, Verb::Read)?, Paging::of(&call)?);
    let look = move |view: &dyn View| {
        let (items, more) = domains::list(view, &organization, &paging.after, paging.limit)?;
        let next = items.last().filter(|_| more).map(|item: &Domain| Paging::next(&item.name));
        Ok(Page { items, next })
    };
    Answer::ok(&store::read(&*call.api.store, look).await?)
}

pub(super) async fn delete(call: Call) -> Result<Answer, Problem> {
    let (organization, name) = (enter(&call, Verb::Delete)?, call.path("domain").to_owned());
    let work = move |tx: &mut dyn Transaction| domains::remove(tx, &organization, &name);
    Answer::ok(&store::write(&*call.api.store, true, work).await?.answer)
}
