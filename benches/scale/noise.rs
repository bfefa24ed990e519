//! Neighbours that fail: what the others notice of them.

use std::time::Duration;

use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::{
    bulk::alone,
    ground::{DOMAIN, Site, namespace},
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
/// same, and of each the round in the middle.
pub async fn measure(site: &Site, table: &mut Table) {
    let first = failing(0);
    site.declare(std::slice::from_ref(&first)).await;
    let (mut quiet, mut noisy, mut all) = (Vec::new(), Vec::new(), 0);
    for _ in 0..ROUNDS {
        quiet.push(one(site).await);
        let stop = CancellationToken::new();
        let (edits, beside) = tokio::join!(edit(site, &first, &stop), async {
            let beside = one(site).await;
            stop.cancel();
            beside
        });
        noisy.push(beside);
        all += edits;
    }
    let most = Bound::Times(1.5, quantile(&mut quiet, 0.5).as_secs_f64());
    table.time(format!("one object beside one that fails and had {all} edits, p99"), quantile(&mut noisy, 0.5), most);
    site.declare(&(1..=FAILING).map(failing).collect::<Vec<_>>()).await;
    let mut many = Vec::new();
    for _ in 0..ROUNDS {
        many.push(one(site).await);
    }
    table.time(format!("one object beside {FAILING} that fail, p99"), quantile(&mut many, 0.5), most);
}

/// 99 of 100 single objects are Ready after this.
async fn one(site: &Site) -> Duration {
    let mut watcher = Watcher::start(&site.ground);
    // Those that are there already are seen first.
    let there = present(site).await;
    watcher.until(there).await;
    alone(&site.ground, &mut watcher, there).await.1
}

async fn present(site: &Site) -> usize {
    let mut count = 0;
    for kind in crate::load::KINDS {
        let objects = site.ground.all(kind).list(&Default::default()).await.unwrap();
        count += objects.iter().filter(|object| crate::watch::is_ready(object)).count();
    }
    count
}

async fn edit(site: &Site, item: &Item, stop: &CancellationToken) -> usize {
    let api = site.ground.api(item.kind, &item.namespace);
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
