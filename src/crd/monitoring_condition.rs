//! `MonitoringCondition`: a threshold on what is measured of a MonitoringObject.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    conditions::Condition,
    duration::{Duration, PATTERN},
    references::LocalReference,
    schema,
};
use crate::{
    protocol::monitoring::{AlertState, Function, NoData, Operator, Severity, Threshold},
    rules::monitoring::SIZE_PATTERN,
};

/// A threshold on a measured value of a MonitoringObject. Where it stands is `status.alertState`.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "loopback.cloud",
    version = "v1alpha1",
    kind = "MonitoringCondition",
    namespaced,
    shortname = "lpmc",
    category = "loopback",
    status = "MonitoringConditionStatus",
    derive = "PartialEq",
    selectable = ".spec.objectRef.name",
    selectable = ".status.alertState"
)]
#[schemars(extend("x-kubernetes-validations" = spec_rules()))]
pub struct MonitoringConditionSpec {
    /// The MonitoringObject in this namespace whose values are looked at. Cannot be changed.
    pub object_ref: LocalReference,
    /// What is looked at. `response.up`: 1 when the probe succeeded, else 0. `response.status`: the HTTP status.
    /// `response.size`: bytes of the body. `timing.dns`, `timing.connect`, `timing.tls`, `timing.firstByte`, `timing.transfer`,
    /// `timing.total`: the time of that phase.
    #[schemars(schema_with = "schema::parameter")]
    pub parameter: String,
    /// How the value is compared with the threshold; the alert is for values that compare so.
    #[schemars(schema_with = "schema::one_of::<Operator>")]
    pub operator: Operator,
    /// What the value is compared with: a number such as `500` or `"0.95"`; a time such as `500ms` (a number counts
    /// milliseconds); a size such as `64Ki` (a number counts bytes).
    #[schemars(schema_with = "schema::threshold")]
    pub threshold: Threshold,
    /// Values that are looked at together. Absent: the newest alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// How long it must hold before the alert fires, a duration up to `24h`; until then it is Pending. Absent: `0s`.
    #[serde(rename = "for", default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration_between::<0, 86_400_000>")]
    pub for_: Option<Duration>,
    /// When the alert is over. Absent: as soon as it does not hold any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Recovery>,
    /// What a probe that measures nothing means. `Ignore` (absent): alertState NoData, no alert. `Fire`: the same as a value
    /// beyond the threshold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::one_of::<NoData>")]
    pub no_data: Option<NoData>,
    /// How grave the alert is: `Critical`, `Warning` (absent) or `Info`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::one_of::<Severity>")]
    pub severity: Option<Severity>,
}

fn spec_rules() -> Value {
    let at = unit_rules("", "self.threshold");
    let back = unit_rules("!has(self.recovery) || !has(self.recovery.threshold) || ", "self.recovery.threshold");
    let rules: Vec<_> = [("threshold", &at), ("recovery.threshold", &back)]
        .into_iter()
        .flat_map(|(field, rules)| rules.iter().map(move |(rule, says)| (field, rule.as_str(), *says)))
        .chain([(
            "recovery",
            "!(self.operator in ['Equal', 'NotEqual']) || !has(self.recovery) || !has(self.recovery.threshold)",
            "Equal and NotEqual have no recovery threshold: leave it out, or use another operator",
        )])
        .collect();
    schema::joined([schema::immutable("objectRef"), schema::field_rules(&rules)])
}

/// That a threshold is in the parameter's unit; behind a guard when it may be absent.
fn unit_rules(guard: &str, at: &str) -> [(String, &'static str); 3] {
    let counted = "(has(self.window) && has(self.window.function) && self.window.function == 'Count')";
    let free = format!("{guard}type({at}) != string");
    [
        (
            format!(
                "!self.parameter.startsWith('timing.') || {counted} || {free} || \
                 {at}.matches('^[0-9]{{1,12}}$') || {at}.matches('{PATTERN}')"
            ),
            "must be a time such as 500ms or 2s for this parameter, or a number of milliseconds",
        ),
        (
            format!("self.parameter != 'response.size' || {counted} || {free} || {at}.matches('{SIZE_PATTERN}')"),
            "must be a size such as 64Ki or 1M for this parameter, or a number of bytes, below 1Pi",
        ),
        (
            format!(
                "!({counted} || self.parameter in ['response.up', 'response.status']) || {free} || \
                 {at}.matches('^[0-9]{{1,12}}([.][0-9]{{1,3}})?$')"
            ),
            "must be a number such as 500 or \"0.95\" for this parameter and function",
        ),
    ]
}

/// Values that are looked at together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// How far it reaches back from the newest probe, a duration from `1s` to `1h`.
    #[schemars(schema_with = "schema::duration_between::<1_000, 3_600_000>")]
    pub duration: Duration,
    /// What is made of the values. `Last` (absent), `Avg`, `Min`, `Max`, `Sum`; `Count`: how many there are; `P95`: the least
    /// that 95 of 100 do not exceed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::one_of::<Function>")]
    pub function: Option<Function>,
}

/// When an alert is over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Recovery {
    /// The value must not compare so with this threshold either. Absent: the threshold of the condition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::threshold")]
    pub threshold: Option<Threshold>,
    /// For how long, a duration up to `24h`. Absent: `0s`.
    #[serde(rename = "for", default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration_between::<0, 86_400_000>")]
    pub for_: Option<Duration>,
}

/// Where it stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MonitoringConditionStatus {
    /// The generation of the spec that this status speaks about; -1 before the operator has seen the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::observed_generation")]
    pub observed_generation: Option<i64>,
    /// The value of the annotation `loopback.cloud/reconcile-requested-at` that was last acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::text")]
    pub last_handled_reconcile_at: Option<String>,
    /// What is true of it: Ready, Synced, and, only while true, Reconciling, Stalled, Drifted and Paused. Ready says that it
    /// is evaluated, not that all is well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// The condition's id in the backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::text")]
    pub id: Option<String>,
    /// `Cleared`; `Pending`: it holds, not yet for long enough; `Firing`; `NoData`: nothing was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::one_of::<AlertState>")]
    pub alert_state: Option<AlertState>,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub since: Option<String>,
    /// The value that led there, with its unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::text")]
    pub value: Option<String>,
}
