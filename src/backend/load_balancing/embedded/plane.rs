//! The plane: one task a balancer, and what the balancers share.

use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;
use serde_json::Value;
use tokio::{
    select,
    sync::{Notify, Semaphore, watch},
    task::JoinHandle,
};
use tokio_util::task::TaskTracker;

use super::{
    Limits, Options,
    balancer::{Balancer, Order},
    config::Config,
    connect::OwnSockets,
    relay::Buffers,
};
use crate::{
    backend::{
        load_balancing::{checks::Chosen, settings::Settings},
        plane::{IntentChange, Intents, Plane, PlaneProblem, Reporter},
    },
    protocol::{Phase, Problem, RawObject, load_balancer::LoadBalancer},
    rules::outbound::Outbound,
    runtime::{Drain, World},
};

/// What all balancers of a plane share.
#[derive(Debug)]
pub struct Shared {
    /// Random numbers.
    pub world: World,
    /// Bounds.
    pub limits: Limits,
    /// Where the plane listens.
    pub own: OwnSockets,
    /// Buffers of busy connections.
    pub buffers: Buffers,
    /// Connections that may still be accepted.
    pub slots: Arc<Semaphore>,
    /// Checks that may still be started.
    pub checks: Semaphore,
    /// Told when a listener closes: another balancer may have waited for its port.
    pub freed: Notify,
}

/// The embedded plane.
pub struct EmbeddedPlane {
    outbound: Outbound,
    shared: Arc<Shared>,
}

/// Why a stored object cannot be made real; the checks refuse all these.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error("its intent or what was chosen for it has another shape: {0}")]
    Shape(#[from] serde_json::Error),
    #[error("its intent is not valid: {0}")]
    Settings(#[from] Problem),
}

impl EmbeddedPlane {
    /// A plane that has nothing to do yet.
    #[must_use]
    pub fn new(options: Options, world: World) -> Self {
        let Options { pool, mut outbound, limits } = options;
        outbound.reserved.push(pool.trunc().into());
        let shared = Shared {
            world,
            limits,
            own: OwnSockets::default(),
            buffers: Buffers::default(),
            slots: Arc::new(Semaphore::new(limits.connections)),
            checks: Semaphore::new(limits.checks),
            freed: Notify::new(),
        };
        Self { outbound, shared: Arc::new(shared) }
    }
}

impl Plane for EmbeddedPlane {
    async fn run(self, mut intents: Intents, reality: Reporter, drain: Drain) -> Result<(), PlaneProblem> {
        let tasks = TaskTracker::new();
        let mut work =
            Work { plane: self, reality, drain: drain.clone(), tasks: tasks.clone(), balancers: BTreeMap::new() };
        let follow = async {
            while let Some(change) = intents.recv().await {
                work.take_in(change);
            }
            // no more changes: what runs keeps running
            std::future::pending::<()>().await;
        };
        select! {
            biased;
            () = drain.wait() => {}
            () = follow => {}
        }
        tasks.close();
        tasks.wait().await;
        Ok(())
    }
}

struct Work {
    plane: EmbeddedPlane,
    reality: Reporter,
    drain: Drain,
    tasks: TaskTracker,
    balancers: BTreeMap<String, Running>,
}

struct Running {
    orders: watch::Sender<Order>,
    task: JoinHandle<()>,
}

impl Work {
    fn take_in(&mut self, change: IntentChange) {
        match change {
            IntentChange::Present { object, chosen, .. } if object.phase == Phase::Live => {
                self.present(&object, &chosen);
            }
            IntentChange::Present { object, .. } => self.release(object.id),
            IntentChange::Gone { id, .. } => {
                if let Some(running) = self.balancers.remove(&id) {
                    running.orders.send_replace(Order::Forget);
                }
            }
            IntentChange::Synced { .. } => {}
        }
    }

    fn present(&mut self, object: &RawObject, chosen: &Value) {
        let config = match read(object, chosen, &self.plane.outbound) {
            Ok(config) => Arc::new(config),
            // it stays as it was, and is seen as not realised
            Err(problem) => return tracing::error!(id = object.id, %problem, "cannot make a load balancer real"),
        };
        let order = Order::Run { of: object.intent_revision, config };
        match self.balancers.get(&object.id) {
            // its own report comes back as a change of the object, with the same intent
            Some(running) => {
                running.orders.send_if_modified(|last| {
                    let news = *last != order;
                    *last = order;
                    news
                });
            }
            None => self.start(object.id.clone(), order),
        }
    }

    fn start(&mut self, id: String, order: Order) {
        let (orders, followed) = watch::channel(order);
        let balancer = Balancer::new(id.clone(), Arc::clone(&self.plane.shared), self.reality.clone());
        let task = self.tasks.spawn(balancer.run(followed, self.drain.clone()));
        self.balancers.insert(id, Running { orders, task });
    }

    fn release(&mut self, id: String) {
        match self.balancers.get(&id) {
            Some(running) if !running.task.is_finished() => {
                running.orders.send_if_modified(|last| {
                    *last != Order::Release && {
                        *last = Order::Release;
                        true
                    }
                });
            }
            // nothing is held: it was released before, or this process never held anything for it
            _ => {
                let reality = self.reality.clone();
                self.tasks.spawn(async move { reality.released(&id).await });
            }
        }
    }
}

fn read(object: &RawObject, chosen: &Value, outbound: &Outbound) -> Result<Config, Unreadable> {
    let intent = LoadBalancer::deserialize(&object.intent)?;
    let chosen = Chosen::deserialize(chosen)?;
    Ok(Config::new(Settings::read(&intent)?, chosen.addresses, outbound))
}
