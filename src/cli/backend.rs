//! `backend`: the Loopback API with its store and data planes.

use std::{
    net::{Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use ipnet::Ipv4Net;

use super::{Failure, Logging, signal};
use crate::{
    backend::{self, Options},
    rules::dns::{Alphabet, Name, NameProblem},
    runtime::{Drain, World},
};

/// Runs the Loopback API with its store and data planes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the API listens.
    #[arg(long, env = "LOOPBACK_API_LISTEN", default_value = "127.0.0.1:8480")]
    api_listen: SocketAddr,
    /// Folder with everything that is kept; the administrator's token is in its file admin-token.
    #[arg(long, env = "LOOPBACK_STATE_DIR", default_value = ".loopback/backend")]
    state_dir: PathBuf,
    /// IPv4 addresses that load balancers get.
    #[arg(long, env = "LOOPBACK_ADDRESS_POOL", default_value = "127.10.0.0/16")]
    address_pool: Ipv4Net,
    /// The IPv6 address that load balancers share, one listener a port.
    #[arg(long, env = "LOOPBACK_IPV6_ADDRESS", default_value = "::1")]
    ipv6_address: Ipv6Addr,
    /// Where DNS is served, over UDP and TCP.
    #[arg(
        long,
        env = "LOOPBACK_DNS_LISTEN",
        value_name = "ADDRESS,...",
        value_delimiter = ',',
        default_value = "127.0.0.1:5354"
    )]
    dns_listen: Vec<SocketAddr>,
    /// Names under which the world finds the DNS server; they stand in NS records.
    #[arg(
        long,
        env = "LOOPBACK_DNS_NAME_SERVERS",
        value_name = "NAME,...",
        value_delimiter = ',',
        default_value = "ns.localhost",
        value_parser = name_server
    )]
    dns_name_servers: Vec<Name>,
    /// Where S3 clients connect.
    #[arg(long, env = "LOOPBACK_S3_LISTEN", default_value = "127.0.0.1:9000")]
    s3_listen: SocketAddr,
    /// The URL that S3 clients are told to use; by default that of --s3-listen.
    #[arg(long, env = "LOOPBACK_S3_URL")]
    s3_url: Option<String>,
    /// Let load balancers and probes reach what listens on this machine's loopback addresses.
    #[arg(long, env = "LOOPBACK_OUTBOUND_ALLOW_LOOPBACK")]
    outbound_allow_loopback: bool,
    /// Let probes reach private networks; load balancers always may.
    #[arg(long, env = "LOOPBACK_OUTBOUND_ALLOW_PRIVATE")]
    outbound_allow_private: bool,
    /// Seconds that connections through load balancers go on when the backend stops.
    #[arg(long, env = "LOOPBACK_STOP_DRAIN", default_value_t = 30, value_parser = clap::value_parser!(u64).range(0..=3600))]
    stop_drain: u64,
    #[command(flatten)]
    logging: Logging,
}

fn name_server(text: &str) -> Result<Name, NameProblem> {
    Name::parse(text, Alphabet::Host)
}

impl From<Args> for Options {
    fn from(args: Args) -> Self {
        Self {
            address_pool: args.address_pool,
            ipv6_address: args.ipv6_address,
            dns_listen: args.dns_listen,
            dns_name_servers: args.dns_name_servers,
            s3_listen: args.s3_listen,
            s3_url: args.s3_url,
            allow_loopback_targets: args.outbound_allow_loopback,
            allow_private_probes: args.outbound_allow_private,
            stop_drain: Duration::from_secs(args.stop_drain),
            ..Self::new(args.api_listen, args.state_dir)
        }
    }
}

/// Serves until a signal.
///
/// # Errors
/// When it cannot start, or a data plane cannot go on.
pub async fn run(args: Args) -> Result<(), Failure> {
    args.logging.start()?;
    let drain = Drain::new();
    let mut running = backend::start(args.into(), World::real(), &drain).await.map_err(Failure::from_error)?;
    tracing::info!(api = %running.api, s3 = ?running.s3, admin_token = %running.admin_token_file.display(), "the backend serves");
    let ended = tokio::select! {
        biased;
        ended = running.wait() => ended.map_err(Failure::from_error),
        () = signal() => Ok(()),
    };
    if !running.stop().await {
        tracing::warn!("some connections did not end in time");
    }
    ended
}
