//! The definitions as they are applied to a cluster.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

use super::{LoopbackBackend, ProjectBinding, ProjectLoadBalancer};

/// The definitions of all kinds, in the order in which they should be applied.
#[must_use]
pub fn all() -> Vec<CustomResourceDefinition> {
    vec![LoopbackBackend::crd(), ProjectBinding::crd(), ProjectLoadBalancer::crd()]
}
