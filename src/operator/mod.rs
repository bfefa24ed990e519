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
    // Until the engine has said what it waits for, nothing is ready.
    let started = health.gate("the start");
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
    started.open();
    Ok(Running { metrics: address, health, engine })
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn it_is_not_ready_before_it_knows_what_it_waits_for() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap()).parse().unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let options = Options {
            kubernetes: Config::new(url),
            cluster_id: None,
            namespaces: vec![],
            backend_url: None,
            outbound: Outbound::default(),
            metrics_listen: free,
            workers: 1,
            object_series: ObjectSeries::Off,
            instance: None,
            leadership: None,
        };
        let drain = Drain::new();
        let starting = tokio::spawn(start(options, World::real(), drain.clone()));
        while TcpStream::connect(free).await.is_err() {
            tokio::task::yield_now().await;
        }
        let answer = reqwest::get(format!("http://{free}/readyz")).await.unwrap();
        assert_eq!(answer.status(), 503);
        assert_eq!(answer.text().await.unwrap(), "waiting for: the start\n");
        starting.abort();
        drain.start();
    }
}
