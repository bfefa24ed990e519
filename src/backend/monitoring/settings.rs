//! What an intent means: every default applied, every text read. The service's checks refuse what cannot be read; the plane
//! works on what was read.

use std::{net::SocketAddr, time::Duration};

use url::{Host, Url};

use crate::{
    protocol::{
        Problem,
        monitoring::{Http, Method, MonitoringCondition, MonitoringObject, ProbeType, Tcp},
    },
    rules::{
        duration,
        monitoring::{ExpectedProblem, ExpectedStatus, Rule, RuleText},
        outbound::{Outbound, Profile},
    },
};

const MAX_NAME: usize = 253;
const MAX_URL: usize = 1024;
const MIN_INTERVAL: Duration = Duration::from_secs(1);
const MAX_INTERVAL: Duration = Duration::from_secs(3_600);
const DEFAULT_INTERVAL: Duration = Duration::from_secs(30);
const MIN_TIMEOUT: Duration = Duration::from_millis(100);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// A probed object with nothing left to interpret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectSettings {
    /// How it is probed.
    pub probe: ProbeSettings,
    /// From the start of one probe to the start of the next.
    pub interval: Duration,
    /// What one probe may take; at most the interval.
    pub timeout: Duration,
}

/// How something is probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeSettings {
    /// An HTTP request.
    Http(HttpSettings),
    /// A TCP connection.
    Tcp(TcpSettings),
}

/// An HTTP request and what is a good answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSettings {
    /// http or https, with a host, without credentials.
    pub url: Url,
    /// The method.
    pub method: Method,
    /// Good statuses.
    pub expected: ExpectedStatus,
    /// Whether redirects are followed.
    pub follow: bool,
}

/// Where a connection is opened to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpSettings {
    /// Name or address.
    pub host: Host,
    /// Never 0.
    pub port: u16,
}

impl ProbeSettings {
    /// The type of object.
    #[must_use]
    pub fn kind(&self) -> ProbeType {
        match self {
            Self::Http(_) => ProbeType::HTTP,
            Self::Tcp(_) => ProbeType::TCP,
        }
    }
}

impl ObjectSettings {
    /// Reads an intent.
    ///
    /// # Errors
    /// The first field that is wrong, and what is right.
    pub fn read(intent: &MonitoringObject) -> Result<Self, Problem> {
        check_name(&intent.name)?;
        let probe = match (intent.probe, &intent.http, &intent.tcp) {
            (ProbeType::HTTP, Some(http), None) => ProbeSettings::Http(read_http(http)?),
            (ProbeType::TCP, None, Some(tcp)) => ProbeSettings::Tcp(read_tcp(tcp)?),
            (ProbeType::HTTP, None, _) => return Err(Problem::invalid("/http", "type HTTP needs http with a url")),
            (ProbeType::TCP, _, None) => return Err(Problem::invalid("/tcp", "type TCP needs tcp with host and port")),
            (ProbeType::HTTP, ..) => return Err(Problem::invalid("/tcp", "goes with type TCP: leave it out")),
            (ProbeType::TCP, ..) => return Err(Problem::invalid("/http", "goes with type HTTP: leave it out")),
        };
        let interval = read_duration("/interval", intent.interval.as_deref(), MIN_INTERVAL, MAX_INTERVAL)?
            .unwrap_or(DEFAULT_INTERVAL);
        let timeout = read_duration("/timeout", intent.timeout.as_deref(), MIN_TIMEOUT, interval)?
            .unwrap_or(DEFAULT_TIMEOUT.min(interval));
        Ok(Self { probe, interval, timeout })
    }

    /// Refuses an address that the outbound filter refuses. A name is judged by what it resolves to, at each probe.
    ///
    /// # Errors
    /// The field, and what to do.
    pub fn check_outbound(&self, outbound: &Outbound) -> Result<(), Problem> {
        let (field, host, port) = match &self.probe {
            ProbeSettings::Http(http) => ("/http/url", http.url.host().map(|host| host.to_owned()), port_of(&http.url)),
            ProbeSettings::Tcp(tcp) => ("/tcp/host", Some(tcp.host.clone()), tcp.port),
        };
        let ip = match host {
            Some(Host::Ipv4(ip)) => ip.into(),
            Some(Host::Ipv6(ip)) => ip.into(),
            Some(Host::Domain(_)) | None => return Ok(()),
        };
        let judged = outbound.check(Profile::Url, SocketAddr::new(ip, port));
        judged.map_err(|refusal| Problem::invalid(field, refusal.to_string()))
    }
}

