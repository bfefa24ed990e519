//! Suite against a real control plane, with the real binary as operator and as backend.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod apiserver;
mod bad_inputs;
mod balancer;
mod dev;
mod dig;
mod dns;
mod domains;
mod drift;
mod exports;
mod hostile;
mod house;
mod laws;
mod monitoring;
mod namespaced;
mod object_storage;
mod outages;
mod packaging;
mod references;
mod refused;
mod replicas;
mod rig;
mod s3;
mod servers;
mod telemetry;
mod token;
mod tools;
mod watches;
mod wrapup;
