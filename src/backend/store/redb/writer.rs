//! The one writer: groups the jobs that wait into one commit, so that one disk flush serves all of them.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use redb::{Database, Durability};
use tokio::sync::{mpsc, oneshot};

use super::{
    super::{Aborted, Commit, Ended, Job, Log, StoreProblem, overlay::Overlay},
    rows::{self, ROWS, Rows, Writable, engine},
};
use crate::protocol::Revision;

/// Jobs in one commit.
const GROUP: usize = 256;
/// Volatile commits in a row, after which one is flushed: far below the revisions that a start skips, and redb can use the
/// pages again that were freed.
const VOLATILE: u32 = 4096;

/// A job and who waits for it.
pub(super) struct Queued {
    pub(super) job: Job,
    pub(super) answer: oneshot::Sender<Result<Ended, StoreProblem>>,
}

pub(super) struct Writer {
    database: Arc<Database>,
    log: Arc<Log>,
    queue: mpsc::Receiver<Queued>,
    revision: Revision,
    volatile: u32,
}

/// What became of a group.
#[derive(Default)]
struct Group {
    ended: Vec<Ended>,
    commits: Vec<Arc<Commit>>,
    durable: bool,
}

impl Writer {
    pub(super) fn new(database: Arc<Database>, log: Arc<Log>, queue: mpsc::Receiver<Queued>) -> Self {
        let revision = log.newest();
        Self { database, log, queue, revision, volatile: 0 }
    }

    /// Works until all senders are gone.
    pub(super) fn run(mut self) {
        while let Some(first) = self.queue.blocking_recv() {
            let mut jobs = vec![first];
            while jobs.len() < GROUP
                && let Ok(next) = self.queue.try_recv()
            {
                jobs.push(next);
            }
            self.serve(jobs);
        }
    }

    fn serve(&mut self, mut jobs: Vec<Queued>) {
        let group = match self.commit(&mut jobs) {
            Ok(group) => group,
            Err(problem) => {
                tracing::error!(%problem, jobs = jobs.len(), "a commit failed");
                jobs.into_iter().for_each(|queued| drop(queued.answer.send(Err(problem.clone()))));
                return;
            }
        };
        for commit in group.commits {
            self.revision = commit.revision;
            self.log.publish(commit);
        }
        // Whoever waited may have gone; what it asked for is done all the same.
        jobs.into_iter().zip(group.ended).for_each(|(queued, ended)| drop(queued.answer.send(Ok(ended))));
    }

    fn commit(&mut self, jobs: &mut [Queued]) -> Result<Group, StoreProblem> {
        let mut transaction = self.database.begin_write().map_err(engine)?;
        let mut group = Group::default();
        {
            let mut table = transaction.open_table(ROWS).map_err(engine)?;
            for queued in jobs {
                let next = group.commits.last().map_or(self.revision, |commit| commit.revision) + 1;
                group.add(&mut table, &mut queued.job, next)?;
            }
            if let Some(last) = group.commits.last() {
                rows::put_revision(&mut table, last.revision)?;
            }
        }
        if group.commits.is_empty() {
            transaction.abort().map_err(engine)?;
            return Ok(group);
        }
        let durable = group.durable || self.volatile >= VOLATILE;
        transaction.set_durability(if durable { Durability::Immediate } else { Durability::None }).map_err(engine)?;
        transaction.commit().map_err(engine)?;
        self.volatile = if durable { 0 } else { self.volatile + 1 };
        Ok(group)
    }
}

impl Group {
    fn add(&mut self, table: &mut Writable<'_>, job: &mut Job, revision: Revision) -> Result<(), StoreProblem> {
        let base = Rows { table, revision };
        let mut overlay = Overlay::new(&base, revision);
        // A job that panics must not take the writer with it; its overlay is dropped with all that it wrote.
        let outcome = catch_unwind(AssertUnwindSafe(|| (job.work)(&mut overlay))).unwrap_or(Err(Aborted));
        if outcome.is_err() {
            self.ended.push(Ended::Aborted);
            return Ok(());
        }
        let changes = overlay.finish()?;
        if changes.is_empty() {
            self.ended.push(Ended::Unchanged(revision - 1));
            return Ok(());
        }
        for change in &changes {
            match &change.value {
                Some(value) => rows::put(table, change.table, &change.key, value)?,
                None => rows::delete(table, change.table, &change.key)?,
            }
        }
        self.durable |= job.durable;
        self.commits.push(Arc::new(Commit { revision, changes }));
        self.ended.push(Ended::Committed(revision));
        Ok(())
    }
}
