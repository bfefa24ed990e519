//! The Loopback backend: API, store, and a real data plane behind it.

pub mod api;
pub mod checks;
pub mod load_balancing;
pub mod plane;
pub mod records;
pub mod store;
