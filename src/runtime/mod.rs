//! What both halves run on.

mod drain;
pub mod mirror;
mod world;

pub use drain::Drain;
pub use world::World;
