//! What both halves run on.

mod backoff;
mod breaker;
mod drain;
pub mod queue;
mod world;

pub use backoff::Backoff;
pub use breaker::{Breaker, BreakerSettings, Permit};
pub use drain::Drain;
pub use queue::Queue;
pub use world::World;
