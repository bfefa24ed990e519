//! Organizations and their projects.

use super::{answer::Answer, call::Call, caller::Caller, paging::Paging};
use crate::{
    backend::{
        store::{self, Table, Transaction, View},
        tenants::{self, Made},
    },
    protocol::{Organization, Page, Permission, Problem, Project, Verb},
};

fn permission(key: &str, verb: Verb) -> Permission {
    Permission::new(key, verb)
}

fn may_see(caller: &Caller, organization: &str) -> Result<(), Problem> {
    caller.require(&permission("organization", Verb::Read), Some(organization), None)
}

pub(super) async fn put_organization(call: Call) -> Result<Answer, Problem> {
    call.caller.require(&permission("platform.organization", Verb::Create), None, None)?;
    let (id, name) = (call.api.world.id("org"), call.path("o").to_owned());
    let work = move |tx: &mut dyn Transaction| tenants::ensure_organization(tx, &id, &name);
    made(store::write(&*call.api.store, true, work).await?.answer)
}

pub(super) fn made<T: serde::Serialize>((item, made): (T, Made)) -> Result<Answer, Problem> {
    match made {
        Made::Now => Answer::created(&item),
        Made::Before => Answer::ok(&item),
    }
}

pub(super) async fn get_organization(call: Call) -> Result<Answer, Problem> {
    let name = call.path("o").to_owned();
    may_see(&call.caller, &name)?;
    let look = move |view: &dyn View| {
        let found = tenants::organization(view, &name)?;
        found.ok_or_else(|| Problem::not_found(format_args!("organization {name:?}")))
    };
    Answer::ok(&store::read(&*call.api.store, look).await?)
}

pub(super) async fn list_organizations(call: Call) -> Result<Answer, Problem> {
    let paging = Paging::of(&call)?;
    let caller = call.caller.clone();
    let look = move |view: &dyn View| {
        let keep = |item: &Organization| may_see(&caller, &item.name).is_ok();
        let (items, more) = tenants::list(view, Table::Organizations, &paging.after, paging.limit, &keep)?;
        let next = items.last().filter(|_| more).map(|item: &Organization| Paging::next(&item.name));
        Ok(Page { items, next })
    };
    Answer::ok(&store::read(&*call.api.store, look).await?)
}

pub(super) async fn put_project(call: Call) -> Result<Answer, Problem> {
    let (organization, name) = (call.path("o").to_owned(), call.path("p").to_owned());
    let create = permission("organization.project", Verb::Create);
    call.caller.require(&create, Some(&organization), Some(&name))?;
    let id = call.api.world.id("prj");
    let work = move |tx: &mut dyn Transaction| tenants::ensure_project(tx, &id, &organization, &name);
    made(store::write(&*call.api.store, true, work).await?.answer)
}

fn may_see_project(caller: &Caller, organization: &str, name: &str) -> Result<(), Problem> {
    caller.require(&permission("organization.project", Verb::Read), Some(organization), Some(name))
}

pub(super) async fn get_project(call: Call) -> Result<Answer, Problem> {
    let (organization, name) = (call.path("o").to_owned(), call.path("p").to_owned());
    may_see_project(&call.caller, &organization, &name)?;
    let look = move |view: &dyn View| {
        let found = tenants::project(view, &name)?.filter(|project| project.organization == organization);
        found.ok_or_else(|| Problem::not_found(format_args!("project {name:?}")))
    };
    Answer::ok(&store::read(&*call.api.store, look).await?)
}

pub(super) async fn list_projects(call: Call) -> Result<Answer, Problem> {
    let paging = Paging::of(&call)?;
    let (caller, organization) = (call.caller.clone(), call.path("o").to_owned());
    let look = move |view: &dyn View| {
        let keep = |item: &Project| {
            item.organization == organization && may_see_project(&caller, &organization, &item.name).is_ok()
        };
        let (items, more) = tenants::list(view, Table::Projects, &paging.after, paging.limit, &keep)?;
        let next = items.last().filter(|_| more).map(|item: &Project| Paging::next(&item.name));
        Ok(Page { items, next })
    };
    Answer::ok(&store::read(&*call.api.store, look).await?)
}
