//! One balancer at work: keeps listeners, targets and probers as its config wants them, and reports.

use std::{collections::BTreeMap, future::pending, mem, net::SocketAddr, sync::Arc, time::Duration};

use futures::future::join_all;
use tokio::{
    select,
    sync::{Notify, watch},
    time::{Instant, sleep_until},
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    check::probe,
    config::{Changes, Config, TargetKey},
    health::{Standing, Thresholds},
    listener::{BindProblem, Listener},
    plane::Shared,
    pool::{Entry, Pool, Target},
    report::describe,
};
use crate::{
    backend::{
        load_balancing::settings::{HealthSettings, TargetSettings},
        plane::Reporter,
    },
    protocol::{Member, Revision, load_balancer::State},
    runtime::Drain,
};

/// A new intent is reported when its targets have been checked once, or after this time: one report instead of two.
const SETTLE: Duration = Duration::from_millis(300);
/// Reports of a balancer are at least this far apart.
const SPACING: Duration = Duration::from_millis(100);
/// Listening is tried again after a time that doubles from the first to the last.
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));

/// What a balancer shall do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Serve.
    Run {
        /// The intent's revision.
        of: Revision,
        /// What it says.
        config: Arc<Config>,
    },
    /// Let go of everything and say so.
    Release,
    /// Let go of everything.
    Forget,
}

/// One balancer.
pub struct Balancer {
    id: String,
    shared: Arc<Shared>,
    reporter: Reporter,
    of: Revision,
    config: Arc<Config>,
    targets: BTreeMap<TargetKey, Running>,
    pools: BTreeMap<String, Arc<Pool>>,
    listeners: BTreeMap<SocketAddr, Listener>,
    failed: BTreeMap<SocketAddr, BindProblem>,
    attempts: u32,
    retry_at: Option<Instant>,
    /// Told by targets whose standing changed.
    changed: Arc<Notify>,
    report_at: Option<Instant>,
    settling: bool,
    reported_at: Option<Instant>,
    reported: Option<(Revision, State, BTreeMap<String, Member>)>,
}

struct Running {
    target: Arc<Target>,
    /// Stops when it is dropped.
    _prober: Option<AbortOnDropHandle<()>>,
}

enum Wake {
    Stop,
    Order(Order),
    HealthChanged,
    Retry,
    Report,
}

impl Balancer {
    /// A balancer that holds nothing yet.
    #[must_use]
    pub fn new(id: String, shared: Arc<Shared>, reporter: Reporter) -> Self {
        Self {
            id,
            shared,
            reporter,
            of: 0,
            config: Arc::default(),
            targets: BTreeMap::new(),
            pools: BTreeMap::new(),
            listeners: BTreeMap::new(),
            failed: BTreeMap::new(),
            attempts: 0,
            retry_at: None,
            changed: Arc::default(),
            report_at: None,
            settling: false,
            reported_at: None,
            reported: None,
        }
    }

    /// Follows orders until it is told to let go, or the process stops.
    pub async fn run(mut self, mut orders: watch::Receiver<Order>, drain: Drain) {
        orders.mark_changed();
        loop {
            match self.wait(&mut orders, &drain).await {
                Wake::Stop => return self.stop().await,
                Wake::Order(Order::Run { of, config }) => self.apply(of, config).await,
                Wake::Order(order) => {
                    close_all(mem::take(&mut self.listeners)).await;
                    if order == Order::Release {
                        self.reporter.released(&self.id).await;
                    }
                    return;
                }
                Wake::HealthChanged => self.report_soon(),
                Wake::Retry => {
                    self.listen();
                    self.report_soon();
                }
                Wake::Report => self.report().await,
            }
        }
    }

    async fn wait(&self, orders: &mut watch::Receiver<Order>, drain: &Drain) -> Wake {
        select! {
            biased;
            () = drain.wait() => Wake::Stop,
            changed = orders.changed() => match changed {
                Ok(()) => Wake::Order(orders.borrow_and_update().clone()),
                Err(_) => Wake::Order(Order::Forget),
            },
            () = self.changed.notified() => Wake::HealthChanged,
            () = self.shared.freed.notified(), if !self.failed.is_empty() => Wake::Retry,
            () = at(self.retry_at) => Wake::Retry,
            () = at(self.report_at) => Wake::Report,
        }
    }

    async fn apply(&mut self, of: Revision, config: Arc<Config>) {
        let changes = Changes::between(&self.config, &config);
        (self.of, self.config) = (of, config);
        self.update_targets(&changes);
        self.update_pools();
        for (bind, listener) in &self.listeners {
            if let Some(pool) = self.config.binds.get(bind).and_then(|service| self.pools.get(service)) {
                listener.follow(Arc::clone(pool));
            }
        }
        let closed = changes.close.iter().filter_map(|bind| self.listeners.remove_entry(bind)).collect();
        close_all(closed).await;
        self.attempts = 0;
        self.listen();
        self.settling = true;
        self.report_at = Some(Instant::now() + SETTLE);
        self.report_soon();
    }

