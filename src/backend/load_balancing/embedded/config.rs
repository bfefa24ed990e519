//! What a balancer shall do, and what has to change for it. Pure.

use std::{collections::BTreeMap, net::SocketAddr};

use crate::{
    backend::load_balancing::settings::{HealthSettings, ServiceSettings, Settings},
    protocol::load_balancer::{Address, Algorithm},
    rules::outbound::{Outbound, Profile, Refusal},
};

/// A target of a service: the names of both.
pub type TargetKey = (String, String);

/// What a balancer shall do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// How targets are picked.
    pub algorithm: Algorithm,
    /// Front-end addresses, as the checks chose them.
    pub addresses: Vec<Address>,
    /// Listeners by name.
    pub services: BTreeMap<String, ServiceSettings>,
    /// Service by the address that it listens on.
    pub binds: BTreeMap<SocketAddr, String>,
    /// Targets that the outbound filter refuses. They take no connection and are not checked.
    pub refused: BTreeMap<TargetKey, Refusal>,
}

impl Config {
    /// From settings, the chosen addresses, and the filter that judges the targets. The balancer's own listeners are refused
    /// too: it would connect to itself without end.
    #[must_use]
    pub fn new(settings: Settings, addresses: Vec<Address>, filter: &Outbound) -> Self {
        let mut binds = BTreeMap::new();
        for (name, service) in &settings.services {
            for front in &addresses {
                binds.insert(SocketAddr::new(front.address, service.port), name.clone());
            }
        }
        let mut filter = filter.clone();
        filter.own.extend(binds.keys());
        let mut refused = BTreeMap::new();
        for (service, settings) in &settings.services {
            for (name, target) in &settings.targets {
                if let Err(refusal) = filter.check(Profile::BalancerTarget, target.address) {
                    refused.insert((service.clone(), name.clone()), refusal);
                }
            }
        }
        Self { algorithm: settings.algorithm, addresses, services: settings.services, binds, refused }
    }

    /// Targets that may take connections, with their address and how they are checked.
    #[must_use]
    pub fn targets(&self) -> BTreeMap<TargetKey, (SocketAddr, Option<&HealthSettings>)> {
        let mut all = BTreeMap::new();
        for (service, settings) in &self.services {
            for (name, target) in &settings.targets {
                let key = (service.clone(), name.clone());
                if !self.refused.contains_key(&key) {
                    all.insert(key, (target.address, settings.health.as_ref()));
                }
            }
        }
        all
    }
}

/// What has to change for a new config. All that is not named stays as it is: listeners that are in both only get a new
/// pool, whatever service they belong to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Addresses that nobody listens on any more.
    pub close: Vec<SocketAddr>,
    /// Addresses to listen on.
    pub open: Vec<SocketAddr>,
    /// Targets that are gone, or are at another address now.
    pub retire: Vec<TargetKey>,
    /// Targets that are new, or are at another address now.
    pub start: Vec<TargetKey>,
    /// Targets that stay but are checked in another way.
    pub recheck: Vec<TargetKey>,
}

impl Changes {
    /// From one config to the next.
    #[must_use]
    pub fn between(before: &Config, after: &Config) -> Self {
        let mut changes = Self {
            close: before.binds.keys().filter(|bind| !after.binds.contains_key(bind)).copied().collect(),
            open: after.binds.keys().filter(|bind| !before.binds.contains_key(bind)).copied().collect(),
            ..Self::default()
        };
        let (old, new) = (before.targets(), after.targets());
        for (key, (address, _)) in &old {
            if new.get(key).is_none_or(|(now, _)| now != address) {
                changes.retire.push(key.clone());
            }
        }
        for (key, (address, health)) in new {
            match old.get(&key) {
                Some((was, _)) if *was != address => changes.start.push(key),
                Some((_, was)) if *was != health => changes.recheck.push(key),
                Some(_) => {}
                None => changes.start.push(key),
            }
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{protocol::load_balancer::AddressFamily, rules::outbound::Rule};

    fn config(services: Value, targets: Value) -> Config {
        let intent = json!({"name": "x", "services": services, "targets": targets});
        let settings = Settings::read(&serde_json::from_value(intent).unwrap()).unwrap();
        let address = Address { family: AddressFamily::IPv4, address: "127.10.0.1".parse().unwrap() };
        Config::new(settings, vec![address], &Outbound::default())
    }

    fn key(service: &str, target: &str) -> TargetKey {
        (service.into(), target.into())
    }

    #[test]
    fn refused_targets_are_kept_apart_and_stop_nobody() {
        let targets = json!({"a": {"address": "10.0.0.1", "port": 1}, "b": {"address": "127.0.0.1", "port": 1},
            "c": {"address": "127.10.0.1", "port": 80}});
        let config = config(json!({"web": {"port": 80}}), targets);
        assert_eq!(config.targets().into_keys().collect::<Vec<_>>(), [key("web", "a")]);
        assert_eq!(config.refused[&key("web", "b")].rule, Rule::Loopback);
        assert_eq!(config.refused[&key("web", "c")].rule, Rule::OwnListener);
    }

    #[test]
    fn only_what_differs_changes() {
        let a = json!({"address": "10.0.0.1", "port": 1});
        let moved = json!({"address": "10.0.0.2", "port": 1});
        let heavy = json!({"address": "10.0.0.1", "port": 1, "weight": 9});
        let before = config(json!({"web": {"port": 80}, "api": {"port": 81}}), json!({"a": a, "b": a, "c": a}));
        assert_eq!(Changes::between(&before, &before), Changes::default());

        let services = json!({"web": {"port": 80, "healthCheck": {}}, "api": {"port": 82}});
        let after = config(services, json!({"a": heavy, "b": moved, "d": a}));
        let changes = Changes::between(&before, &after);
        let all = |names: &[&str]| {
            let of = |service: &'static str| names.iter().map(move |name| key(service, name));
            of("api").chain(of("web")).collect::<Vec<_>>()
        };
        assert_eq!(changes.close, ["127.10.0.1:81".parse().unwrap()]);
        assert_eq!(changes.open, ["127.10.0.1:82".parse().unwrap()]);
        assert_eq!(changes.retire, all(&["b", "c"]));
        assert_eq!(changes.start, all(&["b", "d"]));
        assert_eq!(changes.recheck, [key("web", "a")]);
    }

    #[test]
    fn services_that_swap_ports_keep_their_sockets() {
        let before = config(json!({"web": {"port": 80}, "api": {"port": 81}}), json!({}));
        let after = config(json!({"web": {"port": 81}, "api": {"port": 80}}), json!({}));
        assert_eq!(Changes::between(&before, &after), Changes::default());
        assert_ne!(before.binds, after.binds);
    }
}
