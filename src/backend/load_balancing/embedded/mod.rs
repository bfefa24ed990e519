//! The embedded data plane of load balancing: it carries the connections itself, in this process.
//!
//! ```text
//! intents -> plane -> one balancer task an object: config -> changes -> listeners, targets, probers
//! client -> listener (origins) -> connection: pick, connect, relay -> target
//! prober, connection -> target's health -> balancer: one report a transition
//! ```
//!
//! What happens to open connections: a change closes only those that it concerns. A removed listener closes its connections;
//! so does an origin that is no longer admitted. Connections to a removed target go on for up to [`Limits::target_drain`],
//! those to an unhealthy target or one of weight 0 without end.

mod balancer;
mod check;
mod config;
mod connect;
mod connection;
mod health;
mod listener;
mod pick;
mod plane;
mod pool;
mod relay;
mod report;
#[cfg(test)]
mod tests;

use std::time::Duration;

use ipnet::Ipv4Net;
pub use plane::EmbeddedPlane;

use super::checks::POOL;
use crate::rules::outbound::Outbound;

/// What the plane is allowed to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where front-end addresses come from, as in [`super::LoadBalancingChecks::new`]. No target may be in it: a balancer
    /// that feeds a balancer can feed itself.
    pub pool: Ipv4Net,
    /// What targets may be; the backend's own listeners are in it.
    pub outbound: Outbound,
    /// Bounds.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self { pool: POOL, outbound: Outbound::default(), limits: Limits::default() }
    }
}

/// Bounds of the plane.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open connections of all balancers together. Further ones wait in their listener's queue.
    pub connections: usize,
    /// Open connections of one listener, so that one does not starve the others.
    pub connections_per_listener: usize,
    /// How long opening a connection to one target may take before the next target is tried.
    pub connect_timeout: Duration,
    /// How long targets are tried for one client, all together.
    pub connect_total: Duration,
    /// How long connections to a removed target go on.
    pub target_drain: Duration,
    /// How long connections go on when the process stops.
    pub stop_drain: Duration,
    /// How many health checks run at a time.
    pub checks: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 65_536,
            connections_per_listener: 32_768,
            connect_timeout: Duration::from_secs(5),
            connect_total: Duration::from_secs(15),
            target_drain: Duration::from_secs(300),
            stop_drain: Duration::from_secs(30),
            checks: 512,
        }
    }
}
