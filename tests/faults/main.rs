//! Every call of the operator meets every fault: real processes, and between them a proxy that kills, loses, doubles and
//! delays. Witnesses that do not ask the operator judge what came of it.
//!
//! `FAULT_PLAN='workload=... at=... fault=...' cargo test --test faults replay -- --nocapture` runs one plan again.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod admin;
mod audit;
mod campaign;
mod ground;
mod journal;
mod lane;
mod oracles;
mod plan;
mod planted;
mod progress;
mod proxy;
#[allow(dead_code, unused_imports, reason = "the other suite uses the rest")]
#[path = "../suite/rig/mod.rs"]
mod rig;
mod stage;
mod status;
mod table;
mod workloads;

use table::{Field, full};

/// How many plans run at the same time.
const LANES: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_meets_every_fault() {
    let field = Field::start(LANES).await;
    let references = field.record().await;
    let outcome = field.enumerate(&references, full()).await;
    println!("{outcome}");
    assert!(outcome.failed.is_empty(), "{} plans broke a law", outcome.failed.len());
}

/// Runs one plan again: `FAULT_PLAN='workload=... seed=... at=... fault=...'`, and `FAULT_TIMES` times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replay() {
    let Ok(line) = std::env::var("FAULT_PLAN") else { return };
    let times = std::env::var("FAULT_TIMES").ok().and_then(|times| times.parse().ok()).unwrap_or(1);
    Field::start(1).await.replay(&line.parse().expect("a plan"), times).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_planted_bug_is_caught() {
    let field = Field::start(LANES).await;
    let missed = field.planted().await;
    assert!(missed.is_empty(), "{missed:#?}");
}
