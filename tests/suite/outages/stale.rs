//! One of two API servers lags behind the data, or comes back when the history that its watchers knew is
//! forgotten; the operator goes through that one, users through the other.

use loopback_operator::dev::controlplane::{ApiServer, ControlPlane};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{
    controlplane::{BUSY, OBJECTS, REST, calm},
    journal::Journal,
    relay::Relay,
    seed,
    town::Town,
    users::Users,
};
use crate::rig::alone;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_server_may_lag_and_forget() {
    let (_, _alone) = alone().await;
    let (mut town, plane) = Town::found("stale").await;
    let relay = Relay::start(plane.etcd_port()).await;
    let mut lagging = plane.another_api_server(relay.port()).await.expect("another API server");
    let journal = Journal::follow(&town.wire, town.name);
    let mut users = Users::new(seed(), OBJECTS);
    // The first leads, so that it has work under way when its view stops.
    town.operate(lagging.cluster()).await;
    town.operate(plane.cluster()).await;
    users.begin(&town).await;
    calm(&town, &mut users, &journal, "nothing yet").await;
    for asleep in [false, true] {
        lags(&town, &mut users, &relay, asleep).await;
        calm(&town, &mut users, &journal, &format!("an old view, restarted: {asleep}")).await;
    }
    town.revive();
    town.operators[1].program.kill();
    forgets(&town, &mut users, &plane, &mut lagging, &journal).await;
    assert!(!town.operators[0].program.is_over(), "the operator ended because it had no API server for a while");
}

/// Users are busy while one API server shows and takes nothing new; the operator behind it may be started again meanwhile.
async fn lags(town: &Town, users: &mut Users, relay: &Relay, restarted: bool) {
    let behind = &town.operators[0].program;
    // Nobody starts one that ended because its API server did not answer; in a cluster somebody does.
    town.revive();
    // The other gives the lead back.
    town.operators[1].program.kill();
    town.until_leads(0).await;
    town.operators[1].program.again();
    let stop = CancellationToken::new();
    let outage = async {
        sleep(BUSY).await;
        relay.freeze(true);
        if restarted {
            behind.kill();
            behind.again();
        }
        town.until_leads(1).await;
        sleep(2 * BUSY).await;
        relay.freeze(false);
        sleep(BUSY).await;
        stop.cancel();
    };
    tokio::join!(users.work(town, REST, &stop), outage);
}

/// While the operator has no API server, some objects change, some end, and the history of all that is forgotten.
async fn forgets(town: &Town, users: &mut Users, plane: &ControlPlane, lagging: &mut ApiServer, journal: &Journal) {
    town.until_leads(0).await;
    calm(town, users, journal, "one operator").await;
    town.until_counted().await;
    let before = town.versions(users).await;
    let lists = town.lists();
    lagging.kill();
    let alone = users.part(town).await;
    plane.compact().await.expect("history is forgotten");
    lagging.start().await.expect("it comes back");
    calm(town, users, journal, "history forgotten").await;
    assert!(town.lists() > lists, "the operator went on from a version that nobody knows any more");
    let after = town.versions(users).await;
    assert!(!alone.is_empty());
    for name in alone {
        assert_eq!(before[&name], after[&name], "{name} was left alone by its users, and written");
    }
}
