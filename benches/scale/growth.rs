//! How cost grows with the number of objects, and with the size of one.

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    after::calm,
    bulk::bulk,
    counts::{changes, grown, processor},
    ground::{DOMAIN, Site, namespace},
    load::{Item, items},
    table::{Bound, Table},
    watch::Watcher,
};

/// Numbers of objects.
const SIZES: [usize; 6] = [100, 300, 1_000, 3_000, 10_000, 30_000];

/// What so many objects cost.
struct Cost {
    objects: f64,
    seconds: f64,
    processor: f64,
    calls: f64,
    memory: f64,
}

/// Each size on a site of its own.
pub async fn measure(largest: usize, table: &mut Table) {
    let mut costs = Vec::new();
    for size in SIZES.into_iter().filter(|size| *size <= largest) {
        let cost = cost(size).await;
        table.add(format!("{size} objects: time"), cost.seconds, "s", Bound::Open);
        table.add(format!("{size} objects: processor time of both"), cost.processor, "s", Bound::Open);
        table.add(format!("{size} objects: calls to the backend"), cost.calls, "", Bound::Open);
        table.add(format!("{size} objects: memory of both, more than with none"), cost.memory, "MiB", Bound::Open);
        costs.push(cost);
    }
    // Below a thousand what there is anyway counts for too much.
    let large: Vec<&Cost> = costs.iter().filter(|cost| cost.objects >= 1_000.0).collect();
    let of = |what: fn(&Cost) -> f64| exponent(large.iter().map(|cost| (cost.objects, what(cost))));
    table.add("growth of time, exponent", of(|cost| cost.seconds), "", Bound::Most(1.1));
    table.add("growth of processor time, exponent", of(|cost| cost.processor), "", Bound::Most(1.1));
    table.add("growth of calls, exponent", of(|cost| cost.calls), "", Bound::Most(1.01));
    table.add("growth of memory, exponent", of(|cost| cost.memory), "", Bound::Most(1.1));
}

#[allow(clippy::cast_precision_loss, reason = "counts of objects and bytes")]
async fn cost(size: usize) -> Cost {
    let site = Site::start(0).await;
    let mut watcher = Watcher::start(&site.ground);
    let memory = |site: &Site| (site.operator.resident() + site.backend.resident()) as f64 / 1024.0 / 1024.0;
    let time = |site: &Site| (processor(site.operator.id()) + processor(site.backend.id())).as_secs_f64();
    let before = (memory(&site), time(&site), site.backend_calls().await);
    let took = bulk(&site.ground, &mut watcher, &items(size), 0).await;
    calm(&site).await;
    let calls = grown(&before.2, &site.backend_calls().await);
    Cost {
        objects: size as f64,
        seconds: took.as_secs_f64(),
        processor: time(&site) - before.1,
        calls: calls.iter().filter(|(what, _)| changes(what)).map(|(_, count)| count).sum(),
        memory: memory(&site) - before.0,
    }
}

/// The exponent of the power law that fits best.
fn exponent(points: impl Iterator<Item = (f64, f64)>) -> f64 {
    let points: Vec<(f64, f64)> = points.map(|(x, y)| (x.ln(), y.max(1e-9).ln())).collect();
    #[allow(clippy::cast_precision_loss, reason = "a handful of points")]
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let above: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let below: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    above / below
}

/// One zone with very many records, one balancer with as many targets as it may have.
pub async fn large(table: &mut Table) {
    let site = Site::start(0).await;
    let mut watcher = Watcher::start(&site.ground);
    let item = |kind, name: String, spec| Item { kind, namespace: namespace(0), name, spec };
    let zone =
        item("ProjectDnsZone", "zone".into(), json!({"domain": DOMAIN, "patterns": [format!("*.large.{DOMAIN}")]}));
    let record = |number: usize| {
        let spec = json!({"zoneRef": {"name": "zone"}, "name": format!("r{number}.large.{DOMAIN}"), "type": "A", "values": ["192.0.2.1"]});
        item("DnsRecord", format!("record-{number}"), spec)
    };
    bulk(&site.ground, &mut watcher, &[zone], 0).await;
    let (half, all): (Vec<_>, Vec<_>) = (0..10_000)
        .map(record)
        .partition(|item| item.name.len() < "record-1000".len() || item.name.as_str() < "record-5");
    let first =
        bulk(&site.ground, &mut watcher, &half, 1).await.as_secs_f64() / f64::from(u32::try_from(half.len()).unwrap());
    let second = bulk(&site.ground, &mut watcher, &all, 1 + half.len()).await.as_secs_f64()
        / f64::from(u32::try_from(all.len()).unwrap());
    table.add("one zone: a record among the first 5,000", first * 1e3, "ms", Bound::Open);
    table.add("one zone: a record among the next 5,000", second * 1e3, "ms", Bound::Times(1.3, first * 1e3));
    let targets: Vec<Value> = (0..1_000)
        .map(|n| json!({"name": format!("t{n}"), "address": format!("127.0.{}.{}", n / 250, 1 + n % 250), "port": 9}))
        .collect();
    let balancer = item(
        "ProjectLoadBalancer",
        "large".into(),
        json!({"services": [{"name": "web", "port": 8_080}], "targets": targets}),
    );
    let began = Instant::now();
    bulk(&site.ground, &mut watcher, &[balancer], 10_001).await;
    table.time("one balancer with 1,000 targets", began.elapsed(), Bound::Open);
    let object = site.ground.api("ProjectLoadBalancer", &namespace(0)).get("large").await.unwrap();
    #[allow(clippy::cast_precision_loss, reason = "bytes of a status")]
    table.add("its status", object.data["status"].to_string().len() as f64 / 1024.0, "KiB", Bound::Most(64.0));
}
