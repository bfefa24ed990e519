//! The queue as a pure state machine: time comes in as an argument, nothing here waits.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{Keyed, KindStats, Lane, Outcome, Stats, Trigger, lane::Ready};
use crate::runtime::Backoff;

/// After this many picks from the high lane in a row, the low lane has one.
const HIGH_IN_A_ROW: u32 = 7;
/// Longer waits are cut to this, so that no sum of times overflows.
const LONGEST_WAIT: Duration = Duration::from_secs(365 * 24 * 3600);

/// All that is known of live keys: queued, delayed or running. A key that is none of these takes no memory.
#[derive(Debug)]
pub(super) struct Core<K> {
    backoff: Backoff,
    workers: usize,
    entries: BTreeMap<K, Entry>,
    high: Ready<K>,
    low: Ready<K>,
    delayed: BTreeMap<(Instant, u64), K>,
    running: BTreeMap<K, Instant>,
    counts: BTreeMap<String, Counts>,
    /// Numbers keys in the order in which they came.
    pushed: u64,
    in_a_row: u32,
}

#[derive(Debug)]
struct Entry {
    state: State,
    /// The strongest reason of the pass to come, or of the one that runs.
    trigger: Trigger,
    failures: u32,
    /// Adds that respect the backoff do not run the key before this.
    not_before: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Queued { lane: Lane, number: u64 },
    Delayed { due: Instant, lane: Lane, number: u64 },
    Running { again: Option<Wish>, forgotten: bool },
}

/// A pass that somebody wants.
#[derive(Clone, Copy, Debug)]
struct Wish {
    due: Instant,
    lane: Lane,
    trigger: Trigger,
}

impl Wish {
    /// One pass that serves both.
    fn with(self, other: Self) -> Self {
        let due = self.due.min(other.due);
        Self { due, lane: self.lane.max(other.lane), trigger: self.trigger.max(other.trigger) }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    adds: u64,
    retries: u64,
}

/// A key whose turn it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Picked<K> {
    pub(super) key: K,
    pub(super) trigger: Trigger,
    pub(super) waited: Duration,
    pub(super) failures: u32,
}

impl<K: Keyed> Core<K> {
    pub(super) fn new(workers: usize, backoff: Backoff) -> Self {
        Self {
            backoff,
            workers: workers.max(1),
            entries: BTreeMap::new(),
            high: Ready::default(),
            low: Ready::default(),
            delayed: BTreeMap::new(),
            running: BTreeMap::new(),
            counts: BTreeMap::new(),
            pushed: 0,
            in_a_row: 0,
        }
    }

    pub(super) fn add(&mut self, key: K, trigger: Trigger, now: Instant) {
        self.submit(key, Wish { due: now, lane: trigger.lane(), trigger }, now);
    }

    pub(super) fn add_after(&mut self, key: K, delay: Duration, lane: Lane, now: Instant) {
        self.submit(key, Wish { due: later(now, delay), lane, trigger: Trigger::Retry }, now);
    }

    fn submit(&mut self, key: K, wish: Wish, now: Instant) {
        self.count(key.kind(), |counts| counts.adds += 1);
        let Some(mut entry) = self.entries.remove(&key) else {
            let entry = Entry::new(wish.trigger);
            return self.place(key, entry, wish, now);
        };
        match entry.state {
            State::Running { again, forgotten } => {
                let again = Some(again.map_or(wish, |earlier| earlier.with(wish)));
                entry.state = State::Running { again, forgotten };
                self.entries.insert(key, entry);
            }
            State::Queued { lane, number } => {
                entry.void(wish.trigger);
                self.raise(key, entry, lane, number, wish, now);
            }
            State::Delayed { due, lane, number } => {
                self.delayed.remove(&(due, number));
                entry.void(wish.trigger);
                let due = due.min(entry.earliest(wish.due));
                let trigger = wish.trigger.max(entry.trigger);
                self.place(key, entry, Wish { due, lane: lane.max(wish.lane), trigger }, now);
            }
        }
    }

