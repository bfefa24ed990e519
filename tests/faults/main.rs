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
mod proxy;
#[allow(dead_code, reason = "the other suite uses the rest")]
#[path = "../suite/rig/mod.rs"]
mod rig;
mod stage;
mod workloads;

use std::{sync::Arc, time::{Duration, Instant}};

use campaign::{Reference, Task, Verdict};
use plan::Plan;
use workloads::Workload;

const SEED: u64 = 1;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clean() {
    let ground = Arc::new(ground::Ground::start().await);
    let lane = Arc::new(lane::Lane::start(ground.clone(), 1).await);
    let only = std::env::var("ONLY").unwrap_or_default();
    for workload in workloads::all().into_iter().filter(|w| w.name.contains(&only)) {
        let task = Task { workload, seed: SEED, plan: None, bug: None, reference: None, patience: Duration::from_secs(20) };
        let verdict = campaign::run(&lane, task).await;
        println!("{} {:?} calls {} plans {}", workload.name, verdict.took, verdict.reference.calls.len(), campaign::plans(workload, 1, &verdict.reference.calls, false).len());
        for violation in &verdict.violations {
            println!("  {violation}");
        }
        if std::env::var("SHOW").is_ok() {
            for call in &verdict.reference.calls { println!("    {} {:?} {:?}", call.point, call.code, call.sent); }
            println!("{:#}", verdict.reference.state);
        }
        if !verdict.violations.is_empty() && std::env::var("SHOW").is_ok() { println!("{}", verdict.log); }
    }
}
