//! Intent and reality of a project load balancer.

use std::{collections::BTreeMap, net::IpAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Intent, Members};

/// What a load balancer shall be. Absent fields mean the documented value; the backend returns exactly what it was sent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoadBalancer {
    /// The name that people know it by; need not be unique.
    pub name: String,
    /// How a target is picked for a connection; absent: `RoundRobin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<Algorithm>,
    /// Families of the front-end addresses; absent: IPv4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address_families: Option<Vec<AddressFamily>>,
    /// Listeners by name.
    #[serde(default)]
    pub services: BTreeMap<String, Service>,
    /// Where connections go, by name.
    #[serde(default)]
    pub targets: BTreeMap<String, Target>,
}

/// How a target is picked for a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Algorithm {
    /// In turn, in proportion to the weights.
    #[default]
    RoundRobin,
    /// The target with the fewest open connections in relation to its weight.
    LeastConnections,
}

/// Version of the Internet Protocol.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, strum::Display,
)]
pub enum AddressFamily {
    /// IPv4.
    IPv4,
    /// IPv6.
    IPv6,
}

/// One listener.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Service {
    /// Port to listen on, 1 to 65535.
    pub port: u16,
    /// Absent: TCP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// CIDRs that may connect; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_origins: Option<Vec<String>>,
    /// CIDRs that may not connect; wins over `allowedOrigins`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked_origins: Option<Vec<String>>,
    /// Absent: targets count as healthy without being asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// Names of the targets that this listener uses; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets: Option<Vec<String>>,
}

/// What a listener speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Protocol {
    /// Bytes, both ways.
    #[default]
    TCP,
}

/// How a target's health is found out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HealthCheck {
    /// Absent: TCP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<HealthProtocol>,
    /// Path of the HTTP request; absent: `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Time between checks, a GEP-2257 duration of at least 100ms; absent: 5s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    /// Time that one check may take, at most the interval; absent: 2s, or the interval when that is shorter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// Good checks in a row that make a target healthy, 1 to 100; absent: 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy_threshold: Option<u32>,
    /// Bad checks in a row that make it unhealthy, 1 to 100; absent: 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unhealthy_threshold: Option<u32>,
}

/// What a health check speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HealthProtocol {
    /// A connection that opens is healthy.
    #[default]
    TCP,
    /// A GET answered with 200 to 399 is healthy.
    HTTP,
}

/// Where connections go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Target {
    /// IP address.
    pub address: IpAddr,
    /// Port, 1 to 65535.
    pub port: u16,
    /// Share of connections, 0 to 1000; 0: no new ones; absent: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
}

/// What the backend chose and counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// Front-end addresses, stable for the life of the object.
    #[serde(default)]
    pub addresses: Vec<Address>,
    /// Health by service.
    #[serde(default)]
    pub services: BTreeMap<String, ServiceState>,
}

/// A front-end address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Address {
    /// Its family.
    pub family: AddressFamily,
    /// The address.
    pub address: IpAddr,
}

/// Health of one service's targets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceState {
    /// Targets that take connections.
    pub healthy_targets: u32,
    /// All its targets.
    pub targets: u32,
}

/// States of this service's members. A service's path is its name, a target's `service/target`.
pub mod member {
    /// A service that accepts connections on every address.
    pub const LISTENING: &str = "Listening";
    /// A service that does not, with the reason.
    pub const NOT_LISTENING: &str = "NotListening";
    /// A target that takes connections.
    pub const HEALTHY: &str = "Healthy";
    /// A target that failed its checks.
    pub const UNHEALTHY: &str = "Unhealthy";
    /// A target that has not been checked often enough.
    pub const CHECKING: &str = "Checking";
    /// A target that the outbound filter refuses.
    pub const REFUSED: &str = "Refused";
}

impl Intent for LoadBalancer {
    type State = State;
    const COLLECTION: &'static str = "load-balancers";
    const PERMISSION: &'static str = "project.load_balancer";
    const MEMBERS: &'static [Members] = &[
        Members { field: "services", permission: "project.load_balancer.service" },
        Members { field: "targets", permission: "project.load_balancer.target" },
    ];
    const NAME_FIELD: &'static str = "name";
}
