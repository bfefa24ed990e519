//! The control plane dies and comes back.

use std::time::Duration;

use loopback_operator::dev::binaries::Program::{ApiServer, Etcd};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{journal::Journal, judge::settled, seed, town::Town, users::Users};
use crate::rig::alone;

/// How many objects there are.
pub const OBJECTS: usize = 60;
/// A user's longest rest.
pub const REST: Duration = Duration::from_millis(200);
/// How long users are busy before, while and after something dies.
pub const BUSY: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn api_server_and_etcd_may_die() {
    let (_, _alone) = alone().await;
    let (town, mut plane) = Town::start("controlplane", 1).await;
    let journal = Journal::follow(&town.wire, town.name);
    let mut users = Users::new(seed(), OBJECTS);
    users.begin(&town).await;
    for dead in [&[ApiServer][..], &[Etcd], &[Etcd, ApiServer]] {
        let stop = CancellationToken::new();
        let outage = async {
            sleep(BUSY).await;
            dead.iter().for_each(|program| plane.kill(*program));
            sleep(BUSY).await;
            for program in dead {
                plane.restart(*program).await.expect("it comes back");
            }
            sleep(BUSY).await;
            stop.cancel();
        };
        tokio::join!(users.work(&town, REST, &stop), outage);
        calm(&town, &mut users, &journal, &format!("{dead:?} killed")).await;
    }
    assert_eq!(town.revive(), 0, "the operator ended by itself");
}

/// Users have said all that they want, and get it.
pub async fn calm(town: &Town, users: &mut Users, journal: &Journal, what: &str) {
    users.finish(town).await;
    let took = settled(town, users, journal).await;
    let (wanted, deeds) = (users.wishes().count(), users.deeds().values().sum::<u64>());
    println!("{what}: {deeds} deeds so far, {wanted} objects wanted, settled in {took:.1?}");
}
