//! The Loopback backend: API, store, and a real data plane behind it.

pub mod api;
pub mod checks;
pub mod dns;
pub mod domains;
pub mod feed;
mod follow;
pub mod hub;
pub mod kept_token;
pub mod load_balancing;
pub mod monitoring;
pub mod object_storage;
pub mod plane;
pub mod records;
mod service;
mod start;
pub mod store;
pub mod tenants;

pub use service::Service;
pub use start::{Options, Running, SeedProblem, StartProblem, start, start_with};
