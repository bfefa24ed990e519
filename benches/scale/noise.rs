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
    table::{Bound, Table},
    watch::Watcher,
};

/// Objects that fail at the same time.
const FAILING: usize = 1_000;
/// Time between two edits of one that fails.
const EDITS: Duration = Duration::from_millis(20);

/// A record that its zone does not cover: refused each time.
fn failing(number: usize) -> Item {
    let name = format!("failing-{number}");
    let spec = json!({"zoneRef": {"name": "zone-0"}, "name": format!("f{number}.elsewhere.{DOMAIN}"), "type": "A",
        "values": ["192.0.2.1"]});
    Item { kind: "DnsRecord", namespace: namespace(0), name, spec }
}

/// One object alone beside neighbours that fail, held against one without them.
pub async fn measure(site: &Site, table: &mut Table) {
    let mut seen = 0;
    let mut one = async |site: &Site| {
        let mut watcher = Watcher::start(&site.ground);
        // Those that are there already are seen first.
        let there = present(site).await;
        watcher.until(there).await;
        seen += 1;
        alone(&site.ground, &mut watcher, there).await.1
    };
    let quiet = one(site).await;
    let first = failing(0);
    site.declare(std::slice::from_ref(&first)).await;
    let stop = CancellationToken::new();
    let (edits, noisy) = tokio::join!(edit(site, &first, &stop), async {
        let noisy = one(site).await;
        stop.cancel();
        noisy
    });
    table.time(
        format!("one object beside one that fails and had {edits} edits, p99"),
        noisy,
        Bound::Times(1.5, quiet.as_secs_f64()),
    );
    site.declare(&(1..=FAILING).map(failing).collect::<Vec<_>>()).await;
    let many = one(site).await;
    table.time(format!("one object beside {FAILING} that fail, p99"), many, Bound::Times(1.5, quiet.as_secs_f64()));
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
