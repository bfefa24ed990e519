//! The laws of the core under every schedule that a seed can draw: operator and backend in one thread on a paused clock, over
//! an API server and a store in memory.
//!
//! `SIMULATION_SEEDS` says how many seeds `seeds` runs, `SIMULATION_FIRST` from where. A failure prints the line that replays
//! it.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "the suite compares all of it with the real one")]
mod apiserver;
mod backend;
mod faults;
mod growth;
mod journal;
mod kinds;
mod leaders;
mod line;
mod logs;
mod mutants;
mod operator;
mod oracles;
mod persistent;
mod plan;
mod planes;
mod runs;
mod scenarios;
mod server;
mod users;
mod world;

/// A run is mostly JSON that comes and goes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
