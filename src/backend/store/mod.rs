//! The store: one trait, one sequence of revisions, one log of commits.
//!
//! A write is a [`Job`]: a closure over a [`Transaction`] that runs atomically and takes one revision when it changed
//! something. Reads see one consistent [`View`]. What was committed is followed through a [`Log`].

mod codec;
#[cfg(test)]
mod conformance;
mod log;
pub(crate) mod memory;
mod overlay;
mod redb;
mod table;

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

pub use codec::{decode, encode};
pub use log::{Change, Commit, Compacted, Log};
pub use memory::{Kept, MemoryStore};
pub use redb::{OpenProblem, RedbStore};
pub use table::{Table, key, prefix_end};

use crate::protocol::{Code, Problem, Revision};

/// Revisions that a start skips, so that they grow also over a crash that lost volatile ones.
const LEAP: Revision = 1 << 20;

/// One row: key and value.
pub type Row = (Vec<u8>, Vec<u8>);

/// Reads at one moment.
pub trait View {
    /// The revision that this view shows; inside a [`Transaction`] the one that it will get if it changes something.
    fn revision(&self) -> Revision;

    /// The value of a key.
    ///
    /// # Errors
    /// When the store fails.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreProblem>;

    /// At most `limit` rows with `from <= key < to` in the order of their keys. For all keys with a prefix take the prefix
    /// and [`prefix_end`].
    ///
    /// # Errors
    /// When the store fails.
    fn scan(&self, table: Table, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Row>, StoreProblem>;
}

/// Reads and writes that become true together or not at all. Reads see the transaction's own writes.
pub trait Transaction: View {
    /// Sets the value of a key.
    ///
    /// # Errors
    /// When the store fails.
    fn put(&mut self, table: Table, key: &[u8], value: Vec<u8>) -> Result<(), StoreProblem>;

    /// Removes a key; nothing happens when it is absent.
    ///
    /// # Errors
    /// When the store fails.
    fn delete(&mut self, table: Table, key: &[u8]) -> Result<(), StoreProblem>;
}

/// Why the store could not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreProblem {
    /// The engine below failed.
    #[error("the store failed: {0}")]
    Engine(String),
    /// A stored value cannot be read.
    #[error("a value in the store cannot be read: {0}")]
    Corrupt(String),
    /// It was closed, or a failure closed it.
    #[error("the store is closed")]
    Closed,
}

impl From<StoreProblem> for Problem {
    fn from(problem: StoreProblem) -> Self {
        match problem {
            StoreProblem::Corrupt(_) => Self::new(Code::Internal, problem.to_string()),
            StoreProblem::Engine(_) | StoreProblem::Closed => {
                Self { retry_after: Some(1), ..Self::new(Code::Unavailable, problem.to_string()) }
            }
        }
    }
}

/// What a write does. May be called again when the engine has to start over, so it must not keep state between calls.
pub type Work = Box<dyn FnMut(&mut dyn Transaction) -> Result<(), Aborted> + Send>;
/// What a read does.
pub type Look = Box<dyn FnOnce(&dyn View) + Send>;
/// A future on the heap, so that [`Store`] can be a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The job leaves nothing behind; why is its own business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aborted;

/// A write.
pub struct Job {
    /// Whether it must survive a crash once it is answered. A volatile job costs no disk flush.
    pub durable: bool,
    /// What it does.
    pub work: Work,
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It changed something, at this revision.
    Committed(Revision),
    /// It changed nothing; the present revision.
    Unchanged(Revision),
    /// It refused; nothing of it is left.
    Aborted,
}

/// Who the store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Made once, for the life of the store.
    pub store: String,
    /// New at each start.
    pub epoch: String,
}

/// Where everything is kept.
pub trait Store: Send + Sync + 'static {
    /// Who it is.
    fn identity(&self) -> &Identity;

    /// Runs a job. Answers after its commit is as durable as it asked for, and after the log has it.
    fn submit(&self, job: Job) -> BoxFuture<'_, Result<Ended, StoreProblem>>;

    /// Runs a read on the newest committed state.
    fn look(&self, look: Look) -> BoxFuture<'_, Result<(), StoreProblem>>;

    /// What was committed lately, in the order of revisions.
    fn log(&self) -> &Arc<Log>;

    /// Finishes what is queued and lets go of all that it holds. Later calls answer [`StoreProblem::Closed`].
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// What a write answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written<R> {
    /// The answer of the closure.
    pub answer: R,
    /// The revision that it took, or the present one when it changed nothing.
    pub revision: Revision,
}

/// Runs `work` as one job and hands out what it returned.
///
/// # Errors
/// The problem that `work` returned, then nothing was changed; or that the store failed.
pub async fn write<R, F>(store: &dyn Store, durable: bool, mut work: F) -> Result<Written<R>, Problem>
where
    R: Send + 'static,
    F: FnMut(&mut dyn Transaction) -> Result<R, Problem> + Send + 'static,
{
    let slot = Arc::new(Mutex::new(None));
    let filled = Arc::clone(&slot);
    let work: Work = Box::new(move |tx| {
        let answer = work(tx);
        let ended = if answer.is_ok() { Ok(()) } else { Err(Aborted) };
        *filled.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        ended
    });
    let ended = store.submit(Job { durable, work }).await?;
    let answer = slot.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_else(|| Err(panicked()))?;
    match ended {
        Ended::Committed(revision) | Ended::Unchanged(revision) => Ok(Written { answer, revision }),
        Ended::Aborted => Err(StoreProblem::Closed.into()),
    }
}

/// Runs `look` on one consistent state and hands out what it returned.
///
/// # Errors
/// The problem that `look` returned, or that the store failed.
pub async fn read<R, F>(store: &dyn Store, look: F) -> Result<R, Problem>
where
    R: Send + 'static,
    F: FnOnce(&dyn View) -> Result<R, Problem> + Send + 'static,
{
    let slot = Arc::new(Mutex::new(None));
    let filled = Arc::clone(&slot);
    let look: Look = Box::new(move |view| {
        let answer = look(view);
        *filled.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
    });
    store.look(look).await?;
    let answer = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
    answer.unwrap_or_else(|| Err(panicked()))
}

/// A closure that returned has left its answer.
fn panicked() -> Problem {
    Problem::new(Code::Internal, "a defect; the backend's log says more")
}
