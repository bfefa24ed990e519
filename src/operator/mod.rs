//! The operator: watches custom resources, makes the Loopback backend match them, writes status back.

mod client;
pub mod engine;
pub mod kinds;

use std::{net::SocketAddr, sync::Arc};

use kube::Config;
use url::Url;

use crate::{
    rules::outbound::Outbound,
    runtime::{
        Drain, Health, Metrics, World,
        health::{self, BindError},
        metrics::ObjectSeries,
    },
};

/// What the operator is told at its start.
#[derive(Clone, Debug)]
pub struct Options {
    /// The API server, as the operator's ServiceAccount.
    pub kubernetes: Config,
    /// `--cluster-id`: the cluster's name among owners; absent: the UID of `kube-system`.
    pub cluster_id: Option<String>,
    /// `--namespaces`: what is watched; empty: all.
    pub namespaces: Vec<String>,
    /// `--backend-url`: the operator's own backend.
    pub backend_url: Option<Url>,
    /// What URLs written by tenants may lead to.
    pub outbound: Outbound,
    /// `--metrics-listen`: metrics and health.
    pub metrics_listen: SocketAddr,
    /// `--workers`: passes that run at the same time.
    pub workers: usize,
    /// Whether there is a metric for each object.
    pub object_series: ObjectSeries,
    /// Name of this process in events; absent: the host's name.
    pub instance: Option<String>,
    /// `--leader-elect`: how it stands for leadership; absent: it is alone.
    pub leadership: Option<engine::leadership::Settings>,
}

/// A running operator.
pub struct Running {
    /// Where metrics and health are served.
    pub metrics: SocketAddr,
    /// What it waits for before it is ready.
    pub health: Health,
    engine: Arc<engine::Engine>,
}

impl Running {
    /// The cluster's name among owners.
    #[must_use]
    pub fn cluster(&self) -> &str {
        self.engine.cluster()
    }
}

/// Why the operator cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No client for the API server.
    #[error("no client for Kubernetes can be made: {0}")]
    Kubernetes(#[source] Box<kube::Error>),
    /// The address for metrics cannot be used.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The engine cannot start.
    #[error(transparent)]
    Engine(#[from] engine::StartError),
}

/// Starts the operator; it runs until `drain` starts.
///
/// # Errors
/// See [`StartError`].
pub async fn start(options: Options, world: World, drain: Drain) -> Result<Running, StartError> {
    let metrics = Metrics::new(env!("CARGO_PKG_VERSION"), options.object_series);
    let health = Health::new();
    let listener = health::listen(options.metrics_listen, "--metrics-listen").await?;
    let address = listener.local_addr().unwrap_or(options.metrics_listen);
    drain.spawn(health::serve(listener, health.clone(), metrics.clone(), drain.clone()));
    let client =
        client::new(options.kubernetes, metrics.clone()).map_err(|error| StartError::Kubernetes(Box::new(error)))?;
    let options = engine::Options {
        client,
        cluster_id: options.cluster_id,
        namespaces: options.namespaces,
        backend_url: options.backend_url,
        outbound: options.outbound,
        workers: options.workers,
        instance: options.instance,
        leadership: options.leadership,
        exchange: None,
        kinds: kinds::all(),
    };
    let engine = engine::start(options, world, metrics, &health, drain).await?;
    Ok(Running { metrics: address, health, engine })
}
