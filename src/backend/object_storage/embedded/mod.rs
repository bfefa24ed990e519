//! The embedded object store: S3 on this machine's disk.

mod access;
mod blobs;
mod conditions;
mod digest;
mod edit;
mod intake;
mod listing;
mod plane;
mod problem;
mod rows;
mod server;
mod service;
mod uploads;
mod vault;

pub use plane::{EmbeddedPlane, Options};

#[cfg(test)]
mod tests;