    /// A queued key is queued once: another add can only bring it into the higher lane.
    fn raise(&mut self, key: K, mut entry: Entry, lane: Lane, number: u64, wish: Wish, now: Instant) {
        entry.trigger = entry.trigger.max(wish.trigger);
        if wish.due <= now
            && wish.lane > lane
            && let Some((_, since)) = self.lane(lane).remove(key.kind(), number)
        {
            let number = self.number();
            self.lane(wish.lane).push(number, key.clone(), since);
            entry.state = State::Queued { lane: wish.lane, number };
        }
        self.entries.insert(key, entry);
    }

    /// Queues or delays a key that stands nowhere at the moment.
    fn place(&mut self, key: K, mut entry: Entry, wish: Wish, now: Instant) {
        let number = self.number();
        entry.trigger = wish.trigger;
        if wish.due <= now {
            entry.state = State::Queued { lane: wish.lane, number };
            self.lane(wish.lane).push(number, key.clone(), now);
        } else {
            entry.state = State::Delayed { due: wish.due, lane: wish.lane, number };
            self.delayed.insert((wish.due, number), key.clone());
        }
        self.entries.insert(key, entry);
    }

    /// The next key to run, when a worker is free. It counts as running until [`Core::finish`].
    pub(super) fn pop(&mut self, now: Instant) -> Option<Picked<K>> {
        self.wake(now);
        if self.running.len() >= self.workers {
            return None;
        }
        let (key, since) = self.pick()?;
        let entry = self.entries.get_mut(&key)?;
        entry.state = State::Running { again: None, forgotten: false };
        let waited = now.saturating_duration_since(since);
        let picked = Picked { key: key.clone(), trigger: entry.trigger, waited, failures: entry.failures };
        self.running.insert(key, now);
        Some(picked)
    }

    fn pick(&mut self) -> Option<(K, Instant)> {
        let low_is_due = self.in_a_row >= HIGH_IN_A_ROW && !self.low.is_empty();
        if self.high.is_empty() || low_is_due {
            let picked = self.low.pop()?;
            self.in_a_row = 0;
            return Some(picked);
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.high.pop()
    }

    /// Queues what has waited long enough.
    fn wake(&mut self, now: Instant) {
        while let Some(first) = self.delayed.first_entry().filter(|first| first.key().0 <= now) {
            let ((due, _), key) = first.remove_entry();
            let number = self.number();
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            let State::Delayed { lane, .. } = entry.state else { continue };
            entry.state = State::Queued { lane, number };
            self.lane(lane).push(number, key, due);
        }
    }

    /// When [`Core::pop`] is worth another try although nothing is added or finished. None: not by time alone.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let free = self.running.len() < self.workers;
        self.delayed.keys().next().filter(|_| free).map(|(due, _)| *due)
    }

    /// Whether [`Core::pop`] has something to give at this moment.
    pub(super) fn is_ready(&self) -> bool {
        self.running.len() < self.workers && !(self.high.is_empty() && self.low.is_empty())
    }

    /// Ends the pass of a key. `jitter` draws a duration between zero and the one given.
    pub(super) fn finish(
        &mut self,
        key: &K,
        outcome: Outcome,
        now: Instant,
        jitter: impl FnOnce(Duration) -> Duration,
    ) {
        if self.running.remove(key).is_none() {
            return;
        }
        let Some((key, mut entry)) = self.entries.remove_entry(key) else { return };
        let State::Running { again, forgotten } = entry.state else { return };
        let own = match outcome {
            _ if forgotten => None,
            Outcome::Done => entry.succeed(None),
            Outcome::After(delay) => entry.succeed(Some(later(now, delay))),
            Outcome::Failed | Outcome::FailedAfter(_) => {
                self.count(key.kind(), |counts| counts.retries += 1);
                let wait = self.backoff.wait(entry.failures.saturating_add(1), jitter);
                entry.fail(later(now, outcome.least().saturating_add(wait)))
            }
        };
        let again = again.map(|wish| {
            entry.void(wish.trigger);
            Wish { due: entry.earliest(wish.due), ..wish }
        });
        let next = match (own, again) {
            (Some(own), Some(again)) => Some(own.with(again)),
            (own, again) => own.or(again),
        };
        if let Some(wish) = next {
            self.place(key, entry, wish, now);
        }
    }

