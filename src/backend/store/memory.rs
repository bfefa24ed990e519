//! A store in memory: what is kept outlives a [`MemoryStore`] only as its [`Kept`] rows.
//!
//! It runs each job and each read where it is asked for, on no thread of its own, so a program on one thread unfolds the same
//! way each time.

use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Included, Unbounded},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

#[cfg(test)]
use super::Transaction;
use super::{
    BoxFuture, Change, Commit, Ended, Identity, Job, LEAP, Log, Look, Row, Store, StoreProblem, Table, View, decode,
    encode, overlay::Overlay,
};
#[cfg(test)]
use crate::protocol::Problem;
use crate::{protocol::Revision, runtime::World};

/// Rows at one revision.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    tables: BTreeMap<Table, BTreeMap<Bytes, Bytes>>,
    revision: Revision,
}

impl Memory {
    /// Runs a job as a store does.
    #[cfg(test)]
    pub(crate) fn job<R>(
        &mut self,
        work: impl FnOnce(&mut dyn Transaction) -> Result<R, Problem>,
    ) -> Result<R, Problem> {
        let mut overlay = Overlay::new(self, self.revision + 1);
        let answer = work(&mut overlay)?;
        let changes = overlay.finish()?;
        self.revision += u64::from(!changes.is_empty());
        changes.iter().for_each(|change| drop(self.set(change.table, &change.key, change.value.clone())));
        Ok(answer)
    }

    /// Sets a row; what it was before.
    fn set(&mut self, table: Table, key: &Bytes, value: Option<Bytes>) -> Option<Bytes> {
        let rows = self.tables.entry(table).or_default();
        match value {
            Some(value) => rows.insert(key.clone(), value),
            None => rows.remove(key),
        }
    }

    /// Begins an epoch: a new name for it, and revisions that no epoch before has used.
    fn begin(&mut self, world: &World) -> Result<Identity, StoreProblem> {
        self.revision += LEAP;
        let stored = self.get(Table::Meta, b"store")?;
        let store = stored.map(|bytes| decode(&bytes)).transpose()?.unwrap_or_else(|| world.id("st"));
        let identity = Identity { store, epoch: world.id("ep") };
        for (key, value) in [("store", &identity.store), ("epoch", &identity.epoch)] {
            self.set(Table::Meta, &Bytes::from_static(key.as_bytes()), Some(encode(value)?.into()));
        }
        Ok(identity)
    }
}

