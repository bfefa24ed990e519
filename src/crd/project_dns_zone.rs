//! `ProjectDnsZone`: authority to write names in part of a domain.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    conditions::Condition,
    member::Member,
    policies::{DeletionPolicy, Import, ManagementPolicy},
    references::LocalReference,
    schema,
};

/// Authority of a project to write names in part of a domain that its organization owns. Several of them write into one
/// domain; DnsRecords are written through them.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "loopback.cloud",
    version = "v1alpha1",
    kind = "ProjectDnsZone",
    namespaced,
    shortname = "pdz",
    category = "loopback",
    status = "ProjectDnsZoneStatus",
    derive = "PartialEq",
    derive = "Default",
    selectable = ".spec.projectRef.name",
    selectable = ".spec.domain"
)]
#[schemars(extend("x-kubernetes-validations" = spec_rules()))]
pub struct ProjectDnsZoneSpec {
    /// The ProjectBinding in this namespace whose project owns the zone. Absent: the one named `default`. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_ref: Option<LocalReference>,
    /// `Manage` (absent): the operator makes the backend match this spec. `Observe`: it never writes to the backend and
    /// reports what differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::one_of::<ManagementPolicy>")]
    pub management_policy: Option<ManagementPolicy>,
    /// `Delete` (absent): deleting this resource deletes the zone. `Retain`: the zone stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::one_of::<DeletionPolicy>")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// Takes over a zone that exists in the backend already. Can be set once. Absent: a new one is created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import: Option<Import>,
    /// The domain, such as `example.dev`. The organization must own it, or a domain that it is in. Cannot be changed.
    #[schemars(schema_with = "schema::domain")]
    pub domain: String,
    /// Names that its records may have, 1 to 64 of them, all in the domain. A star as leftmost label stands for exactly one
    /// label: `*.shop.example.dev` covers `api.shop.example.dev`, neither `shop.example.dev` nor `a.b.shop.example.dev`. Records
    /// that fall out of the patterns stay, but are not served. No other project may have a pattern that covers the same names.
    #[schemars(schema_with = "schema::patterns")]
    pub patterns: Vec<String>,
}

fn spec_rules() -> Value {
    schema::joined([
        schema::immutable("projectRef"),
        schema::immutable("domain"),
        schema::field_rules(&[
            (
                "import",
                // CEL reserves the word `import`; this is how it is escaped.
                "!has(oldSelf.__import__) || (has(self.__import__) && self.__import__ == oldSelf.__import__)",
                "import can be set once: it cannot be changed or removed",
            ),
            (
                "patterns",
                "self.patterns.all(pattern, pattern == self.domain || pattern.endsWith('.' + self.domain))",
                "each pattern must be the domain or end with it, such as *.example.dev in example.dev",
            ),
        ]),
    ])
}

/// What is served of the zone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProjectDnsZoneStatus {
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
    /// The zone's id in the backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::text")]
    pub id: Option<String>,
    /// Names of the servers that answer for the domain; it must be delegated to them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::text_set")]
    pub name_servers: Vec<String>,
    /// How many of its records are served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::count")]
    pub records: Option<u32>,
    /// Other zones of the same project that may write some of the same names, at most 50 of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::zone_overlaps")]
    pub overlaps: Vec<Overlap>,
    /// Records that are not served, by `name/TYPE`, at most 50 of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::named_list::<Member, 50>")]
    pub unserved_records: Vec<Member>,
}

/// Another zone that may write some of the same names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Overlap {
    /// Id of the other zone in the backend.
    #[schemars(schema_with = "schema::text")]
    pub id: String,
    /// Its name.
    #[schemars(schema_with = "schema::text")]
    pub name: String,
    /// Patterns of this zone that cover names of the other.
    #[schemars(schema_with = "schema::text_set")]
    pub patterns: Vec<String>,
}
