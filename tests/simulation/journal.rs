//! What crossed the boundary of a server, in the order in which the servers took it: the witness of the oracles.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde_json::Value;
use tokio::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The API server.
    Kube,
    /// The backend.
    Wire,
}

/// One request that may have changed something, and that a server has answered.
#[derive(Clone, Debug)]
pub struct Entry {
    pub at: Duration,
    pub side: Side,
    pub who: &'static str,
    pub verb: String,
    pub path: String,
    pub query: String,
    pub body: Value,
    /// The body as it was sent.
    pub sent: Bytes,
    pub condition: Option<String>,
    pub status: u16,
}

impl Entry {
    /// Whether the server did it.
    pub fn done(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { at, who, verb, path, body, condition, status, .. } = self;
        write!(f, "{at:>10.3?} {who:8} {verb:6} {path} {body} {condition:?} -> {status}")
    }
}

/// All entries, and the laws that were seen broken on the way.
#[derive(Clone)]
pub struct Journal(Arc<Mutex<State>>);

struct State {
    began: Instant,
    entries: Vec<Entry>,
    broken: Vec<String>,
    /// How many entries there may be.
    most: usize,
    /// Ends the run: it writes without end.
    full: CancellationToken,
}

/// Writes of one run, and more for each deed; the busiest of 30,000 seeds had 264 in all.
const MOST: usize = 500;
const MORE: usize = 10;

impl Journal {
    /// Of a run with so many deeds.
    pub fn new(deeds: usize) -> Self {
        let (full, most) = (CancellationToken::new(), MOST + MORE * deeds);
        let (entries, broken) = (Vec::new(), Vec::new());
        Self(Arc::new(Mutex::new(State { began: Instant::now(), entries, broken, most, full })))
    }

    /// Cancelled once nobody may hope that the run calms down.
    pub fn full(&self) -> CancellationToken {
        self.state().full.clone()
    }

    pub fn now(&self) -> Duration {
        self.state().began.elapsed()
    }

    pub fn add(&self, entry: Entry) {
        let mut state = self.state();
        state.entries.push(entry);
        if state.entries.len() == state.most {
            let law = format!("L2: {} writes", state.most);
            state.broken.push(law);
            state.full.cancel();
        }
    }

    /// A law does not hold.
    pub fn broken(&self, law: &str, what: impl std::fmt::Display) {
        let mut state = self.state();
        let at = state.began.elapsed();
        if state.broken.len() < 20 {
            state.broken.push(format!("{law} at {at:?}: {what}"));
        }
    }

    /// The laws that were seen broken.
    pub fn verdict(&self) -> Vec<String> {
        self.state().broken.clone()
    }

    pub fn len(&self) -> usize {
        self.state().entries.len()
    }

    /// Looks at all entries from `start`.
    pub fn read<T>(&self, start: usize, look: impl FnOnce(&[Entry]) -> T) -> T {
        look(&self.state().entries[start..])
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
