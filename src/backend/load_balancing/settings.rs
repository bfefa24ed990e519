//! What an intent means: every default applied, every text read. The service's checks refuse what cannot be read; planes work
//! on what was read.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use ipnet::IpNet;

use crate::{
    protocol::{
        Problem,
        load_balancer::{AddressFamily, Algorithm, HealthCheck, HealthProtocol, LoadBalancer, Service, Target},
    },
    rules::{
        cidr::{self, Origins},
        duration,
    },
};

const MAX_SERVICES: usize = 64;
const MAX_TARGETS: usize = 1000;
const MAX_ORIGINS: usize = 1000;
const MAX_WEIGHT: u32 = 1000;
const MAX_NAME: usize = 253;
const MAX_PATH: usize = 1024;
const MIN_INTERVAL: Duration = Duration::from_millis(100);
const MAX_INTERVAL: Duration = Duration::from_secs(3600);
const MIN_TIMEOUT: Duration = Duration::from_millis(10);
const MAX_THRESHOLD: u32 = 100;

/// A load balancer with nothing left to interpret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How a target is picked.
    pub algorithm: Algorithm,
    /// Families of the front-end addresses; at least one.
    pub families: BTreeSet<AddressFamily>,
    /// Listeners by name.
    pub services: BTreeMap<String, ServiceSettings>,
}

/// One listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceSettings {
    /// Port to listen on, never 0.
    pub port: u16,
    /// Who may connect.
    pub origins: Arc<Origins>,
    /// How targets are checked; absent: they count as healthy.
    pub health: Option<HealthSettings>,
    /// Where connections go, by name. May be empty: then connections are reset.
    pub targets: BTreeMap<String, TargetSettings>,
}

/// How targets are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthSettings {
    /// Path of the GET; absent: a connection that opens is enough.
    pub path: Option<String>,
    /// From the start of one check to the start of the next.
    pub interval: Duration,
    /// What one check may take; at most the interval.
    pub timeout: Duration,
    /// Good checks in a row that make an unhealthy target healthy.
    pub healthy_threshold: u32,
    /// Bad checks in a row that make a healthy target unhealthy.
    pub unhealthy_threshold: u32,
}

/// Where connections go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetSettings {
    /// What the user named; whether it may be connected to is the outbound filter's business.
    pub address: SocketAddr,
    /// Share of connections; 0: no new ones.
    pub weight: u32,
}

impl Settings {
    /// Reads an intent.
    ///
    /// Addresses of targets are not judged here: a target that must not be connected to is a state of that member, or
    /// whoever may add a target could stop the others.
    ///
    /// # Errors
    /// The first field that is wrong, and what is right.
    pub fn read(intent: &LoadBalancer) -> Result<Self, Problem> {
        check_name(&intent.name)?;
        check_count("/services", intent.services.len(), 1, MAX_SERVICES, "services")?;
        check_count("/targets", intent.targets.len(), 0, MAX_TARGETS, "targets")?;
        let families = read_families(intent.address_families.as_deref())?;
        let mut targets = BTreeMap::new();
        for (name, target) in &intent.targets {
            targets.insert(name.clone(), read_target(name, target)?);
        }
        let mut services = BTreeMap::new();
        for (name, service) in &intent.services {
            services.insert(name.clone(), read_service(name, service, &targets)?);
        }
        check_ports(&services)?;
        Ok(Self { algorithm: intent.algorithm.unwrap_or_default(), families, services })
    }
}

fn check_name(name: &str) -> Result<(), Problem> {
    if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
        let detail = format!("write a name of 1 to {MAX_NAME} bytes without control characters");
        return Err(Problem::invalid("/name", detail));
    }
    Ok(())
}

fn check_count(field: &str, count: usize, min: usize, max: usize, what: &str) -> Result<(), Problem> {
    if (min..=max).contains(&count) {
        return Ok(());
    }
    Err(Problem::invalid(field, format!("{count} {what}: there may be {min} to {max}")))
}

fn read_families(families: Option<&[AddressFamily]>) -> Result<BTreeSet<AddressFamily>, Problem> {
    let given = families.unwrap_or(&[AddressFamily::IPv4]);
    let set: BTreeSet<_> = given.iter().copied().collect();
    if set.is_empty() || set.len() != given.len() {
        let detail = "write IPv4, IPv6 or both, each once; leave the field out for IPv4";
        return Err(Problem::invalid("/addressFamilies", detail));
    }
    Ok(set)
}

fn read_target(name: &str, target: &Target) -> Result<TargetSettings, Problem> {
    let field = pointer(&["targets", name]);
    check_label(&field, name)?;
    check_port(&field, target.port)?;
    let weight = target.weight.unwrap_or(1);
    if weight > MAX_WEIGHT {
        return Err(Problem::invalid(format!("{field}/weight"), format!("{weight}: write 0 to {MAX_WEIGHT}")));
    }
    let address = SocketAddr::new(target.address.to_canonical(), target.port);
    Ok(TargetSettings { address, weight })
}

fn read_service(
    name: &str,
    service: &Service,
    targets: &BTreeMap<String, TargetSettings>,
) -> Result<ServiceSettings, Problem> {
    let field = pointer(&["services", name]);
    check_label(&field, name)?;
    check_port(&field, service.port)?;
    let allowed = match &service.allowed_origins {
        Some(texts) => Some(read_blocks(&format!("{field}/allowedOrigins"), texts)?),
        None => None,
    };
    let blocked = service.blocked_origins.as_deref().unwrap_or_default();
    let blocked = read_blocks(&format!("{field}/blockedOrigins"), blocked)?;
    let health = match &service.health_check {
        Some(check) => Some(read_health(&format!("{field}/healthCheck"), check)?),
        None => None,
    };
    Ok(ServiceSettings {
        port: service.port,
        origins: Arc::new(Origins::new(allowed.as_deref(), &blocked)),
        health,
        targets: select_targets(&field, service.targets.as_deref(), targets)?,
    })
}

