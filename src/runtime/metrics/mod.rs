//! Metrics, under the names that dashboards for Kubernetes controllers know, and our own.
//!
//! prometheus-client appends `_total` to counters and `_info` to infos: they are registered without.

mod objects;
mod orphans;
mod queue;

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU64},
    },
    time::Duration,
};

use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text},
    metrics::{counter::Counter, family::Family, gauge::ConstGauge, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Metric, Registry},
};
use tokio::time::Instant;

pub use self::objects::{ObjectName, ObjectSeries};
use self::{objects::Objects, orphans::Orphans, queue::QueueMetrics};
use super::queue::Stats;

type Counters<L> = Family<L, Counter<u64, AtomicU64>>;
type Gauges<L> = Family<L, Gauge<i64, AtomicI64>>;
type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Controller {
    controller: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ControllerResult {
    controller: String,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QueueName {
    name: String,
    controller: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KubernetesRequest {
    code: String,
    method: String,
    host: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BackendRequest {
    operation: &'static str,
    code: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Operation {
    operation: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NameLabel {
    name: String,
}

/// How a pass ended, for people who watch rates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassResult {
    /// Nothing left to do.
    Success,
    /// To be run again at once.
    Requeue,
    /// To be run again after a while.
    RequeueAfter,
    /// Failed, to be tried again.
    Error,
    /// Failed, and only a change helps.
    TerminalError,
}

impl PassResult {
    fn label(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Requeue => "requeue",
            Self::RequeueAfter => "requeue_after",
            Self::Error | Self::TerminalError => "error",
        }
    }
}

/// All metrics of the process. Cheap to clone; all clones are the same.
#[derive(Clone, Debug)]
pub struct Metrics {
    families: Arc<Families>,
    objects: Arc<Objects>,
    registry: Arc<Mutex<Registry>>,
}

#[derive(Debug)]
struct Families {
    passes: Counters<ControllerResult>,
    errors: Counters<Controller>,
    terminal_errors: Counters<Controller>,
    panics: Counters<Controller>,
    pass_time: Histograms<Controller>,
    active: Gauges<Controller>,
    queue_time: Histograms<QueueName>,
    work_time: Histograms<QueueName>,
    kubernetes: Counters<KubernetesRequest>,
    leader: Gauges<NameLabel>,
    backend: Counters<BackendRequest>,
    backend_time: Histograms<Operation>,
    throttled: Counter<f64, AtomicU64>,
    drift: Counters<KindLabel>,
    time_to_ready: Histograms<KindLabel>,
}

/// Seconds, for things that take from milliseconds to minutes.
fn work_seconds() -> Histogram {
    Histogram::new([0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0])
}

/// Seconds, for things that take from a second to an hour.
fn wait_seconds() -> Histogram {
    Histogram::new([0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0])
}

fn histograms<L: Clone + Eq + std::hash::Hash>(buckets: fn() -> Histogram) -> Histograms<L> {
    Family::new_with_constructor(buckets)
}

impl Families {
    fn new() -> Self {
        Self {
            passes: Family::default(),
            errors: Family::default(),
            terminal_errors: Family::default(),
            panics: Family::default(),
            pass_time: histograms(work_seconds),
            active: Family::default(),
            queue_time: histograms(work_seconds),
            work_time: histograms(work_seconds),
            kubernetes: Family::default(),
            leader: Family::default(),
            backend: Family::default(),
            backend_time: histograms(work_seconds),
            throttled: Counter::default(),
            drift: Family::default(),
            time_to_ready: histograms(wait_seconds),
        }
    }

    fn register(&self, registry: &mut Registry) {
        let mut add = Adder { registry };
        let prefix = "controller_runtime";
        add.one(prefix, "reconcile", "Passes by result", &self.passes);
        add.one(prefix, "reconcile_errors", "Passes that failed", &self.errors);
        add.one(prefix, "terminal_reconcile_errors", "Passes that failed and wait for a change", &self.terminal_errors);
        add.one(prefix, "reconcile_panics", "Passes that crashed", &self.panics);
        add.one(prefix, "reconcile_time_seconds", "Time a pass takes", &self.pass_time);
        add.one(prefix, "active_workers", "Passes that run", &self.active);
        add.one("workqueue", "queue_duration_seconds", "Time between runnable and running", &self.queue_time);
        add.one("workqueue", "work_duration_seconds", "Time a pass takes", &self.work_time);
        add.one("rest_client", "requests", "Requests to the API server", &self.kubernetes);
        add.one("leader_election", "master_status", "Whether this replica leads", &self.leader);
        add.one("loopback", "backend_requests", "Requests to the Loopback backend", &self.backend);
        add.one("loopback", "backend_request_duration_seconds", "Time such a request takes", &self.backend_time);
        add.one("loopback", "backend_throttled_seconds", "Time that the backend asked us to wait", &self.throttled);
        add.one("loopback", "drift_corrected", "Changes by others that were set right", &self.drift);
        add.one("loopback", "time_to_ready_seconds", "Time from a new spec to Ready", &self.time_to_ready);
    }
}

struct Adder<'a> {
    registry: &'a mut Registry,
}

impl Adder<'_> {
    fn one(&mut self, prefix: &str, name: &str, help: &str, metric: &(impl Metric + Clone)) {
        self.registry.register(format!("{prefix}_{name}"), help, metric.clone());
    }
}

impl Metrics {
    /// Metrics with their own registry. `version` is what the process tells about its build.
    #[must_use]
    pub fn new(version: &str, series: ObjectSeries) -> Self {
        let (families, objects) = (Arc::new(Families::new()), Arc::new(Objects::new(series)));
        let mut registry = Registry::default();
        registry.register("loopback_build", "What runs", Info::new(vec![("version", version.to_owned())]));
        families.register(&mut registry);
        registry.register_collector(Box::new(Arc::clone(&objects)));
        Self { families, objects, registry: Arc::new(Mutex::new(registry)) }
    }

    /// Counts a pass until [`PassMeter::end`]; one that is dropped before was given up and will be run again.
    pub fn pass(&self, controller: &str, waited: Duration) -> PassMeter {
        let name = QueueName { name: controller.to_owned(), controller: controller.to_owned() };
        let controller = Controller { controller: controller.to_owned() };
        self.families.queue_time.get_or_create(&name).observe(waited.as_secs_f64());
        self.families.active.get_or_create(&controller).inc();
        let families = Arc::clone(&self.families);
        PassMeter { controller, name, started: Instant::now(), result: None, families }
    }

    /// A pass crashed: a defect of ours.
    pub fn pass_crashed(&self, controller: &str) {
        self.families.panics.get_or_create(&Controller { controller: controller.to_owned() }).inc();
    }

    /// Shows a queue, read at each scrape.
    pub fn follow_queue(&self, stats: impl Fn() -> Stats + Send + Sync + 'static) {
        self.registry().register_collector(Box::new(QueueMetrics::new(stats)));
    }

    /// Counts a request to the API server. `code` is the HTTP status, or `<error>` when there was no answer.
    pub fn kubernetes_request(&self, code: &str, method: &str, host: &str) {
        let [code, method, host] = [code, method, host].map(str::to_owned);
        self.families.kubernetes.get_or_create(&KubernetesRequest { code, method, host }).inc();
    }

    /// Counts a request to the Loopback backend. `operation` comes from a fixed list and has no names of objects.
    pub fn backend_request(&self, operation: &'static str, code: &str, took: Duration) {
        self.families.backend.get_or_create(&BackendRequest { operation, code: code.to_owned() }).inc();
        self.families.backend_time.get_or_create(&Operation { operation }).observe(took.as_secs_f64());
    }

    /// The backend asked us to wait this long.
    pub fn backend_throttled(&self, wait: Duration) {
        self.families.throttled.inc_by(wait.as_secs_f64());
    }

    /// A change by others was set right.
    pub fn drift_corrected(&self, kind: &str) {
        self.families.drift.get_or_create(&KindLabel { kind: kind.to_owned() }).inc();
    }

    /// Shows how many backend objects of each kind carry our cluster and have no resource, counted at each scrape.
    pub fn follow_orphans(&self, of_kinds: impl Fn() -> Vec<(String, usize)> + Send + Sync + 'static) {
        self.registry().register_collector(Box::new(Orphans::new(of_kinds)));
    }

    /// An object became Ready this long after its spec was written.
    pub fn time_to_ready(&self, kind: &str, took: Duration) {
        self.families.time_to_ready.get_or_create(&KindLabel { kind: kind.to_owned() }).observe(took.as_secs_f64());
    }

    /// Whether this replica leads, under the Lease of this name.
    pub fn leader(&self, name: &str, leads: bool) {
        self.families.leader.get_or_create(&NameLabel { name: name.to_owned() }).set(i64::from(leads));
    }

    /// The Ready condition of an object; replaces what was told of it before.
    pub fn resource_ready(&self, object: &ObjectName, ready: bool, reason: &str) {
        self.objects.ready(object, ready, reason);
    }

    /// For how long the deletion of an object has been blocked by now; it goes on counting. None: not blocked.
    pub fn deletion_blocked(&self, object: &ObjectName, so_far: Option<Duration>) {
        self.objects.blocked(object, so_far);
    }

    /// The object is gone, and with it its series.
    pub fn forget(&self, object: &ObjectName) {
        self.objects.forget(object);
    }

    /// All metrics in the OpenMetrics text format.
    ///
    /// # Errors
    /// None in practice: writing to a string does not fail.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut page = String::new();
        text::encode(&mut page, &self.registry())?;
        Ok(page)
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gauges are floating-point numbers; counts of keys are far below where these lose whole numbers.
fn count(number: usize) -> f64 {
    u32::try_from(number).unwrap_or(u32::MAX).into()
}

/// A pass that runs.
#[derive(Debug)]
#[must_use = "a meter that is dropped counts a pass that was given up"]
pub struct PassMeter {
    controller: Controller,
    name: QueueName,
    started: Instant,
    result: Option<PassResult>,
    families: Arc<Families>,
}

impl PassMeter {
    /// The pass ended like this.
    pub fn end(mut self, result: PassResult) {
        self.result = Some(result);
    }
}

impl Drop for PassMeter {
    fn drop(&mut self) {
        let (families, controller) = (&self.families, &self.controller);
        let result = self.result.unwrap_or(PassResult::Requeue);
        if result == PassResult::TerminalError {
            families.terminal_errors.get_or_create(controller).inc();
        }
        if result.label() == "error" {
            families.errors.get_or_create(controller).inc();
        }
        let labels = ControllerResult { controller: controller.controller.clone(), result: result.label() };
        families.passes.get_or_create(&labels).inc();
        families.active.get_or_create(controller).dec();
        let took = self.started.elapsed().as_secs_f64();
        families.pass_time.get_or_create(controller).observe(took);
        families.work_time.get_or_create(&self.name).observe(took);
    }
}

/// Writes one family of gauges that were read just now; nothing when there are none.
fn gauges<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    samples: &[(L, f64)],
) -> fmt::Result {
    if samples.is_empty() {
        return Ok(());
    }
    let kind = ConstGauge::new(0.0).metric_type();
    let mut family = encoder.encode_descriptor(name, help, None, kind)?;
    for (labels, value) in samples {
        ConstGauge::new(*value).encode(family.encode_family(labels)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
