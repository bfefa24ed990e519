//! What both halves run on.

mod drain;
mod world;

pub use drain::Drain;
pub use world::World;
