//! Targets at work: their health, their connections, and the pool that a listener picks from.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::{
    health::{Failure, Standing, Tally, Thresholds},
    pick::{Candidate, Rank, Wheel, pick},
};
use crate::{protocol::load_balancer::Algorithm, rules::cidr::Origins};

/// How long a target is passed over after a connection to it failed, while there is another.
const REST: Duration = Duration::from_secs(1);

/// A target of one service.
#[derive(Debug)]
pub struct Target {
    /// Where it is.
    pub address: SocketAddr,
    health: Mutex<Health>,
    /// The standing in `health`, to be read without its lock: a pick reads those of all targets.
    standing: AtomicU8,
    open: AtomicUsize,
    retired: AtomicBool,
    born: Instant,
    /// Milliseconds after `born`.
    resting_until: AtomicU64,
    changed: Arc<Notify>,
}

#[derive(Debug)]
struct Health {
    tally: Tally,
    /// Absent: the target is not checked and counts as healthy.
    thresholds: Option<Thresholds>,
}

impl Target {
    /// A new target. `changed` is told when its standing changes.
    #[must_use]
    pub fn new(address: SocketAddr, thresholds: Option<Thresholds>, changed: Arc<Notify>) -> Self {
        let standing = if thresholds.is_some() { Standing::Checking } else { Standing::Healthy };
        Self {
            address,
            health: Mutex::new(Health { tally: Tally::new(standing), thresholds }),
            standing: AtomicU8::new(standing as u8),
            open: AtomicUsize::new(0),
            retired: AtomicBool::new(false),
            born: Instant::now(),
            resting_until: AtomicU64::new(0),
            changed,
        }
    }

    /// Its standing, and what made it unhealthy.
    #[must_use]
    pub fn health(&self) -> (Standing, Option<Failure>) {
        let health = self.lock();
        (health.tally.standing(), health.tally.failure().cloned())
    }

    /// It is checked in another way from now on, or not at all. A healthy target stays so; of an unhealthy one the new check
    /// decides at once.
    pub fn recheck(&self, thresholds: Option<Thresholds>) {
        let mut health = self.lock();
        health.thresholds = thresholds;
        if thresholds.is_none() {
            health.tally = Tally::new(Standing::Healthy);
        } else if health.tally.standing() == Standing::Unhealthy {
            health.tally = Tally::new(Standing::Checking);
        }
        self.standing.store(health.tally.standing() as u8, Ordering::Release);
    }

    /// Takes in the result of a check.
    pub fn observe(&self, result: Result<(), Failure>) {
        if result.is_ok() {
            self.resting_until.store(0, Ordering::Release);
        }
        let mut health = self.lock();
        let changed = health.thresholds.is_some_and(|thresholds| health.tally.observe(result, thresholds));
        self.standing.store(health.tally.standing() as u8, Ordering::Release);
        drop(health);
        if changed {
            self.changed.notify_one();
        }
    }

    /// A connection to it failed: it rests, and that counts as a bad check, once a rest.
    pub fn stumbled(&self, failure: Failure) {
        let now = self.age(Instant::now());
        let until = now + u64::try_from(REST.as_millis()).unwrap_or(0);
        let rest = |resting_until| (resting_until <= now).then_some(until);
        if self.resting_until.fetch_update(Ordering::AcqRel, Ordering::Acquire, rest).is_ok() {
            self.observe(Err(failure));
        }
    }

    /// It is no longer a target: connections to it come to an end.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    /// Whether it is no longer a target.
    #[must_use]
    pub fn retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    fn rank(&self, now: Instant) -> Option<Rank> {
        let resting = self.resting_until.load(Ordering::Acquire) > self.age(now);
        let standing = self.standing.load(Ordering::Acquire);
        if standing == Standing::Healthy as u8 {
            Some(if resting { Rank::ProvenResting } else { Rank::Proven })
        } else if standing == Standing::Checking as u8 {
            Some(if resting { Rank::UnprovenResting } else { Rank::Unproven })
        } else {
            None
        }
    }

    /// Milliseconds since it was born, and never 0, which means "has not rested".
    fn age(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.born).as_millis()).unwrap_or(u64::MAX - 1).saturating_add(1)
    }

    fn lock(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A target with its share.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its share; 0: no new connections.
    pub weight: u32,
    /// The target.
    pub target: Arc<Target>,
}

/// What one listener works with. Replaced as a whole when the config changes; targets live on.
#[derive(Debug)]
pub struct Pool {
    algorithm: Algorithm,
    origins: Arc<Origins>,
    entries: Vec<Entry>,
    turn: Mutex<Turn>,
}

#[derive(Debug, Default)]
struct Turn {
    wheel: Wheel,
    /// Kept so that a pick allocates nothing.
    candidates: Vec<Candidate>,
}

impl Pool {
    /// A pool in which targets keep the place in the round that they had in the pool `before`.
    #[must_use]
    pub fn new(algorithm: Algorithm, origins: Arc<Origins>, entries: Vec<Entry>, before: Option<&Self>) -> Self {
        let place = |entry: &Entry| before.map_or(0, |pool| pool.standing(&entry.name));
        let wheel = Wheel::new(entries.iter().map(place).collect());
        Self { algorithm, origins, entries, turn: Mutex::new(Turn { wheel, candidates: Vec::new() }) }
    }

    /// Who may connect.
    #[must_use]
    pub fn origins(&self) -> &Origins {
        &self.origins
    }

    /// The target for the next connection, but none of `tried`; counted as one of its connections until the lease is dropped.
    pub fn pick(&self, tried: &BTreeSet<SocketAddr>) -> Option<Lease> {
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let Turn { wheel, candidates } = &mut *turn;
        let now = Instant::now();
        candidates.clear();
        candidates.extend(self.entries.iter().map(|entry| entry.candidate(tried, now)));
        let entry = self.entries.get(pick(self.algorithm, candidates, wheel)?)?;
        // still under the lock, so that two picks at a time see each other's connection
        entry.target.open.fetch_add(1, Ordering::AcqRel);
        Some(Lease(Arc::clone(&entry.target)))
    }

    fn standing(&self, name: &str) -> i64 {
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let index = self.entries.iter().position(|entry| entry.name == name);
        index.map_or(0, |index| turn.wheel.standing(index))
    }
}

impl Entry {
    fn candidate(&self, tried: &BTreeSet<SocketAddr>, now: Instant) -> Candidate {
        let rank = if tried.contains(&self.target.address) { None } else { self.target.rank(now) };
        Candidate { weight: self.weight, rank, open: self.target.open.load(Ordering::Acquire) }
    }
}

/// A connection's hold on its target.
#[derive(Debug)]
pub struct Lease(Arc<Target>);

impl Lease {
    /// The target.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.0
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
    }
}
