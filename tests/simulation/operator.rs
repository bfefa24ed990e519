//! Incarnations of the operator: one starts when the one before has crashed.

use std::{sync::Arc, time::Duration};

use loopback_operator::{
    operator::{engine, kinds},
    rules::outbound::Outbound,
    runtime::{Drain, Health, Metrics, World, metrics::ObjectSeries},
};
use tokio_util::sync::CancellationToken;

use crate::backend::Backend;
use crate::{
    faults::Faults,
    line::{Bend, Line},
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
}

/// Runs one replica until `stop`; starts it again whenever it has crashed.
pub async fn replica(site: Site, stop: CancellationToken) {
    loop {
        let cut = stop.child_token();
        let drain = Drain::new();
        start(&site, cut.clone(), drain.clone(), Metrics::new("0", ObjectSeries::Off), None).await;
        cut.cancelled().await;
        drain.start();
        if stop.is_cancelled() {
            return;
        }
        tokio::time::sleep(site.world.up_to(RESTART)).await;
    }
}

/// Starts one, whose lines end when `cut` does.
pub async fn start(
    site: &Site,
    cut: CancellationToken,
    drain: Drain,
    metrics: Metrics,
    leadership: Option<engine::leadership::Settings>,
) {
    let line = |server: Arc<dyn Server>| Line {
        server,
        faults: site.faults.clone(),
        cut: cut.clone(),
        bend: site.bend.clone(),
    };
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
        kinds: kinds::all(),
    };
    engine::start(options, site.world.clone(), metrics, &Health::new(), drain).await.unwrap();
}
