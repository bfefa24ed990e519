//! A good spec of each kind, what the backend must hold for one, and items for long lists.

use serde_json::{Value, json};

/// A kind and a good spec of it. In the texts `{scene}` is the namespace's name, `{name}` the object's.
pub struct Base {
    /// Name of the base, unique: the kind, and what is special.
    pub name: &'static str,
    /// The kind.
    pub kind: &'static str,
    /// Its resource in the API.
    pub plural: &'static str,
    /// Its collection in the backend; empty: it has none.
    pub collection: &'static str,
    /// A spec that becomes Ready.
    pub spec: Value,
}

/// All of them. Each but the backend lives in a namespace with an object named `beside` of each kind.
pub fn bases() -> Vec<Base> {
    let base = |name, kind, plural, collection, spec| Base { name, kind, plural, collection, spec };
    vec![
        base("balancer", "ProjectLoadBalancer", "projectloadbalancers", "load-balancers", balancer()),
        base("zone", "ProjectDnsZone", "projectdnszones", "dns-zones", zone()),
        base("record", "DnsRecord", "dnsrecords", "dns-zones/{zone}/records", record()),
        base("bucket", "ObjectBucket", "objectbuckets", "object-stores", bucket()),
        base(
            "credential",
            "ObjectBucketCredential",
            "objectbucketcredentials",
            "object-stores/{bucket}/credentials",
            json!({"bucketRef": {"name": "beside"}, "access": "ReadWrite", "secretName": "{name}-keys"}),
        ),
        base(
            "probe-http",
            "MonitoringObject",
            "monitoringobjects",
            "monitoring/objects",
            json!({"type": "HTTP", "interval": "50m", "timeout": "5s", "http": {"url": "http://127.0.0.1:9/",
                "method": "GET", "expectedStatus": ["2xx"], "followRedirects": false}}),
        ),
        base(
            "probe-tcp",
            "MonitoringObject",
            "monitoringobjects",
            "monitoring/objects",
            json!({"type": "TCP", "interval": "50m", "timeout": "5s", "tcp": {"host": "127.0.0.1", "port": 9}}),
        ),
        base("condition", "MonitoringCondition", "monitoringconditions", "monitoring/conditions", condition()),
        base(
            "binding",
            "ProjectBinding",
            "projectbindings",
            "",
            json!({"organization": "acme", "project": "{scene}", "backendRef": {"name": "{scene}"}}),
        ),
        base(
            "binding-own",
            "ProjectBinding",
            "projectbindings",
            "",
            json!({"organization": "acme", "project": "{scene}", "tokenSecretRef": {"name": "own", "key": "token"}}),
        ),
        base("backend", "LoopbackBackend", "loopbackbackends", "", backend()),
    ]
}

/// A port for this run: others on this machine may use the same addresses.
fn port() -> u32 {
    21_000 + std::process::id() % 20_000
}

fn balancer() -> Value {
    json!({"algorithm": "RoundRobin",
        "services": [{"name": "web", "port": port(), "protocol": "TCP", "allowedOrigins": ["127.0.0.0/8"],
            "blockedOrigins": ["10.6.6.0/24"], "targets": [{"name": "a"}],
            "healthCheck": {"protocol": "HTTP", "path": "/healthz", "interval": "30s", "timeout": "2s",
                "healthyThreshold": 2, "unhealthyThreshold": 3}}],
        "targets": [{"name": "a", "address": "127.0.0.1", "port": 9, "weight": 2}]})
}

fn zone() -> Value {
    json!({"domain": "example.test", "deletionPolicy": "Delete",
        "patterns": ["{name}.{scene}.example.test", "*.{name}.{scene}.example.test"]})
}

fn record() -> Value {
    json!({"zoneRef": {"name": "beside"}, "name": "{name}.beside.{scene}.example.test", "type": "A", "ttl": "60s",
        "values": ["192.0.2.1"]})
}

fn bucket() -> Value {
    json!({"bucketName": "{scene}-{name}", "provider": "embedded", "region": "local-1", "deletionPolicy": "Delete"})
}

