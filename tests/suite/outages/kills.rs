//! `kill -9` of operators and backend every few seconds.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{journal::Journal, judge::settled, seed, town::Town, users::Users};
use crate::rig::alone;

/// Objects, time, and a user's longest rest: of a run of the tests, and of a full one.
const SHORT: (usize, Duration, Duration) = (60, Duration::from_secs(20), Duration::from_millis(200));
const LONG: (usize, Duration, Duration) = (500, Duration::from_secs(600), Duration::from_millis(600));

/// Kills one or all, and starts them again a moment later.
async fn kills(town: &Town, mut random: StdRng, stop: &CancellationToken) -> usize {
    let all: Vec<_> = town.operators.iter().map(|operator| &operator.program).chain([&town.backend]).collect();
    let (mut count, mut alone) = (0, 0);
    while !stop.is_cancelled() {
        sleep(Duration::from_millis(random.random_range(1_500..5_000))).await;
        let chosen = random.random_range(0..all.len() + 1);
        let victims = all.get(chosen).map_or(all.as_slice(), std::slice::from_ref);
        alone += town.revive();
        victims.iter().for_each(|victim| victim.kill());
        count += victims.len();
        sleep(Duration::from_millis(random.random_range(0..2_000))).await;
        victims.iter().for_each(|victim| victim.again());
    }
    println!("{count} kills; {alone} ended by themselves");
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_and_backend_may_be_killed_at_any_time() {
    let full = std::env::var("LOOPBACK_TESTS_FULL").is_ok_and(|full| !full.is_empty());
    let (objects, busy, rest) = if full { LONG } else { SHORT };
    let seed = seed();
    let (_, _alone) = alone().await;
    let (town, _plane) = Town::start("kills", 2).await;
    let journal = Journal::follow(&town.wire, town.name);
    let mut users = Users::new(seed, objects);
    let stop = CancellationToken::new();
    let life = async {
        users.begin(&town).await;
        users.work(&town, rest, &stop).await;
    };
    let clock = async {
        sleep(busy).await;
        stop.cancel();
    };
    let ((), (), killed) = tokio::join!(life, clock, kills(&town, StdRng::seed_from_u64(seed), &stop));
    assert!(killed >= 3, "{killed} kills");
    town.wire.wait().await;
    town.until_ready().await;
    users.finish(&town).await;
    let took = settled(&town, &users, &journal).await;
    let wanted = users.wishes().count();
    println!("{:?}; {wanted} objects wanted, settled in {took:.1?}", users.deeds());
}
