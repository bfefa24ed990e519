//! Intents and reality of monitoring: what is probed, and the thresholds on it.
//!
//! Measured values never enter the feed: reality changes at transitions only.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Intent, Members};
pub use crate::rules::monitoring::{AlertState, Function, NoData, Operator, ProbeType, Severity, Threshold};

/// What is probed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MonitoringObject {
    /// The name that people know it by; need not be unique.
    pub name: String,
    /// How it is probed; cannot be changed.
    #[serde(rename = "type")]
    pub probe: ProbeType,
    /// The request; with type HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<Http>,
    /// The destination; with type TCP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<Tcp>,
    /// From the start of one probe to the start of the next, a GEP-2257 duration from 1s to 1h; absent: 30s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    /// What one probe may take, at most the interval; absent: 5s, or the interval when that is shorter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
}

/// An HTTP request and what is a good answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Http {
    /// Absolute URL with http or https.
    pub url: String,
    /// Absent: GET.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
    /// Statuses such as `204` and classes such as `2xx`; absent: 2xx.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_status: Option<Vec<String>>,
    /// Whether the answer is that of where a redirect leads; absent: no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow_redirects: Option<bool>,
}

/// Method of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::Display)]
pub enum Method {
    /// With the body of the answer.
    #[default]
    GET,
    /// Without.
    HEAD,
}

/// Where a connection is opened to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tcp {
    /// Host name or IP address.
    pub host: String,
    /// Port, 1 to 65535.
    pub port: u16,
}

/// How a probed object is. All of it is from the moment when `up` changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObjectState {
    /// Whether its probes succeed; absent while nothing could be measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up: Option<bool>,
    /// Since when, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// The HTTP status then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why it is not up, one word.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Why it is not up, for a person.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// A threshold on what is measured of an object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MonitoringCondition {
    /// The name that people know it by; need not be unique.
    pub name: String,
    /// Key of the parameter registry, for instance `timing.total`.
    pub parameter: String,
    /// How the value is compared.
    pub operator: Operator,
    /// With what, for instance `500` or `"500ms"`.
    pub threshold: Threshold,
    /// Absent: the newest value alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// How long it must hold before it fires, a GEP-2257 duration up to 24h; absent: 0s.
    #[serde(rename = "for", default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<String>,
    /// When it is over; absent: as soon as the threshold is not crossed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Recovery>,
    /// What a probe that measures nothing means; absent: Ignore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_data: Option<NoData>,
    /// Absent: Warning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
}

/// Which values are looked at together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Window {
    /// How far it reaches back, a GEP-2257 duration from 1s to 1h.
    pub duration: String,
    /// What is made of them; absent: Last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<Function>,
}

/// When an alert is over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Recovery {
    /// The value must not be beyond this one; absent: the condition's threshold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<Threshold>,
    /// For so long, a GEP-2257 duration up to 24h; absent: 0s.
    #[serde(rename = "for", default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<String>,
}

/// Where a condition stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConditionState {
    /// Where.
    pub alert_state: AlertState,
    /// Since when, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// The value that led there, with its unit; absent when there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// The member of a condition whose parameter its object does not have.
pub mod member {
    /// Path of the member.
    pub const PARAMETER: &str = "parameter";
    /// Its state: the condition is not evaluated.
    pub const UNFIT: &str = "Unfit";
}

impl Intent for MonitoringObject {
    type State = ObjectState;
    const COLLECTION: &'static str = "monitoring/objects";
    const PERMISSION: &'static str = "project.monitoring_object";
    const MEMBERS: &'static [Members] = &[];
    const NAME_FIELD: &'static str = "name";
}

impl Intent for MonitoringCondition {
    type State = ConditionState;
    const COLLECTION: &'static str = "monitoring/conditions";
    const PERMISSION: &'static str = "project.monitoring_condition";
    const PARENT: Option<&'static str> = Some(MonitoringObject::COLLECTION);
    const MEMBERS: &'static [Members] = &[];
    const NAME_FIELD: &'static str = "name";
}
