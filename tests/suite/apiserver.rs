//! The API server of the simulation is held honest: what it answers, the real one answers.

mod alone;
mod cases;
mod lab;
mod mask;
#[allow(dead_code, reason = "the simulation copies servers")]
#[path = "../simulation/apiserver/mod.rs"]
mod simulated;

use std::fmt::Write as _;

use futures::{StreamExt, stream};
use loopback_operator::runtime::World;
use serde_json::Value;
use simulated::ApiServer;

use self::lab::{Case, Lab};
use crate::rig::rig;

/// How many cases run at once against the real server.
const AT_ONCE: usize = 8;

/// A server of the simulation with the kinds of the cases.
fn simulation() -> ApiServer {
    let server = ApiServer::new(World::seeded(1));
    server.show_managed_fields(true);
    server.install(&cases::definitions());
    server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_answer_alike() {
    let (rig, _peace) = rig().await;
    let client = lab::client(rig).await;
    lab::define(&client, &cases::definitions()).await;
    let cases = cases::all();
    assert!(cases.len() >= 60, "{} cases", cases.len());
    let wrong: Vec<String> = stream::iter((1..).zip(&cases))
        .map(async |(number, case)| {
            let simulated = simulation();
            let real = Lab::real(client.clone(), number).run(case).await;
            let ours = Lab::simulated(&simulated, number).run(case).await;
            differences(case, &real, &ours)
        })
        .buffered(AT_ONCE)
        .filter_map(async |difference| difference)
        .collect()
        .await;
    let (count, all) = (wrong.len(), cases.len());
    assert!(wrong.is_empty(), "{count} of {all} cases differ\n{}", wrong.join("\n"));
}

/// What the real server and ours answered differently.
fn differences(case: &Case, real: &[Value], ours: &[Value]) -> Option<String> {
    let mut text = String::new();
    for (at, (real, ours)) in real.iter().zip(ours).enumerate().filter(|(_, (real, ours))| real != ours) {
        let _ = writeln!(text, "{}, answer {at}\n  real {real}\n  ours {ours}", case.name);
    }
    (!text.is_empty()).then_some(text)
}
