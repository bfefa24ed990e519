//! Incarnations of the operator: one starts when the one before has crashed.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use loopback_operator::{
    operator::{
        engine::{self, leadership::Settings},
        kinds,
    },
    rules::outbound::Outbound,
    runtime::{Drain, Health, Metrics, World, metrics::ObjectSeries},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::backend::Backend;
use crate::{
    faults::Faults,
    kinds::service,
    line::{Bend, Candidate, Line},
    server::{Kube, Server},
};

/// The cluster's name among owners.
pub const CLUSTER: &str = "sim";
/// Longest time until a crashed operator is started again.
const RESTART: Duration = Duration::from_secs(4);

/// Where operators run.
#[derive(Clone)]
pub struct Site {
    pub world: World,
    pub kube: Arc<Kube>,
    pub backend: Arc<Backend>,
    pub faults: Arc<Faults>,
    pub bend: Option<Arc<dyn Bend>>,
    /// The services whose kinds they know.
    pub services: Vec<&'static str>,
    /// All replicas crash.
    pub crash: Arc<Notify>,
    /// What each replica shows.
    pub pages: Arc<Mutex<BTreeMap<&'static str, Metrics>>>,
}

impl Site {
    /// The pages of metrics of those replicas that are there to the end.
    pub fn shown(&self) -> Vec<String> {
        self.pages.lock().unwrap().values().filter_map(|page| page.encode().ok()).collect()
    }
}

/// How long a Lease is held without a sign of life.
const LEASE: Duration = Duration::from_secs(30);

/// One replica.
#[derive(Clone)]
pub struct Replica {
    pub name: &'static str,
    /// Whether a Lease says when it acts; else it believes that it is alone.
    pub elected: bool,
}

/// Name of the replica that is there for a while.
pub const ZOMBIE: &str = "zombie";

/// Runs one replica until `stop`; starts it again whenever it has crashed.
pub async fn replica(site: Site, replica: Replica, stop: CancellationToken) {
    for life in 0.. {
        let cut = stop.child_token();
        let drain = Drain::new();
        let metrics = Metrics::new("0", ObjectSeries::Off);
        if replica.name != ZOMBIE {
            site.pages.lock().unwrap().insert(replica.name, metrics.clone());
        }
        let leadership = replica.elected.then(|| Settings {
            namespace: "loopback-system".to_owned(),
            name: "operator".to_owned(),
            identity: format!("{}-{life}", replica.name),
            duration: LEASE,
        });
        start(&site, cut.clone(), drain.clone(), metrics, leadership).await;
        tokio::select! {
            () = cut.cancelled() => {}
            () = site.crash.notified() => cut.cancel(),
        }
        drain.start();
        if stop.is_cancelled() {
            return;
        }
        tokio::time::sleep(site.world.up_to(RESTART)).await;
    }
}

/// Starts one, whose lines end when `cut` does.
pub async fn start(site: &Site, cut: CancellationToken, drain: Drain, metrics: Metrics, leadership: Option<Settings>) {
    let watchman = site.kube.watchman.clone();
    let candidate =
        leadership.as_ref().map(|settings| Arc::new(Candidate { identity: settings.identity.clone(), watchman }));
    let line = |server: Arc<dyn Server>| Line {
        server,
        faults: site.faults.clone(),
        cut: cut.clone(),
        bend: site.bend.clone(),
        candidate: candidate.clone(),
    };
    let mut kinds = kinds::all();
    kinds.retain(|kind| site.services.contains(&service(kind.collection)));
    let options = engine::Options {
        client: kube::Client::new(line(site.kube.clone()), "default"),
        cluster_id: Some(CLUSTER.to_owned()),
        namespaces: Vec::new(),
        backend_url: Some("http://127.0.0.1:8480".parse().unwrap()),
        outbound: Outbound { allow_loopback: true, ..Outbound::default() },
        workers: 2,
        instance: Some("sim".to_owned()),
        leadership,
        exchange: Some(Arc::new(line(site.backend.clone()))),
        kinds,
    };
    engine::start(options, site.world.clone(), metrics, &Health::new(), drain).await.unwrap();
}
