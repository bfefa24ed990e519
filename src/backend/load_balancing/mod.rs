//! Load balancing.

mod checks;
mod embedded;
mod settings;

pub use checks::{Chosen, IPV6, LoadBalancingChecks, POOL};
pub use embedded::{EmbeddedPlane, Limits, Options};
pub use settings::{HealthSettings, ServiceSettings, Settings, TargetSettings};
