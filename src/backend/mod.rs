//! The Loopback backend: API, store, and a real data plane behind it.

pub mod api;
pub mod checks;
pub mod feed;
mod follow;
pub mod hub;
pub mod kept_token;
pub mod load_balancing;
pub mod object_storage;
pub mod plane;
pub mod records;
mod start;
pub mod store;
pub mod tenants;

pub use start::{Options, Running, SeedProblem, Services, StartProblem, start, start_with};
