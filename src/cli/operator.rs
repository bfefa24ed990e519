//! `operator`: the Kubernetes half, as its Deployment runs it.

use std::{net::SocketAddr, time::Duration};

use clap::Args as ClapArgs;
use kube::{Config, config::KubeConfigOptions};
use tracing::info;
use url::Url;

use super::{Failure, Logging, signal};
use crate::{
    operator::{self, Options, engine::leadership},
    rules::{
        duration::{self, DurationProblem},
        outbound::Outbound,
    },
    runtime::{Drain, World, metrics::ObjectSeries},
};

/// How long passes that run may take to end after a signal.
const GRACE: Duration = Duration::from_secs(10);

const LONGEST_LEASE: Duration = Duration::from_secs(300);

/// Watches custom resources, makes the Loopback backend match them, writes status back.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Context of the kubeconfig; absent: the Pod's ServiceAccount, else the current context.
    #[arg(long, env = "LOOPBACK_CONTEXT")]
    context: Option<String>,
    /// Name of this cluster among the owners of backend objects; absent: the UID of its namespace kube-system.
    #[arg(long, env = "LOOPBACK_CLUSTER_ID")]
    cluster_id: Option<String>,
    /// Namespaces to watch, separated by commas; absent: all. With it no cluster role is needed, but --cluster-id is.
    #[arg(long, env = "LOOPBACK_NAMESPACES", value_delimiter = ',')]
    namespaces: Vec<String>,
    /// URL of the operator's own backend, for LoopbackBackends and ProjectBindings that name none.
    #[arg(long, env = "LOOPBACK_BACKEND_URL")]
    backend_url: Option<Url>,
    /// Where metrics and health are served.
    #[arg(long, env = "LOOPBACK_METRICS_LISTEN", default_value = "0.0.0.0:8080")]
    metrics_listen: SocketAddr,
    /// Objects that are worked on at the same time.
    #[arg(long, env = "LOOPBACK_WORKERS", default_value_t = 16)]
    workers: usize,
    /// Let URLs of ProjectBindings lead to this machine, also without TLS. For tests and `dev`.
    #[arg(long, env = "LOOPBACK_OUTBOUND_ALLOW_LOOPBACK")]
    outbound_allow_loopback: bool,
    /// Let URLs of ProjectBindings lead to private networks.
    #[arg(long, env = "LOOPBACK_OUTBOUND_ALLOW_PRIVATE")]
    outbound_allow_private: bool,
    /// Leave out the metrics that have a series for each object: for clusters with very many.
    #[arg(long, env = "LOOPBACK_NO_OBJECT_METRICS")]
    no_object_metrics: bool,
    /// Name of this process in events, for instance the Pod's; absent: the host's name.
    #[arg(long, env = "LOOPBACK_INSTANCE")]
    instance: Option<String>,
    /// Stand for leadership with the other replicas: one acts, the others keep their caches warm and take over.
    #[arg(long, env = "LOOPBACK_LEADER_ELECT")]
    leader_elect: bool,
    /// Namespace of the Lease; absent: the Pod's, else that of the kubeconfig's context.
    #[arg(long, env = "LOOPBACK_LEASE_NAMESPACE")]
    lease_namespace: Option<String>,
    /// Name of the Lease: another for each set of replicas, for instance of each list of --namespaces.
    #[arg(long, env = "LOOPBACK_LEASE_NAME", default_value = "loopback-operator")]
    lease_name: String,
    /// How long replicas wait for a sign of life of the one that leads; it gives one each third of this.
    #[arg(long, env = "LOOPBACK_LEASE_DURATION", default_value = "1500ms", value_parser = lease_duration)]
    lease_duration: Duration,
    #[command(flatten)]
    logging: Logging,
}

/// Runs the operator until a signal arrives.
///
/// # Errors
/// A configuration that cannot be used, an address that is taken.
pub async fn run(args: Args) -> Result<(), Failure> {
    args.logging.start()?;
    let kubernetes = config(args.context.as_deref()).await?;
    let world = World::real();
    let leadership = args.leader_elect.then(|| leadership(&args, &kubernetes, &world));
    let options = Options {
        kubernetes,
        cluster_id: args.cluster_id,
        namespaces: args.namespaces,
        backend_url: args.backend_url,
        outbound: Outbound {
            allow_loopback: args.outbound_allow_loopback,
            allow_private: args.outbound_allow_private,
            ..Outbound::default()
        },
        metrics_listen: args.metrics_listen,
        workers: args.workers,
        object_series: if args.no_object_metrics { ObjectSeries::Off } else { ObjectSeries::On },
        instance: args.instance,
        leadership,
    };
    let drain = Drain::new();
    let running = operator::start(options, world, drain.clone()).await.map_err(Failure::from_error)?;
    info!(cluster = running.cluster(), metrics = %running.metrics, "operator runs");
    signal().await;
    drain.finish(GRACE).await;
    Ok(())
}

fn leadership(args: &Args, kubernetes: &Config, world: &World) -> leadership::Settings {
    let namespace = args.lease_namespace.as_ref().unwrap_or(&kubernetes.default_namespace);
    leadership::Settings {
        namespace: namespace.clone(),
        name: args.lease_name.clone(),
        // A process that is started again must not take the Lease of the one before it for its own.
        identity: world.id(args.instance.as_deref().unwrap_or("operator")),
        duration: args.lease_duration,
    }
}

fn lease_duration(text: &str) -> Result<Duration, DurationProblem> {
    duration::parse_within(text, leadership::SHORTEST, LONGEST_LEASE)
}

async fn config(context: Option<&str>) -> Result<Config, Failure> {
    let Some(context) = context else {
        return Config::infer().await.map_err(|error| {
            Failure::new(format!("no cluster to connect to: {error}; set KUBECONFIG, or give --context"))
        });
    };
    let options = KubeConfigOptions { context: Some(context.to_owned()), ..KubeConfigOptions::default() };
    Config::from_kubeconfig(&options).await.map_err(|error| {
        Failure::new(format!(
            "context {context} of the kubeconfig cannot be used: {error}; see kubectl config get-contexts"
        ))
    })
}
