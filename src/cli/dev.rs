//! `dev`: everything on this machine, in one command.

use std::{
    net::{Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use ipnet::Ipv4Net;

use super::{Failure, signal};
use crate::{
    dev::{
        progress::Progress,
        readiness::Looked,
        session::{Options, Session, SessionProblem},
    },
    runtime::{LogFormat, Telemetry, World},
};

/// Runs a Kubernetes control plane, the Loopback backend and the operator on this machine, with samples, until Ctrl-C.
///
/// The first run gets the control plane's programs: from KUBEBUILDER_ASSETS, PATH, the official releases, or a build with
/// Go. Everything is kept in the state folder; the next run goes on from there.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Use a cluster of your kubeconfig, by its context, instead of starting a control plane.
    #[arg(long, env = "LOOPBACK_CONTEXT")]
    context: Option<String>,
    /// Folder for everything that is kept; the admin's kubeconfig is its file `kubeconfig`.
    #[arg(long, env = "LOOPBACK_STATE_DIR", default_value = ".loopback")]
    state_dir: PathBuf,
    /// Port of the Kubernetes API on 127.0.0.1; 0: any.
    #[arg(long, env = "LOOPBACK_KUBERNETES_PORT", default_value_t = 6443)]
    kubernetes_port: u16,
    /// Where the Loopback API listens.
    #[arg(long, env = "LOOPBACK_API_LISTEN", default_value = "127.0.0.1:8480")]
    api_listen: SocketAddr,
    /// Where S3 clients connect.
    #[arg(long, env = "LOOPBACK_S3_LISTEN", default_value = "127.0.0.1:9000")]
    s3_listen: SocketAddr,
    /// Where the operator's metrics and health are served.
    #[arg(long, env = "LOOPBACK_METRICS_LISTEN", default_value = "127.0.0.1:8080")]
    metrics_listen: SocketAddr,
    /// Where DNS is served, over UDP and TCP.
    #[arg(long, env = "LOOPBACK_DNS_LISTEN", default_value = "127.0.0.1:5354")]
    dns_listen: SocketAddr,
    /// IPv4 addresses that load balancers get.
    #[arg(long, env = "LOOPBACK_ADDRESS_POOL", default_value = "127.10.0.0/16")]
    address_pool: Ipv4Net,
    /// The IPv6 address that load balancers share, one listener a port.
    #[arg(long, env = "LOOPBACK_IPV6_ADDRESS", default_value = "::1")]
    ipv6_address: Ipv6Addr,
    /// Where the two targets of the samples listen; the samples follow.
    #[arg(
        long,
        env = "LOOPBACK_DEMO_TARGETS",
        value_name = "ADDRESS,ADDRESS",
        value_delimiter = ',',
        default_value = "127.0.0.1:8081,127.0.0.1:8082"
    )]
    demo_targets: Vec<SocketAddr>,
    /// Do not apply the samples.
    #[arg(long, env = "LOOPBACK_NO_SAMPLES")]
    no_samples: bool,
    /// Stop once all samples are Ready; the exit code tells whether they all became so.
    #[arg(long, env = "LOOPBACK_EXIT_WHEN_READY")]
    exit_when_ready: bool,
    /// Seconds that the samples may take to become Ready.
    #[arg(long, env = "LOOPBACK_READY_TIMEOUT", default_value_t = 60)]
    ready_timeout: u64,
    /// What is logged, as tracing's directives: a level, or TARGET=LEVEL separated by commas.
    #[arg(long, env = "LOOPBACK_LOG", default_value = "warn")]
    log: String,
}

/// Starts everything and stays until a signal.
///
/// # Errors
/// A part that does not start or ends by itself; with `--exit-when-ready` also samples that did not become Ready.
pub async fn run(args: Args) -> Result<(), Failure> {
    Telemetry::start(LogFormat::default(), &args.log).map_err(Failure::from_error)?;
    let (options, progress) = (args.options()?, Progress::stderr());
    let world = World::real();
    let started = tokio::select! {
        biased;
        () = signal() => return args.interrupted(),
        started = Session::start(options, &world, &progress) => started,
    };
    let mut session = started.map_err(Failure::from_error)?;
    let ended = serve(&args, &mut session, &progress).await;
    progress.note("stopping");
    session.stop().await;
    ended
}

/// Shows what there is, then stays.
async fn serve(args: &Args, session: &mut Session, progress: &Progress) -> Result<(), Failure> {
    let shown = tokio::select! {
        biased;
        () = signal() => return args.interrupted(),
        shown = show(args, session, progress) => shown.map_err(Failure::from_error)?,
    };
    if args.exit_when_ready {
        return if shown.is_empty() { Ok(()) } else { Err(Failure::new(not_ready(&shown))) };
    }
    if !shown.is_empty() {
        progress.note(&not_ready(&shown));
    }
    progress.note("running; Ctrl-C stops, the next start goes on from here");
    tokio::select! {
        biased;
        () = signal() => Ok(()),
        ended = session.wait() => ended.map_err(Failure::from_error),
    }
}

/// Applies the samples, waits for them and prints what to try. Returns those that are not Ready, and why.
async fn show(args: &Args, session: &Session, progress: &Progress) -> Result<Vec<String>, SessionProblem> {
    let looked = if args.no_samples {
        Vec::new()
    } else {
        progress.note("applying samples, waiting until they are Ready");
        let applied = session.apply_samples().await?;
        session.wait_ready(applied, Duration::from_secs(args.ready_timeout)).await
    };
    let why = |looked: &Looked| looked.why_not().map(|why| format!("{}: {why}", looked.name));
    let not_ready: Vec<_> = looked.iter().filter_map(why).collect();
    if not_ready.is_empty() && !looked.is_empty() {
        progress.note("all samples are Ready");
    }
    let objects: Vec<_> = looked.into_iter().filter_map(|looked| looked.object).collect();
    print!("\nTry:\n\n{}\n", session.tips(&objects));
    Ok(not_ready)
}

fn not_ready(objects: &[String]) -> String {
    format!("not Ready:\n  {}", objects.join("\n  "))
}

impl Args {
    /// A signal before the samples are Ready is how most sessions may end, but not one that is to tell whether they are.
    fn interrupted(&self) -> Result<(), Failure> {
        match self.exit_when_ready {
            true => Err(Failure::new("stopped by a signal before all samples were Ready")),
            false => Ok(()),
        }
    }

    fn options(&self) -> Result<Options, Failure> {
        if self.demo_targets.len() != 2 {
            return Err(Failure::new("--demo-targets takes two addresses, for instance 127.0.0.1:8081,127.0.0.1:8082"));
        }
        Ok(Options {
            context: self.context.clone(),
            state_dir: self.state_dir.clone(),
            kubernetes_port: self.kubernetes_port,
            api_listen: self.api_listen,
            s3_listen: self.s3_listen,
            metrics_listen: self.metrics_listen,
            dns_listen: self.dns_listen,
            address_pool: self.address_pool,
            ipv6_address: self.ipv6_address,
            demo_targets: self.demo_targets.clone(),
        })
    }
}
