//! All of Loopback on one machine: control plane, backend, operator, samples and the targets that they name.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    time::Duration,
};

use ipnet::Ipv4Net;
use kube::{Client, api::DynamicObject};
use serde_json::json;
use tokio::time::Instant;
use url::Url;

use super::{
    apply::{Applied, ApplyProblem, Existing, apply},
    binaries::{BinariesProblem, Sources},
    cluster::{Cluster, ClusterProblem, Credentials},
    controlplane::{self, Claim, ControlPlane, Port, StartProblem},
    demo::{self, DemoProblem},
    kubectl, manifests,
    progress::Progress,
    readiness::{self, Looked},
    tips::{self, Place},
};
use crate::{
    backend, crd,
    operator::{self, kinds},
    protocol::Rule,
    rules::outbound::Outbound,
    runtime::{Drain, World, metrics::ObjectSeries},
};

/// Who owns the fields that we apply.
const MANAGER: &str = "loopback-dev";
/// The organization and the project that the backend is seeded with.
const SEED: (&str, &str) = ("acme", "shop");
/// Domains of the organization.
const DOMAINS: [&str; 1] = ["example.dev"];
/// The Secret that the samples' LoopbackBackend names: its name, and the key in it.
const TOKEN_SECRET: (&str, &str) = ("loopback-token", "token");
/// Objects that the operator works on at the same time.
const WORKERS: usize = 16;
/// How long the operator may take to see the cluster.
const OPERATOR_LIMIT: Duration = Duration::from_secs(30);
/// How long passes of the operator may take to end.
const OPERATOR_GRACE: Duration = Duration::from_secs(5);
/// How long connections through load balancers go on.
const CONNECTION_GRACE: Duration = Duration::from_secs(1);

/// How to run a session.
#[derive(Clone, Debug)]
pub struct Options {
    /// A context of the user's kubeconfig; none: a control plane of our own.
    pub context: Option<String>,
    /// Everything is kept here.
    pub state_dir: PathBuf,
    /// Port of our own API server on 127.0.0.1.
    pub kubernetes_port: u16,
    /// Where the Loopback API listens.
    pub api_listen: SocketAddr,
    /// Where S3 clients connect.
    pub s3_listen: SocketAddr,
    /// Where the operator's metrics and health are served.
    pub metrics_listen: SocketAddr,
    /// Where DNS is served.
    pub dns_listen: SocketAddr,
    /// IPv4 addresses that load balancers get.
    pub address_pool: Ipv4Net,
    /// The IPv6 address that load balancers share.
    pub ipv6_address: Ipv6Addr,
    /// Where the demo targets listen, one address each.
    pub demo_targets: Vec<SocketAddr>,
}

