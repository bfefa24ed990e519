//! `ProjectLoadBalancer`: listeners with stable addresses in front of targets.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    conditions::Condition,
    duration::{Duration, PATTERN},
    member::Member,
    policies::{DeletionPolicy, Import, ManagementPolicy},
    references::LocalReference,
    schema,
};
use crate::protocol::load_balancer::{AddressFamily, Algorithm, HealthProtocol, Protocol};

/// A load balancer of a project: it has stable addresses, listens there on the ports of its services, and passes each
/// connection to one of its targets.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "loopback.cloud",
    version = "v1alpha1",
    kind = "ProjectLoadBalancer",
    namespaced,
    shortname = "plb",
    category = "loopback",
    status = "ProjectLoadBalancerStatus",
    derive = "PartialEq",
    derive = "Default",
    selectable = ".spec.projectRef.name"
)]
#[schemars(extend("x-kubernetes-validations" = spec_rules()))]
pub struct ProjectLoadBalancerSpec {
    /// The ProjectBinding in this namespace whose project owns the load balancer. Absent: the one named `default`.
    /// Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_ref: Option<LocalReference>,
    /// `Manage` (absent): the operator makes the backend match this spec. `Observe`: it never writes to the backend and
    /// reports what differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::one_of::<ManagementPolicy>")]
    pub management_policy: Option<ManagementPolicy>,
    /// `Delete` (absent): deleting this resource deletes the load balancer. `Retain`: the load balancer stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::one_of::<DeletionPolicy>")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// Takes over a load balancer that exists in the backend already. Can be set once. Absent: a new one is created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import: Option<Import>,
    /// How a target is picked for a connection. `RoundRobin` (absent): in turn, in proportion to the weights.
    /// `LeastConnections`: the one with the fewest open connections in relation to its weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::one_of::<Algorithm>")]
    pub algorithm: Option<Algorithm>,
    /// Families of the addresses that it gets, one address each. Absent: `[IPv4]`. An empty list is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::enum_set::<AddressFamily>")]
    pub address_families: Option<Vec<AddressFamily>>,
    /// What it listens on, 1 to 64 services, each with its own port.
    #[schemars(schema_with = "schema::services")]
    pub services: Vec<Service>,
    /// Where connections go, up to 1000 targets. Absent or empty: nowhere; the services listen and reset each connection.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::named_list::<Target, 1000>")]
    pub targets: Vec<Target>,
}

fn spec_rules() -> Value {
    schema::joined([
        schema::immutable("projectRef"),
        schema::field_rules(&[
            (
                "import",
                // CEL reserves the word `import`; this is how it is escaped.
                "!has(oldSelf.__import__) || (has(self.__import__) && self.__import__ == oldSelf.__import__)",
                "import can be set once: it cannot be changed or removed",
            ),
            (
                "services",
                "self.services.all(a, self.services.exists_one(b, a.port == b.port && \
                 (has(a.protocol) ? a.protocol : 'TCP') == (has(b.protocol) ? b.protocol : 'TCP')))",
                "each service needs a port of its own: two services must not share port and protocol",
            ),
            (
                "services",
                // A map by name, made once: looking each name up in the list would cost services times targets times targets.
                "[has(self.targets) ? self.targets.transformMapEntry(i, target, {target.name: true}) : {}].all(known, \
                 self.services.all(service, !has(service.targets) || service.targets.all(target, target.name in known)))",
                "a service's targets must be names from spec.targets",
            ),
        ]),
    ])
}

/// One listener.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    /// Name of the service, unique in this list.
    #[schemars(schema_with = "schema::label_name")]
    pub name: String,
    /// Port to listen on, 1 to 65535, on every address of the load balancer.
    #[schemars(schema_with = "schema::port")]
    pub port: u16,
    /// What it speaks. `TCP` (absent): bytes, both ways.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::one_of::<Protocol>")]
    pub protocol: Option<Protocol>,
    /// Networks that may connect, in CIDR notation such as `10.0.0.0/8` or `2001:db8::/32`; everybody else is refused.
    /// Absent: all may connect. An empty list is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::cidr_set")]
    pub allowed_origins: Option<Vec<String>>,
    /// Networks that may not connect, in CIDR notation; wins over `allowedOrigins`. Absent: none. An empty list is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::cidr_set")]
    pub blocked_origins: Option<Vec<String>>,
    /// How it is found out which targets can take connections. Absent: all count as healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// The targets of this service, by their names in `spec.targets`. Absent: all targets. An empty list is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::nonempty_named_list::<TargetReference, 1000>")]
    pub targets: Option<Vec<TargetReference>>,
}

