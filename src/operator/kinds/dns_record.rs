//! DnsRecord: all values of one type at one name.

use serde::Serialize;

use crate::{
    crd::{DnsRecord, Reason},
    operator::engine::kind::{Desired, Found, Kind, ParentOf, Remark, Report, Seen},
    protocol::dns::{Record, member},
};

/// The kind.
pub struct DnsRecords;

/// The kind's part of the status: the conditions say all.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Status {}

impl Kind for DnsRecords {
    type Resource = DnsRecord;
    type Intent = Record;
    type Status = Status;
    const PARENT: Option<ParentOf> = Some(ParentOf { kind: "ProjectDnsZone", field: "/spec/zoneRef/name" });

    fn desired(resource: &DnsRecord, _: &Found<'_>, _: &Seen<Self>) -> Desired<Record> {
        let spec = &resource.spec;
        let intent = Record {
            name: spec.name.clone(),
            of: spec.of,
            ttl: spec.ttl.as_ref().map(ToString::to_string),
            values: spec.values.clone(),
        };
        Desired::Want { intent, hold: vec![], problems: vec![] }
    }

    fn report(_: &DnsRecord, seen: &Seen<Self>) -> Report<Status> {
        let standing = seen.object.as_ref().map(|object| &object.reality.state.standing);
        let refused = standing.filter(|standing| standing.state == member::NOT_SERVED);
        let unreal =
            refused.map(|standing| Remark::new(Reason::NotServed, format!("Not served: {}", standing.message)));
        Report { status: Status {}, unreal, degraded: None, tell: None }
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

    fn resource(spec: &Value) -> DnsRecord {
        serde_json::from_value(json!({
            "apiVersion": "loopback.cloud/v1alpha1", "kind": "DnsRecord",
            "metadata": {"name": "api", "namespace": "shop"}, "spec": spec,
        }))
        .unwrap()
    }

    #[test]
    fn desired_is_the_spec_and_nothing_added() {
        let (cache, key) = (Cache::default(), Key::new("DnsRecord", "shop", "api"));
        for (spec, right) in [
            (
                json!({"zoneRef": {"name": "z"}, "name": "a.example.dev.", "type": "A", "ttl": "1h", "values": ["192.0.2.1"]}),
                json!({"name": "a.example.dev.", "type": "A", "ttl": "1h", "values": ["192.0.2.1"]}),
            ),
            (
                json!({"zoneRef": {"name": "z"}, "name": "a.example.dev", "type": "TXT", "values": ["plain text"]}),
                json!({"name": "a.example.dev", "type": "TXT", "values": ["plain text"]}),
            ),
        ] {
            let desired = DnsRecords::desired(&resource(&spec), &Found::new(&cache, &key), &Seen::new(None).unwrap());
            let Desired::Want { intent, .. } = desired else { panic!("not wanted") };
            assert_eq!(serde_json::to_value(intent).unwrap(), right);
        }
    }

    #[test]
    fn a_record_that_is_not_served_says_why() {
        let spec = json!({"zoneRef": {"name": "z"}, "name": "a.example.dev", "type": "A", "values": ["192.0.2.1"]});
        for (state, right) in [
            (json!({"state": "Served"}), None),
            (Value::Null, None),
            (
                json!({"state": "NotServed", "reason": "Conflict", "message": "delete one of the two"}),
                Some("Not served: delete one of the two"),
            ),
        ] {
            let raw: RawObject = serde_json::from_value(json!({
                "id": "dr-1", "parent": "dz-1", "etag": "e", "revision": 2, "intentRevision": 1, "phase": "Live",
                "intent": {"name": "a.example.dev", "type": "A", "values": ["192.0.2.1"]},
                "reality": {"of": 1, "state": state},
            }))
            .unwrap();
            let report = DnsRecords::report(&resource(&spec), &Seen::new(Some(&Arc::new(raw))).unwrap());
            assert_eq!(
                report.unreal.as_ref().map(|why| (why.reason, why.message.as_str())),
                right.map(|text| (Reason::NotServed, text))
            );
        }
    }
}
