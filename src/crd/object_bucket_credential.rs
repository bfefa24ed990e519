//! `ObjectBucketCredential`: a key pair for a bucket.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{conditions::Condition, references::LocalReference, schema};
use crate::protocol::object_storage::Access;

/// A key pair for one bucket, delivered in a Secret. Who may create one may use the bucket.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "loopback.cloud",
    version = "v1alpha1",
    kind = "ObjectBucketCredential",
    namespaced,
    shortname = "lpcred",
    category = "loopback",
    status = "ObjectBucketCredentialStatus",
    derive = "PartialEq",
    derive = "Default",
    selectable = ".spec.bucketRef.name"
)]
#[schemars(extend("x-kubernetes-validations" = spec_rules()))]
pub struct ObjectBucketCredentialSpec {
    /// The ObjectBucket in this namespace that it is for. Cannot be changed.
    pub bucket_ref: LocalReference,
    /// What it may do there. `ReadOnly`: get and list objects. `ReadWrite`: all that can be done with objects. `WriteOnly`:
    /// put and delete objects, but neither get nor list them.
    #[schemars(schema_with = "schema::one_of::<Access>")]
    pub access: Access,
    /// Name of the Secret that the key pair is written to. Absent: the name of this resource. One that exists and was not
    /// made for this resource is never overwritten. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::object_name")]
    pub secret_name: Option<String>,
}

fn spec_rules() -> Value {
    schema::joined([schema::immutable("bucketRef"), schema::immutable("secretName")])
}

/// Where the key pair is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObjectBucketCredentialStatus {
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
    /// The credential's id in the backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::text")]
    pub id: Option<String>,
    /// Name of the Secret with the key pair.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::text")]
    pub secret_name: Option<String>,
    /// The public half of the key pair.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::text")]
    pub access_key_id: Option<String>,
}
