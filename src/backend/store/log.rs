//! The log: what was committed lately, in memory, bounded.

use std::{
    collections::VecDeque,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tokio::sync::Notify;

use super::Table;
use crate::protocol::Revision;

/// Commits that are kept.
const COMMITS: usize = 16_384;
/// Bytes of keys and values that are kept.
const BYTES: usize = 8 << 20;

/// One changed row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its table.
    pub table: Table,
    /// Its key.
    pub key: Bytes,
    /// What it was, only when it was removed.
    pub removed: Option<Bytes>,
    /// What it is; absent when it was removed.
    pub value: Option<Bytes>,
}

/// What one job changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Its revision.
    pub revision: Revision,
    /// The rows, by table and key.
    pub changes: Vec<Change>,
}

impl Commit {
    fn size(&self) -> usize {
        let bytes = |b: &Option<Bytes>| b.as_ref().map_or(0, Bytes::len);
        self.changes.iter().map(|c| 128 + c.key.len() + bytes(&c.removed) + bytes(&c.value)).sum()
    }
}

/// The log no longer reaches back that far: take a snapshot instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log does not reach back to this position")]
pub struct Compacted;

/// Recent commits. Readers keep a position, not a buffer: who is too slow falls off the end and hears [`Compacted`].
#[derive(Debug)]
pub struct Log {
    ring: Mutex<Ring>,
    /// Readers wait here; they are woken in the order in which they came.
    more: Notify,
}

#[derive(Debug)]
struct Ring {
    newest: Revision,
    commits: VecDeque<Arc<Commit>>,
    bytes: usize,
    most: usize,
    /// All after this revision is in `commits`.
    floor: Revision,
}

impl Log {
    /// An empty log of a store whose newest revision is `revision`.
    #[must_use]
    pub fn new(revision: Revision) -> Self {
        Self::keeping(COMMITS, revision)
    }

    /// As [`Log::new`], with at most so many commits. With 0 the log only counts: for a store that nobody follows.
    #[must_use]
    pub fn keeping(most: usize, revision: Revision) -> Self {
        let ring = Ring { newest: revision, commits: VecDeque::new(), bytes: 0, most, floor: revision };
        Self { ring: Mutex::new(ring), more: Notify::new() }
    }

    /// The newest revision.
    #[must_use]
    pub fn newest(&self) -> Revision {
        self.ring().newest
    }

    /// Adds a commit; for engines, in the order of revisions.
    pub fn publish(&self, commit: Arc<Commit>) {
        self.ring().push(commit);
        self.more.notify_waiters();
    }

    /// At most `limit` commits after `position`, oldest first; empty when there are none yet.
    ///
    /// # Errors
    /// When the position is too old, or newer than anything that exists.
    pub fn after(&self, position: Revision, limit: usize) -> Result<Vec<Arc<Commit>>, Compacted> {
        let ring = self.ring();
        if position < ring.floor || position > ring.newest {
            return Err(Compacted);
        }
        let start = ring.commits.partition_point(|commit| commit.revision <= position);
        Ok(ring.commits.iter().skip(start).take(limit).cloned().collect())
    }

    /// Waits until there are commits after `position`, then as [`Log::after`]. May be dropped at any time.
    ///
    /// # Errors
    /// As [`Log::after`].
    pub async fn wait(&self, position: Revision, limit: usize) -> Result<Vec<Arc<Commit>>, Compacted> {
        loop {
            let mut more = pin!(self.more.notified());
            // From here on no commit is missed.
            more.as_mut().enable();
            if self.newest() > position {
                return self.after(position, limit);
            }
            more.await;
        }
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    fn push(&mut self, commit: Arc<Commit>) {
        self.newest = commit.revision;
        self.bytes += commit.size();
        self.commits.push_back(commit);
        while self.commits.len() > self.most || (self.bytes > BYTES && self.commits.len() > 1) {
            if let Some(oldest) = self.commits.pop_front() {
                self.bytes -= oldest.size();
                self.floor = oldest.revision;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(revision: Revision, size: usize) -> Arc<Commit> {
        let value = Some(Bytes::from(vec![0; size]));
        let change = Change { table: Table::Objects, key: Bytes::new(), removed: None, value };
        Arc::new(Commit { revision, changes: vec![change] })
    }

    fn revisions(log: &Log, position: Revision, limit: usize) -> Result<Vec<Revision>, Compacted> {
        Ok(log.after(position, limit)?.iter().map(|commit| commit.revision).collect())
    }

    #[test]
    fn positions_before_and_beyond_are_refused() {
        let log = Log::new(10);
        assert_eq!(revisions(&log, 10, 9), Ok(vec![]));
        assert_eq!(revisions(&log, 9, 9), Err(Compacted));
        assert_eq!(revisions(&log, 11, 9), Err(Compacted));
        (11..14).for_each(|revision| log.publish(commit(revision, 1)));
        assert_eq!(revisions(&log, 10, 2), Ok(vec![11, 12]));
        assert_eq!(revisions(&log, 13, 2), Ok(vec![]));
    }

    #[test]
    fn memory_is_bounded_by_count_and_by_bytes() {
        let log = Log::new(0);
        (1..=70_000).for_each(|revision| log.publish(commit(revision, 0)));
        assert_eq!(revisions(&log, 70_000 - COMMITS as u64, 1), Ok(vec![70_001 - COMMITS as u64]));
        assert_eq!(revisions(&log, 69_999 - COMMITS as u64, 1), Err(Compacted));
        (70_001..70_100).for_each(|revision| log.publish(commit(revision, 1 << 20)));
        assert!(log.ring.lock().unwrap().bytes <= BYTES);
        assert_eq!(revisions(&log, 70_001, 1), Err(Compacted));
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_with_the_next_commit() {
        let log = Arc::new(Log::new(0));
        let waiter = tokio::spawn({
            let log = Arc::clone(&log);
            async move { log.wait(0, 9).await }
        });
        tokio::task::yield_now().await;
        log.publish(commit(1, 1));
        assert_eq!(waiter.await.unwrap().unwrap().len(), 1);
    }
}