/// How a service finds out which of its targets can take connections.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = health_check_rules()))]
pub struct HealthCheck {
    /// `TCP` (absent): a connection that opens is good. `HTTP`: a GET that is answered with 200 to 399 is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::one_of::<HealthProtocol>")]
    pub protocol: Option<HealthProtocol>,
    /// Path of the HTTP request, with its query if it needs one. Absent: `/`. Only with `protocol: HTTP`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::http_path")]
    pub path: Option<String>,
    /// Time from one check of a target to the next, a duration such as `500ms`, `5s` or `1m30s`, from `100ms` to `1h`.
    /// Absent: `5s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration_between::<100, 3_600_000>")]
    pub interval: Option<Duration>,
    /// Time that one check may take, a duration from `10ms` to `1h`, at most the interval. Absent: `2s`, or the interval
    /// when that is shorter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration_between::<10, 3_600_000>")]
    pub timeout: Option<Duration>,
    /// Good checks in a row that make a target healthy, 1 to 100. Absent: 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::int_between::<1, 100>")]
    pub healthy_threshold: Option<u32>,
    /// Bad checks in a row that make it unhealthy, 1 to 100. Absent: 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::int_between::<1, 100>")]
    pub unhealthy_threshold: Option<u32>,
}

fn health_check_rules() -> Value {
    let both = format!("self.interval.matches('{PATTERN}') && self.timeout.matches('{PATTERN}')");
    let least = format!("self.timeout.matches('{PATTERN}')");
    let within = format!(
        "!has(self.timeout) || (has(self.interval) ? \
         !({both}) || duration(self.timeout) <= duration(self.interval) : \
         !{least} || duration(self.timeout) <= duration('5s'))"
    );
    schema::field_rules(&[
        (
            "path",
            "!has(self.path) || (has(self.protocol) && self.protocol == 'HTTP')",
            "path goes with protocol: HTTP only",
        ),
        ("timeout", &within, "must be at most the interval, which is 5s when absent"),
    ])
}

/// One target of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetReference {
    /// Name of the target in `spec.targets`.
    #[schemars(schema_with = "schema::known_name")]
    pub name: String,
}

/// Where connections go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Name of the target, unique in this list.
    #[schemars(schema_with = "schema::label_name")]
    pub name: String,
    /// IP address, version 4 or 6. Host names are not resolved.
    #[schemars(schema_with = "schema::ip_address")]
    pub address: String,
    /// Port, 1 to 65535.
    #[schemars(schema_with = "schema::port")]
    pub port: u16,
    /// Share of the connections, 0 to 1000, in relation to the other targets' weights. 0: no new connections, open ones go
    /// on. Absent: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::int_between::<0, 1000>")]
    pub weight: Option<u32>,
}

/// What the load balancer has and does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProjectLoadBalancerStatus {
    /// The generation of the spec that this status speaks about; -1 before the operator has seen the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::observed_generation")]
    pub observed_generation: Option<i64>,
    /// The value of the annotation `loopback.cloud/reconcile-requested-at` that was last acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::text")]
    pub last_handled_reconcile_at: Option<String>,
    /// What is true of it: Ready, Synced, and, only while true, Reconciling, Stalled, Degraded, Drifted and Paused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// The load balancer's id in the backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::text")]
    pub id: Option<String>,
    /// Addresses that it listens on, one a family; they stay for its life.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::keyed_list::<Address, 2>")]
    pub addresses: Vec<Address>,
    /// Each service and how many of its targets are healthy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::named_list::<ServiceStatus, 64>")]
    pub services: Vec<ServiceStatus>,
    /// Targets that are not healthy, by service, at most 50 of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::named_list::<Member, 50>")]
    pub unhealthy_targets: Vec<Member>,
}

/// An address that the load balancer listens on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Address {
    /// `IPv4` or `IPv6`.
    #[schemars(schema_with = "schema::one_of::<AddressFamily>")]
    pub family: AddressFamily,
    /// The address.
    #[schemars(schema_with = "schema::text")]
    pub address: String,
}

/// What one service does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceStatus {
    /// Name of the service.
    #[schemars(schema_with = "schema::text")]
    pub name: String,
    /// Targets that can take connections.
    #[schemars(schema_with = "schema::count")]
    pub healthy_targets: u32,
    /// All its targets.
    #[schemars(schema_with = "schema::count")]
    pub targets: u32,
    /// `Listening`, or `NotListening` while it does not listen on every address.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(schema_with = "schema::text")]
    pub state: String,
    /// Why it does not listen, one word.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(schema_with = "schema::text")]
    pub reason: String,
    /// Why it does not listen, and what to do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(schema_with = "schema::message")]
    pub message: String,
}
