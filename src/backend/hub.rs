//! Connects a plane to the store: intents flow to it, what it finds real flows back.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{Notify, mpsc};

use super::{
    api::collections::Collection,
    follow::{Event, latest},
    plane::{IntentChange, Intents, RealityChange, Reporter},
    records::{self, Report, Stored},
    store::{self, Store, Table, Transaction, View, decode, prefix_end},
};
use crate::{
    protocol::{ObjectId, Phase, Problem, Revision},
    runtime::Drain,
};

/// Changes that wait for the plane.
const QUEUE: usize = 256;
/// Commits in one step.
const STEP: usize = 256;
/// Between two writes of what is real: what is reported meanwhile goes together.
const REST: Duration = Duration::from_millis(20);
/// After the store failed.
const RETRY: Duration = Duration::from_secs(1);

/// The project of each object that the plane was told of.
type Homes = Arc<Mutex<BTreeMap<ObjectId, String>>>;

/// Both ends of a plane's connection. The tasks behind them end with the drain.
#[must_use]
pub fn connect(store: &Arc<dyn Store>, collection: &Arc<Collection>, drain: &Drain) -> (Intents, Reporter) {
    let (sender, intents) = mpsc::channel(QUEUE);
    let homes = Homes::default();
    let feeder = Feeder {
        store: Arc::clone(store),
        collection: Arc::clone(collection),
        intents: sender,
        homes: Arc::clone(&homes),
        known: BTreeMap::new(),
    };
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
        Sink { store: Arc::clone(store), collection: Arc::clone(collection), homes, pending: Arc::clone(&pending) };
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

/// Tells the plane what it shall make real.
struct Feeder {
    store: Arc<dyn Store>,
    collection: Arc<Collection>,
    intents: mpsc::Sender<IntentChange>,
    homes: Homes,
    /// What the plane was told last. Its own reports change neither.
    known: BTreeMap<ObjectId, (Revision, Phase, bool)>,
}

/// The plane is gone.
struct Closed;

impl Feeder {
    async fn run(mut self) {
        let mut synced = false;
        loop {
            match self.snapshot().await {
                Ok(Some(position)) => {
                    if !synced && self.send(IntentChange::Synced).await.is_err() {
                        return;
                    }
                    synced = true;
                    if self.follow(position).await.is_err() {
                        return;
                    }
                }
                Ok(None) => tokio::time::sleep(RETRY).await,
                Err(Closed) => return,
            }
        }
    }

    async fn send(&self, change: IntentChange) -> Result<(), Closed> {
        self.intents.send(change).await.map_err(|_| Closed)
    }

    /// Tells all that exists and differs from what was told before. The revision from which to follow; `None` when the store
    /// failed.
    async fn snapshot(&mut self) -> Result<Option<Revision>, Closed> {
        let (mut start, mut last) = (None, Vec::new());
        let mut seen = BTreeSet::new();
        loop {
            let after = std::mem::take(&mut last);
            let look = move |view: &dyn View| Ok((view.revision(), next_rows(view, &after)?));
            let (revision, rows) = match store::read(&*self.store, look).await {
                Ok(read) => read,
                Err(problem) => {
                    tracing::error!(%problem, "intents cannot be read");
                    return Ok(None);
                }
            };
            let start = *start.get_or_insert(revision);
            let Some((key, _)) = rows.last() else {
                self.forget_all_but(&seen).await?;
                return Ok(Some(start));
            };
            last.clone_from(key);
            for (key, value) in &rows {
                seen.extend(records::split_key(key).map(|(_, _, id)| id.to_owned()));
                self.tell(&Event { revision, key, value: Some(value), removed: None }).await?;
            }
        }
    }

    async fn forget_all_but(&mut self, seen: &BTreeSet<ObjectId>) -> Result<(), Closed> {
        let gone: Vec<_> = self.known.keys().filter(|id| !seen.contains(*id)).cloned().collect();
        for id in gone {
            self.gone(id).await?;
        }
        Ok(())
    }

    async fn gone(&mut self, id: ObjectId) -> Result<(), Closed> {
        self.known.remove(&id);
        lock(&self.homes).remove(&id);
        self.send(IntentChange::Gone(id)).await
    }

    /// Tells what happens, until the log is lost.
    async fn follow(&mut self, mut position: Revision) -> Result<(), Closed> {
        // The first step takes all that happened during the snapshot.
        let mut limit = usize::MAX;
        while let Ok(commits) = self.store.log().wait(position, limit).await {
            for event in latest(&commits) {
                self.tell(&event).await?;
            }
            position = commits.last().map_or(position, |commit| commit.revision);
            limit = STEP;
        }
        Ok(())
    }

    async fn tell(&mut self, event: &Event<'_>) -> Result<(), Closed> {
        let Some((project_id, collection, id)) = records::split_key(event.key) else { return Ok(()) };
        if collection != self.collection.path {
            return Ok(());
        }
        let Some(value) = event.value else {
            return if self.known.contains_key(id) { self.gone(id.to_owned()).await } else { Ok(()) };
        };
        let stored = match decode::<Stored>(value) {
            Ok(stored) => stored,
            Err(problem) => {
                tracing::error!(%problem, id, "an object cannot be read");
                return Ok(());
            }
        };
        let Stored { object, chosen, purge } = stored;
        let now = (object.intent_revision, object.phase, purge);
        if self.known.insert(id.to_owned(), now) == Some(now) {
            return Ok(());
        }
        lock(&self.homes).insert(id.to_owned(), project_id.to_owned());
        self.send(IntentChange::Present { object: Box::new(object), chosen }).await
    }
}

/// The next rows of all projects.
fn next_rows(view: &dyn View, after: &[u8]) -> Result<Vec<store::Row>, Problem> {
    let mut from = after.to_vec();
    if !after.is_empty() {
        from.push(0);
    }
    Ok(view.scan(Table::Objects, &from, &prefix_end(b""), 64)?)
}

/// Reports that are not written yet; a newer one of an object replaces the older.
#[derive(Default)]
struct Pending {
    batch: Mutex<Batch>,
    more: Notify,
}

#[derive(Clone, Default)]
struct Batch {
    reports: BTreeMap<ObjectId, Report>,
    released: BTreeSet<ObjectId>,
}

impl Pending {
    fn add(&self, change: RealityChange) {
        let mut batch = lock(&self.batch);
        match change {
            RealityChange::Report { id, of, state, members } => {
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
        present.released.extend(batch.released);
        drop(present);
        self.more.notify_one();
    }
}

/// Writes what the plane reports.
struct Sink {
    store: Arc<dyn Store>,
    collection: Arc<Collection>,
    homes: Homes,
    pending: Arc<Pending>,
}

impl Sink {
    async fn run(self, drain: Drain) {
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
        let collection = self.collection.path;
        let reports: Vec<_> =
            batch.reports.into_iter().filter_map(|(id, report)| Some((home(&id)?, id, report))).collect();
        if !reports.is_empty() {
            // What is real can be found again, so it need not survive a crash.
            let work = move |tx: &mut dyn Transaction| {
                reports.iter().try_for_each(|(home, id, report)| Ok(records::report(tx, home, collection, id, report)?))
            };
            store::write(&*self.store, false, work).await?;
        }
        let released: Vec<_> = batch.released.into_iter().filter_map(|id| Some((home(&id)?, id))).collect();
        if !released.is_empty() {
            let checks = Arc::clone(&self.collection.checks);
            let work = move |tx: &mut dyn Transaction| {
                released.iter().try_for_each(|(home, id)| records::released(tx, home, collection, &*checks, id))
            };
            store::write(&*self.store, true, work).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "hub_tests.rs"]
mod tests;
