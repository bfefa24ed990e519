//! Connects a service's plane to the store: intents flow to it, what it finds real flows back.

mod feeder;
mod sink;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::mpsc;

use self::{
    feeder::Feeder,
    sink::{Pending, Sink},
};
use super::{
    api::collections::Collection,
    checks::Checks,
    plane::{Intents, Reporter},
    records::Families,
    store::Store,
};
use crate::{protocol::ObjectId, runtime::Drain};

/// Changes that wait for the plane.
const QUEUE: usize = 256;
/// After the store failed.
const RETRY: Duration = Duration::from_secs(1);

/// The collections of one service, parents before their children.
pub type Collections = Arc<[Arc<Collection>]>;

/// Project id and collection of each object that the plane was told of.
type Homes = Arc<Mutex<BTreeMap<ObjectId, (String, &'static str)>>>;

impl Families for Collections {
    fn checks(&self, collection: &str) -> Option<&dyn Checks> {
        Some(&*self.iter().find(|found| found.path == collection)?.checks)
    }

    fn parent(&self, collection: &str) -> Option<&'static str> {
        self.iter().find(|found| found.path == collection)?.parent
    }
}

/// Both ends of a plane's connection. The tasks behind them end with the drain.
#[must_use]
pub fn connect(store: &Arc<dyn Store>, collections: &Collections, drain: &Drain) -> (Intents, Reporter) {
    let (sender, intents) = mpsc::channel(QUEUE);
    let homes = Homes::default();
    let feeder = Feeder::new(Arc::clone(store), Arc::clone(collections), sender, Arc::clone(&homes));
    let stop = drain.clone();
    drain.spawn(async move {
        tokio::select! {
            biased;
            () = stop.wait() => {}
            () = feeder.run() => {}
        }
    });
    let pending = Arc::new(Pending::default());
    let sink =
        Sink { store: Arc::clone(store), collections: Arc::clone(collections), homes, pending: Arc::clone(&pending) };
    drain.spawn(sink.run(drain.clone()));
    let reporter = Reporter::new(move |change| {
        pending.add(change);
        std::future::ready(())
    });
    (intents, reporter)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
