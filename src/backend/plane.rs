//! What every data plane is: something that follows intents, makes them real and reports what is real.

use std::{collections::BTreeMap, future::Future, pin::Pin, sync::Arc};

use serde_json::Value;
use tokio::sync::mpsc;

use super::store::BoxFuture;
use crate::{
    protocol::{Member, ObjectId, Project, RawObject, Revision, SecretValues},
    runtime::Drain,
};

/// One data plane of one service.
pub trait Plane: Send + 'static {
    /// Follows `intents` until `drain` starts, then stops taking new work and returns.
    ///
    /// # Errors
    /// When the plane cannot work at all; what concerns one object is reported on that object.
    fn run(
        self,
        intents: Intents,
        reality: Reporter,
        drain: Drain,
    ) -> impl Future<Output = Result<(), PlaneProblem>> + Send;
}

/// A plane whose type is forgotten.
pub struct BoxedPlane(Box<Run>);

type Run = dyn FnOnce(Intents, Reporter, Drain) -> BoxFuture<'static, Result<(), PlaneProblem>> + Send;

impl BoxedPlane {
    /// Forgets the type of a plane.
    pub fn new(plane: impl Plane) -> Self {
        Self(Box::new(|intents, reality, drain| Box::pin(plane.run(intents, reality, drain))))
    }
}

impl Plane for BoxedPlane {
    async fn run(self, intents: Intents, reality: Reporter, drain: Drain) -> Result<(), PlaneProblem> {
        (self.0)(intents, reality, drain).await
    }
}

/// Why a plane cannot work.
#[derive(Debug, thiserror::Error)]
#[error("{plane}: {message}")]
pub struct PlaneProblem {
    /// Which plane.
    pub plane: &'static str,
    /// What is wrong and what to do.
    pub message: String,
}

/// A change of what a plane shall make real.
#[derive(Clone, Debug, PartialEq)]
pub enum IntentChange {
    /// An object as it is now. With phase Deleting: let go of all that it holds, then call [`Reporter::released`].
    Present {
        /// Its collection.
        collection: String,
        /// Its project.
        project: Arc<Project>,
        /// The object.
        object: Box<RawObject>,
        /// What the service's checks chose for it in the transaction that accepted it, for instance its addresses. Durable.
        chosen: Value,
        /// The newest secret that was minted for it, see [`super::checks::Checks::mint`].
        secret: Option<SecretValues>,
        /// With phase Deleting: empty it first, rather than refuse to let go while it holds data. May come later than the
        /// phase; the object is then sent again.
        purge: bool,
    },
    /// An object that is no more. Comes also for those whose release this plane has reported; children go before their parent.
    Gone {
        /// Its collection.
        collection: String,
        /// Its id.
        id: ObjectId,
    },
    /// All objects that existed at the start have been sent. Comes once, for all collections.
    Synced {
        /// The store's revision at that time: more than any that was seen before a restart.
        revision: Revision,
    },
}

/// The intents of a service's collections, starting with all that exist. A parent comes before its children.
pub type Intents = mpsc::Receiver<IntentChange>;

/// What a plane found to be real.
#[derive(Clone, Debug, PartialEq)]
pub enum RealityChange {
    /// State of one object.
    Report {
        /// The object.
        id: ObjectId,
        /// The `intentRevision` that this realises.
        of: Revision,
        /// The service's state.
        state: Value,
        /// Its members.
        members: BTreeMap<String, Member>,
        /// Whether it must survive a crash: the plane cannot find it out again.
        durable: bool,
    },
    /// A Deleting object holds nothing any more.
    Released {
        /// The object.
        id: ObjectId,
    },
}

/// Where a plane reports to. Cheap to clone.
#[derive(Clone)]
pub struct Reporter(Arc<Sink>);

type Sink = dyn Fn(RealityChange) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync;

impl Reporter {
    /// A reporter that hands each change to `sink`.
    pub fn new<F>(sink: impl Fn(RealityChange) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self(Arc::new(move |change| Box::pin(sink(change))))
    }

    /// Reports the state of one object. A report that changes nothing costs nothing; one for an object that is gone, or for an
    /// older intent than one reported before, is dropped.
    pub async fn report(&self, id: &str, of: Revision, state: Value, members: BTreeMap<String, Member>) {
        (self.0)(RealityChange::Report { id: id.to_owned(), of, state, members, durable: false }).await;
    }

    /// The same for what the plane cannot find out again: it is on disk before anybody sees it, and comes back with the object
    /// after a restart.
    pub async fn report_durably(&self, id: &str, of: Revision, state: Value, members: BTreeMap<String, Member>) {
        (self.0)(RealityChange::Report { id: id.to_owned(), of, state, members, durable: true }).await;
    }

    /// Reports that a Deleting object holds nothing any more: it will be gone.
    pub async fn released(&self, id: &str) {
        (self.0)(RealityChange::Released { id: id.to_owned() }).await;
    }
}
