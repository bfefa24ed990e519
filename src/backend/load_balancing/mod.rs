//! Load balancing.

mod checks;
mod embedded;
mod settings;

use std::sync::Arc;

pub use checks::{Chosen, IPV6, LoadBalancingChecks, POOL};
pub use embedded::{EmbeddedPlane, Limits, Options};
pub use settings::{HealthSettings, ServiceSettings, Settings, TargetSettings};

use super::{api::collections::Collection, checks::Checks};
use crate::protocol::load_balancer::LoadBalancer;

/// The collections of the service.
#[must_use]
pub fn collections(checks: Arc<dyn Checks>) -> Vec<Collection> {
    vec![Collection::of::<LoadBalancer>("lb", checks)]
}
