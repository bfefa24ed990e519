//! ProjectDnsZone: authority to write names in part of a domain.

use serde::Serialize;

use crate::{
    crd::{Member, ProjectDnsZone, Reason, member::LISTED, project_dns_zone::Overlap},
    operator::engine::kind::{Desired, Found, Kind, Remark, Report, Seen},
    protocol::dns::{Zone, member},
};

/// The kind.
pub struct DnsZones;

/// The kind's part of the status. The serial number is not in it: it moves with every record.
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    name_servers: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    records: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    overlaps: Vec<Overlap>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unserved_records: Vec<Member>,
}

impl Kind for DnsZones {
    type Resource = ProjectDnsZone;
    type Intent = Zone;
    type Status = Status;

    fn desired(resource: &ProjectDnsZone, _: &Found<'_>, _: &Seen<Self>) -> Desired<Zone> {
        let spec = &resource.spec;
        let intent = Zone {
            name: resource.metadata.name.clone().unwrap_or_default(),
            domain: spec.domain.clone(),
            patterns: spec.patterns.clone(),
        };
        Desired::Want { intent, hold: vec![], problems: vec![] }
    }

    fn report(_: &ProjectDnsZone, seen: &Seen<Self>) -> Report<Status> {
        let Some(object) = &seen.object else {
            return Report { status: Status::default(), unreal: None, degraded: None, tell: None };
        };
        let reality = &object.reality;
        let unserved = reality.members.iter().filter(|(_, found)| found.state == member::NOT_SERVED);
        let unserved: Vec<Member> = unserved
            .take(LISTED)
            .map(|(path, found)| Member {
                name: path.clone(),
                state: found.state.clone(),
                reason: found.reason.clone(),
                message: found.message.clone(),
            })
            .collect();
        let overlaps = reality.state.overlaps.iter().take(LISTED).map(|overlap| Overlap {
            id: overlap.id.clone(),
            name: overlap.name.clone(),
            patterns: overlap.patterns.clone(),
        });
        let degraded = unserved.first().map(|first| {
            let count = match reality.members.len() {
                1 => "1 record is".to_owned(),
                many => format!("{many} records are"),
            };
            let message = format!("{count} not served; {}: {}", first.name, first.message);
            Remark::new(Reason::RecordsNotServed, message)
        });
        let status = Status {
            name_servers: reality.state.name_servers.clone(),
            records: object.realised().then_some(reality.state.records),
            overlaps: overlaps.collect(),
            unserved_records: unserved,
        };
        Report { status, unreal: None, degraded, tell: None }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::{
        operator::engine::{cache::Cache, key::Key},
        protocol::RawObject,
    };

    fn resource() -> ProjectDnsZone {
        serde_json::from_value(json!({
            "apiVersion": "loopback.cloud/v1alpha1", "kind": "ProjectDnsZone",
            "metadata": {"name": "shop-zone", "namespace": "shop"},
            "spec": {"domain": "example.dev", "patterns": ["*.shop.example.dev"], "deletionPolicy": "Retain"},
        }))
        .unwrap()
    }

    fn reported(state: &Value, members: &Value) -> Report<Status> {
        let intent = json!({"name": "shop-zone", "domain": "example.dev", "patterns": ["*.shop.example.dev"]});
        let raw: RawObject = serde_json::from_value(json!({
            "id": "dz-1", "etag": "e", "revision": 2, "intentRevision": 1, "phase": "Live", "intent": intent,
            "reality": {"of": 1, "state": state, "members": members},
        }))
        .unwrap();
        DnsZones::report(&resource(), &Seen::new(Some(&Arc::new(raw))).unwrap())
    }

    #[test]
    fn desired_is_the_spec_and_nothing_added() {
        let (cache, key) = (Cache::default(), Key::new("ProjectDnsZone", "shop", "shop-zone"));
        let desired = DnsZones::desired(&resource(), &Found::new(&cache, &key), &Seen::new(None).unwrap());
        let Desired::Want { intent, .. } = desired else { panic!("not wanted") };
        let right = json!({"name": "shop-zone", "domain": "example.dev", "patterns": ["*.shop.example.dev"]});
        assert_eq!(serde_json::to_value(intent).unwrap(), right);
    }

    #[test]
    fn the_status_tells_what_is_served_and_what_is_not() {
        let state = json!({"nameServers": ["ns.localhost"], "records": 2, "serial": 7,
            "overlaps": [{"id": "dz-2", "name": "other", "patterns": ["*.shop.example.dev"]}]});
        let report = reported(
            &state,
            &json!({"a.example.dev/A": {
            "state": "NotServed", "reason": "OutsidePatterns", "message": "add a pattern"}}),
        );
        assert!(report.unreal.is_none());
        let degraded = report.degraded.unwrap();
        assert_eq!(degraded.message, "1 record is not served; a.example.dev/A: add a pattern");
        let right = json!({"nameServers": ["ns.localhost"], "records": 2,
            "overlaps": [{"id": "dz-2", "name": "other", "patterns": ["*.shop.example.dev"]}],
            "unservedRecords": [{"name": "a.example.dev/A", "state": "NotServed", "reason": "OutsidePatterns",
                "message": "add a pattern"}]});
        assert_eq!(serde_json::to_value(report.status).unwrap(), right);
        assert_eq!(reported(&state, &json!({})).degraded, None);
    }
}
