//! `DnsRecord`: all values of one type at one name.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{conditions::Condition, duration::Duration, references::LocalReference, schema};
use crate::protocol::dns::RecordType;

/// All values of one type at one name, written through a ProjectDnsZone whose patterns cover the name.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "loopback.cloud",
    version = "v1alpha1",
    kind = "DnsRecord",
    namespaced,
    shortname = "lprecord",
    category = "loopback",
    status = "DnsRecordStatus",
    derive = "PartialEq",
    derive = "Default",
    selectable = ".spec.zoneRef.name",
    selectable = ".spec.name",
    selectable = ".spec.type"
)]
#[schemars(extend("x-kubernetes-validations" = spec_rules()))]
pub struct DnsRecordSpec {
    /// The ProjectDnsZone in this namespace through which it is written. Cannot be changed.
    pub zone_ref: LocalReference,
    /// The name, absolute; a dot at the end is optional. A star as leftmost label answers for names that do not exist
    /// otherwise (RFC 4592). Cannot be changed.
    #[schemars(schema_with = "schema::record_name")]
    pub name: String,
    /// The type. Cannot be changed.
    #[serde(rename = "type")]
    #[schemars(schema_with = "schema::one_of::<RecordType>")]
    pub of: RecordType,
    /// How long others may remember it, a duration of whole seconds such as `60s` or `1h`, from `1s` to `168h`. Absent: `5m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time_to_live")]
    pub ttl: Option<Duration>,
    /// 1 to 256 values, as a zone file has them: `192.0.2.10` (A), `2001:db8::10` (AAAA), `www.example.dev` (CNAME, exactly
    /// one), `10 mail.example.dev` (MX), `10 5 5060 sip.example.dev` (SRV), `0 issue "ca.example.net"` (CAA). TXT takes strings in
    /// quotes, or plain text, which is quoted and split as needed. Names are absolute.
    #[schemars(schema_with = "schema::record_values")]
    pub values: Vec<String>,
}

fn spec_rules() -> Value {
    let shape = |of: &str, shape: &str| format!("self.type != '{of}' || self.values.all(value, {shape})");
    let matches = |of: &str, pattern: &str| shape(of, &format!("value.matches('{pattern}')"));
    let a = shape("A", "isIP(value) && ip(value).family() == 4");
    let aaaa = shape("AAAA", "isIP(value) && ip(value).family() == 6");
    let cname = matches("CNAME", "^([a-zA-Z0-9_]([-a-zA-Z0-9_]{0,61}[a-zA-Z0-9_])?[.]?)+$");
    let mx = matches("MX", "^[0-9]{1,5} +[-a-zA-Z0-9.]+$");
    let srv = matches("SRV", "^[0-9]{1,5} +[0-9]{1,5} +[0-9]{1,5} +[-a-zA-Z0-9.]+$");
    let caa = matches("CAA", "^[0-9]{1,3} +[a-zA-Z0-9]{1,15} +([^ \"]+|\"[^\"]*\")$");
    schema::joined([
        schema::immutable("zoneRef"),
        schema::immutable("name"),
        schema::immutable("type"),
        schema::field_rules(&[
            (
                "name",
                "!(self.type in ['A', 'AAAA', 'MX']) || !self.name.contains('_')",
                "must be the name of a host, without '_', for the types A, AAAA and MX",
            ),
            ("values", "self.type != 'CNAME' || size(self.values) == 1", "a CNAME has exactly one value"),
            ("values", &a, "values of type A must be IPv4 addresses such as 192.0.2.10"),
            ("values", &aaaa, "values of type AAAA must be IPv6 addresses such as 2001:db8::10"),
            ("values", &cname, "the value of a CNAME must be a name such as www.example.dev"),
            ("values", &mx, "values of type MX must be preference and host, such as 10 mail.example.dev"),
            (
                "values",
                &srv,
                "values of type SRV must be priority, weight, port and host, such as 10 5 5060 sip.example.dev",
            ),
            ("values", &caa, "values of type CAA must be flags, tag and value, such as 0 issue \"ca.example.net\""),
        ]),
    ])
}

/// What became of the record.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DnsRecordStatus {
    /// The generation of the spec that this status speaks about; -1 before the operator has seen the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::observed_generation")]
    pub observed_generation: Option<i64>,
    /// The value of the annotation `loopback.cloud/reconcile-requested-at` that was last acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::text")]
    pub last_handled_reconcile_at: Option<String>,
    /// What is true of it: Ready, Synced, and, only while true, Reconciling, Stalled, Drifted and Paused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// The record's id in the backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::text")]
    pub id: Option<String>,
}
