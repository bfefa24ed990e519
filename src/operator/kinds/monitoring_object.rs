//! MonitoringObject: what is probed.

use serde::Serialize;

use crate::{
    crd::{MonitoringObject as Resource, Reason, monitoring_object::HttpProbe},
    operator::engine::kind::{Desired, Found, Kind, Remark, Report, Seen},
    protocol::monitoring::{Http, MonitoringObject, Tcp},
};

/// The kind.
pub struct MonitoringObjects;

/// The kind's part of the status.
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    #[serde(skip_serializing_if = "Option::is_none")]
    up: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_status: Option<u16>,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
}

impl Kind for MonitoringObjects {
    type Resource = Resource;
    type Intent = MonitoringObject;
    type Status = Status;

    fn desired(resource: &Resource, _: &Found<'_>, _: &Seen<Self>) -> Desired<MonitoringObject> {
        let spec = &resource.spec;
        let intent = MonitoringObject {
            name: resource.metadata.name.clone().unwrap_or_default(),
            probe: spec.type_,
            http: spec.http.as_ref().map(http),
            tcp: spec.tcp.as_ref().map(|tcp| Tcp { host: tcp.host.clone(), port: tcp.port }),
            interval: spec.interval.as_ref().map(ToString::to_string),
            timeout: spec.timeout.as_ref().map(ToString::to_string),
        };
        Desired::Want { intent, hold: vec![], problems: vec![] }
    }

    fn report(_: &Resource, seen: &Seen<Self>) -> Report<Status> {
        let state = seen.object.as_ref().map(|object| object.reality.state.clone()).unwrap_or_default();
        let status = Status {
            up: state.up,
            since: state.since,
            http_status: state.status,
            reason: state.reason,
            message: state.message,
        };
        // a target that is down is what monitoring is for, neither unready nor degraded; one that cannot be asked is degraded
        let unasked = status.up.is_none() && !status.reason.is_empty();
        let degraded = unasked.then(|| Remark::new(Reason::NotMeasured, format!("Not measured: {}", status.message)));
        Report { status, unreal: None, degraded, tell: None }
    }
}

fn http(probe: &HttpProbe) -> Http {
    Http {
        url: probe.url.clone(),
        method: probe.method,
        expected_status: probe.expected_status.clone(),
        follow_redirects: probe.follow_redirects,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::{
        operator::engine::{cache::Cache, key::Key},
        protocol::{Phase, RawObject, Reality},
    };

    fn resource(spec: Value) -> Resource {
        serde_json::from_value(json!({
            "apiVersion": "loopback.cloud/v1alpha1", "kind": "MonitoringObject",
            "metadata": {"name": "checkout", "namespace": "shop"}, "spec": spec
        }))
        .unwrap()
    }

    #[test]
    fn desired_is_the_spec_and_nothing_added() {
        for (spec, intent) in [
            (
                json!({"type": "HTTP", "http": {"url": "http://x/"}}),
                json!({"name": "checkout", "type": "HTTP", "http": {"url": "http://x/"}}),
            ),
            (
                json!({"projectRef": {"name": "p"}, "type": "HTTP", "interval": "30s", "timeout": "5s",
                    "http": {"url": "http://x/", "method": "HEAD", "expectedStatus": ["2xx"], "followRedirects": false}}),
                json!({"name": "checkout", "type": "HTTP", "interval": "30s", "timeout": "5s",
                    "http": {"url": "http://x/", "method": "HEAD", "expectedStatus": ["2xx"], "followRedirects": false}}),
            ),
            (
                json!({"type": "TCP", "tcp": {"host": "db", "port": 5432}}),
                json!({"name": "checkout", "type": "TCP", "tcp": {"host": "db", "port": 5432}}),
            ),
        ] {
            let (cache, key) = (Cache::default(), Key::new("MonitoringObject", "shop", "checkout"));
            let desired =
                MonitoringObjects::desired(&resource(spec), &Found::new(&cache, &key), &Seen::new(None).unwrap());
            let Desired::Want { intent: found, .. } = desired else { panic!("not wanted") };
            assert_eq!(serde_json::to_value(found).unwrap(), intent);
        }
    }

    fn reported(state: Value) -> Report<Status> {
        let raw = RawObject {
            parent: None,
            deliveries: vec![],
            id: "mo-1".into(),
            owner: None,
            etag: "e".into(),
            revision: 2,
            intent_revision: 1,
            phase: Phase::Live,
            intent: json!({"name": "checkout", "type": "HTTP", "http": {"url": "http://x/"}}),
            reality: Reality { of: 1, state, ..Reality::default() },
        };
        let seen = Seen::new(Some(&Arc::new(raw))).unwrap();
        MonitoringObjects::report(&resource(json!({"type": "HTTP", "http": {"url": "http://x/"}})), &seen)
    }

    #[test]
    fn a_target_that_is_down_is_shown_and_does_not_matter() {
        let state = json!({"up": false, "since": "2026-01-01T00:00:00Z", "status": 503, "reason": "BadStatus", "message": "no"});
        let report = reported(state);
        assert_eq!((report.unreal, report.degraded), (None, None));
        assert_eq!(
            serde_json::to_value(report.status).unwrap(),
            json!({"up": false, "since": "2026-01-01T00:00:00Z", "httpStatus": 503, "reason": "BadStatus", "message": "no"})
        );
    }

    #[test]
    fn one_that_cannot_be_asked_is_degraded_and_not_down() {
        let report = reported(json!({"since": "2026-01-01T00:00:00Z", "reason": "Refused", "message": "use --flag"}));
        assert_eq!((report.status.up, report.unreal), (None, None));
        assert_eq!(report.degraded, Some(Remark::new(Reason::NotMeasured, "Not measured: use --flag")));
        assert_eq!(reported(Value::Null).degraded, None, "nobody has asked yet");
    }
}
