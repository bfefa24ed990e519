//! `ObjectBucket`: a bucket that S3 clients use.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    conditions::Condition,
    policies::{Import, ManagementPolicy},
    references::LocalReference,
    schema,
};

/// A bucket of a project, used through S3.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "loopback.cloud",
    version = "v1alpha1",
    kind = "ObjectBucket",
    namespaced,
    shortname = "lpbucket",
    category = "loopback",
    status = "ObjectBucketStatus",
    derive = "PartialEq",
    derive = "Default",
    selectable = ".spec.projectRef.name"
)]
#[schemars(extend("x-kubernetes-validations" = spec_rules()))]
pub struct ObjectBucketSpec {
    /// The ProjectBinding in this namespace whose project owns the bucket. Absent: the one named `default`. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_ref: Option<LocalReference>,
    /// `Manage` (absent): the operator makes the backend match this spec. `Observe`: it never writes to the backend and
    /// reports what differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::one_of::<ManagementPolicy>")]
    pub management_policy: Option<ManagementPolicy>,
    /// `Delete` (absent): deleting this resource deletes the bucket, and waits while there are objects in it. `Retain`: the
    /// bucket stays with all that is in it. `Purge`: the objects are deleted too; may be set while the deletion waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::one_of::<BucketDeletionPolicy>")]
    pub deletion_policy: Option<BucketDeletionPolicy>,
    /// Takes over a bucket that exists in the backend already. Can be set once. Absent: a new one is created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import: Option<Import>,
    /// The name that S3 clients use, unique in the whole installation: 3 to 63 lower-case letters, digits, `-` and `.`.
    /// Absent: the name of this resource. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::bucket_name")]
    pub bucket_name: Option<String>,
    /// Who keeps the bytes, for instance `embedded`. Absent: the backend's first provider. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::label_name")]
    pub provider: Option<String>,
    /// Where, for instance `local-1`. Absent: the provider's first region. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::label_name")]
    pub region: Option<String>,
}

/// What happens in the backend when the resource of a bucket is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, strum::Display)]
pub enum BucketDeletionPolicy {
    /// The bucket is deleted too; that waits while it is not empty.
    #[default]
    Delete,
    /// The bucket stays as it is.
    Retain,
    /// The bucket is emptied and deleted.
    Purge,
}

fn spec_rules() -> Value {
    schema::joined([
        schema::immutable("projectRef"),
        schema::immutable("bucketName"),
        schema::immutable("provider"),
        schema::immutable("region"),
        schema::field_rules(&[(
            "import",
            // CEL reserves the word `import`; this is how it is escaped.
            "!has(oldSelf.__import__) || (has(self.__import__) && self.__import__ == oldSelf.__import__)",
            "import can be set once: it cannot be changed or removed",
        )]),
    ])
}

/// What the bucket is and holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObjectBucketStatus {
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
    /// The bucket's id in the backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::text")]
    pub id: Option<String>,
    /// The name that S3 clients use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::text")]
    pub bucket_name: Option<String>,
    /// Who keeps the bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::text")]
    pub provider: Option<String>,
    /// Where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::text")]
    pub region: Option<String>,
    /// URL that S3 clients connect to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::text")]
    pub endpoint: Option<String>,
    /// How full it is, as of at most some minutes ago.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<BucketUsage>,
}

/// How full a bucket is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BucketUsage {
    /// Objects.
    #[schemars(schema_with = "schema::large_count")]
    pub objects: u64,
    /// Their sizes together.
    #[schemars(schema_with = "schema::large_count")]
    pub bytes: u64,
}