impl View for Memory {
    fn revision(&self) -> Revision {
        self.revision
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreProblem> {
        Ok(self.tables.get(&table).and_then(|rows| rows.get(key)).map(|value| value.to_vec()))
    }

    fn scan(&self, table: Table, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Row>, StoreProblem> {
        let Some(rows) = self.tables.get(&table).filter(|_| to.is_empty() || from < to) else { return Ok(Vec::new()) };
        let end = if to.is_empty() { Unbounded } else { Excluded(to) };
        let rows = rows.range::<[u8], _>((Included(from), end)).take(limit);
        Ok(rows.map(|(key, value)| (key.to_vec(), value.to_vec())).collect())
    }
}

/// What a crash leaves: the rows after the last durable commit. Cheap to clone, and does not change.
#[derive(Clone, Debug, Default)]
pub struct Kept(Arc<Memory>);

/// The store in memory.
pub struct MemoryStore {
    identity: Identity,
    log: Arc<Log>,
    state: Mutex<State>,
}

struct State {
    /// A reader keeps the rows that it began with.
    rows: Arc<Memory>,
    /// What volatile commits since the last durable one have replaced, oldest first.
    replaced: Vec<(Table, Bytes, Option<Bytes>)>,
    /// Revision of the last durable commit.
    durable: Revision,
    closed: bool,
}

impl MemoryStore {
    /// Opens what was kept; [`Kept::default`] is a new store.
    ///
    /// # Errors
    /// When what was kept is damaged.
    pub fn open(kept: Kept, world: &World) -> Result<Self, StoreProblem> {
        let mut rows = Arc::unwrap_or_clone(kept.0);
        let identity = rows.begin(world)?;
        let revision = rows.revision;
        let state = State { rows: Arc::new(rows), replaced: Vec::new(), durable: revision, closed: false };
        Ok(Self { identity, log: Arc::new(Log::new(revision)), state: Mutex::new(state) })
    }

    /// What a crash at this moment would leave.
    #[must_use]
    pub fn kept(&self) -> Kept {
        let state = self.state();
        let mut rows = Memory::clone(&state.rows);
        for (table, key, value) in state.replaced.iter().rev() {
            rows.set(*table, key, value.clone());
        }
        rows.revision = state.durable;
        Kept(Arc::new(rows))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn run(&mut self, mut job: Job, log: &Log) -> Result<Ended, StoreProblem> {
        if self.closed {
            return Err(StoreProblem::Closed);
        }
        let revision = self.rows.revision + 1;
        let mut overlay = Overlay::new(&*self.rows, revision);
        if !matches!(catch_unwind(AssertUnwindSafe(|| (job.work)(&mut overlay))), Ok(Ok(()))) {
            return Ok(Ended::Aborted);
        }
        let changes = overlay.finish()?;
        if changes.is_empty() {
            return Ok(Ended::Unchanged(revision - 1));
        }
        self.commit(&changes, revision, job.durable);
        log.publish(Arc::new(Commit { revision, changes }));
        Ok(Ended::Committed(revision))
    }

    fn commit(&mut self, changes: &[Change], revision: Revision, durable: bool) {
        let rows = Arc::make_mut(&mut self.rows);
        rows.revision = revision;
        for change in changes {
            let before = rows.set(change.table, &change.key, change.value.clone());
            self.replaced.push((change.table, change.key.clone(), before));
        }
        if durable {
            self.replaced.clear();
            self.durable = revision;
        }
    }
}

impl Store for MemoryStore {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn submit(&self, job: Job) -> BoxFuture<'_, Result<Ended, StoreProblem>> {
        Box::pin(async move { self.state().run(job, &self.log) })
    }

    fn look(&self, look: Look) -> BoxFuture<'_, Result<(), StoreProblem>> {
        Box::pin(async move {
            let rows = {
                let state = self.state();
                if state.closed {
                    return Err(StoreProblem::Closed);
                }
                state.rows.clone()
            };
            look(&*rows);
            Ok(())
        })
    }

    fn log(&self) -> &Arc<Log> {
        &self.log
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move { self.state().closed = true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::store::{conformance, key, read, write};

    /// Opens what the store before has kept.
    fn fresh() -> Box<dyn Fn() -> Arc<dyn Store>> {
        let (world, last) = (World::real(), Mutex::new(None::<Arc<MemoryStore>>));
        Box::new(move || {
            let mut last = last.lock().unwrap();
            let kept = last.as_ref().map(|store| store.kept()).unwrap_or_default();
            let store = Arc::new(MemoryStore::open(kept, &world).unwrap());
            *last = Some(store.clone());
            store
        })
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn conforms() {
        conformance::all(fresh).await;
    }

    async fn put(store: &MemoryStore, name: &'static str, durable: bool) {
        write(store, durable, move |tx| Ok(tx.put(Table::Objects, &key(&[name]), vec![1])?)).await.unwrap();
    }

    #[tokio::test]
    async fn a_crash_loses_what_is_not_durable_and_an_older_copy_stays_as_it_was() {
        let world = World::seeded(1);
        let store = MemoryStore::open(Kept::default(), &world).unwrap();
        put(&store, "a", false).await;
        put(&store, "b", true).await;
        let older = store.kept();
        put(&store, "c", true).await;
        put(&store, "d", false).await;
        for (kept, there) in [(store.kept(), vec!["a", "b", "c"]), (older, vec!["a", "b"])] {
            let store = MemoryStore::open(kept, &world).unwrap();
            let rows = read(&store, |view| Ok(view.scan(Table::Objects, b"", b"", 9)?)).await.unwrap();
            assert_eq!(rows.len(), there.len());
            assert!(rows.iter().zip(there).all(|((found, _), name)| *found == key(&[name])));
        }
    }
}