    /// Drops everything about a key. A pass that runs may end; whatever its outcome, only a later add runs the key again.
    pub(super) fn forget(&mut self, key: &K) {
        let Some((key, mut entry)) = self.entries.remove_entry(key) else { return };
        match entry.state {
            State::Queued { lane, number } => drop(self.lane(lane).remove(key.kind(), number)),
            State::Delayed { due, number, .. } => drop(self.delayed.remove(&(due, number))),
            State::Running { .. } => {
                entry = Entry { state: State::Running { again: None, forgotten: true }, ..Entry::new(entry.trigger) };
                self.entries.insert(key, entry);
            }
        }
    }

    pub(super) fn stats(&self, now: Instant) -> Stats {
        let mut kinds: BTreeMap<String, KindStats> = BTreeMap::new();
        for (kind, counts) in &self.counts {
            let stats = KindStats { adds: counts.adds, retries: counts.retries, ..KindStats::default() };
            kinds.insert(kind.clone(), stats);
        }
        for (lane, ready) in [(Lane::Low, &self.low), (Lane::High, &self.high)] {
            for (kind, depth, since) in ready.depths() {
                kinds.entry(kind.to_owned()).or_default().queued(lane, depth, now.saturating_duration_since(since));
            }
        }
        for (key, since) in &self.running {
            let age = now.saturating_duration_since(*since);
            kinds.entry(key.kind().to_owned()).or_default().runs(age);
        }
        Stats { kinds, delayed: self.delayed.len(), workers: self.workers }
    }

    /// How many keys take memory.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    fn lane(&mut self, lane: Lane) -> &mut Ready<K> {
        match lane {
            Lane::High => &mut self.high,
            Lane::Low => &mut self.low,
        }
    }

    fn number(&mut self) -> u64 {
        self.pushed += 1;
        self.pushed
    }

    fn count(&mut self, kind: &str, how: impl FnOnce(&mut Counts)) {
        if let Some(counts) = self.counts.get_mut(kind) {
            return how(counts);
        }
        how(self.counts.entry(kind.to_owned()).or_default());
    }
}

impl Entry {
    /// An entry that is about to be placed.
    fn new(trigger: Trigger) -> Self {
        Self { state: State::Running { again: None, forgotten: false }, trigger, failures: 0, not_before: None }
    }

    /// A change by a user starts afresh. A change of a dependency ends the wait but keeps the count, so that one which
    /// changes all the time does not make a failing object run all the time at the shortest backoff.
    fn void(&mut self, trigger: Trigger) {
        if trigger >= Trigger::Dependency {
            self.not_before = None;
        }
        if trigger == Trigger::User {
            self.failures = 0;
        }
    }

    fn earliest(&self, due: Instant) -> Instant {
        self.not_before.map_or(due, |not_before| due.max(not_before))
    }

    fn succeed(&mut self, due: Option<Instant>) -> Option<Wish> {
        (self.failures, self.not_before) = (0, None);
        due.map(|due| Wish { due, lane: Lane::Low, trigger: Trigger::Retry })
    }

    fn fail(&mut self, due: Instant) -> Option<Wish> {
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(due);
        Some(Wish { due, lane: Lane::Low, trigger: Trigger::Retry })
    }
}

fn later(now: Instant, delay: Duration) -> Instant {
    now.checked_add(delay.min(LONGEST_WAIT)).unwrap_or(now)
}
