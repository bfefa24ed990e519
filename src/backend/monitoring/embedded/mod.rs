//! The embedded data plane of monitoring: it probes and evaluates itself, in this process.
//!
//! ```text
//! intents -> plane -> board (what is known of objects and conditions), schedule (when each object is probed)
//! schedule -> one task a running probe -> outcome -> board: series, state machine -> one durable report a transition
//! ```
//!
//! Reality is the memory of alerts: a transition is stored before anybody hears of it, and the plane starts from what it
//! reported last. Nothing else survives a restart: windows fill again, and what has to hold for a time has to hold anew.

mod board;
mod outcome;
mod plane;
mod probe_http;
mod probe_tcp;
mod prober;
mod schedule;
#[cfg(test)]
mod tests;

pub use plane::EmbeddedPlane;

use crate::rules::outbound::Outbound;

/// What the plane is allowed to do.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What may be probed; the backend's own listeners are in it.
    pub outbound: Outbound,
    /// Bounds.
    pub limits: Limits,
}

/// Bounds of the plane.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many probes run at a time.
    pub probes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { probes: 512 }
    }
}
