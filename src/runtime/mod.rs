//! What both halves run on.

mod backoff;
mod drain;
pub mod health;
pub mod metrics;
pub mod mirror;
pub mod queue;
pub mod telemetry;
mod world;

pub use backoff::Backoff;
pub use drain::Drain;
pub use health::Health;
pub use metrics::Metrics;
pub use queue::Queue;
pub use telemetry::{LogFormat, Telemetry};
pub use world::World;
