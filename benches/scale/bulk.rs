//! Many objects at once, and one alone: from the user's create to Ready.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use crate::{
    counts::{busy, changes, grown, processor, writes},
    floor,
    ground::{Ground, NAMESPACES, Site, declare, namespace},
    load::{Item, balancer, items},
    table::{Bound, Table, quantile},
    watch::Watcher,
};

/// How often one object alone is declared.
const ALONE: usize = 200;

/// What the API server alone needs.
pub struct Floor {
    /// For all of them.
    pub bulk: Duration,
    /// Half of single objects, and 99 of 100.
    pub alone: (Duration, Duration),
    /// Processor time for all of them, whoever used it.
    pub busy: Duration,
}

/// Measures it.
pub async fn floor(count: usize) -> Floor {
    let ground = Ground::start().await;
    let operator = floor::start(&ground);
    let mut watcher = Watcher::start(&ground);
    let alone = alone(&ground, &mut watcher, 0).await;
    let before = busy();
    let bulk = bulk(&ground, &mut watcher, &items(count), ALONE).await;
    let busy = busy() - before;
    drop(operator);
    Floor { bulk, alone, busy }
}

/// Declares all at once; how long until all are Ready. So many were before.
pub async fn bulk(ground: &Ground, watcher: &mut Watcher, items: &[Item], before: usize) -> Duration {
    let began = Instant::now();
    let ((), ()) = tokio::join!(declare(ground, items), watcher.until(before + items.len()));
    began.elapsed()
}

/// Balancers, one after the other: the middle of their times and the highest but one in a hundred.
pub async fn alone(ground: &Ground, watcher: &mut Watcher, before: usize) -> (Duration, Duration) {
    let mut times = Vec::new();
    for number in 0..ALONE {
        let item = Item {
            kind: "ProjectLoadBalancer",
            namespace: namespace(number % NAMESPACES),
            name: format!("alone-{before}-{number}"),
            spec: balancer(8_081),
        };
        let began = Instant::now();
        declare(ground, std::slice::from_ref(&item)).await;
        times.push(watcher.until_seen(&item).await - began);
    }
    (quantile(&mut times, 0.5), quantile(&mut times, 0.99))
}

/// Measures the product, and leaves it with all the objects on it.
pub async fn product(count: usize, delay: u64, floor: &Floor, table: &mut Table) -> Site {
    let site = Site::start(delay).await;
    let mut watcher = Watcher::start(&site.ground);
    let late = if delay == 0 { String::new() } else { format!(", backend {delay} ms late") };
    let (p50, p99) = alone(&site.ground, &mut watcher, 0).await;
    let (api, backend, passes) = (site.api_calls().await, site.backend_calls().await, site.passes().await);
    let (cpu, before) = ([site.operator.id(), site.backend.id()].map(processor), busy());
    let took = bulk(&site.ground, &mut watcher, &items(count), ALONE).await;
    let all = busy() - before;
    let cpu = [site.operator.id(), site.backend.id()].into_iter().zip(cpu).map(|(id, before)| processor(id) - before);
    let cpu: Vec<f64> = cpu.map(|time| time.as_secs_f64() * 1e6 / count as f64).collect();
    let most = if delay == 0 { 1.3 } else { 2.0 };
    table.time(format!("{count} objects, apply to Ready{late}"), took, Bound::Times(most, floor.bulk.as_secs_f64()));
    table.time(format!("processor time of {count} objects{late}"), all, Bound::Times(most, floor.busy.as_secs_f64()));
    if delay == 0 {
        table.time(format!("one object, p50{late}"), p50, Bound::Times(2.0, floor.alone.0.as_secs_f64()));
        table.time(format!("one object, p99{late}"), p99, Bound::Times(4.0, floor.alone.1.as_secs_f64()));
    }
    let api = grown(&api, &site.api_calls().await);
    let backend = grown(&backend, &site.backend_calls().await);
    let per = |counts: &BTreeMap<String, f64>, which: fn(&str) -> bool| {
        counts.iter().filter(|(what, _)| which(what)).map(|(_, count)| count).sum::<f64>() / count as f64
    };
    // Users create, and nothing else is written by anybody but the operator.
    let ours = |what: &str| writes(what) && !what.starts_with("POST") && !what.contains("secrets");
    table.add(
        format!("Kubernetes writes an object, exports and events aside{late}"),
        per(&api, ours),
        "",
        Bound::Most(2.0),
    );
    table.add(format!("backend writes an object{late}"), per(&backend, changes), "", Bound::Open);
    table.add(format!("backend calls an object{late}"), per(&backend, |_| true), "", Bound::Open);
    #[allow(clippy::cast_precision_loss, reason = "a count of objects")]
    let passes = (site.passes().await - passes) / count as f64;
    table.add(format!("passes an object{late}"), passes, "", Bound::Open);
    table.add(format!("operator's processor time an object{late}"), cpu[0], "us", Bound::Open);
    table.add(format!("backend's processor time an object{late}"), cpu[1], "us", Bound::Open);
    println!("    {api:?}\n    {backend:?}");
    site
}
