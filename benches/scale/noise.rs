//! Neighbours that fail: what the others notice of them.

use std::time::Duration;

use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::{
    bulk::alone,
    floor,
    ground::{DOMAIN, Ground, Site, declare, namespace},
    load::Item,
    table::{Bound, Table, quantile},
    watch::Watcher,
};

/// Objects that fail at the same time.
const FAILING: usize = 1_000;
/// How often each is measured.
const ROUNDS: usize = 3;
/// Time between two edits of one that fails.
const EDITS: Duration = Duration::from_millis(20);

/// A record that its zone does not cover: refused each time.
fn failing(number: usize) -> Item {
    let name = format!("failing-{number}");
    let spec = json!({"zoneRef": {"name": "zone-0"}, "name": format!("f{number}.elsewhere.{DOMAIN}"), "type": "A",
        "values": ["192.0.2.1"]});
    Item { kind: "DnsRecord", namespace: namespace(0), name, spec }
}

/// One object alone beside neighbours that fail, held against one without them: in turn, because the machine is not always the
/// same, and of each the round in the middle. What the edits themselves cost the API server, the floor beside them shows.
pub async fn measure(site: &Site, table: &mut Table) {
    {
        let ground = Ground::start().await;
        let _operator = floor::start(&ground);
        declare(&ground, &[failing(0)]).await;
        // There it does not fail, and is to be counted once.
        Watcher::start(&ground).until(1).await;
        let (quiet, beside, edits) = beside(&ground).await;
        let most = Bound::Times(1.5, quiet.as_secs_f64());
        table.time(format!("the floor beside an object that had {edits} edits, p99"), beside, most);
    }
    site.declare(&[failing(0)]).await;
    let (quiet, noisy, edits) = beside(&site.ground).await;
    let most = Bound::Times(1.5, quiet.as_secs_f64());
    table.time(format!("one object beside one that fails and had {edits} edits, p99"), noisy, most);
    site.declare(&(1..=FAILING).map(failing).collect::<Vec<_>>()).await;
    let mut many = Vec::new();
    for _ in 0..ROUNDS {
        many.push(one(&site.ground).await);
    }
    table.time(format!("one object beside {FAILING} that fail, p99"), quantile(&mut many, 0.5), most);
}

/// The same without an object that is edited all the time and beside one, and how many edits that had.
async fn beside(ground: &Ground) -> (Duration, Duration, usize) {
    let first = failing(0);
    let (mut quiet, mut noisy, mut all) = (Vec::new(), Vec::new(), 0);
    for _ in 0..ROUNDS {
        quiet.push(one(ground).await);
        let stop = CancellationToken::new();
        let (edits, beside) = tokio::join!(edit(ground, &first, &stop), async {
            let beside = one(ground).await;
            stop.cancel();
            beside
        });
        noisy.push(beside);
        all += edits;
    }
    (quantile(&mut quiet, 0.5), quantile(&mut noisy, 0.5), all)
}

/// 99 of 100 single objects are Ready after this.
async fn one(ground: &Ground) -> Duration {
    let mut watcher = Watcher::start(ground);
    // Those that are there already are seen first.
    let there = present(ground).await;
    watcher.until(there).await;
    alone(ground, &mut watcher, there).await.1
}

async fn present(ground: &Ground) -> usize {
    let mut count = 0;
    for kind in crate::load::KINDS {
        let objects = ground.all(kind).list(&Default::default()).await.unwrap();
        count += objects.iter().filter(|object| crate::watch::is_ready(object)).count();
    }
    count
}

async fn edit(ground: &Ground, item: &Item, stop: &CancellationToken) -> usize {
    let api = ground.api(item.kind, &item.namespace);
    let mut clock = interval(EDITS);
    clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut edits = 0;
    while !stop.is_cancelled() {
        clock.tick().await;
        edits += 1;
        let patch = json!({"spec": {"ttl": format!("{}s", 60 + edits % 100)}});
        api.patch(&item.name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }
    edits
}