/// Reads a condition.
///
/// # Errors
/// The first field that is wrong, and what is right.
pub fn read_condition(intent: &MonitoringCondition) -> Result<Rule, Problem> {
    check_name(&intent.name)?;
    let window = intent.window.as_ref().map(|window| (&*window.duration, window.function));
    let recovery = intent.recovery.as_ref().map(|back| (back.threshold.as_ref(), back.hold.as_deref()));
    let text = RuleText {
        parameter: &intent.parameter,
        operator: intent.operator,
        threshold: &intent.threshold,
        window,
        hold: intent.hold.as_deref(),
        recovery,
        no_data: intent.no_data,
    };
    Rule::read(&text).map_err(|problem| Problem::invalid(problem.field().pointer(), problem.to_string()))
}

/// The port of an http or https URL.
pub fn port_of(url: &Url) -> u16 {
    url.port_or_known_default().unwrap_or(0)
}

fn check_name(name: &str) -> Result<(), Problem> {
    if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
        let detail = format!("write a name of 1 to {MAX_NAME} bytes without control characters");
        return Err(Problem::invalid("/name", detail));
    }
    Ok(())
}

fn read_http(http: &Http) -> Result<HttpSettings, Problem> {
    let expected = ExpectedStatus::read(http.expected_status.as_deref()).map_err(|problem| {
        let field = match &problem {
            ExpectedProblem::Entry(at, _) => format!("/http/expectedStatus/{at}"),
            ExpectedProblem::Count(_) => "/http/expectedStatus".to_owned(),
        };
        Problem::invalid(field, problem.to_string())
    })?;
    let url = read_url(&http.url).map_err(|detail| Problem::invalid("/http/url", detail))?;
    let (method, follow) = (http.method.unwrap_or_default(), http.follow_redirects.unwrap_or(false));
    Ok(HttpSettings { url, method, expected, follow })
}

/// Reads a URL that may be probed; else, what is right.
pub fn read_url(text: &str) -> Result<Url, String> {
    if text.len() > MAX_URL || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(format!("write a URL of at most {MAX_URL} bytes without blanks and control characters"));
    }
    let right = "write an absolute URL such as https://shop.example.com/healthz";
    let url = Url::parse(text).map_err(|problem| format!("{problem}: {right}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("the scheme {:?} cannot be probed: write an http or https URL", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a URL with a user name or password would be seen by all who may read it: leave them out".into());
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(right.to_owned());
    }
    if port_of(&url) == 0 {
        return Err("port 0 cannot be connected to: write a port from 1 to 65535".to_owned());
    }
    Ok(url)
}

fn read_tcp(tcp: &Tcp) -> Result<TcpSettings, Problem> {
    if tcp.port == 0 {
        return Err(Problem::invalid("/tcp/port", "0: write a port from 1 to 65535"));
    }
    let wrong = || Problem::invalid("/tcp/host", "write a host name such as db.example.com, or an IP address");
    let host = match tcp.host.parse() {
        Ok(std::net::IpAddr::V4(ip)) => Host::Ipv4(ip),
        Ok(std::net::IpAddr::V6(ip)) => Host::Ipv6(ip),
        Err(_) if tcp.host.len() > MAX_NAME || tcp.host.starts_with('[') => return Err(wrong()),
        Err(_) => Host::parse(&tcp.host).map_err(|_| wrong())?,
    };
    Ok(TcpSettings { host, port: tcp.port })
}

fn read_duration(field: &str, text: Option<&str>, min: Duration, max: Duration) -> Result<Option<Duration>, Problem> {
    let Some(text) = text else { return Ok(None) };
    duration::parse_within(text, min, max).map(Some).map_err(|problem| Problem::invalid(field, problem.to_string()))
}
