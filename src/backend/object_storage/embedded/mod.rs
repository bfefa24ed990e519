//! The embedded object store: S3 on this machine's disk.

mod blobs;
mod digest;
mod edit;
mod intake;
mod listing;
mod problem;
mod rows;
mod uploads;
mod vault;
