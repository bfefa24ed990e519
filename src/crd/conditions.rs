//! Condition types and the one table of reasons.

use strum::{AsRefStr, Display, EnumIter, EnumString, IntoStaticStr};

pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

/// Characters that the message of a condition, service or member may have; the API server refuses a status with more.
pub const MESSAGE_LIMIT: usize = 32_768;
/// Characters that every other text of a status may have, the echo of `loopback.cloud/reconcile-requested-at` included.
pub const TEXT_LIMIT: usize = 1_024;

/// Types of the conditions that the operator writes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Display, AsRefStr, IntoStaticStr, EnumIter, EnumString,
)]
pub enum ConditionType {
    /// The backend holds this spec and has made it real. Always present.
    Ready,
    /// The backend holds this spec. Always present once the operator has seen the object.
    Synced,
    /// The operator is working on it, or waits for something that comes by itself. Only present while true.
    Reconciling,
    /// A person must act. Only present while true, and never together with `Reconciling`.
    Stalled,
    /// It works, but some of its members do not. Only present while true.
    Degraded,
    /// Under `Observe`: the backend differs from this spec. Only present while true.
    Drifted,
    /// The annotation `loopback.cloud/paused` is set. Only present while true.
    Paused,
}

/// Why a condition has its status: few, stable words that scripts and alerts may match on. The message beside one says
/// what, where and what to do.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Display, AsRefStr, IntoStaticStr, EnumIter, EnumString,
)]
pub enum Reason {
    // What is well.
    /// The backend holds the spec and has made it real.
    Ready,
    /// The backend holds the spec.
    Synced,
    /// Every member works again.
    MembersHealthy,
    /// Someone changed or deleted it in the backend, and the operator made it as the spec says.
    DriftRepaired,

    /// An alert changed its state: the condition holds.
    AlertFiring,
    /// An alert changed its state: the condition holds, but not long enough to fire.
    AlertPending,
    /// An alert changed its state: the condition does not hold.
    AlertCleared,
    /// An alert changed its state: there is nothing to judge by.
    AlertNoData,

    // What passes by itself.
    /// The operator has not seen the object yet.
    Pending,
    /// The backend holds the spec and is making it real.
    Progressing,
    /// A service is not listening on all its addresses; the service's entry in status says why.
    NotListening,
    /// An object that the spec names does not exist (yet).
    ReferenceMissing,
    /// The ProjectBinding, or the LoopbackBackend behind it, is not Ready.
    BindingNotReady,
    /// The backend cannot be reached, or answers with errors. Shown on ProjectBindings and LoopbackBackends only.
    BackendUnavailable,
    /// The backend asks for fewer calls.
    Throttled,
    /// Something unexpected; tried again with growing pauses.
    Error,
    /// The object is being deleted.
    Deleting,
    /// Deletion waits for objects that use this one; the message names them.
    InUse,

    // What a person must change.
    /// The spec contradicts itself in a way that admission could not see.
    InvalidSpec,
    /// The token lacks a permission key; the message names it.
    Denied,
    /// The backend's own checks refuse the spec.
    Refused,
    /// The backend holds the record but does not serve it: another record or the patterns of its zone are in the way.
    NotServed,
    /// The bucket is to be deleted and there are objects in it; the message says how many and what to do.
    NotEmpty,
    /// A quota of the project or the organization is used up.
    QuotaExceeded,
    /// Another object or another cluster owns the backend object; the message names the owner.
    OwnedByAnother,
    /// A Secret of that name exists and is not ours; it is never overwritten.
    SecretConflict,
    /// The object to import or to observe is not in the backend.
    ImportNotFound,
    /// Several objects in the backend have the natural name; say which by `spec.import`.
    Ambiguous,
    /// No grant of the LoopbackBackend covers this binding's namespace, organization and project.
    NotGranted,
    /// The Secret with the token is missing, lacks the key or holds no token.
    TokenMissing,
    /// The backend does not accept the token.
    TokenInvalid,
    /// The project does not exist in the backend, or the token may not see it.
    ProjectNotFound,
    /// The backend's store, or the project in it, is not the one that this binding first met. Nothing is written.
    WrongStore,

    // What works, but not fully.
    /// Some targets are unhealthy; the status lists them.
    MembersUnhealthy,
    /// Some records of the zone are not served; the status lists them.
    RecordsNotServed,
    /// The backend cannot ask what is probed: nothing is said of whether it works.
    NotMeasured,
    /// The backend differs from the spec: the management policy is `Observe`, or somebody else changes it again and again.
    DriftFound,
    /// The token lacks permissions that some kinds need; `status.permissions.missing` lists them.
    PermissionsMissing,

    // What someone asked for.
    /// The annotation `loopback.cloud/paused` is `"true"`.
    Paused,
}
