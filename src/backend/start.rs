//! Starts and stops the backend.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use ipnet::Ipv4Net;
use tokio::{net::TcpListener, sync::watch};

use super::{
    api::{self, Api, KnownTokens, collections::Registry},
    dns, domains,
    hub::{self, Collections},
    kept_token::{KeptTokenProblem, keep_token},
    load_balancing::{self, EmbeddedPlane, LoadBalancingChecks},
    monitoring, object_storage,
    plane::{BoxedPlane, Plane, PlaneProblem},
    service::Service,
    store::{self, OpenProblem, RedbStore, Store, Transaction},
    tenants,
};
use crate::{
    protocol::{Problem, Project, Rule},
    rules::{dns::Name, outbound::Outbound},
    runtime::{Drain, World},
};

/// Longest time that a stop waits for requests.
const STOP_TIME: Duration = Duration::from_secs(5);
/// What a plane may take to stop beyond the time that it gives to connections.
const PLANE_GRACE: Duration = Duration::from_secs(2);
/// Where S3 clients connect by default.
pub const S3_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9000);
const ADMIN_TOKEN: &str = "admin-token";

/// How to run the backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where the API listens; port 0 takes any.
    pub api_listen: SocketAddr,
    /// Where everything is kept. Made when it is missing.
    pub state_dir: PathBuf,
    /// IPv4 front-end addresses that load balancers get.
    pub address_pool: Ipv4Net,
    /// The IPv6 front-end address that load balancers share, one listener a port.
    pub ipv6_address: Ipv6Addr,
    /// Whether targets may have loopback addresses. Only for a machine whose services may all be reached by all users.
    pub allow_loopback_targets: bool,
    /// Whether probes may connect to private networks; targets of load balancers always may.
    pub allow_private_probes: bool,
    /// Where DNS is served, over UDP and TCP; nowhere when empty.
    pub dns_listen: Vec<SocketAddr>,
    /// Names under which the world finds the DNS server.
    pub dns_name_servers: Vec<Name>,
    /// Where S3 clients connect; port 0 takes any.
    pub s3_listen: SocketAddr,
    /// The URL that S3 clients are told to use. Absent: that of `s3_listen`.
    pub s3_url: Option<String>,
    /// Further listeners of this process, which no target may reach.
    pub own_listeners: Vec<SocketAddr>,
    /// How long connections through load balancers go on when the backend stops.
    pub stop_drain: Duration,
}

impl Options {
    /// Documented defaults; state in `state_dir`, the API on `api_listen`.
    #[must_use]
    pub fn new(api_listen: SocketAddr, state_dir: PathBuf) -> Self {
        Self {
            api_listen,
            state_dir,
            address_pool: load_balancing::POOL,
            ipv6_address: load_balancing::IPV6,
            allow_loopback_targets: false,
            allow_private_probes: false,
            dns_listen: Vec::new(),
            dns_name_servers: dns::name_servers(),
            s3_listen: S3_LISTEN,
            s3_url: None,
            own_listeners: Vec::new(),
            stop_drain: load_balancing::Limits::default().stop_drain,
        }
    }
}

