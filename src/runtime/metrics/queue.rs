//! The work queue, read at each scrape.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::counter::ConstCounter,
};

use super::{Controller, QueueName, count, gauges};
use crate::runtime::queue::{KindStats, Stats};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Depth {
    name: String,
    controller: String,
    priority: &'static str,
}

/// Reads a queue.
pub(super) struct QueueMetrics {
    stats: Box<dyn Fn() -> Stats + Send + Sync>,
}

impl QueueMetrics {
    pub(super) fn new(stats: impl Fn() -> Stats + Send + Sync + 'static) -> Self {
        Self { stats: Box::new(stats) }
    }
}

impl fmt::Debug for QueueMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueMetrics").finish_non_exhaustive()
    }
}

impl Collector for QueueMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let encoder = &mut encoder;
        let stats = (self.stats)();
        gauges(encoder, "workqueue_depth", "Keys that may run now.", &depths(&stats))?;
        counters(encoder, "workqueue_adds", "Adds.", &stats, |kind| kind.adds)?;
        counters(encoder, "workqueue_retries", "Passes that failed.", &stats, |kind| kind.retries)?;
        let mut seconds = |name, help, of: fn(&KindStats) -> f64| {
            let samples: Vec<_> = stats.kinds.iter().map(|(kind, stats)| (queue_name(kind), of(stats))).collect();
            gauges(encoder, name, help, &samples)
        };
        let unfinished = "How long the passes that run have been running, summed up.";
        seconds("workqueue_unfinished_work_seconds", unfinished, |kind| kind.unfinished.as_secs_f64())?;
        let longest = "How long the longest pass has been running.";
        seconds("workqueue_longest_running_processor_seconds", longest, |kind| kind.longest.as_secs_f64())?;
        let oldest = "How long the first key in line has been runnable.";
        seconds("loopback_workqueue_oldest_seconds", oldest, |kind| kind.oldest.as_secs_f64())?;
        gauges(
            encoder,
            "loopback_workqueue_delayed",
            "Keys that wait for their time.",
            &[([("queue", "all")], count(stats.delayed))],
        )?;
        let controller = |kind: &String| Controller { controller: kind.clone() };
        let workers: Vec<_> = stats.kinds.keys().map(|kind| (controller(kind), count(stats.workers))).collect();
        gauges(encoder, "controller_runtime_max_concurrent_reconciles", "Passes that may run at a time.", &workers)
    }
}

fn depths(stats: &Stats) -> Vec<(Depth, f64)> {
    let depth = |kind: &String, priority, depth| {
        (Depth { name: kind.clone(), controller: kind.clone(), priority }, count(depth))
    };
    stats.kinds.iter().flat_map(|(kind, of)| [depth(kind, "high", of.high), depth(kind, "low", of.low)]).collect()
}

fn counters(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    stats: &Stats,
    of: fn(&KindStats) -> u64,
) -> fmt::Result {
    if stats.kinds.is_empty() {
        return Ok(());
    }
    let mut family = encoder.encode_descriptor(name, help, None, ConstCounter::new(0_u64).metric_type())?;
    for (kind, stats) in &stats.kinds {
        ConstCounter::new(of(stats)).encode(family.encode_family(&queue_name(kind))?)?;
    }
    Ok(())
}

fn queue_name(kind: &str) -> QueueName {
    QueueName { name: kind.to_owned(), controller: kind.to_owned() }
}
