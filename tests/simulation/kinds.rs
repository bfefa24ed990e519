//! The kinds as users write them, and what the backend must hold for each: written here once more, so that a wrong mapping in
//! the product shows.

use serde_json::{Value, json};

/// Group and version.
pub const GROUP: &str = "loopback.cloud/v1alpha1";

/// One kind.
pub struct Named {
    pub kind: &'static str,
    pub plural: &'static str,
    /// Where its objects are in the backend.
    pub collection: &'static str,
    /// Plural of the parent, and where its name stands.
    pub parent: Option<(&'static str, &'static str)>,
    /// What is written for the n-th variant.
    pub spec: fn(name: &str, variant: u64) -> Value,
}

/// All kinds that live in the backend.
pub const KINDS: &[Named] = &[
    Named {
        kind: "ProjectLoadBalancer",
        plural: "projectloadbalancers",
        collection: "load-balancers",
        parent: None,
        spec: balancer,
    },
    Named {
        kind: "ObjectBucket",
        plural: "objectbuckets",
        collection: "object-stores",
        parent: None,
        spec: |name, _| json!({"bucketName": format!("shop-{name}")}),
    },
    Named {
        kind: "ObjectBucketCredential",
        plural: "objectbucketcredentials",
        collection: "object-stores/credentials",
        parent: Some(("objectbuckets", "/spec/bucketRef/name")),
        spec: |_, variant| json!({"bucketRef": {"name": "a"}, "access": (["ReadOnly", "ReadWrite", "WriteOnly"][variant as usize % 3])}),
    },
    Named {
        kind: "ProjectDnsZone",
        plural: "projectdnszones",
        collection: "dns-zones",
        parent: None,
        spec: |_, variant| json!({"domain": "example.dev", "patterns": ["*.shop.example.dev", format!("v{variant}.example.dev")]}),
    },
    Named {
        kind: "DnsRecord",
        plural: "dnsrecords",
        collection: "dns-zones/records",
        parent: Some(("projectdnszones", "/spec/zoneRef/name")),
        spec: |name, variant| {
            json!({"zoneRef": {"name": "a"}, "name": format!("{name}.shop.example.dev"), "type": "A", "ttl": "60s",
                "values": [format!("192.0.2.{}", variant + 1)]})
        },
    },
    Named {
        kind: "MonitoringObject",
        plural: "monitoringobjects",
        collection: "monitoring/objects",
        parent: None,
        spec: |_, variant| json!({"type": "HTTP", "http": {"url": format!("http://probe.example.com/{variant}")}, "interval": "30s"}),
    },
    Named {
        kind: "MonitoringCondition",
        plural: "monitoringconditions",
        collection: "monitoring/conditions",
        parent: Some(("monitoringobjects", "/spec/objectRef/name")),
        spec: |_, variant| json!({"objectRef": {"name": "a"}, "parameter": "response.up", "operator": "LessThan", "threshold": variant + 1}),
    },
];

fn balancer(_: &str, variant: u64) -> Value {
    let services: Vec<Value> =
        (0..=variant % 2).map(|n| json!({"name": format!("s{n}"), "port": 8000 + variant + n * 100})).collect();
    json!({"services": services, "targets": [{"name": "a", "address": format!("192.0.2.{}", variant + 1), "port": 80}]})
}

/// The services of the backend, each by the first part of its collections' names.
pub const SERVICES: [&str; 4] = ["load-balancers", "object-stores", "dns-zones", "monitoring"];

/// Which service has a collection.
pub fn service(collection: &str) -> &'static str {
    let first = collection.split('/').next();
    SERVICES.into_iter().find(|service| first == Some(service)).expect("a collection of a service")
}

/// The kind of an object.
pub fn of(object: &Value) -> Option<&'static Named> {
    KINDS.iter().find(|kind| object["kind"] == kind.kind)
}

/// What an administrator makes in the backend in the place of a resource.
pub fn intent(kind: &Named, name: &str, variant: u64) -> Value {
    let mut intent = (kind.spec)(name, variant);
    if kind.plural != "objectbuckets" {
        intent["name"] = name.into();
    }
    for list in ["services", "targets"] {
        if let Some(Value::Array(items)) = intent.get_mut(list).map(Value::take) {
            intent[list] = items.into_iter().map(named).collect::<serde_json::Map<_, _>>().into();
        }
    }
    intent
}

fn named(mut item: Value) -> (String, Value) {
    let name = item.as_object_mut().and_then(|fields| fields.remove("name"));
    (name.and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default(), item)
}

/// Whether an object has the name that a resource would give it.
pub fn namesake(kind: &Named, resource: &Value, intent: &Value) -> bool {
    match kind.plural {
        "objectbuckets" => resource["spec"]["bucketName"] == intent["bucketName"],
        "dnsrecords" => resource["spec"]["name"] == intent["name"],
        _ => resource["metadata"]["name"] == intent["name"],
    }
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
    let has = |item: &Value| {
        let found = item["name"].as_str().and_then(|name| map.get(name));
        let fields = item.as_object().into_iter().flatten().filter(|(field, _)| *field != "name");
        found.is_some_and(|found| fields.into_iter().all(|(field, value)| found[field] == *value))
    };
    list.len() == map.len() && list.iter().all(has)
}
