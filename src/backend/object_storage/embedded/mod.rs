//! The embedded object store: S3 on this machine's disk.

mod access;
mod blobs;
mod blocks;
mod conditions;
mod digest;
mod door;
mod edit;
mod frames;
mod intake;
mod listing;
mod meter;
mod plane;
mod problem;
mod rows;
mod server;
mod service;
mod uploads;
mod vault;

pub use meter::Meter;
pub use plane::{EmbeddedPlane, Options};

#[cfg(test)]
mod tests;
