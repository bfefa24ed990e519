//! What a balancer reports. Pure.

use std::{collections::BTreeMap, net::SocketAddr};

use super::{
    config::{Config, TargetKey},
    health::{Failure, Standing},
    listener::BindProblem,
};
use crate::{
    backend::load_balancing::settings::HealthSettings,
    protocol::{
        Member,
        load_balancer::{ServiceState, State, member},
    },
};

/// State and members of a balancer. `failed` are the addresses that cannot be listened on; `health` knows the targets.
pub fn describe(
    config: &Config,
    failed: &BTreeMap<SocketAddr, BindProblem>,
    health: impl Fn(&TargetKey) -> Option<(Standing, Option<Failure>)>,
) -> (State, BTreeMap<String, Member>) {
    let mut state = State { addresses: config.addresses.clone(), services: BTreeMap::new() };
    let mut members = BTreeMap::new();
    for (service, settings) in &config.services {
        members.insert(service.clone(), describe_service(config, service, failed));
        let mut counts = ServiceState::default();
        for (target, at) in &settings.targets {
            let key = (service.clone(), target.clone());
            let described = match (config.refused.get(&key), health(&key)) {
                (Some(refusal), _) => made(member::REFUSED, &refusal.rule.to_string(), refusal.to_string()),
                (None, health) => describe_target(at.address, settings.health.as_ref(), health),
            };
            counts.targets += 1;
            counts.healthy_targets += u32::from(described.state == member::HEALTHY);
            members.insert(format!("{service}/{target}"), described);
        }
        state.services.insert(service.clone(), counts);
    }
    (state, members)
}

fn made(state: &str, reason: &str, message: String) -> Member {
    Member { state: state.to_owned(), reason: reason.to_owned(), message }
}

fn describe_service(config: &Config, service: &str, failed: &BTreeMap<SocketAddr, BindProblem>) -> Member {
    let mine = config.binds.iter().filter(|(_, name)| *name == service).map(|(bind, _)| bind);
    let (lost, served): (Vec<_>, Vec<_>) = mine.partition(|bind| failed.contains_key(bind));
    let problems: Vec<_> = lost.iter().filter_map(|bind| failed.get(bind)).collect();
    let Some(first) = problems.first() else { return made(member::LISTENING, "", String::new()) };
    let mut message: Vec<_> = problems.iter().map(ToString::to_string).collect();
    message.extend(served.iter().map(|bind| format!("{bind} is served")));
    made(member::NOT_LISTENING, first.reason(), message.join("; "))
}

fn describe_target(
    address: SocketAddr,
    settings: Option<&HealthSettings>,
    health: Option<(Standing, Option<Failure>)>,
) -> Member {
    match health {
        None | Some((Standing::Checking, _)) => made(member::CHECKING, "", String::new()),
        Some((Standing::Healthy, _)) => made(member::HEALTHY, "", String::new()),
        Some((Standing::Unhealthy, failure)) => {
            let failure = failure.unwrap_or_else(|| Failure::new("CheckFailed", "the check failed"));
            let needed = settings.map_or(1, |settings| settings.healthy_threshold);
            let checks = if needed == 1 { "one check is".to_owned() } else { format!("{needed} checks in a row are") };
            let message = format!("{address}: {}; it takes new connections again when {checks} good", failure.message);
            made(member::UNHEALTHY, failure.reason, message)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        backend::load_balancing::settings::Settings,
        protocol::load_balancer::{Address, AddressFamily},
        rules::outbound::Outbound,
    };

    fn config() -> Config {
        let intent = json!({
            "name": "x",
            "services": {"api": {"port": 81, "targets": ["a"]}, "web": {"port": 80, "healthCheck": {"healthyThreshold": 1}}},
            "targets": {"a": {"address": "10.0.0.1", "port": 1}, "b": {"address": "127.0.0.1", "port": 1}},
        });
        let settings = Settings::read(&serde_json::from_value(intent).unwrap()).unwrap();
        let address = |family, address: &str| Address { family, address: address.parse().unwrap() };
        let addresses = vec![address(AddressFamily::IPv4, "127.10.0.1"), address(AddressFamily::IPv6, "::1")];
        Config::new(settings, addresses, &Outbound::default())
    }

    #[test]
    fn every_service_and_target_has_its_state() {
        let taken: SocketAddr = "[::1]:80".parse().unwrap();
        let failed = BTreeMap::from([(taken, BindProblem::PortInUse(taken))]);
        let (state, members) = describe(&config(), &failed, |(service, _)| match service.as_str() {
            "web" => Some((Standing::Unhealthy, Some(Failure::timeout()))),
            _ => Some((Standing::Healthy, None)),
        });
        let states: Vec<_> = members.iter().map(|(path, member)| (path.as_str(), member.state.as_str())).collect();
        let right = [
            ("api", "Listening"),
            ("api/a", "Healthy"),
            ("web", "NotListening"),
            ("web/a", "Unhealthy"),
            ("web/b", "Refused"),
        ];
        assert_eq!(states, right);
        assert_eq!(
            members["web"].message,
            "port 80 of ::1 is in use: choose another port, or stop the program or load balancer that uses it; \
             127.10.0.1:80 is served"
        );
        assert_eq!(
            members["web/a"].message,
            "10.0.0.1:1: no answer in time; it takes new connections again when one check is good"
        );
        assert_eq!(members["web/b"].reason, "Loopback");
        assert_eq!(state.services["web"], ServiceState { healthy_targets: 0, targets: 2 });
        assert_eq!(state.services["api"], ServiceState { healthy_targets: 1, targets: 1 });
    }
}
