//! Metrics and health over HTTP: `/metrics`, `/healthz`, `/readyz`.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::{net::TcpListener, time::Instant};

use super::{Drain, Metrics};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What is alive and what is ready. Cheap to clone; all clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Health {
    state: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    gates: BTreeMap<String, bool>,
    hearts: BTreeMap<u64, Heart>,
    registered: u64,
}

#[derive(Debug)]
struct Heart {
    name: String,
    last: Instant,
    limit: Duration,
}

impl Health {
    /// Alive and ready until somebody registers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Something that must have happened before we are ready, closed until [`Gate::open`]. A gate whose task has gone away
    /// stays as it was.
    #[must_use]
    pub fn gate(&self, name: &str) -> Gate {
        self.lock().gates.insert(name.to_owned(), false);
        Gate { name: name.to_owned(), health: self.clone() }
    }

    /// A loop that must turn at least once in `limit`, or the process is stuck and should be restarted. Counts until dropped.
    #[must_use]
    pub fn heartbeat(&self, name: &str, limit: Duration) -> Heartbeat {
        let mut known = self.lock();
        known.registered += 1;
        let id = known.registered;
        known.hearts.insert(id, Heart { name: name.to_owned(), last: Instant::now(), limit });
        Heartbeat { id, health: self.clone() }
    }

    /// Names of the gates that are closed.
    #[must_use]
    pub fn waiting_for(&self) -> Vec<String> {
        self.lock().gates.iter().filter(|(_, open)| !**open).map(|(name, _)| name.clone()).collect()
    }

    /// Names of the loops that have not turned for too long.
    #[must_use]
    pub fn stuck(&self) -> Vec<String> {
        let known = self.lock();
        known
            .hearts
            .values()
            .filter(|heart| heart.last.elapsed() > heart.limit)
            .map(|heart| heart.name.clone())
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One condition of being ready.
#[derive(Debug)]
pub struct Gate {
    name: String,
    health: Health,
}

impl Gate {
    /// It holds.
    pub fn open(&self) {
        self.set(true);
    }

    /// It does not hold any more.
    pub fn close(&self) {
        self.set(false);
    }

    fn set(&self, open: bool) {
        self.health.lock().gates.insert(self.name.clone(), open);
    }
}

/// The sign of life of one loop.
#[derive(Debug)]
pub struct Heartbeat {
    id: u64,
    health: Health,
}

impl Heartbeat {
    /// The loop has turned.
    pub fn beat(&self) {
        if let Some(heart) = self.health.lock().hearts.get_mut(&self.id) {
            heart.last = Instant::now();
        }
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.health.lock().hearts.remove(&self.id);
    }
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}; choose another address with {flag}")]
pub struct BindError {
    /// What was asked for.
    pub address: SocketAddr,
    /// The flag that changes it, as it is typed: `--metrics-address`.
    pub flag: &'static str,
    /// Why not.
    pub source: std::io::Error,
}

/// Listens on an address that the user can change with `flag`.
///
/// # Errors
/// A taken port, an address that this machine does not have, or a low port without the right to it.
pub async fn listen(address: SocketAddr, flag: &'static str) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|source| BindError { address, flag, source })
}

/// Serves metrics and health until `drain` starts.
///
/// # Errors
/// A listener that no longer works.
pub async fn serve(listener: TcpListener, health: Health, metrics: Metrics, drain: Drain) -> std::io::Result<()> {
    let routes = Router::new()
        .route("/metrics", get(async |State(metrics): State<Metrics>| page(&metrics)))
        .with_state(metrics)
        .merge(health_routes(health));
    axum::serve(listener, routes).with_graceful_shutdown(async move { drain.wait().await }).await
}

fn health_routes(health: Health) -> Router {
    Router::new()
        .route("/healthz", get(async |State(health): State<Health>| answer("stuck", &health.stuck())))
        .route("/livez", get(async |State(health): State<Health>| answer("stuck", &health.stuck())))
        .route("/readyz", get(async |State(health): State<Health>| answer("waiting for", &health.waiting_for())))
        .with_state(health)
}

fn page(metrics: &Metrics) -> Response {
    match metrics.encode() {
        Ok(page) => ([(CONTENT_TYPE, OPEN_METRICS)], page).into_response(),
        Err(problem) => (StatusCode::INTERNAL_SERVER_ERROR, problem.to_string()).into_response(),
    }
}

fn answer(what: &str, names: &[String]) -> (StatusCode, String) {
    if names.is_empty() {
        return (StatusCode::OK, "ok\n".to_owned());
    }
    (StatusCode::SERVICE_UNAVAILABLE, names.iter().map(|name| format!("{what}: {name}\n")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::metrics::ObjectSeries;

    #[tokio::test(start_paused = true)]
    async fn ready_once_all_gates_are_open() {
        let health = Health::new();
        let (leader, mirror) = (health.gate("leadership"), health.gate("first listing"));
        assert_eq!(health.waiting_for(), ["first listing", "leadership"]);
        mirror.open();
        drop(mirror);
        leader.open();
        assert!(health.waiting_for().is_empty());
        leader.close();
        assert_eq!(health.waiting_for(), ["leadership"]);
    }

    #[tokio::test(start_paused = true)]
    async fn stuck_when_a_loop_does_not_turn() {
        let health = Health::new();
        let (first, second) =
            (health.heartbeat("watch", Duration::from_secs(9)), health.heartbeat("feed", Duration::MAX));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(health.stuck(), ["watch"]);
        first.beat();
        assert!(health.stuck().is_empty());
        tokio::time::advance(Duration::from_secs(10)).await;
        drop((first, second));
        assert!(health.stuck().is_empty());
    }

    async fn fetch(address: SocketAddr, path: &str) -> (u16, String) {
        let answer = reqwest::Client::new().get(format!("http://{address}{path}")).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    #[tokio::test]
    async fn serves_until_drained_and_names_the_flag_of_a_taken_port() {
        drop(rustls::crypto::ring::default_provider().install_default());
        let listener = listen(([127, 0, 0, 1], 0).into(), "--metrics-address").await.unwrap();
        let (address, drain, health) = (listener.local_addr().unwrap(), Drain::new(), Health::new());
        let taken = listen(address, "--metrics-address").await.unwrap_err().to_string();
        assert!(taken.ends_with("choose another address with --metrics-address"), "{taken}");
        let gate = health.gate("first listing");
        let metrics = Metrics::new("1", ObjectSeries::On);
        let server = tokio::spawn(serve(listener, health, metrics, drain.clone()));
        assert_eq!(fetch(address, "/readyz").await, (503, "waiting for: first listing\n".into()));
        gate.open();
        assert_eq!(fetch(address, "/readyz").await, (200, "ok\n".into()));
        assert_eq!(fetch(address, "/healthz").await.0, 200);
        assert!(fetch(address, "/metrics").await.1.ends_with("# EOF\n"));
        drain.start();
        server.await.unwrap().unwrap();
    }
}
