//! How cost grows with the number of objects.

use crate::{
    after::calm,
    bulk::bulk,
    counts::{changes, grown, processor},
    ground::Site,
    load::items,
    table::{Bound, Table},
    watch::Watcher,
};

/// Numbers of objects.
const SIZES: [usize; 6] = [100, 300, 1_000, 3_000, 10_000, 30_000];

const BOTH: [&str; 2] = ["operator", "backend"];

/// What so many objects cost.
struct Cost {
    objects: f64,
    seconds: f64,
    /// Processor time of the operator and of the backend.
    processor: [f64; 2],
    calls: f64,
    memory: f64,
}

/// Each size on a site of its own.
pub async fn measure(largest: usize, table: &mut Table) {
    let mut costs = Vec::new();
    for size in SIZES.into_iter().filter(|size| *size <= largest) {
        let cost = cost(size).await;
        table.add(format!("{size} objects: time"), cost.seconds, "s", Bound::Open);
        for (who, seconds) in BOTH.into_iter().zip(cost.processor) {
            table.add(format!("{size} objects: processor time of the {who}"), seconds, "s", Bound::Open);
        }
        table.add(format!("{size} objects: calls to the backend"), cost.calls, "", Bound::Open);
        table.add(format!("{size} objects: memory of both, more than with none"), cost.memory, "MiB", Bound::Open);
        costs.push(cost);
    }
    // Below a thousand what there is anyway counts for too much.
    let large: Vec<&Cost> = costs.iter().filter(|cost| cost.objects >= 1_000.0).collect();
    let of = |what: fn(&Cost) -> f64| exponent(large.iter().map(|cost| (cost.objects, what(cost))));
    table.add("growth of time, exponent", of(|cost| cost.seconds), "", Bound::Most(1.1));
    table.add("growth of processor time, exponent", of(|cost| cost.processor.iter().sum()), "", Bound::Most(1.1));
    table.add("growth of the operator's, exponent", of(|cost| cost.processor[0]), "", Bound::Open);
    table.add("growth of the backend's, exponent", of(|cost| cost.processor[1]), "", Bound::Open);
    table.add("growth of calls, exponent", of(|cost| cost.calls), "", Bound::Most(1.01));
    table.add("growth of memory, exponent", of(|cost| cost.memory), "", Bound::Most(1.1));
}

#[allow(clippy::cast_precision_loss, reason = "counts of objects and bytes")]
async fn cost(size: usize) -> Cost {
    let site = Site::start(0).await;
    let mut watcher = Watcher::start(&site.ground);
    let memory = |site: &Site| (site.operator.resident() + site.backend.resident()) as f64 / 1024.0 / 1024.0;
    let time = |site: &Site| [site.operator.id(), site.backend.id()].map(|id| processor(id).as_secs_f64());
    let before = (memory(&site), time(&site), site.backend_calls().await);
    let took = bulk(&site.ground, &mut watcher, &items(size), 0).await;
    calm(&site).await;
    let after = time(&site);
    let calls = grown(&before.2, &site.backend_calls().await);
    Cost {
        objects: size as f64,
        seconds: took.as_secs_f64(),
        processor: [0, 1].map(|who| after[who] - before.1[who]),
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
