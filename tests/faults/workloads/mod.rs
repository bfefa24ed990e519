//! Small stories, each of a few things that users do. What they made and left is deleted after them.

mod credentials;
mod lives;
mod orders;
mod outside;

use std::pin::Pin;

use crate::stage::{Done, Stage};

/// What a story comes to.
pub type Telling<'a> = Pin<Box<dyn Future<Output = Done> + Send + 'a>>;

/// A story.
#[derive(Clone, Copy)]
pub struct Workload {
    /// Its name in plans.
    pub name: &'static str,
    /// What is done.
    pub tell: for<'a> fn(&'a Stage) -> Telling<'a>,
    /// Of how many plans one runs each time; all of them in full runs.
    pub sample: usize,
    /// What makes it special.
    pub trait_: Trait,
}

/// What a workload does that others do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trait {
    /// Nothing.
    Plain,
    /// It is the one whose calls for start and binding are enumerated; its binding is deleted, too.
    Binding,
    /// Somebody changes the backend meanwhile, so a status may be late.
    Drift,
    /// The namespace is deleted.
    Namespace,
    /// The backend is restarted: what is under way there ends.
    Backend,
}

const fn plain(name: &'static str, tell: for<'a> fn(&'a Stage) -> Telling<'a>) -> Workload {
    Workload { name, tell, sample: 1, trait_: Trait::Plain }
}

/// All of them.
pub fn all() -> Vec<Workload> {
    vec![
        Workload {
            trait_: Trait::Binding,
            sample: 2,
            ..plain("binding-life", |stage| Box::pin(lives::binding(stage)))
        },
        plain("balancer-life", |stage| Box::pin(lives::balancer(stage))),
        plain("bucket-life", |stage| Box::pin(lives::bucket(stage))),
        plain("zone-life", |stage| Box::pin(lives::zone(stage))),
        plain("probe-life", |stage| Box::pin(lives::probe(stage))),
        plain("credential-life", |stage| Box::pin(credentials::life(stage))),
        plain("credential-revoked", |stage| Box::pin(credentials::revoked(stage))),
        plain("credential-conflict", |stage| Box::pin(credentials::conflict(stage))),
        plain("references-late", |stage| Box::pin(orders::late(stage))),
        plain("there-and-back", |stage| Box::pin(orders::there_and_back(stage))),
        plain("rapid-edits", |stage| Box::pin(orders::rapid(stage))),
        plain("deleted-while-made", |stage| Box::pin(orders::deleted_while_made(stage))),
        plain("again", |stage| Box::pin(orders::again(stage))),
        Workload { sample: 80, ..plain("many", |stage| Box::pin(orders::many(stage))) },
        Workload {
            trait_: Trait::Namespace,
            sample: 4,
            ..plain("namespace-deleted", |stage| Box::pin(orders::namespace(stage)))
        },
        plain("token-changed", |stage| Box::pin(outside::token(stage))),
        plain("reference-changed", |stage| Box::pin(outside::reference(stage))),
        Workload { trait_: Trait::Drift, ..plain("drift", |stage| Box::pin(outside::drift(stage))) },
        Workload {
            trait_: Trait::Backend,
            sample: 4,
            ..plain("backend-restarted", |stage| Box::pin(outside::restart(stage)))
        },
        Workload {
            trait_: Trait::Backend,
            sample: 4,
            ..plain("backend-put-back", |stage| Box::pin(outside::put_back(stage)))
        },
    ]
}