    fn update_targets(&mut self, changes: &Changes) {
        for key in &changes.retire {
            if let Some(running) = self.targets.remove(key) {
                running.target.retire();
            }
        }
        let config = Arc::clone(&self.config);
        let wanted = config.targets();
        for key in changes.start.iter().chain(&changes.recheck) {
            let Some((address, health)) = wanted.get(key) else { continue };
            let thresholds = health.map(thresholds);
            let target = match self.targets.remove(key) {
                Some(running) => {
                    running.target.recheck(thresholds);
                    running.target
                }
                None => Arc::new(Target::new(*address, thresholds, Arc::clone(&self.changed))),
            };
            let prober = health.map(|health| {
                let probing = probe(Arc::clone(&target), health.clone(), Arc::clone(&self.shared));
                AbortOnDropHandle::new(tokio::spawn(probing))
            });
            self.targets.insert(key.clone(), Running { target, _prober: prober });
        }
    }

    fn update_pools(&mut self) {
        let before = mem::take(&mut self.pools);
        for (service, settings) in &self.config.services {
            let entry = |(name, target): (&String, &TargetSettings)| {
                let running = self.targets.get(&(service.clone(), name.clone()))?;
                Some(Entry { name: name.clone(), weight: target.weight, target: Arc::clone(&running.target) })
            };
            let entries = settings.targets.iter().filter_map(entry).collect();
            let before = before.get(service).map(AsRef::as_ref);
            let pool = Pool::new(self.config.algorithm, Arc::clone(&settings.origins), entries, before);
            self.pools.insert(service.clone(), Arc::new(pool));
        }
    }

    /// Listens where it shall and does not yet; what fails is tried again later.
    fn listen(&mut self) {
        self.failed.clear();
        for (bind, service) in &self.config.binds {
            let Some(pool) = self.pools.get(service) else { continue };
            if self.listeners.contains_key(bind) {
                continue;
            }
            match Listener::open(*bind, Arc::clone(pool), &self.shared) {
                Ok(listener) => {
                    self.listeners.insert(*bind, listener);
                }
                Err(problem) => {
                    tracing::debug!(id = self.id, %problem, "cannot listen");
                    self.failed.insert(*bind, problem);
                }
            }
        }
        self.retry_at = (!self.failed.is_empty()).then(|| Instant::now() + self.backoff());
        self.attempts = self.attempts.saturating_add(1);
    }

    fn backoff(&self) -> Duration {
        let (first, last) = RETRY;
        let pause = first.saturating_mul(2_u32.saturating_pow(self.attempts)).min(last);
        pause + self.shared.world.up_to(pause / 4)
    }

    /// Has a report sent as soon as may be: at once when a new intent has settled, else spaced from the last.
    fn report_soon(&mut self) {
        let now = Instant::now();
        if self.settling {
            let checking = |running: &Running| running.target.health().0 == Standing::Checking;
            if !self.targets.values().any(checking) {
                self.report_at = Some(now);
            }
            return;
        }
        let earliest = self.reported_at.map_or(now, |last| now.max(last + SPACING));
        self.report_at.get_or_insert(earliest);
    }

    async fn report(&mut self) {
        (self.report_at, self.settling) = (None, false);
        let health = |key: &TargetKey| self.targets.get(key).map(|running| running.target.health());
        let (state, members) = describe(&self.config, &self.failed, health);
        let report = (self.of, state, members);
        if self.reported.as_ref() == Some(&report) {
            return;
        }
        self.reported_at = Some(Instant::now());
        let (of, state, members) = report.clone();
        self.reported = Some(report);
        match serde_json::to_value(state) {
            Ok(state) => self.reporter.report(&self.id, of, state, members).await,
            Err(problem) => tracing::error!(id = self.id, %problem, "cannot write down the state of a load balancer"),
        }
    }

    /// The process stops: nothing new, and connections may end by themselves for a while.
    async fn stop(mut self) {
        for listener in self.listeners.values_mut() {
            listener.stop_accepting().await;
        }
        let limit = self.shared.limits.stop_drain;
        join_all(self.listeners.values().map(|listener| listener.drained(limit))).await;
        close_all(self.listeners).await;
    }
}

async fn close_all(listeners: BTreeMap<SocketAddr, Listener>) {
    join_all(listeners.into_values().map(Listener::close)).await;
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}

fn thresholds(health: &HealthSettings) -> Thresholds {
    Thresholds { healthy: health.healthy_threshold, unhealthy: health.unhealthy_threshold }
}