fn read_blocks(field: &str, texts: &[String]) -> Result<Vec<IpNet>, Problem> {
    check_count(field, texts.len(), 0, MAX_ORIGINS, "CIDRs")?;
    let read = |(at, text): (usize, &String)| {
        cidr::parse(text).map_err(|problem| Problem::invalid(format!("{field}/{at}"), problem.to_string()))
    };
    texts.iter().enumerate().map(read).collect()
}

/// The targets that a service names; absent: all.
fn select_targets(
    field: &str,
    names: Option<&[String]>,
    targets: &BTreeMap<String, TargetSettings>,
) -> Result<BTreeMap<String, TargetSettings>, Problem> {
    let Some(names) = names else { return Ok(targets.clone()) };
    let mut selected = BTreeMap::new();
    for (at, name) in names.iter().enumerate() {
        let wrong = |detail: String| Problem::invalid(format!("{field}/targets/{at}"), detail);
        let Some(target) = targets.get(name) else {
            return Err(wrong(format!("no target is named {name:?}; name one of /targets, or add it there")));
        };
        if selected.insert(name.clone(), *target).is_some() {
            return Err(wrong(format!("{name:?} is named twice; name it once")));
        }
    }
    Ok(selected)
}

fn read_health(field: &str, check: &HealthCheck) -> Result<HealthSettings, Problem> {
    let interval = read_duration(field, "interval", check.interval.as_deref(), MIN_INTERVAL, MAX_INTERVAL)?
        .unwrap_or(Duration::from_secs(5));
    let timeout = read_duration(field, "timeout", check.timeout.as_deref(), MIN_TIMEOUT, interval)?
        .unwrap_or(interval.min(Duration::from_secs(2)));
    Ok(HealthSettings {
        path: read_path(field, check)?,
        interval,
        timeout,
        healthy_threshold: read_threshold(field, "healthyThreshold", check.healthy_threshold, 2)?,
        unhealthy_threshold: read_threshold(field, "unhealthyThreshold", check.unhealthy_threshold, 3)?,
    })
}

fn read_duration(
    field: &str,
    name: &str,
    text: Option<&str>,
    min: Duration,
    max: Duration,
) -> Result<Option<Duration>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let wrong = |problem: duration::DurationProblem| Problem::invalid(format!("{field}/{name}"), problem.to_string());
    duration::parse_within(text, min, max).map(Some).map_err(wrong)
}

fn read_threshold(field: &str, name: &str, given: Option<u32>, absent: u32) -> Result<u32, Problem> {
    let threshold = given.unwrap_or(absent);
    if !(1..=MAX_THRESHOLD).contains(&threshold) {
        return Err(Problem::invalid(format!("{field}/{name}"), format!("{threshold}: write 1 to {MAX_THRESHOLD}")));
    }
    Ok(threshold)
}

fn read_path(field: &str, check: &HealthCheck) -> Result<Option<String>, Problem> {
    let http = check.protocol.unwrap_or_default() == HealthProtocol::HTTP;
    let path = match &check.path {
        None => return Ok(http.then(|| "/".to_owned())),
        Some(path) if http => path,
        Some(_) => {
            let detail = "a TCP check has no path: set protocol to HTTP, or leave the path out";
            return Err(Problem::invalid(format!("{field}/path"), detail));
        }
    };
    // it goes into a request line (RFC 9112 section 3), so nothing in it may end that line or a word
    let plain = path.bytes().all(|b| b.is_ascii_graphic());
    if !path.starts_with('/') || path.len() > MAX_PATH || !plain || path.contains('#') {
        let detail = format!(
            "write a path that starts with /, of at most {MAX_PATH} visible ASCII characters without #; \
             percent-encode all others"
        );
        return Err(Problem::invalid(format!("{field}/path"), detail));
    }
    Ok(Some(path.clone()))
}

fn check_label(field: &str, name: &str) -> Result<(), Problem> {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let right =
        (1..=63).contains(&name.len()) && name.bytes().all(inner) && !name.starts_with('-') && !name.ends_with('-');
    if right {
        return Ok(());
    }
    let detail =
        "write a name of 1 to 63 lower-case letters, digits and hyphens that starts and ends with a letter or digit";
    Err(Problem::invalid(field, detail))
}

fn check_port(field: &str, port: u16) -> Result<(), Problem> {
    if port == 0 {
        return Err(Problem::invalid(format!("{field}/port"), "0: write a port from 1 to 65535"));
    }
    Ok(())
}

fn check_ports(services: &BTreeMap<String, ServiceSettings>) -> Result<(), Problem> {
    let mut taken: BTreeMap<u16, &str> = BTreeMap::new();
    for (name, service) in services {
        if let Some(other) = taken.insert(service.port, name) {
            let detail = format!("port {} is taken by service {other:?}; choose another port", service.port);
            return Err(Problem::invalid(pointer(&["services", name, "port"]), detail));
        }
    }
    Ok(())
}

/// JSON pointer (RFC 6901).
fn pointer(parts: &[&str]) -> String {
    parts.iter().map(|part| format!("/{}", part.replace('~', "~0").replace('/', "~1"))).collect()
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
