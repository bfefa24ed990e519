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
            return Report { status: Status::default(), unreal: None, degraded: None };
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
        Report { status, unreal, degraded }
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
