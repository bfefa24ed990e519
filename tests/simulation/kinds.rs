//! The kinds as users write them, and what the backend must hold for each: written here once more, so that a wrong mapping in
//! the product shows.

use serde_json::{Value, json};

/// Group and version.
pub const GROUP: &str = "loopback.cloud/v1alpha1";

/// One kind.
pub struct Named {
    pub kind: &'static str,
    pub plural: &'static str,
    /// Plural of the parent, and where its name stands.
    pub parent: Option<(&'static str, &'static str)>,
    /// What is written for the n-th variant.
    pub spec: fn(name: &str, variant: u64) -> Value,
}

/// All kinds that live in the backend.
pub const KINDS: &[Named] = &[
    Named { kind: "ProjectLoadBalancer", plural: "projectloadbalancers", parent: None, spec: balancer },
    Named {
        kind: "ObjectBucket",
        plural: "objectbuckets",
        parent: None,
        spec: |name, _| json!({"bucketName": format!("shop-{name}")}),
    },
    Named {
        kind: "ObjectBucketCredential",
        plural: "objectbucketcredentials",
        parent: Some(("objectbuckets", "/spec/bucketRef/name")),
        spec: |_, variant| json!({"bucketRef": {"name": "a"}, "access": (["ReadOnly", "ReadWrite", "WriteOnly"][variant as usize % 3])}),
    },
    Named {
        kind: "ProjectDnsZone",
        plural: "projectdnszones",
        parent: None,
        spec: |_, variant| json!({"domain": "example.dev", "patterns": ["*.shop.example.dev", format!("v{variant}.example.dev")]}),
    },
    Named {
        kind: "DnsRecord",
        plural: "dnsrecords",
        parent: Some(("projectdnszones", "/spec/zoneRef/name")),
        spec: |name, variant| {
            json!({"zoneRef": {"name": "a"}, "name": format!("{name}.shop.example.dev"), "type": "A", "ttl": "60s",
                "values": [format!("192.0.2.{}", variant + 1)]})
        },
    },
    Named {
        kind: "MonitoringObject",
        plural: "monitoringobjects",
        parent: None,
        spec: |_, variant| json!({"type": "HTTP", "http": {"url": format!("http://probe.example.com/{variant}")}, "interval": "30s"}),
    },
    Named {
        kind: "MonitoringCondition",
        plural: "monitoringconditions",
        parent: Some(("monitoringobjects", "/spec/objectRef/name")),
        spec: |_, variant| json!({"objectRef": {"name": "a"}, "parameter": "response.up", "operator": "LessThan", "threshold": variant + 1}),
    },
];

fn balancer(_: &str, variant: u64) -> Value {
    let services: Vec<Value> =
        (0..=variant % 2).map(|n| json!({"name": format!("s{n}"), "port": 8000 + variant + n * 100})).collect();
    json!({"services": services, "targets": [{"name": "a", "address": format!("192.0.2.{}", variant + 1), "port": 80}]})
}

/// The kind of an object.
pub fn of(object: &Value) -> Option<&'static Named> {
    KINDS.iter().find(|kind| object["kind"] == kind.kind)
}

/// Whether an intent is what the object's spec says.
pub fn matches(plural: &str, object: &Value, intent: &Value) -> bool {
    let spec = &object["spec"];
    let same = |field: &str| spec[field] == intent[field];
    match plural {
        "projectloadbalancers" => {
            by_name(&spec["services"], &intent["services"]) && by_name(&spec["targets"], &intent["targets"])
        }
        "objectbuckets" => same("bucketName"),
        "objectbucketcredentials" => same("access"),
        "projectdnszones" => same("domain") && same("patterns"),
        "dnsrecords" => same("name") && same("type") && same("values"),
        "monitoringobjects" => same("http") && same("interval"),
        _ => same("parameter") && same("threshold") && same("operator"),
    }
}

fn by_name(list: &Value, map: &Value) -> bool {
    let (list, Some(map)) = (list.as_array().map(Vec::as_slice).unwrap_or_default(), map.as_object()) else {
        return false;
    };
    list.len() == map.len()
        && list.iter().all(|one| {
            let mut one = one.clone();
            let Some(Value::String(name)) = one.as_object_mut().and_then(|fields| fields.remove("name")) else {
                return false;
            };
            map.get(&name)
                .is_some_and(|found| one.as_object().into_iter().flatten().all(|(field, value)| found[field] == *value))
        })
}
