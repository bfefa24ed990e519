//! One probe: the deadline, the way to the address, and what is common to all types.

use std::{net::SocketAddr, sync::Arc};

use rustls::{ClientConfig, crypto::ring};
use tokio::{
    net::{TcpStream, lookup_host},
    time::{Instant, timeout, timeout_at},
};
use url::Host;

use super::{
    outcome::{Failure, Outcome, Trace},
    probe_http, probe_tcp,
};
use crate::{
    backend::monitoring::settings::{ObjectSettings, ProbeSettings},
    rules::{
        monitoring::Parameter,
        outbound::{Outbound, Profile},
    },
};

/// Addresses of one name that are tried.
const ADDRESSES: usize = 4;

/// What all probes share.
pub struct Prober {
    outbound: Outbound,
    /// How to speak TLS, or why it cannot be spoken.
    pub tls: Result<Arc<ClientConfig>, String>,
}

/// TLS as the machine's own certificates allow it.
pub fn platform_tls() -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(ring::default_provider());
    let verifier = rustls_platform_verifier::Verifier::new(Arc::clone(&provider)).map_err(|why| why.to_string())?;
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|why| why.to_string())?.dangerous();
    Ok(Arc::new(config.with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth()))
}

impl Prober {
    /// `outbound`: what may be connected to.
    pub fn new(outbound: Outbound, tls: Result<Arc<ClientConfig>, String>) -> Self {
        Self { outbound, tls }
    }

    /// Probes once.
    pub async fn probe(&self, settings: &ObjectSettings) -> Outcome {
        let start = Instant::now();
        let mut trace = Trace::new(start + settings.timeout);
        let probing = async {
            match &settings.probe {
                ProbeSettings::Http(http) => probe_http::probe(self, http, &mut trace).await,
                ProbeSettings::Tcp(tcp) => probe_tcp::probe(self, tcp, &mut trace).await,
            }
        };
        let result = timeout_at(start + settings.timeout, probing).await.unwrap_or_else(|_| {
            let limit = crate::rules::duration::format(settings.timeout);
            Err(Failure::new("Timeout", format!("no answer within {limit}; it was {}", trace.doing)))
        });
        Outcome::of(trace, start.elapsed(), result)
    }

    /// Opens a connection. A name is resolved once, and the address that was judged is the one that is connected to.
    pub async fn connect(&self, host: &Host, port: u16, trace: &mut Trace) -> Result<TcpStream, Failure> {
        let start = Instant::now();
        trace.doing = "resolving the name";
        let found = resolve(host, port).await?;
        trace.add(Parameter::TimingDns, start.elapsed());
        let judge = |address: &SocketAddr| self.outbound.check(Profile::Url, *address);
        let (good, bad): (Vec<_>, Vec<_>) = found.into_iter().partition(|address| judge(address).is_ok());
        if let (true, Some(Err(refusal))) = (good.is_empty(), bad.first().map(judge)) {
            return Err(Failure::ours("Refused", refusal.to_string()));
        }
        trace.doing = "connecting";
        let start = Instant::now();
        let stream = connect_first(&good, trace.deadline).await?;
        trace.add(Parameter::TimingConnect, start.elapsed());
        Ok(stream)
    }
}

async fn resolve(host: &Host, port: u16) -> Result<Vec<SocketAddr>, Failure> {
    let name = match host {
        Host::Ipv4(ip) => return Ok(vec![SocketAddr::new((*ip).into(), port)]),
        Host::Ipv6(ip) => return Ok(vec![SocketAddr::new((*ip).into(), port)]),
        Host::Domain(name) => name,
    };
    let failed = |why: String| Failure::new("ResolveFailed", format!("{name} cannot be resolved: {why}"));
    let found: Vec<_> = lookup_host((name.as_str(), port)).await.map_err(|why| failed(why.to_string()))?.collect();
    if found.is_empty() { Err(failed("it has no address".to_owned())) } else { Ok(found) }
}

/// Tries the addresses in turn; each may use its share of the time that is left.
async fn connect_first(addresses: &[SocketAddr], deadline: Instant) -> Result<TcpStream, Failure> {
    let mut failure = Failure::new("ResolveFailed", "there is no address to connect to");
    let tried = addresses.len().min(ADDRESSES);
    for (at, address) in addresses.iter().take(tried).enumerate() {
        let left = u32::try_from(tried - at).unwrap_or(1);
        let share = deadline.saturating_duration_since(Instant::now()) / left;
        failure = match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(problem)) => Failure::io(&address.to_string(), &problem),
            Err(_) => Failure::new("Timeout", format!("{address}: no connection in time")),
        };
    }
    Err(failure)
}
