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
