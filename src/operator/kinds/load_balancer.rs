//! ProjectLoadBalancer: listeners with stable addresses in front of targets.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    crd::{
        Member, ProjectLoadBalancer, Reason,
        project_load_balancer::{self as written, Address, ServiceStatus},
    },
    operator::engine::kind::{Desired, FieldProblem, Found, Kind, Remark, Report, Seen},
    protocol::{
        Object,
        load_balancer::{self as wire, LoadBalancer, State, member},
    },
};

/// Members that a status lists at most.
const LISTED: usize = 50;

/// The kind.
pub struct LoadBalancers;

/// The kind's part of the status.
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    addresses: Vec<Address>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    services: Vec<ServiceStatus>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unhealthy_targets: Vec<Member>,
}

impl Kind for LoadBalancers {
    type Resource = ProjectLoadBalancer;
    type Intent = LoadBalancer;
    type Status = Status;

    fn desired(resource: &ProjectLoadBalancer, _: &Found<'_>, _: &Seen<Self>) -> Desired<LoadBalancer> {
        let spec = &resource.spec;
        let mut problems = Vec::new();
        let mut targets = BTreeMap::new();
        for target in &spec.targets {
            match target.address.parse() {
                Ok(address) => {
                    let (port, weight) = (target.port, target.weight);
                    targets.insert(target.name.clone(), wire::Target { address, port, weight });
                }
                Err(_) => problems.push(FieldProblem {
                    field: format!("spec.targets[{}].address", target.name),
                    message: format!("{:?} is no IP address", target.address),
                }),
            }
        }
        if !problems.is_empty() {
            return Desired::Invalid(problems);
        }
        let intent = LoadBalancer {
            name: resource.metadata.name.clone().unwrap_or_default(),
            algorithm: spec.algorithm,
            address_families: spec.address_families.clone(),
            services: spec.services.iter().map(|service| (service.name.clone(), listener(service))).collect(),
            targets,
        };
        Desired::Want { intent, hold: vec![], problems: vec![] }
    }

    fn report(_: &ProjectLoadBalancer, seen: &Seen<Self>) -> Report<Status> {
        let Some(object) = &seen.object else {
            return Report { status: Status::default(), unreal: None, degraded: None, tell: None };
        };
        let services: Vec<ServiceStatus> =
            object.reality.state.services.iter().map(|(name, state)| service(object, name, state)).collect();
        let unhealthy = unhealthy(object);
        let (unreal, degraded) = (silent(&services), sick(&services, &unhealthy));
        let addresses = object
            .reality
            .state
            .addresses
            .iter()
            .map(|address| Address { family: address.family, address: address.address.to_string() });
        let status = Status { addresses: addresses.collect(), services, unhealthy_targets: unhealthy };
        Report { status, unreal, degraded, tell: None }
    }
}

fn listener(service: &written::Service) -> wire::Service {
    wire::Service {
        port: service.port,
        protocol: service.protocol,
        allowed_origins: service.allowed_origins.clone(),
        blocked_origins: service.blocked_origins.clone(),
        health_check: service.health_check.as_ref().map(check),
        targets: service.targets.as_ref().map(|targets| targets.iter().map(|target| target.name.clone()).collect()),
    }
}

fn check(check: &written::HealthCheck) -> wire::HealthCheck {
    wire::HealthCheck {
        protocol: check.protocol,
        path: check.path.clone(),
        interval: check.interval.as_ref().map(ToString::to_string),
        timeout: check.timeout.as_ref().map(ToString::to_string),
        healthy_threshold: check.healthy_threshold,
        unhealthy_threshold: check.unhealthy_threshold,
    }
}

fn service(object: &Object<LoadBalancer, State>, name: &str, state: &wire::ServiceState) -> ServiceStatus {
    // A service that listens has nothing more to say.
    let wrong = object.reality.members.get(name).filter(|member| member.state != member::LISTENING);
    let wrong = wrong.cloned().unwrap_or_default();
    ServiceStatus {
        name: name.to_owned(),
        healthy_targets: state.healthy_targets,
        targets: state.targets,
        state: wrong.state,
        reason: wrong.reason,
        message: wrong.message,
    }
}

/// Targets that take no connections, by `service/target`, as many as a status lists.
fn unhealthy(object: &Object<LoadBalancer, State>) -> Vec<Member> {
    let targets = object.reality.members.iter().filter(|(path, _)| path.contains('/'));
    let unwell = targets.filter(|(_, member)| matches!(&*member.state, member::UNHEALTHY | member::REFUSED));
    unwell
        .take(LISTED)
        .map(|(path, found)| Member {
            name: path.clone(),
            state: found.state.clone(),
            reason: found.reason.clone(),
            message: found.message.clone(),
        })
        .collect()
}

fn silent(services: &[ServiceStatus]) -> Option<Remark> {
    let silent: Vec<String> = services
        .iter()
        .filter(|service| !service.state.is_empty())
        .map(|service| format!("service {}: {}", service.name, service.message))
        .collect();
    (!silent.is_empty()).then(|| Remark::new(Reason::NotListening, silent.join("; ")))
}