fn condition() -> Value {
    json!({"objectRef": {"name": "beside"}, "parameter": "timing.total", "operator": "GreaterThan",
        "threshold": "500ms", "window": {"duration": "1m", "function": "Avg"}, "for": "30s",
        "recovery": {"threshold": "400ms", "for": "1m"}, "noData": "Ignore", "severity": "Critical"})
}

fn backend() -> Value {
    json!({"tokenSecretRef": {"namespace": "loopback-system", "name": "{scene}", "key": "token"},
        "grants": [{"name": "nobody", "organization": "acme", "projects": ["{scene}"],
            "namespaces": {"from": "Selector", "selector": {"matchLabels": {"hostile": "nobody"}}}}]})
}

/// The item at `index` of a list; the first is the one of the good spec where another rule asks for it.
pub fn item(pointer: &str, index: u64) -> Value {
    let name = |letter: &str| if index == 0 { "a".to_owned() } else { format!("{letter}{index}") };
    let (high, low) = (index / 250, index % 250);
    match pointer.rsplit('/').find(|part| *part != "0").unwrap_or_default() {
        "services" => json!({"name": name("s"), "port": 20_000 + index}),
        "targets" if pointer.starts_with("/services") => json!({"name": name("t")}),
        "targets" => json!({"name": name("t"), "address": format!("127.0.{high}.{}", low + 1), "port": 9}),
        "allowedOrigins" | "blockedOrigins" => json!(format!("10.{high}.{low}.0/24")),
        "values" => json!(format!("10.{high}.{low}.1")),
        "patterns" => json!(format!("n{index}.{{name}}.{{scene}}.example.test")),
        "expectedStatus" => json!(format!("{}", 200 + index)),
        "grants" => json!({"name": name("g"), "organization": "acme", "namespaces": {"from": "All"}}),
        "matchExpressions" => json!({"key": name("k"), "operator": "Exists"}),
        _ => json!(name("p")),
    }
}

/// The intent that the backend must hold for a spec. Null counts as absent on both sides.
pub fn intent(kind: &str, name: &str, spec: &Value) -> Value {
    let mut intent = spec.clone();
    let fields = intent.as_object_mut().expect("a spec is an object");
    for ours in ["projectRef", "managementPolicy", "deletionPolicy", "import", "zoneRef", "bucketRef", "objectRef"] {
        fields.remove(ours);
    }
    // what is about the Secret stays with the operator
    fields.remove("secretName");
    fields.remove("secretTemplate");
    match kind {
        "DnsRecord" => {}
        "ObjectBucket" => drop(fields.entry("bucketName").or_insert(json!(name))),
        _ => drop(fields.insert("name".into(), json!(name))),
    }
    if kind == "ProjectLoadBalancer" {
        for service in intent["services"].as_array_mut().into_iter().flatten() {
            if let Some(targets) = service.get_mut("targets").and_then(Value::as_array_mut) {
                *targets = targets.iter().map(|target| target["name"].clone()).collect();
            }
        }
        intent["services"] = by_name(&intent["services"]);
        intent["targets"] = by_name(&intent["targets"]);
    }
    plain(&intent)
}

fn by_name(list: &Value) -> Value {
    let named = list.as_array().into_iter().flatten().map(|item| {
        let mut item = item.clone();
        let name = item.as_object_mut().and_then(|item| item.remove("name")).unwrap_or_default();
        (name.as_str().unwrap_or_default().to_owned(), item)
    });
    Value::Object(named.collect())
}

/// Without what says nothing; addresses in one way of writing.
pub fn plain(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let kept =
                object.iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| (key.clone(), plain(value)));
            Value::Object(kept.filter(|(key, value)| key != "targets" || *value != json!({})).collect())
        }
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::String(text) => match text.parse::<std::net::IpAddr>() {
            Ok(address) => json!(address.to_string()),
            Err(_) => value.clone(),
        },
        _ => value.clone(),
    }
}