/// Why the backend cannot start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum StartProblem {
    /// The API's port.
    #[error("cannot listen on {address}: {problem}; choose another address with --api-listen")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// Why.
        problem: io::Error,
    },
    /// The DNS server's port.
    #[error(transparent)]
    Dns(#[from] dns::ListenProblem),
    /// The port of the object store.
    #[error("cannot listen on {address} for S3: {problem}; choose another address with --s3-listen")]
    S3Listen {
        /// What was asked for.
        address: SocketAddr,
        /// Why.
        problem: io::Error,
    },
    /// The state folder.
    #[error("the state folder {path} cannot be used: {problem}; choose another with --state-dir")]
    StateDir {
        /// The folder.
        path: PathBuf,
        /// Why.
        problem: io::Error,
    },
    /// The store in it.
    #[error(transparent)]
    Store(#[from] OpenProblem),
    /// A token file in it.
    #[error(transparent)]
    Token(#[from] KeptTokenProblem),
    /// A data plane ended.
    #[error(transparent)]
    Plane(#[from] PlaneProblem),
}

/// A backend that serves.
pub struct Running {
    /// Where the API listens.
    pub api: SocketAddr,
    /// Where DNS is served.
    pub dns: Vec<SocketAddr>,
    /// Where S3 clients connect; absent when the services are not those of this release.
    pub s3: Option<SocketAddr>,
    /// The file with the administrator's token.
    pub admin_token_file: PathBuf,
    /// Everything that is kept.
    pub store: Arc<dyn Store>,
    world: World,
    serving: Drain,
    planes: Drain,
    stop_drain: Duration,
    failure: watch::Receiver<Option<Arc<PlaneProblem>>>,
}

/// Starts the backend. It stops when `drain` starts; then call [`Running::stop`].
///
/// # Errors
/// Port, folder, store or token file; the message says what to do.
pub async fn start(mut options: Options, world: World, drain: &Drain) -> Result<Running, StartProblem> {
    let listeners = dns::Listeners::bind(&options.dns_listen)?;
    let address = options.s3_listen;
    let listening = std::net::TcpListener::bind(address).and_then(|listener| Ok((listener.local_addr()?, listener)));
    let (s3, listener) = listening.map_err(|problem| StartProblem::S3Listen { address, problem })?;
    options.own_listeners.push(s3);
    let (settings, plane_world, dns) = (options.clone(), world.clone(), listeners.addresses());
    let services = move |api| services(&settings, api, listeners, (s3, listener), &plane_world);
    let running = start_with(options, services, world, drain).await?;
    Ok(Running { dns, s3: Some(s3), ..running })
}

/// The services of this release, one entry each.
fn services(
    options: &Options,
    api: SocketAddr,
    dns: dns::Listeners,
    s3: (SocketAddr, std::net::TcpListener),
    world: &World,
) -> Vec<Service> {
    let listeners: Vec<_> = dns.addresses().into_iter().chain([api]).collect();
    vec![
        load_balancing(options.clone(), listeners.clone(), world.clone()),
        object_storage(options, s3, world.clone()),
        dns::service(dns, options.dns_name_servers.clone()),
        monitoring(options, listeners, world.clone()),
    ]
}

fn object_storage(
    options: &Options,
    (address, listener): (SocketAddr, std::net::TcpListener),
    world: World,
) -> Service {
    let providers = object_storage::Providers::default();
    let endpoint = options.s3_url.clone().unwrap_or_else(|| format!("http://{address}"));
    let folder = options.state_dir.join("object-storage");
    let settings = object_storage::Options { folder, listener, endpoint };
    let plane = object_storage::EmbeddedPlane::new(settings, world.clone());
    Service {
        facts: object_storage::facts(&providers),
        collections: object_storage::collections(providers, world, plane.meter()),
        plane: BoxedPlane::new(plane),
    }
}

fn monitoring(options: &Options, listeners: Vec<SocketAddr>, world: World) -> Service {
    // A balancer's address may be probed: it is what the project's users reach.
    let own = options.own_listeners.iter().copied().chain(listeners).collect();
    let (allow_loopback, allow_private) = (options.allow_loopback_targets, options.allow_private_probes);
    let outbound = Outbound { allow_loopback, allow_private, own, ..Outbound::default() };
    let settings = monitoring::Options { outbound: outbound.clone(), ..monitoring::Options::default() };
    Service {
        collections: monitoring::collections(outbound),
        facts: monitoring::facts(),
        plane: BoxedPlane::new(monitoring::EmbeddedPlane::new(settings, world)),
    }
}

fn load_balancing(options: Options, listeners: Vec<SocketAddr>, world: World) -> Service {
    let Options { address_pool: pool, ipv6_address, mut own_listeners, .. } = options;
    own_listeners.extend(listeners);
    let outbound =
        Outbound { allow_loopback: options.allow_loopback_targets, own: own_listeners, ..Outbound::default() };
    let limits = load_balancing::Limits { stop_drain: options.stop_drain, ..load_balancing::Limits::default() };
    let plane = EmbeddedPlane::new(load_balancing::Options { pool, outbound, limits }, world);
    Service {
        collections: load_balancing::collections(Arc::new(LoadBalancingChecks::new(pool, ipv6_address))),
        facts: Vec::new(),
        plane: BoxedPlane::new(plane),
    }
}

/// As [`start`], with the services that are made for the API's address.
///
/// # Errors
/// As [`start`].
pub async fn start_with(
    options: Options,
    services: impl FnOnce(SocketAddr) -> Vec<Service>,
    world: World,
    drain: &Drain,
) -> Result<Running, StartProblem> {
    let address = options.api_listen;
    let listening = TcpListener::bind(address).await.and_then(|listener| Ok((listener.local_addr()?, listener)));
    let (api, listener) = listening.map_err(|problem| StartProblem::Listen { address, problem })?;
    let services = services(api);
    let store = open(&options.state_dir, &world).await?;
    let (registry, services) = register(services);
    let registry = Arc::new(registry);
    let admin_token_file = options.state_dir.join(ADMIN_TOKEN);
    keep_token(&*store, &world, &admin_token_file, "administrator", everything(&registry)).await?;
    let (serving, planes) = (drain.child(), drain.child());
    let failure = run_planes(services, &store, &planes);
    let router = api::router(Api {
        store: Arc::clone(&store),
        world: world.clone(),
        collections: registry,
        drain: serving.clone(),
        tokens: KnownTokens::default(),
    });
    serving.spawn(api::serve(listener, router, serving.clone()));
    let stop_drain = options.stop_drain;
    Ok(Running { api, dns: Vec::new(), s3: None, admin_token_file, store, world, serving, planes, stop_drain, failure })
}

/// One registry of all collections, and each service's collections with their plane.
fn register(services: Vec<Service>) -> (Registry, Vec<(Collections, BoxedPlane)>) {
    let (mut registry, mut planes) = (Registry::default(), Vec::new());
    for Service { collections, facts, plane } in services {
        let collections: Collections = collections.into_iter().map(Arc::new).collect();
        registry.collections.extend(collections.iter().cloned());
        registry.facts.extend(facts.into_iter().map(Arc::new));
        planes.push((collections, plane));
    }
    (registry, planes)
}

/// One plane a service; the first that fails is heard.
fn run_planes(
    services: Vec<(Collections, BoxedPlane)>,
    store: &Arc<dyn Store>,
    drain: &Drain,
) -> watch::Receiver<Option<Arc<PlaneProblem>>> {
    let (failed, failure) = watch::channel(None);
    for (collections, plane) in services {
        let (intents, reporter) = hub::connect(store, &collections, drain);
        drain.spawn(watch_plane(plane.run(intents, reporter, drain.clone()), failed.clone()));
    }
    failure
}

async fn open(state_dir: &Path, world: &World) -> Result<Arc<dyn Store>, StartProblem> {
    let unusable = |problem| StartProblem::StateDir { path: state_dir.to_owned(), problem };
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(state_dir).map_err(unusable)?;
    let (path, world) = (state_dir.join("store.redb"), world.clone());
    let opening = tokio::task::spawn_blocking(move || {
        let store = RedbStore::open(&path, &world)?;
        // The folder may have been made by somebody else, and hashes of secrets are nobody else's business.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))
            .map_err(|problem| StartProblem::StateDir { path, problem })?;
        Ok::<_, StartProblem>(store)
    });
    Ok(Arc::new(opening.await.map_err(|problem| unusable(io::Error::other(problem)))??))
}

async fn watch_plane(
    plane: impl Future<Output = Result<(), PlaneProblem>>,
    failed: watch::Sender<Option<Arc<PlaneProblem>>>,
) {
    if let Err(problem) = plane.await {
        tracing::error!(%problem, "a data plane cannot work");
        failed.send_if_modified(|first| {
            let news = first.is_none();
            first.get_or_insert_with(|| Arc::new(problem));
            news
        });
    }
}

/// All permissions, everywhere.
fn everything(registry: &Registry) -> Vec<Rule> {
    let rule = |permission| Rule { permission, organization: None, project: None };
    registry.permissions().into_iter().map(rule).collect()
}

impl Running {
    /// Waits until the backend shall stop, or cannot go on.
    ///
    /// # Errors
    /// A data plane ended.
    pub async fn wait(&mut self) -> Result<(), StartProblem> {
        let failed = async {
            match self.failure.wait_for(Option::is_some).await {
                Ok(problem) => problem.clone(),
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.serving.wait() => Ok(()),
            problem = failed => problem.map_or(Ok(()), |problem| {
                Err(PlaneProblem { plane: problem.plane, message: problem.message.clone() }.into())
            }),
        }
    }

    /// Ends feeds and planes, lets requests finish for 5 s and connections as long as the options say, and closes the store.
    /// True when all ended in time.
    pub async fn stop(self) -> bool {
        self.planes.start();
        let served = self.serving.finish(STOP_TIME).await;
        let planes = self.planes.finish(self.stop_drain + PLANE_GRACE).await;
        self.store.close().await;
        served && planes
    }

    /// Makes sure that there is an organization with a project and these domains, and a token with these rules in a file (mode 0600). Changes
    /// nothing when all is there.
    ///
    /// # Errors
    /// When a name is no DNS label, a domain is none, one is taken, or the file or the store fails.
    pub async fn seed(
        &self,
        organization: &str,
        project: &str,
        domains: &[&str],
        token_file: &Path,
        rules: Vec<Rule>,
    ) -> Result<Project, SeedProblem> {
        let ids = (self.world.id("org"), self.world.id("prj"));
        let names = (organization.to_owned(), project.to_owned());
        let owned: Vec<_> = domains.iter().map(|name| (self.world.id("dom"), (*name).to_owned())).collect();
        let work = move |tx: &mut dyn Transaction| {
            tenants::ensure_organization(tx, &ids.0, &names.0)?;
            for (id, name) in &owned {
                domains::ensure(tx, id, &names.0, name)?;
            }
            tenants::ensure_project(tx, &ids.1, &names.0, &names.1)
        };
        let (made, _) = store::write(&*self.store, true, work).await.map_err(Box::new)?.answer;
        let name = format!("seed {organization}/{project}");
        keep_token(&*self.store, &self.world, token_file, &name, rules).await?;
        Ok(made)
    }
}

/// Why seeding failed.
#[derive(Debug, thiserror::Error)]
pub enum SeedProblem {
    /// The store refused.
    #[error(transparent)]
    Refused(#[from] Box<Problem>),
    /// The token cannot be kept.
    #[error(transparent)]
    Token(#[from] KeptTokenProblem),
}
