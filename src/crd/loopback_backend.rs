//! `LoopbackBackend`: an admin lends an identity at a backend to namespaces.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{conditions::Condition, references::NamespacedSecretKeyReference, schema};

/// A Loopback backend, the token to use there, and which namespaces may bind to which of its projects. Cluster-scoped:
/// an administrator writes it, so that the people in a namespace need no token of their own.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "loopback.cloud",
    version = "v1alpha1",
    kind = "LoopbackBackend",
    shortname = "lpb",
    category = "loopback",
    status = "LoopbackBackendStatus",
    derive = "PartialEq",
    derive = "Default"
)]
pub struct LoopbackBackendSpec {
    /// Where the backend's API is, for example `https://api.example.com`. Absent: the operator's own backend, the one that
    /// it was started with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::url")]
    pub url: Option<String>,
    /// The Secret that holds the bearer token to use at this backend for every binding under a grant.
    pub token_secret_ref: NamespacedSecretKeyReference,
    /// Who may bind what; nothing else is possible. Absent: nobody may bind anything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::named_list::<Grant, 128>")]
    pub grants: Vec<Grant>,
}

/// Lets namespaces bind to projects of one organization with this backend's token.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Grant {
    /// Name of the grant, unique in this list.
    #[schemars(schema_with = "schema::label_name")]
    pub name: String,
    /// The organization whose projects may be bound.
    #[schemars(schema_with = "schema::label_name")]
    pub organization: String,
    /// Names of the projects that may be bound. Absent: every project of the organization. An empty list is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::name_set::<128>")]
    pub projects: Option<Vec<String>>,
    /// The namespaces whose ProjectBindings this grant covers.
    pub namespaces: GrantNamespaces,
}

/// A choice of namespaces.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = schema::rules(&[
    ("(self.from == 'Selector') == has(self.selector)",
     "selector goes with from: Selector, and only with it"),
])))]
pub struct GrantNamespaces {
    /// `All`: every namespace of this cluster. `Selector`: the namespaces whose labels match `selector`.
    #[schemars(schema_with = "schema::one_of::<NamespacesFrom>")]
    pub from: NamespacesFrom,
    /// Which labels a namespace must have, all of them. Needed with `from: Selector`, refused without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::label_selector")]
    pub selector: Option<LabelSelector>,
}

/// How namespaces are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum NamespacesFrom {
    /// Every namespace.
    All,
    /// Those whose labels match.
    #[default]
    Selector,
}

/// What the operator knows about the backend.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoopbackBackendStatus {
    /// The generation of the spec that this status speaks about; -1 before the operator has seen the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::observed_generation")]
    pub observed_generation: Option<i64>,
    /// The value of the annotation `loopback.cloud/reconcile-requested-at` that was last acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::text")]
    pub last_handled_reconcile_at: Option<String>,
    /// What is true of it: Ready, Synced, and, only while true, Reconciling, Stalled and Paused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}