fn sick(services: &[ServiceStatus], unhealthy: &[Member]) -> Option<Remark> {
    let first = unhealthy.first()?;
    let counts: Vec<String> = services
        .iter()
        .filter(|service| service.healthy_targets < service.targets)
        .map(|service| {
            format!("{} of {} in service {}", service.targets - service.healthy_targets, service.targets, service.name)
        })
        .collect();
    let message = format!("Unhealthy targets: {}; {}: {}", counts.join(", "), first.name, first.message);
    Some(Remark::new(Reason::MembersUnhealthy, message))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        operator::engine::{cache::Cache, key::Key},
        protocol::{Phase, RawObject, Reality},
    };

    fn resource(spec: Value) -> ProjectLoadBalancer {
        serde_json::from_value(json!({
            "apiVersion": "loopback.cloud/v1alpha1", "kind": "ProjectLoadBalancer",
            "metadata": {"name": "web", "namespace": "shop"}, "spec": spec
        }))
        .unwrap()
    }

    fn desired(spec: Value) -> Desired<LoadBalancer> {
        let (cache, key) = (Cache::default(), Key::new("ProjectLoadBalancer", "shop", "web"));
        LoadBalancers::desired(&resource(spec), &Found::new(&cache, &key), &Seen::new(None).unwrap())
    }

    fn reported(services: Value, members: Value) -> Report<Status> {
        let raw = RawObject {
            parent: None,
            deliveries: vec![],
            id: "lb-1".into(),
            owner: None,
            etag: "e".into(),
            revision: 2,
            intent_revision: 1,
            phase: Phase::Live,
            intent: json!({"name": "web"}),
            reality: Reality {
                of: 1,
                state: json!({"addresses": [{"family": "IPv4", "address": "127.10.0.1"}], "services": services}),
                members: serde_json::from_value(members).unwrap(),
            },
        };
        let seen = Seen::new(Some(&std::sync::Arc::new(raw))).unwrap();
        LoadBalancers::report(&resource(json!({"services": []})), &seen)
    }

    #[test]
    fn desired_is_the_spec_with_lists_by_name_and_nothing_added() {
        for (spec, intent) in [
            (json!({"services": []}), json!({"name": "web", "services": {}, "targets": {}})),
            (
                json!({"algorithm": "LeastConnections", "addressFamilies": ["IPv6"],
                    "services": [{"name": "http", "port": 80, "protocol": "TCP", "allowedOrigins": ["10.0.0.0/8"],
                        "blockedOrigins": ["10.6.6.0/24"], "targets": [{"name": "a"}],
                        "healthCheck": {"protocol": "HTTP", "path": "/ok", "interval": "1m30s", "timeout": "500ms",
                            "healthyThreshold": 1, "unhealthyThreshold": 9}}],
                    "targets": [{"name": "a", "address": "2001:db8::1", "port": 81, "weight": 0}]}),
                json!({"name": "web", "algorithm": "LeastConnections", "addressFamilies": ["IPv6"],
                    "services": {"http": {"port": 80, "protocol": "TCP", "allowedOrigins": ["10.0.0.0/8"],
                        "blockedOrigins": ["10.6.6.0/24"], "targets": ["a"],
                        "healthCheck": {"protocol": "HTTP", "path": "/ok", "interval": "1m30s", "timeout": "500ms",
                            "healthyThreshold": 1, "unhealthyThreshold": 9}}},
                    "targets": {"a": {"address": "2001:db8::1", "port": 81, "weight": 0}}}),
            ),
        ] {
            let Desired::Want { intent: found, hold, problems } = desired(spec) else { panic!("not wanted") };
            assert_eq!(serde_json::to_value(found).unwrap(), intent);
            assert!(hold.is_empty() && problems.is_empty());
        }
    }

    #[test]
    fn an_address_that_is_none_names_its_field() {
        let spec = json!({"services": [], "targets": [{"name": "a", "address": "example.com", "port": 81}]});
        let Desired::Invalid(problems) = desired(spec) else { panic!("taken") };
        assert_eq!(problems[0].field, "spec.targets[a].address");
    }

    #[test]
    fn report_tells_what_listens_and_who_is_unwell() {
        let services = json!({"web": {"healthyTargets": 1, "targets": 2}});
        let sick = json!({"web": {"state": "Listening"}, "web/a": {"state": "Healthy"},
            "web/b": {"state": "Unhealthy", "reason": "ConnectFailed", "message": "connection refused"}});
        let silent = json!({"web": {"state": "NotListening", "reason": "PortInUse", "message": "port 80 is taken"}});
        let well = json!({"web": {"state": "Listening"}, "web/a": {"state": "Checking"}});
        for (members, unreal, degraded) in [
            (&sick, None, Some("Unhealthy targets: 1 of 2 in service web; web/b: connection refused")),
            (&silent, Some("service web: port 80 is taken"), None),
            (&well, None, None),
        ] {
            let report = reported(services.clone(), members.clone());
            assert_eq!(report.unreal.as_ref().map(|remark| remark.message.as_str()), unreal);
            assert_eq!(report.degraded.as_ref().map(|remark| remark.message.as_str()), degraded);
            assert_eq!(report.status.addresses[0].address, "127.10.0.1");
        }
        let status = serde_json::to_value(reported(services, sick).status).unwrap();
        assert_eq!(status["unhealthyTargets"][0]["name"], "web/b");
        assert_eq!(status["services"], json!([{"name": "web", "healthyTargets": 1, "targets": 2}]));
    }

    #[test]
    fn a_status_lists_fifty_targets_at_most() {
        let members: BTreeMap<String, Value> =
            (0..60).map(|n| (format!("web/t{n}"), json!({"state": "Unhealthy", "message": "no"}))).collect();
        let report = reported(json!({"web": {"healthyTargets": 0, "targets": 60}}), json!(members));
        assert_eq!(report.status.unhealthy_targets.len(), LISTED);
        assert!(report.degraded.is_some_and(|remark| remark.message.contains("60 of 60")));
    }
}
