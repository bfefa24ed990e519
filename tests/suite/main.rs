//! Suite against a real control plane, with the real binary as operator and as backend.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod bad_inputs;
mod balancer;
mod drift;
mod house;
mod laws;
mod packaging;
mod refused;
mod rig;
mod rights;
mod servers;
mod telemetry;
mod token;
mod tools;
