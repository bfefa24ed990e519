//! `MonitoringObject`: what is probed.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    conditions::Condition,
    duration::{Duration, PATTERN},
    policies::{DeletionPolicy, Import, ManagementPolicy},
    references::LocalReference,
    schema,
};
use crate::protocol::monitoring::{Method, ProbeType};

/// Something that is probed again and again. MonitoringConditions say which of its measured values are an alert.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "loopback.cloud",
    version = "v1alpha1",
    kind = "MonitoringObject",
    namespaced,
    shortname = "lpmo",
    category = "loopback",
    status = "MonitoringObjectStatus",
    derive = "PartialEq",
    derive = "Default",
    selectable = ".spec.projectRef.name"
)]
#[schemars(extend("x-kubernetes-validations" = spec_rules()))]
pub struct MonitoringObjectSpec {
    /// The ProjectBinding in this namespace whose project owns the monitoring object. Absent: the one named `default`.
    /// Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_ref: Option<LocalReference>,
    /// `Manage` (absent): the operator makes the backend match this spec. `Observe`: it never writes to the backend and
    /// reports what differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::one_of::<ManagementPolicy>")]
    pub management_policy: Option<ManagementPolicy>,
    /// `Delete` (absent): deleting this resource deletes the monitoring object. `Retain`: it stays and is probed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::one_of::<DeletionPolicy>")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// Takes over a monitoring object that exists in the backend already. Can be set once. Absent: a new one is created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import: Option<Import>,
    /// How it is probed. `HTTP`: a request whose answer has an expected status. `TCP`: a connection that opens. Cannot be
    /// changed.
    #[serde(rename = "type")]
    #[schemars(schema_with = "schema::one_of::<ProbeType>")]
    pub type_: ProbeType,
    /// The request. Needed with `type: HTTP`, refused with others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpProbe>,
    /// The destination. Needed with `type: TCP`, refused with others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpProbe>,
    /// Time from one probe to the next, a duration such as `30s` or `1m30s`, from `1s` to `1h`. Absent: `30s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration_between::<1_000, 3_600_000>")]
    pub interval: Option<Duration>,
    /// Time that one probe may take, a duration from `100ms` to `1h`, at most the interval. Absent: `5s`, or the interval
    /// when that is shorter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration_between::<100, 3_600_000>")]
    pub timeout: Option<Duration>,
}

fn spec_rules() -> Value {
    let both = format!("self.interval.matches('{PATTERN}') && self.timeout.matches('{PATTERN}')");
    let least = format!("self.timeout.matches('{PATTERN}')");
    let within = format!(
        "!has(self.timeout) || (has(self.interval) ? \
         !({both}) || duration(self.timeout) <= duration(self.interval) : \
         !{least} || duration(self.timeout) <= duration('30s'))"
    );
    schema::joined([
        schema::immutable("projectRef"),
        schema::field_rules(&[
            (
                "import",
                // CEL reserves the word `import`; this is how it is escaped.
                "!has(oldSelf.__import__) || (has(self.__import__) && self.__import__ == oldSelf.__import__)",
                "import can be set once: it cannot be changed or removed",
            ),
            ("type", "self.type == oldSelf.type", "type cannot be changed: create another object instead"),
            ("http", "(self.type == 'HTTP') == has(self.http)", "http goes with type: HTTP, and only with it"),
            ("tcp", "(self.type == 'TCP') == has(self.tcp)", "tcp goes with type: TCP, and only with it"),
            ("timeout", &within, "must be at most the interval, which is 30s when absent"),
        ]),
    ])
}

/// An HTTP request and what is a good answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpProbe {
    /// What is asked for: an absolute URL with http or https, such as `https://shop.example.com/healthz`. Certificates are
    /// checked.
    #[schemars(schema_with = "schema::probe_url")]
    pub url: String,
    /// `GET` (absent), or `HEAD`: without the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::one_of::<Method>")]
    pub method: Option<Method>,
    /// Statuses such as `204` and classes such as `2xx` that are good. Absent: `[2xx]`. An empty list is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::status_set")]
    pub expected_status: Option<Vec<String>>,
    /// Whether a redirect is followed, up to 5 times, and the last answer is the one that counts. Absent: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::flag")]
    pub follow_redirects: Option<bool>,
}

/// Where a connection is opened to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TcpProbe {
    /// Host name such as `db.example.com`, or an IP address.
    #[schemars(schema_with = "schema::host")]
    pub host: String,
    /// Port, 1 to 65535.
    #[schemars(schema_with = "schema::port")]
    pub port: u16,
}

/// How it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MonitoringObjectStatus {
    /// The generation of the spec that this status speaks about; -1 before the operator has seen the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::observed_generation")]
    pub observed_generation: Option<i64>,
    /// The value of the annotation `loopback.cloud/reconcile-requested-at` that was last acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::text")]
    pub last_handled_reconcile_at: Option<String>,
    /// What is true of it: Ready, Synced, and, only while true, Reconciling, Stalled, Degraded, Drifted and Paused. Ready
    /// says that it is probed, not that its probes succeed; Degraded that the backend cannot ask, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// The monitoring object's id in the backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::text")]
    pub id: Option<String>,
    /// Whether its probes succeed. Absent: nothing could be measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::flag")]
    pub up: Option<bool>,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub since: Option<String>,
    /// The HTTP status of the answer then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::count")]
    pub http_status: Option<u16>,
    /// Why its probes did not succeed then, one word.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(schema_with = "schema::text")]
    pub reason: String,
    /// Why its probes did not succeed then.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(schema_with = "schema::message")]
    pub message: String,
}
