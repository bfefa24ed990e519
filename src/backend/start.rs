//! Starts and stops the backend.

use std::{
    fs, io,
    net::{Ipv6Addr, SocketAddr},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use ipnet::Ipv4Net;
use tokio::{net::TcpListener, sync::watch};

use super::{
    api::{self, Api, collections::Registry},
    checks::Checks,
    hub,
    kept_token::{KeptTokenProblem, keep_token},
    plane::{Plane, PlaneProblem},
    store::{self, OpenProblem, RedbStore, Store, Transaction},
    tenants,
};
use crate::{
    protocol::{Intent, Problem, Project, Rule, load_balancer::LoadBalancer},
    runtime::{Drain, World},
};

/// Longest time that a stop waits for requests.
const STOP_TIME: Duration = Duration::from_secs(5);
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

/// What the services bring: checks and a plane each.
pub struct Services<L> {
    /// Decides about load balancers.
    pub load_balancing_checks: Arc<dyn Checks>,
    /// Makes them real.
    pub load_balancing: L,
}

/// A backend that serves.
pub struct Running {
    /// Where the API listens.
    pub api: SocketAddr,
    /// The file with the administrator's token.
    pub admin_token_file: PathBuf,
    /// Everything that is kept.
    pub store: Arc<dyn Store>,
    world: World,
    drain: Drain,
    failure: watch::Receiver<Option<Arc<PlaneProblem>>>,
}

/// Starts the backend with given services. It stops when `drain` starts; then call [`Running::stop`].
///
/// # Errors
/// Port, folder, store or token file; the message says what to do.
pub async fn start_with<L: Plane>(
    options: Options,
    services: Services<L>,
    world: World,
    drain: &Drain,
) -> Result<Running, StartProblem> {
    let address = options.api_listen;
    let listening = TcpListener::bind(address).await.and_then(|listener| Ok((listener.local_addr()?, listener)));
    let (api_address, listener) = listening.map_err(|problem| StartProblem::Listen { address, problem })?;
    let store = open(&options.state_dir, &world).await?;
    let registry = Arc::new(Registry::new(services.load_balancing_checks));
    let admin_token_file = options.state_dir.join(ADMIN_TOKEN);
    keep_token(&*store, &world, &admin_token_file, "administrator", everything(&registry)).await?;
    let drain = drain.child();
    let (failed, failure) = watch::channel(None);
    let running = Running {
        api: api_address,
        admin_token_file,
        store: Arc::clone(&store),
        world: world.clone(),
        drain: drain.clone(),
        failure,
    };
    if let Some(collection) = registry.get(LoadBalancer::COLLECTION) {
        let (intents, reporter) = hub::connect(&store, collection, &drain);
        let plane = services.load_balancing.run(intents, reporter, drain.clone());
        drain.spawn(watch_plane(plane, failed));
    }
    let router = api::router(Api { store, world, collections: registry, drain: drain.clone() });
    drain.spawn(api::serve(listener, router, drain.clone()));
    Ok(running)
}

async fn open(state_dir: &Path, world: &World) -> Result<Arc<dyn Store>, StartProblem> {
    let unusable = |problem| StartProblem::StateDir { path: state_dir.to_owned(), problem };
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(state_dir).map_err(unusable)?;
    let (path, world) = (state_dir.join("store.redb"), world.clone());
    let opening = tokio::task::spawn_blocking(move || RedbStore::open(&path, &world));
    let store = opening.await.map_err(|problem| unusable(io::Error::other(problem)))??;
    Ok(Arc::new(store))
}

async fn watch_plane(
    plane: impl Future<Output = Result<(), PlaneProblem>>,
    failed: watch::Sender<Option<Arc<PlaneProblem>>>,
) {
    if let Err(problem) = plane.await {
        tracing::error!(%problem, "a data plane cannot work");
        failed.send_replace(Some(Arc::new(problem)));
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
            () = self.drain.wait() => Ok(()),
            problem = failed => problem.map_or(Ok(()), |problem| {
                Err(PlaneProblem { plane: problem.plane, message: problem.message.clone() }.into())
            }),
        }
    }

    /// Ends feeds and planes, lets requests finish for 5 s, and closes the store. True when all ended in time.
    pub async fn stop(self) -> bool {
        let ended = self.drain.finish(STOP_TIME).await;
        self.store.close().await;
        ended
    }

    /// Makes sure that there is an organization with a project, and a token with these rules in a file (mode 0600). Changes
    /// nothing when all is there.
    ///
    /// # Errors
    /// When a name is no DNS label or taken, or the file or the store fails.
    pub async fn seed(
        &self,
        organization: &str,
        project: &str,
        token_file: &Path,
        rules: Vec<Rule>,
    ) -> Result<Project, SeedProblem> {
        let ids = (self.world.id("org"), self.world.id("prj"));
        let names = (organization.to_owned(), project.to_owned());
        let work = move |tx: &mut dyn Transaction| {
            tenants::ensure_organization(tx, &ids.0, &names.0)?;
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
