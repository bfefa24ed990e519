//! The custom resources: what people write and what the operator answers. One file a kind, and the vocabulary they share.
//!
//! The types say what an object looks like in Rust; the schema attributes beside each field say what the API server takes.
//! [`all`] gives the definitions as they are applied to a cluster.

pub mod conditions;
mod definitions;
pub mod duration;
pub mod loopback_backend;
pub mod member;
pub mod policies;
pub mod project_binding;
pub mod project_load_balancer;
pub mod references;
mod schema;

pub use conditions::{ConditionType, Reason};
pub use definitions::all;
pub use duration::Duration;
pub use loopback_backend::{LoopbackBackend, LoopbackBackendSpec, LoopbackBackendStatus};
pub use member::Member;
pub use policies::{DeletionPolicy, FINALIZER, Import, ManagementPolicy, annotation};
pub use project_binding::{ProjectBinding, ProjectBindingSpec, ProjectBindingStatus};
pub use project_load_balancer::{ProjectLoadBalancer, ProjectLoadBalancerSpec, ProjectLoadBalancerStatus};
pub use references::{LocalReference, NamespacedSecretKeyReference, SecretKeyReference};

/// API group of every kind.
pub const GROUP: &str = "loopback.cloud";
/// API version of every kind.
pub const VERSION: &str = "v1alpha1";
/// Name of the [`ProjectBinding`] that an absent `projectRef` means, and of the [`LoopbackBackend`] that a binding without
/// `backendRef`, `url` and `tokenSecretRef` means.
pub const DEFAULT_NAME: &str = "default";
