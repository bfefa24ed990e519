//! A fair work queue: which object is looked at next, and when.
//!
//! Two lanes: changes that people wait for, and everything else, which has every eighth turn at least. Inside a lane the
//! kinds take turns, inside a kind it is first in, first out. One pass for a key at a time; a key that is added during its
//! pass runs once more after it. A key that failed waits with exponential backoff, and only a real change ends that wait:
//! the echo of our own status write does not.

mod core;
mod lane;
#[cfg(test)]
mod model;
mod stats;
#[cfg(test)]
mod tests;

use std::{
    fmt::Debug,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use self::core::{Core, Picked};
pub use self::stats::{KindStats, Stats};
use super::{Backoff, World};

/// What can be queued.
pub trait Keyed: Clone + Ord + Debug + Send + 'static {
    /// Keys of one kind share turns; few in number and without object names, for it is a metric label too.
    fn kind(&self) -> &str;
}

/// Why a key is to be looked at, from the weakest reason to the strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Trigger {
    /// Seen in a list, after a start or a lost watch. Low lane, respects the backoff.
    Initial,
    /// Its time has come: a retry, a resync. Low lane, respects the backoff.
    Retry,
    /// Somebody, most likely we, wrote status or our own marks. Low lane, respects the backoff.
    Echo,
    /// Something that it refers to changed, or its backend object did. High lane, ends a wait, keeps the count of failures.
    Dependency,
    /// Its spec, annotations or deletion changed. High lane, ends a wait and forgets failures.
    User,
}

impl Trigger {
    /// The lane that a key with this trigger stands in.
    #[must_use]
    pub fn lane(self) -> Lane {
        if self >= Self::Dependency { Lane::High } else { Lane::Low }
    }
}

/// Who goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Lane {
    /// Retries, resyncs, first listing: served when the high lane is empty, and at every eighth pick.
    Low,
    /// Changes of users and of dependencies.
    High,
}

/// How a pass ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing to do until something changes.
    Done,
    /// Well, and to be looked at again after this long (at most a year), in the low lane.
    After(Duration),
    /// To be tried again after a backoff that grows with each failure in a row.
    Failed,
    /// As [`Outcome::Failed`], the backoff counting from the end of this wait: a server's `Retry-After`.
    FailedAfter(Duration),
}

impl Outcome {
    fn least(self) -> Duration {
        if let Self::FailedAfter(least) = self { least } else { Duration::ZERO }
    }
}

/// The queue. Cheap to clone; all clones are one queue.
#[derive(Debug)]
pub struct Queue<K: Keyed> {
    shared: Arc<Shared<K>>,
}

#[derive(Debug)]
struct Shared<K> {
    core: Mutex<Core<K>>,
    /// One waiting worker is woken for each thing that may let it go on; it wakes the next when there is more.
    wake: Notify,
    world: World,
}

impl<K: Keyed> Clone for Queue<K> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<K: Keyed> Queue<K> {
    /// A queue that hands out at most `workers` passes at a time (at least one).
    #[must_use]
    pub fn new(world: World, workers: usize, backoff: Backoff) -> Self {
        let core = Mutex::new(Core::new(workers, backoff));
        Self { shared: Arc::new(Shared { core, wake: Notify::new(), world }) }
    }

    /// Asks for a pass. A key that is queued already stays where it is, or moves to the higher lane.
    pub fn add(&self, key: K, trigger: Trigger) {
        self.change(|core, now| core.add(key, trigger, now));
    }

    /// Asks for a pass after `delay` (at most a year), not before a backoff is over. Of two delays the earlier counts; a
    /// pass that is queued already serves it.
    pub fn add_after(&self, key: K, delay: Duration, lane: Lane) {
        self.change(|core, now| core.add_after(key, delay, lane, now));
    }

    /// Drops a key with its failures. Not needed after [`Outcome::Done`], which leaves nothing behind.
    pub fn forget(&self, key: &K) {
        self.change(|core, _| core.forget(key));
    }

    /// Waits for a key whose turn it is and a free worker. Any number of tasks may wait; to drop the future loses nothing.
    pub async fn next(&self) -> Pass<K> {
        loop {
            // Listens before it looks, or a change between the two would go unseen.
            let woken = self.shared.wake.notified();
            let due = match self.pop() {
                Ok(pass) => return pass,
                Err(due) => due,
            };
            let mut watch = Watch { wake: &self.shared.wake, given_up: true };
            match due {
                None => woken.await,
                Some(due) => tokio::select! {
                    biased;
                    () = woken => {}
                    () = sleep_until(due) => {}
                },
            }
            watch.given_up = false;
        }
    }

    /// Numbers for metrics and for people, as they are now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.lock().stats(Instant::now().into_std())
    }

    fn pop(&self) -> Result<Pass<K>, Option<Instant>> {
        let now = Instant::now();
        let (picked, due, more) = {
            let mut core = self.shared.lock();
            (core.pop(now.into_std()), core.next_due(), core.is_ready())
        };
        // Another waiter may have gone to sleep before the first delay ended, or been passed over by a single wake.
        if more || (picked.is_some() && due.is_some()) {
            self.shared.wake.notify_one();
        }
        let Picked { key, trigger, waited, failures } = picked.ok_or_else(|| due.map(Instant::from_std))?;
        let shared = Arc::clone(&self.shared);
        Ok(Pass { key, trigger, waited, failures, started: now, outcome: Outcome::Failed, shared })
    }

    fn change(&self, how: impl FnOnce(&mut Core<K>, std::time::Instant)) {
        how(&mut self.shared.lock(), Instant::now().into_std());
        self.shared.wake.notify_one();
    }
}

/// A worker that waits. If it gives up, another takes over the timer that it may have kept for all.
struct Watch<'a> {
    wake: &'a Notify,
    given_up: bool,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if self.given_up {
            self.wake.notify_one();
        }
    }
}

impl<K> Shared<K> {
    fn lock(&self) -> MutexGuard<'_, Core<K>> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to work on one key. Ends with [`Pass::finish`]; one that is dropped, by a panic for instance, has failed.
#[derive(Debug)]
#[must_use = "a pass that is dropped counts as failed"]
pub struct Pass<K: Keyed> {
    key: K,
    trigger: Trigger,
    waited: Duration,
    failures: u32,
    started: Instant,
    outcome: Outcome,
    shared: Arc<Shared<K>>,
}

impl<K: Keyed> Pass<K> {
    /// What to look at. Read the object now: it may be newer than the trigger, or gone.
    pub fn key(&self) -> &K {
        &self.key
    }

    /// The strongest of the reasons for this pass.
    pub fn trigger(&self) -> Trigger {
        self.trigger
    }

    /// How long it was runnable before a worker took it.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// How many passes in a row failed before this one.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// How long the pass has been running.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Ends the pass and frees its worker.
    pub fn finish(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl<K: Keyed> Drop for Pass<K> {
    fn drop(&mut self) {
        let now = Instant::now().into_std();
        let jitter = |limit| self.shared.world.up_to(limit);
        self.shared.lock().finish(&self.key, self.outcome, now, jitter);
        self.shared.wake.notify_one();
    }
}
