//! Writes what a plane reports.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::sync::Notify;

use super::{Collections, Homes, RETRY, lock};
use crate::{
    backend::{
        plane::RealityChange,
        records::{self, Report},
        store::{self, Store, Transaction},
    },
    protocol::{ObjectId, Problem},
    runtime::Drain,
};

/// Between two writes of what is real: what is reported meanwhile goes together.
const REST: Duration = Duration::from_millis(20);
/// Objects that are removed in one transaction: within one, each looks past those that were removed before it.
const STEP: usize = 128;

/// Reports that are not written yet; a newer one of an object replaces the older.
#[derive(Default)]
pub(super) struct Pending {
    batch: Mutex<Batch>,
    more: Notify,
}

#[derive(Clone, Default)]
struct Batch {
    reports: BTreeMap<ObjectId, Report>,
    /// Whether one of the reports must survive a crash.
    durable: bool,
    released: BTreeSet<ObjectId>,
}

impl Pending {
    pub(super) fn add(&self, change: RealityChange) {
        let mut batch = lock(&self.batch);
        match change {
            RealityChange::Report { id, of, state, members, durable } => {
                batch.durable |= durable;
                // An older report may come late from another task of the plane.
                if batch.reports.get(&id).is_none_or(|present| present.of <= of) {
                    batch.reports.insert(id, Report { of, state, members });
                }
            }
            RealityChange::Released { id } => {
                batch.reports.remove(&id);
                batch.released.insert(id);
            }
        }
        drop(batch);
        self.more.notify_one();
    }

    fn take(&self) -> Batch {
        std::mem::take(&mut *lock(&self.batch))
    }

    /// Puts back what could not be written, unless something newer came.
    fn put_back(&self, batch: Batch) {
        let mut present = lock(&self.batch);
        for (id, report) in batch.reports {
            present.reports.entry(id).or_insert(report);
        }
        present.durable |= batch.durable;
        present.released.extend(batch.released);
        drop(present);
        self.more.notify_one();
    }
}

/// Writes what the plane reports.
pub(super) struct Sink {
    pub(super) store: Arc<dyn Store>,
    pub(super) collections: Collections,
    pub(super) homes: Homes,
    pub(super) pending: Arc<Pending>,
}

impl Sink {
    pub(super) async fn run(self, drain: Drain) {
        loop {
            tokio::select! {
                biased;
                () = self.pending.more.notified() => {}
                () = drain.wait() => {}
            }
            let last = drain.started();
            let batch = self.pending.take();
            if let Err(problem) = self.write(batch.clone()).await {
                tracing::error!(%problem, "what a plane reported cannot be written");
                self.pending.put_back(batch);
                tokio::time::sleep(RETRY).await;
            }
            if last {
                return;
            }
            tokio::time::sleep(REST).await;
        }
    }

    async fn write(&self, batch: Batch) -> Result<(), Problem> {
        let home = |id: &ObjectId| lock(&self.homes).get(id).cloned();
        let reports: Vec<_> =
            batch.reports.into_iter().filter_map(|(id, report)| Some((home(&id)?, id, report))).collect();
        if !reports.is_empty() {
            // What is real can mostly be found again; then it need not survive a crash.
            let work = move |tx: &mut dyn Transaction| {
                reports.iter().try_for_each(|((project, collection), id, report)| {
                    Ok(records::report(tx, project, collection, id, report)?)
                })
            };
            store::write(&*self.store, batch.durable, work).await?;
        }
        let released: Vec<_> = batch.released.into_iter().filter_map(|id| Some((home(&id)?, id))).collect();
        for some in released.chunks(STEP) {
            let (some, families) = (some.to_vec(), Arc::clone(&self.collections));
            let work = move |tx: &mut dyn Transaction| {
                some.iter().try_for_each(|((project, collection), id)| {
                    records::released(tx, project, &families, collection, id)
                })
            };
            store::write(&*self.store, true, work).await?;
        }
        Ok(())
    }
}