/// Why a session did not start or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum SessionProblem {
    /// An address that something listens on already.
    #[error("cannot listen on {address}: {source}: stop what uses it or pass {flag} with another address")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The flag that sets it.
        flag: &'static str,
        /// What went wrong.
        source: io::Error,
    },
    /// The control plane.
    #[error(transparent)]
    ControlPlane(#[from] StartProblem),
    /// Where its programs come from.
    #[error(transparent)]
    Sources(#[from] BinariesProblem),
    /// The cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterProblem),
    /// Manifests.
    #[error(transparent)]
    Apply(#[from] ApplyProblem),
    /// The backend.
    #[error(transparent)]
    Backend(#[from] backend::StartProblem),
    /// The backend's first project.
    #[error("cannot make the first project in the backend: {0}")]
    Seed(#[from] backend::SeedProblem),
    /// The operator's token.
    #[error("cannot read the token file {path}: {source}", path = path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The operator.
    #[error("the operator does not start: {0}")]
    Operator(#[from] operator::StartError),
    /// The operator does not get ready.
    #[error("the operator is not ready after {} s, it waits for {}", OPERATOR_LIMIT.as_secs(), waits.join(", "))]
    OperatorNotReady {
        /// What it waits for.
        waits: Vec<String>,
    },
    /// The demo targets.
    #[error(transparent)]
    Demo(#[from] DemoProblem),
}

/// Everything, running. Stop it with [`Session::stop`]; when dropped, the control plane is killed.
pub struct Session {
    paths: Paths,
    client: Client,
    demo_targets: Vec<SocketAddr>,
    operator: operator::Running,
    operator_drain: Drain,
    backend: backend::Running,
    demo_drain: Drain,
    _credentials: Credentials,
    kubernetes: Kubernetes,
}

/// Where the cluster comes from.
enum Kubernetes {
    Ours(Box<ControlPlane>),
    Existing { cluster: Box<Cluster>, _claim: Claim },
}

#[derive(Clone, Debug)]
struct Paths {
    kubeconfig: PathBuf,
    backend: PathBuf,
    operator_token: PathBuf,
}

impl Session {
    /// Starts everything; the first time, getting the control plane's programs may take minutes. Samples are not applied
    /// yet.
    ///
    /// # Errors
    /// The first part that does not start; those that had started are ended.
    pub async fn start(options: Options, world: &World, progress: &Progress) -> Result<Self, SessionProblem> {
        let paths = Paths::below(&options.state_dir);
        check_listeners(&options)?;
        let kubernetes = Kubernetes::start(&options, world, progress).await?;
        let cluster = kubernetes.cluster();
        cluster.write_kubeconfig(&paths.kubeconfig)?;
        let client = cluster.client()?;
        apply(&client, MANAGER, manifests::operator()?, Existing::Update).await?;
        if let Some(own) = kubernetes.own_listener() {
            kubectl::forget_kinds(own.port());
        }
        let (drain, demo_drain, operator_drain) = (Drain::new(), Drain::new(), Drain::new());
        let backend = start_backend(&options, &paths, &kubernetes, world, &drain).await?;
        apply(&client, MANAGER, vec![token_secret(&paths.operator_token)?], Existing::Update).await?;
        let demo_targets = demo::serve(&options.demo_targets, &demo_drain).await?;
        let credentials = cluster.service_account(manifests::SYSTEM_NAMESPACE, manifests::SERVICE_ACCOUNT).await?;
        let settings = operator_options(&options, &credentials, backend.api);
        let operator = operator::start(settings, world.clone(), operator_drain.clone()).await?;
        progress.note(&format!("backend on http://{}, operator on http://{}", backend.api, operator.metrics));
        let session = Self {
            paths,
            client,
            demo_targets,
            operator,
            operator_drain,
            backend,
            demo_drain,
            _credentials: credentials,
            kubernetes,
        };
        session.operator_ready().await?;
        Ok(session)
    }

    /// Applies the samples that are not there yet. What people made of them stays as it is.
    ///
    /// # Errors
    /// When the API server refuses one.
    pub async fn apply_samples(&self) -> Result<Vec<Applied>, SessionProblem> {
        let mut samples = manifests::samples()?;
        demo::point(&mut samples, &self.demo_targets);
        Ok(apply(&self.client, MANAGER, samples, Existing::Keep).await?)
    }

    /// Waits until those of our kinds are Ready, at most `limit`.
    pub async fn wait_ready(&self, applied: Vec<Applied>, limit: Duration) -> Vec<Looked> {
        let ours: Vec<_> = applied.into_iter().filter(|applied| applied.resource.group == crd::GROUP).collect();
        readiness::wait(&self.client, &ours, limit).await
    }

    /// What to try with these objects.
    #[must_use]
    pub fn tips(&self, objects: &[DynamicObject]) -> String {
        let place = Place {
            kubeconfig: &self.paths.kubeconfig,
            token: &self.backend.admin_token_file,
            api: self.backend.api,
            metrics: self.operator.metrics,
            dns: self.backend.dns.first().copied(),
            project: SEED.1,
        };
        tips::text(&place, objects)
    }

    /// Waits until a part ends by itself.
    ///
    /// # Errors
    /// Why that part ended.
    pub async fn wait(&mut self) -> Result<(), SessionProblem> {
        let Self { backend, kubernetes, .. } = self;
        tokio::select! {
            biased;
            problem = kubernetes.ended() => Err(problem.into()),
            ended = backend.wait() => Ok(ended?),
        }
    }

    /// Ends everything: first who calls, then who is called. Takes some seconds at most.
    pub async fn stop(self) {
        self.operator_drain.finish(OPERATOR_GRACE).await;
        self.backend.stop().await;
        self.demo_drain.finish(CONNECTION_GRACE).await;
        self.kubernetes.stop().await;
    }

    async fn operator_ready(&self) -> Result<(), SessionProblem> {
        let deadline = Instant::now() + OPERATOR_LIMIT;
        loop {
            let waits = self.operator.health.waiting_for();
            if waits.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(SessionProblem::OperatorNotReady { waits });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Paths {
    fn below(state_dir: &Path) -> Self {
        Self {
            kubeconfig: state_dir.join("kubeconfig"),
            backend: state_dir.join("backend"),
            operator_token: state_dir.join("operator-token"),
        }
    }
}

impl Kubernetes {
    async fn start(options: &Options, world: &World, progress: &Progress) -> Result<Self, SessionProblem> {
        if let Some(context) = &options.context {
            let claim = Claim::take(&options.state_dir)?;
            return Ok(Self::Existing { cluster: Box::new(Cluster::existing(context).await?), _claim: claim });
        }
        let begun = Instant::now();
        let settings = controlplane::Options {
            kubernetes_port: Port { number: options.kubernetes_port, flag: "--kubernetes-port" },
            ..controlplane::Options::new(&options.state_dir, Sources::from_env()?)
        };
        let plane = ControlPlane::start(settings, world, progress).await?;
        let (port, seconds) = (plane.kubernetes_port(), begun.elapsed().as_secs_f32());
        progress.note(&format!("Kubernetes on https://127.0.0.1:{port}, ready in {seconds:.1} s"));
        Ok(Self::Ours(Box::new(plane)))
    }

    fn cluster(&self) -> &Cluster {
        match self {
            Self::Ours(plane) => plane.cluster(),
            Self::Existing { cluster, .. } => cluster,
        }
    }

    /// Our own API server, which no tenant's load balancer may reach.
    fn own_listener(&self) -> Option<SocketAddr> {
        match self {
            Self::Ours(plane) => Some((Ipv4Addr::LOCALHOST, plane.kubernetes_port()).into()),
            Self::Existing { .. } => None,
        }
    }

    /// Returns once a program of our own control plane has ended.
    async fn ended(&mut self) -> StartProblem {
        loop {
            if let Self::Ours(plane) = self
                && let Err(problem) = plane.check().await
            {
                return problem;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    async fn stop(self) {
        if let Self::Ours(plane) = self {
            plane.stop().await;
        }
    }
}

/// Before the long work: who must choose another address should know it now.
fn check_listeners(options: &Options) -> Result<(), SessionProblem> {
    let flags = [
        ("--api-listen", options.api_listen),
        ("--metrics-listen", options.metrics_listen),
        ("--dns-listen", options.dns_listen),
        ("--s3-listen", options.s3_listen),
    ];
    let demo = options.demo_targets.iter().map(|address| ("--demo-targets", *address));
    for (flag, address) in flags.into_iter().chain(demo) {
        TcpListener::bind(address).map_err(|source| SessionProblem::Listen { address, flag, source })?;
    }
    Ok(())
}

async fn start_backend(
    options: &Options,
    paths: &Paths,
    kubernetes: &Kubernetes,
    world: &World,
    drain: &Drain,
) -> Result<backend::Running, SessionProblem> {
    let settings = backend::Options {
        dns_listen: vec![options.dns_listen],
        address_pool: options.address_pool,
        ipv6_address: options.ipv6_address,
        allow_loopback_targets: true,
        own_listeners: kubernetes.own_listener().into_iter().chain([options.metrics_listen]).collect(),
        stop_drain: CONNECTION_GRACE,
        s3_listen: options.s3_listen,
        ..backend::Options::new(options.api_listen, paths.backend.clone())
    };
    let running = backend::start(settings, world.clone(), drain).await?;
    running.seed(SEED.0, SEED.1, &DOMAINS, &paths.operator_token, operator_rules()).await?;
    Ok(running)
}

/// What the operator's kinds need, in the seeded organization.
fn operator_rules() -> Vec<Rule> {
    let needed = kinds::all().into_iter().flat_map(|kind| kind.permissions);
    needed.map(|permission| Rule { permission, organization: Some(SEED.0.to_owned()), project: None }).collect()
}

/// The Secret with the operator's token.
fn token_secret(path: &Path) -> Result<DynamicObject, SessionProblem> {
    let problem = |source| SessionProblem::Token { path: path.to_owned(), source };
    let token = std::fs::read_to_string(path).map_err(problem)?;
    let (name, key) = TOKEN_SECRET;
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": manifests::SYSTEM_NAMESPACE},
        "stringData": {key: token.trim()},
    });
    serde_json::from_value(secret).map_err(|error| problem(error.into()))
}

fn operator_options(options: &Options, credentials: &Credentials, api: SocketAddr) -> operator::Options {
    operator::Options {
        kubernetes: credentials.config(),
        cluster_id: None,
        namespaces: Vec::new(),
        backend_url: Url::parse(&format!("http://{api}")).ok(),
        outbound: Outbound { allow_loopback: true, ..Outbound::default() },
        metrics_listen: options.metrics_listen,
        workers: WORKERS,
        object_series: ObjectSeries::On,
        instance: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_address_is_told_with_its_flag() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let any = "127.0.0.1:0".parse().unwrap();
        let mut options = Options {
            context: None,
            state_dir: PathBuf::new(),
            kubernetes_port: 0,
            api_listen: any,
            s3_listen: any,
            metrics_listen: any,
            dns_listen: any,
            address_pool: "127.10.0.0/16".parse().unwrap(),
            ipv6_address: Ipv6Addr::LOCALHOST,
            demo_targets: vec![any, any],
        };
        check_listeners(&options).unwrap();
        options.metrics_listen = taken.local_addr().unwrap();
        let problem = check_listeners(&options).unwrap_err().to_string();
        assert!(problem.ends_with("stop what uses it or pass --metrics-listen with another address"), "{problem}");
    }

    #[test]
    fn the_samples_name_the_secret_and_the_project() {
        let samples = manifests::samples().unwrap();
        let spec = |kind: &str| {
            let of_kind = |sample: &&DynamicObject| sample.types.as_ref().unwrap().kind == kind;
            samples.iter().find(of_kind).unwrap().data["spec"].clone()
        };
        let (name, key) = TOKEN_SECRET;
        let expected = json!({"namespace": manifests::SYSTEM_NAMESPACE, "name": name, "key": key});
        assert_eq!(spec("LoopbackBackend")["tokenSecretRef"], expected);
        assert_eq!(spec("ProjectBinding"), json!({"organization": SEED.0, "project": SEED.1}));
    }
}
