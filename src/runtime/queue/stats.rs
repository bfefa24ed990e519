//! What the queue tells about itself.

use std::{collections::BTreeMap, time::Duration};

use super::Lane;

/// The queue at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// By kind, each that was ever queued.
    pub kinds: BTreeMap<String, KindStats>,
    /// Keys that wait for their time.
    pub delayed: usize,
    /// How many passes may run at a time.
    pub workers: usize,
}

/// The share of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KindStats {
    /// Runnable keys in the high lane.
    pub high: usize,
    /// Runnable keys in the low lane.
    pub low: usize,
    /// Adds since the start, those that changed nothing included.
    pub adds: u64,
    /// Failed passes since the start.
    pub retries: u64,
    /// How long the first key in line has been runnable.
    pub oldest: Duration,
    /// Passes that run.
    pub running: usize,
    /// How long these have been running, summed up.
    pub unfinished: Duration,
    /// How long the longest of these has been running.
    pub longest: Duration,
}

impl KindStats {
    pub(super) fn queued(&mut self, lane: Lane, depth: usize, oldest: Duration) {
        match lane {
            Lane::High => self.high = depth,
            Lane::Low => self.low = depth,
        }
        self.oldest = self.oldest.max(oldest);
    }

    pub(super) fn runs(&mut self, age: Duration) {
        self.running += 1;
        self.unfinished = self.unfinished.saturating_add(age);
        self.longest = self.longest.max(age);
    }
}
