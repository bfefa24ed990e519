//! Puts the engine together and runs it.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock, Weak, atomic::AtomicU64},
    time::Duration,
};

use k8s_openapi::{
    api::core::v1::Namespace, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{Api, Client, ResourceExt, api::ApiResource};
use url::Url;

use super::{
    CRD, Engine, NAMESPACE,
    addresses::Addresses,
    backends, bindings,
    cache::{Cache, Subject},
    definition::Definitions,
    events::Events,
    leadership::{self, Leadership},
    registry::{Registered, api_resource},
    runner,
    secrets::Secrets,
    watch::{self, Watch},
    writes::Writer,
};
use crate::{
    crd::{LoopbackBackend, ProjectBinding},
    protocol::client::{Exchange, http},
    rules::outbound::Outbound,
    runtime::{Backoff, Drain, Health, Metrics, Queue, World},
};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// What the engine is told at its start.
pub struct Options {
    /// For the API server, as the operator's ServiceAccount.
    pub client: Client,
    /// The cluster's name among owners; absent: the UID of `kube-system`.
    pub cluster_id: Option<String>,
    /// Namespaces to watch; empty: all.
    pub namespaces: Vec<String>,
    /// The operator's own backend, for LoopbackBackends and bindings without a url.
    pub backend_url: Option<Url>,
    /// What tenants' URLs may lead to.
    pub outbound: Outbound,
    /// Passes that run at the same time, at least 1.
    pub workers: usize,
    /// Name of this process in events.
    pub instance: Option<String>,
    /// How it stands for leadership; absent: it is alone.
    pub leadership: Option<leadership::Settings>,
    /// What carries calls to backends. Absent: the network.
    pub exchange: Option<Arc<dyn Exchange>>,
    /// The kinds.
    pub kinds: Vec<Registered>,
}

/// Why the engine cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The cluster cannot be told from others.
    #[error(
        "the UID of the namespace kube-system, which names this cluster, cannot be read ({0}); grant it, or give --cluster-id"
    )]
    Cluster(#[source] Box<kube::Error>),
    /// No HTTP client.
    #[error("the HTTP client for backends cannot be made: {0}")]
    Http(#[source] reqwest::Error),
}

/// Starts the engine; it runs until `drain` starts.
///
/// # Errors
/// See [`StartError`].
pub async fn start(
    options: Options,
    world: World,
    metrics: Metrics,
    health: &Health,
    drain: Drain,
) -> Result<Arc<Engine>, StartError> {
    let cluster = match options.cluster_id {
        Some(id) => id,
        None => cluster_id(options.client.clone()).await?,
    };
    let cache = Arc::new(Cache::default());
    let queue = Queue::new(world.clone(), options.workers, Backoff::new(FIRST_PAUSE, LONGEST_PAUSE));
    let kinds: BTreeMap<String, Registered> =
        options.kinds.into_iter().map(|kind| (kind.kind().to_owned(), kind)).collect();
    let own = [api_resource::<LoopbackBackend>(), api_resource::<ProjectBinding>()];
    let resources = own.into_iter().chain(kinds.values().map(|kind| kind.resource.clone()));
    let writer = Writer::new(options.client.clone(), cache.clone(), resources);
    let addresses = Addresses::new(options.outbound);
    let (trusted, checked) = match options.exchange {
        Some(exchange) => (exchange.clone(), exchange),
        None => network(&addresses).map_err(StartError::Http)?,
    };
    // Secrets wake passes through the engine, which does not exist yet.
    let later: Arc<OnceLock<Weak<Engine>>> = Arc::default();
    let secrets = Secrets::new(options.client.clone(), waker(&later), drain.clone());
    let stats = queue.clone();
    metrics.follow_queue(move || stats.stats());
    let definitions = Definitions::new(options.client.clone(), options.namespaces.is_empty());
    let events = Events::start(options.client.clone(), options.instance, world.clone(), &drain);
    let engine = Arc::new(Engine {
        cluster,
        own_backend: options.backend_url,
        writer,
        cache,
        queue,
        connections: super::connections::Connections::default(),
        links: super::connections::Links::default(),
        secrets,
        world,
        kinds,
        memories: std::sync::Mutex::default(),
        namespaces: options.namespaces,
        trusted,
        checked,
        addresses,
        definitions,
        events,
        metrics,
        passes: AtomicU64::new(1),
        drain,
    });
    drop(later.set(Arc::downgrade(&engine)));
    let seen = Arc::downgrade(&engine);
    engine.metrics.follow_orphans(move || seen.upgrade().map_or_else(Vec::new, |engine| engine.orphans()));
    watch_all(&engine, &options.client, health);
    let passes = engine.drain.child();
    let leadership = options.leadership.map_or_else(Leadership::alone, |settings| {
        let tools = (engine.world.clone(), engine.metrics.clone());
        leadership::stand(options.client, settings, tools, passes.clone(), &engine.drain)
    });
    for _ in 0..options.workers.max(1) {
        passes.spawn(engine.drain.track(runner::work(engine.clone(), leadership.clone())));
    }
    Ok(engine)
}

/// The network, for addresses of administrators and for those of tenants, which are checked when they are resolved.
fn network(addresses: &Addresses) -> reqwest::Result<(Arc<dyn Exchange>, Arc<dyn Exchange>)> {
    let checked = http().dns_resolver(Arc::new(addresses.clone())).build()?;
    Ok((Arc::new(http().build()?), Arc::new(checked)))
}

async fn cluster_id(client: Client) -> Result<String, StartError> {
    let system = Api::<Namespace>::all(client).get("kube-system").await;
    system.map(|system| system.uid().unwrap_or_default()).map_err(|error| StartError::Cluster(Box::new(error)))
}

fn waker(later: &Arc<OnceLock<Weak<Engine>>>) -> Arc<dyn Fn(&Subject) + Send + Sync> {
    let later = later.clone();
    Arc::new(move |subject| {
        if let Some(engine) = later.get().and_then(Weak::upgrade) {
            engine.wake(subject);
        }
    })
}

/// Own kinds in the watched namespaces; what decides about grants and removal in the whole cluster, if that is watched.
fn watch_all(engine: &Arc<Engine>, client: &Client, health: &Health) {
    let spawn = |resource: ApiResource, namespace: Option<&String>, metadata_only: bool| {
        let gate = health.gate(&match namespace {
            Some(namespace) => format!("list of {} in {namespace}", resource.kind),
            None => format!("list of {}", resource.kind),
        });
        let watch = Watch { resource, namespace: namespace.cloned(), metadata_only, gate };
        engine.drain.spawn(watch::follow(engine.clone(), client.clone(), watch, engine.drain.clone()));
    };
    let namespaced = std::iter::once(api_resource::<ProjectBinding>());
    for resource in namespaced.chain(engine.kinds.values().map(|kind| kind.resource.clone())) {
        match engine.namespaces.as_slice() {
            [] => spawn(resource, None, false),
            some => some.iter().for_each(|namespace| spawn(resource.clone(), Some(namespace), false)),
        }
    }
    if engine.sees_grants() {
        spawn(api_resource::<LoopbackBackend>(), None, false);
        spawn(api_resource::<Namespace>(), None, true);
        spawn(api_resource::<CustomResourceDefinition>(), None, true);
    }
    debug_assert_eq!((NAMESPACE, CRD), ("Namespace", "CustomResourceDefinition"));
    debug_assert_eq!((bindings::KIND, backends::KIND), ("ProjectBinding", "LoopbackBackend"));
}
