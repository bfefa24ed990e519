//! What concerns a project as a whole: who sees it, what happens in it, whose objects are in it.

use axum::body::Body;

use super::{answer::Answer, call::Call, objects::unknown_collection};
use crate::{
    backend::{
        feed,
        records::{self, Retirement},
        store::{self, Transaction, View},
        tenants,
    },
    protocol::{Code, Permission, Problem, ProjectView, Retired, Verb},
};

pub(super) async fn view(call: Call) -> Result<Answer, Problem> {
    let (caller, name) = (call.caller.clone(), call.path("p").to_owned());
    let store = call.api.store.identity().store.clone();
    let look = move |view: &dyn View| {
        let read = Permission::new("organization.project", Verb::Read);
        let anything = match tenants::project(view, &name)? {
            Some(project) => caller.permissions_in(&project),
            None => Vec::new(),
        };
        // Any right in a project shows the project.
        let asked = if anything.is_empty() { vec![read] } else { anything.clone() };
        let project = caller.enter(view, &name, &asked)?;
        Ok(ProjectView { project, store, permissions: anything })
    };
    Answer::ok(&store::read(&*call.api.store, look).await?)
}

/// Retiring needs the right to delete in the collection of the owner's object. When it has none, the call does not say what
/// kind of object might still come, so the right to delete in any collection of the project is enough.
pub(super) async fn retire(call: Call) -> Result<Answer, Problem> {
    let purge = match call.query("purge") {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Problem::new(Code::BadRequest, "purge must be true or false")),
    };
    let (caller, name) = (call.caller.clone(), call.path("p").to_owned());
    let (cluster, uid) = (call.path("cluster").to_owned(), call.path("uid").to_owned());
    let registry = call.api.collections.clone();
    let work = move |tx: &mut dyn Transaction| {
        let project = caller.enter(tx, &name, &registry.each(Verb::Delete))?;
        let allow = |collection: Option<&str>| match collection {
            None => Ok(()),
            Some(path) => {
                let collection = registry.get(path).ok_or_else(|| unknown_collection(path))?;
                caller.require_in(&collection.needs(Verb::Delete), &project)
            }
        };
        records::retire(tx, &project.id, (&cluster, &uid), purge, &allow)
    };
    // Refused only after the commit: the owner stays retired.
    match store::write(&*call.api.store, true, work).await?.answer {
        Retirement::Done(object) => Answer::ok(&Retired { object }),
        Retirement::InUse(problem) => Err(problem),
    }
}

pub(super) async fn changes(call: Call) -> Result<Answer, Problem> {
    let after = call.query("after").map(feed::Position::parse).transpose()?;
    let (caller, name) = (call.caller.clone(), call.path("p").to_owned());
    let registry = call.api.collections.clone();
    let look = move |view: &dyn View| {
        let project = caller.enter(view, &name, &registry.each(Verb::Read))?;
        let readable =
            registry.collections.iter().filter(|collection| caller.may(&collection.needs(Verb::Read), &project));
        let readable = readable.map(|collection| collection.path.to_owned()).collect();
        Ok(feed::Scope { project_id: project.id, readable, token: caller.token().to_owned() })
    };
    let scope = store::read(&*call.api.store, look).await?;
    let lines = feed::lines(call.api.store.clone(), scope, after, call.api.drain.clone());
    Ok(Answer::Lines(Body::from_stream(lines)))
}
