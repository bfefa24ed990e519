//! The store in one file, for one process: redb.

mod rows;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use redb::{Builder, Database, DatabaseError, ReadableDatabase, StorageError};
use tokio::sync::{mpsc, oneshot};

use self::{
    rows::{ROWS, Rows, engine},
    writer::{Queued, Writer},
};
use super::{BoxFuture, Ended, Identity, Job, LEAP, Log, Look, Store, StoreProblem, Table, View, decode, encode};
use crate::{protocol::Revision, runtime::World};

/// Jobs that wait for the writer before callers have to.
const QUEUE: usize = 1024;
/// Memory for pages.
const CACHE: usize = 16 << 20;

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenProblem {
    /// Another process has it.
    #[error("{0} is in use by another process; stop it, or choose another folder with --state-dir")]
    Locked(String),
    /// It cannot be read or written.
    #[error("{path} cannot be opened: {problem}")]
    Unusable {
        /// The file.
        path: String,
        /// Why.
        problem: String,
    },
}

/// The store in one file.
pub struct RedbStore {
    identity: Identity,
    log: Arc<Log>,
    database: Mutex<Option<Arc<Database>>>,
    jobs: Mutex<Option<mpsc::Sender<Queued>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl RedbStore {
    /// Opens the store in `path`, or makes a new one there. Blocks.
    ///
    /// # Errors
    /// When another process has it, or the file cannot be used.
    pub fn open(path: &Path, world: &World) -> Result<Self, OpenProblem> {
        Self::open_with(path, world, CACHE, Log::new)
    }

    /// As [`RedbStore::open`], for a store that nobody follows: its log keeps nothing, its pages take at most `cache` bytes.
    ///
    /// # Errors
    /// As [`RedbStore::open`].
    pub fn open_unfollowed(path: &Path, world: &World, cache: usize) -> Result<Self, OpenProblem> {
        Self::open_with(path, world, cache, |revision| Log::keeping(0, revision))
    }

    fn open_with(
        path: &Path,
        world: &World,
        cache: usize,
        log: impl FnOnce(Revision) -> Log,
    ) -> Result<Self, OpenProblem> {
        let unusable = |problem: String| OpenProblem::Unusable { path: path.display().to_string(), problem };
        // The engine panics at some pages that make no sense.
        let opened = catch_unwind(AssertUnwindSafe(|| open_whole(path, cache)));
        let database = match opened.unwrap_or_else(|_| Err(DatabaseError::from(damaged()))) {
            Ok(database) => Arc::new(database),
            Err(DatabaseError::DatabaseAlreadyOpen) => return Err(OpenProblem::Locked(path.display().to_string())),
            Err(problem) => return Err(unusable(problem.to_string())),
        };
        let (identity, revision) = begin_epoch(&database, world).map_err(|problem| unusable(problem.to_string()))?;
        let log = Arc::new(log(revision));
        let (jobs, queue) = mpsc::channel(QUEUE);
        let writer = Writer::new(Arc::clone(&database), Arc::clone(&log), queue);
        let thread = std::thread::Builder::new().name("store-writer".to_owned()).spawn(move || writer.run());
        Ok(Self {
            identity,
            log,
            database: Mutex::new(Some(database)),
            jobs: Mutex::new(Some(jobs)),
            writer: Mutex::new(Some(thread.map_err(|problem| unusable(problem.to_string()))?)),
        })
    }

    fn database(&self) -> Result<Arc<Database>, StoreProblem> {
        lock(&self.database).clone().ok_or(StoreProblem::Closed)
    }
}

/// Opens a file after all its pages were read: a damaged one would else be found late, or be taken for what was written.
fn open_whole(path: &Path, cache: usize) -> Result<Database, DatabaseError> {
    let mut database = Builder::new().set_cache_size(cache).create(path)?;
    if database.check_integrity()? { Ok(database) } else { Err(damaged().into()) }
}

fn damaged() -> StorageError {
    StorageError::Corrupted("it is damaged; put back a copy of it".to_owned())
}

/// Records a new epoch durably and skips revisions that a crash may have lost.
fn begin_epoch(database: &Database, world: &World) -> Result<(Identity, Revision), StoreProblem> {
    let transaction = database.begin_write().map_err(engine)?;
    let (identity, revision) = {
        let mut table = transaction.open_table(ROWS).map_err(engine)?;
        let last = rows::last_revision(&table)?;
        let revision = last + LEAP;
        let stored = Rows { table: &table, revision }.get(Table::Meta, b"store")?;
        let store = stored.map(|bytes| decode(&bytes)).transpose()?.unwrap_or_else(|| world.id("st"));
        let identity = Identity { store, epoch: world.id("ep") };
        for (key, value) in [("store", &identity.store), ("epoch", &identity.epoch)] {
            rows::put(&mut table, Table::Meta, key.as_bytes(), &encode(value)?)?;
        }
        rows::put_revision(&mut table, revision)?;
        (identity, revision)
    };
    transaction.commit().map_err(engine)?;
    Ok((identity, revision))
}

impl Store for RedbStore {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn submit(&self, job: Job) -> BoxFuture<'_, Result<Ended, StoreProblem>> {
        Box::pin(async move {
            let jobs = lock(&self.jobs).clone().ok_or(StoreProblem::Closed)?;
            let (answer, answered) = oneshot::channel();
            jobs.send(Queued { job, answer }).await.map_err(|_| StoreProblem::Closed)?;
            drop(jobs);
            answered.await.map_err(|_| StoreProblem::Closed)?
        })
    }

    fn look(&self, look: Look) -> BoxFuture<'_, Result<(), StoreProblem>> {
        Box::pin(async move {
            let database = self.database()?;
            let reading = tokio::task::spawn_blocking(move || {
                let transaction = database.begin_read().map_err(engine)?;
                let table = transaction.open_table(ROWS).map_err(engine)?;
                let revision = rows::last_revision(&table)?;
                look(&Rows { table: &table, revision });
                Ok(())
            });
            reading.await.map_err(|problem| StoreProblem::Engine(problem.to_string()))?
        })
    }

    fn log(&self) -> &Arc<Log> {
        &self.log
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            drop(lock(&self.jobs).take());
            let writer = lock(&self.writer).take();
            if let Some(writer) = writer {
                drop(tokio::task::spawn_blocking(move || writer.join()).await);
            }
            let database = lock(&self.database).take();
            // Reads that still run hold it for a moment.
            while database.as_ref().is_some_and(|database| Arc::strong_count(database) > 1) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
