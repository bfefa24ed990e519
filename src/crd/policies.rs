//! What every root object takes beside its own fields: who is in charge, what deletion means, and what to take over.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;

/// Kept on every object that has, or may have, something in the backend.
pub const FINALIZER: &str = "loopback.cloud/finalizer";

/// Annotations that the operator reads or writes.
pub mod annotation {
    /// `"true"` stops everything but deletion.
    pub const PAUSED: &str = "loopback.cloud/paused";
    /// Any new value asks for a pass now; the value is echoed in `status.lastHandledReconcileAt`.
    pub const RECONCILE_REQUESTED_AT: &str = "loopback.cloud/reconcile-requested-at";
    /// `"true"` makes the API server refuse to delete the object.
    pub const DELETION_PROTECTION: &str = "loopback.cloud/deletion-protection";
    /// The operator's, on a ProjectBinding: the backend's store and the project's id at first contact.
    pub const STORE: &str = "loopback.cloud/store";
    /// The operator's, on a ProjectBinding: the Secret that is kept from going while the binding needs its token.
    pub const TOKEN_SECRET: &str = "loopback.cloud/token-secret";
}

/// Who is in charge of the backend object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, strum::Display)]
pub enum ManagementPolicy {
    /// The operator makes the backend match the spec.
    #[default]
    Manage,
    /// The operator never writes to the backend and reports what differs.
    Observe,
}

/// What happens in the backend when the resource is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, strum::Display)]
pub enum DeletionPolicy {
    /// The backend object is deleted too.
    #[default]
    Delete,
    /// The backend object stays as it is.
    Retain,
}

/// A backend object that exists already.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Import {
    /// Id of the object in the backend, as in the status of the resource that had it, or in the Loopback API.
    #[schemars(schema_with = "schema::backend_id")]
    pub id: String,
    /// Id of the cluster that owns it today. Only for an object whose cluster is gone for good: it is taken from that
    /// cluster. Absent: the object must have no owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::cluster_id")]
    pub from_cluster: Option<String>,
}
