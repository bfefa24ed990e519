//! Every call of the operator meets every fault: real processes, and between them a proxy that kills, loses, doubles and
//! delays. Witnesses that do not ask the operator judge what came of it.
//!
//! `FAULT_PLAN='workload=... at=... fault=...' cargo test --test faults replay -- --nocapture` runs one plan again.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod admin;
mod audit;
mod campaign;
mod enumerate;
mod field;
mod ground;
mod job;
mod journal;
mod lane;
mod oracles;
mod person;
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

use field::Field;

#[tokio::test]
async fn every_call_meets_every_fault() {
    let outcome = Field::shared().await.enumerate(table::full()).await;
    println!("{outcome}");
    assert!(outcome.failed.is_empty(), "{} runs broke a law", outcome.failed.len());
}

#[tokio::test]
async fn each_planted_bug_is_caught() {
    let missed = Field::shared().await.planted().await;
    assert!(missed.is_empty(), "{missed:#?}");
}

/// Runs plans again, one in a line of `FAULT_PLAN`, each `FAULT_TIMES` times: `workload=... seed=... [at=... fault=...] [bug=...]`.
#[tokio::test]
async fn replay() {
    let Ok(lines) = std::env::var("FAULT_PLAN") else { return };
    let times = std::env::var("FAULT_TIMES").ok().and_then(|times| times.parse().ok()).unwrap_or(1);
    let mut differ = Vec::new();
    for plan in lines.lines() {
        differ.extend(Field::shared().await.replay(&plan.parse().expect("a plan"), times).await);
    }
    assert!(differ.is_empty(), "{differ:#?}");
}
