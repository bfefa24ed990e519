//! Wrong ProjectLoadBalancers.

use serde_json::{Value, json};

use super::{Allowed, Case, Table, allow, change, create, remove, set, values};

pub(super) fn table() -> Table {
    let mut cases = types();
    cases.extend(words());
    cases.extend(ranges());

    cases.extend(values::cases());
    cases.extend(combinations());
    cases.extend(identity());
    Table { plural: "projectloadbalancers", namespaced: true, good: good(), cases, allowed: allowed() }
}

fn good() -> Value {
    json!({
        "apiVersion": "loopback.cloud/v1alpha1",
        "kind": "ProjectLoadBalancer",
        "metadata": {},
        "spec": {
            "services": [
                {"name": "web", "port": 8080, "healthCheck": {"protocol": "HTTP", "path": "/healthz", "interval": "5s", "timeout": "2s"}},
                {"name": "admin", "port": 8443, "allowedOrigins": ["10.0.0.0/8"], "targets": [{"name": "a"}]},
            ],
            "targets": [
                {"name": "a", "address": "127.0.0.1", "port": 8081, "weight": 2},
                {"name": "b", "address": "2001:db8::7", "port": 8082},
            ],
        },
    })
}

/// Wrong types and missing fields.
fn types() -> Vec<Case> {
    vec![
        create("no spec", [remove("/spec")], &["spec", "Required value"]),
        create("no services", [remove("/spec/services")], &["spec.services", "Required value"]),
        create("spec is a list", [set("/spec", json!([]))], &["spec", "must be of type object"]),
        create(
            "port is a text",
            [set("/spec/services/0/port", json!("8080"))],
            &["spec.services[0].port", "must be of type integer"],
        ),
        create(
            "port is a fraction",
            [set("/spec/services/0/port", json!(80.5))],
            &["spec.services[0].port", "must be of type integer"],
        ),
        create(
            "port is true",
            [set("/spec/services/0/port", json!(true))],
            &["spec.services[0].port", "must be of type int"],
        ),
        create("no port", [remove("/spec/services/0/port")], &["spec.services[0].port", "Required value"]),
        create("no name", [remove("/spec/services/0/name")], &["spec.services[0]", "name"]),
        create(
            "services as a map",
            [set("/spec/services", json!({"web": {"port": 80}}))],
            &["spec.services.web", "unknown field"],
        ),
        create(
            "targets as names",
            [set("/spec/services/1/targets", json!(["a"]))],
            &["spec.services[1].targets[0]", "must be of type object"],
        ),
        create(
            "interval is a number",
            [set("/spec/services/0/healthCheck/interval", json!(5))],
            &["spec.services[0].healthCheck.interval", "must be of type string"],
        ),
        create(
            "origin is a number",
            [set("/spec/services/1/allowedOrigins", json!([10]))],
            &["spec.services[1].allowedOrigins[0]", "must be of type string"],
        ),
    ]
}

/// Words and fields that do not exist.
fn words() -> Vec<Case> {
    vec![
        create(
            "unknown algorithm",
            [set("/spec/algorithm", json!("Fastest"))],
            &["spec.algorithm", "supported values", "RoundRobin", "LeastConnections"],
        ),
        create(
            "algorithm in lower case",
            [set("/spec/algorithm", json!("roundRobin"))],
            &["spec.algorithm", "\"RoundRobin\""],
        ),
        create(
            "unknown family",
            [set("/spec/addressFamilies", json!(["ipv4"]))],
            &["spec.addressFamilies[0]", "\"IPv4\"", "\"IPv6\""],
        ),
        create(
            "unknown protocol",
            [set("/spec/services/0/protocol", json!("SCTP"))],
            &["spec.services[0].protocol", "\"TCP\""],
        ),
        create(
            "unknown health protocol",
            [set("/spec/services/0/healthCheck/protocol", json!("HTTPS"))],
            &["spec.services[0].healthCheck.protocol", "\"HTTP\"", "\"TCP\""],
        ),
        create(
            "unknown policy",
            [set("/spec/managementPolicy", json!("observe"))],
            &["spec.managementPolicy", "\"Manage\"", "\"Observe\""],
        ),
        create(
            "unknown deletion policy",
            [set("/spec/deletionPolicy", json!("Purge"))],
            &["spec.deletionPolicy", "\"Delete\"", "\"Retain\""],
        ),
        create(
            "unknown field",
            [set("/spec/loadBalancingMode", json!("fast"))],
            &["spec.loadBalancingMode", "unknown field"],
        ),
        create(
            "unknown field of a service",
            [set("/spec/services/0/ports", json!([80]))],
            &["spec.services[0].ports", "unknown field"],
        ),
        create(
            "unknown field of a target",
            [set("/spec/targets/0/hostname", json!("a.example"))],
            &["spec.targets[0].hostname", "unknown field"],
        ),
    ]
}

/// Numbers and lengths out of range, empty where absent means all.
fn ranges() -> Vec<Case> {
    let many = |count: usize| -> Value {
        (1..=count).map(|n| json!({"name": format!("n{n}"), "port": n, "address": "127.0.0.1"})).collect()
    };
    let mut services = many(65);
    for service in services.as_array_mut().into_iter().flatten() {
        service.as_object_mut().map(|service| service.remove("address"));
    }
    vec![
        create(
            "port 0",
            [set("/spec/services/0/port", json!(0))],
            &["spec.services[0].port", "greater than or equal to 1"],
        ),
        create(
            "port -1",
            [set("/spec/services/0/port", json!(-1))],
            &["spec.services[0].port", "greater than or equal to 1"],
        ),
        create(
            "port 65536",
            [set("/spec/services/0/port", json!(65536))],
            &["spec.services[0].port", "less than or equal to 65535"],
        ),
        create("port beyond 64 bits", [set("/spec/services/0/port", json!(1e30))], &["spec.services[0].port"]),
        create(
            "target's port 0",
            [set("/spec/targets/0/port", json!(0))],
            &["spec.targets[0].port", "greater than or equal to 1"],
        ),
        create(
            "target's port 70000",
            [set("/spec/targets/0/port", json!(70000))],
            &["spec.targets[0].port", "less than or equal to 65535"],
        ),
        create(
            "weight -1",
            [set("/spec/targets/0/weight", json!(-1))],
            &["spec.targets[0].weight", "greater than or equal to 0"],
        ),
        create(
            "weight 1001",
            [set("/spec/targets/0/weight", json!(1001))],
            &["spec.targets[0].weight", "less than or equal to 1000"],
        ),
        create("no service", [set("/spec/services", json!([]))], &["spec.services", "at least 1"]),
        create("65 services", [set("/spec/services", services)], &["spec.services", "at most 64"]),
        create("1001 targets", [set("/spec/targets", many(1001))], &["spec.targets", "at most 1000"]),
        create("no family", [set("/spec/addressFamilies", json!([]))], &["spec.addressFamilies", "at least 1"]),
        create(
            "no allowed origin",
            [set("/spec/services/1/allowedOrigins", json!([]))],
            &["spec.services[1].allowedOrigins", "at least 1"],
        ),
        create(
            "no blocked origin",
            [set("/spec/services/1/blockedOrigins", json!([]))],
            &["spec.services[1].blockedOrigins", "at least 1"],
        ),
        create(
            "no target of a service",
            [set("/spec/services/1/targets", json!([]))],
            &["spec.services[1].targets", "at least 1"],
        ),
        create(
            "threshold 0",
            [set("/spec/services/0/healthCheck/healthyThreshold", json!(0))],
            &["healthCheck.healthyThreshold", "greater than or equal to 1"],
        ),
        create(
            "threshold 101",
            [set("/spec/services/0/healthCheck/unhealthyThreshold", json!(101))],
            &["healthCheck.unhealthyThreshold", "less than or equal to 100"],
        ),
    ]
}

/// Fields that contradict each other.
fn combinations() -> Vec<Case> {
    vec![
        create(
            "two services on one port",
            [set("/spec/services/1/port", json!(8080))],
            &["spec.services", "two services must not share port and protocol"],
        ),
        create(
            "two services on one port, one with its protocol",
            [set("/spec/services/1/port", json!(8080)), set("/spec/services/1/protocol", json!("TCP"))],
            &["spec.services", "must not share"],
        ),
        create(
            "service's target does not exist",
            [set("/spec/services/1/targets/0/name", json!("c"))],
            &["spec.services", "must be names from spec.targets"],
        ),
        create(
            "service's target without any targets",
            [remove("/spec/targets")],
            &["spec.services", "must be names from spec.targets"],
        ),
        change(
            "target goes that a service names",
            [],
            [remove("/spec/targets/0")],
            &["spec.services", "must be names from spec.targets"],
        ),
        create("import without id", [set("/spec/import", json!({}))], &["spec.import.id", "Required value"]),
        create(
            "import of an empty id",
            [set("/spec/import", json!({"id": ""}))],
            &["spec.import.id", "must be an id of the backend"],
        ),
        create(
            "import of a path",
            [set("/spec/import", json!({"id": "../lb-1"}))],
            &["spec.import.id", "must be an id of the backend"],
        ),
        create(
            "import from an empty cluster",
            [set("/spec/import", json!({"id": "lb-1", "fromCluster": ""}))],
            &["spec.import.fromCluster", "must be the id of a cluster"],
        ),
    ]
}

/// What cannot be changed.
fn identity() -> Vec<Case> {
    const RIGHT: &str = "projectRef cannot be changed, added or removed: create another object instead";
    let reference = |name: &str| set("/spec/projectRef", json!({"name": name}));
    let import = |import: Value| set("/spec/import", import);
    vec![
        change("project changed", [reference("a")], [reference("b")], &["spec.projectRef", RIGHT]),
        change("project set", [], [reference("default")], &["spec.projectRef", RIGHT]),
        change("project removed", [reference("a")], [remove("/spec/projectRef")], &["spec.projectRef", RIGHT]),
        change(
            "import changed",
            [import(json!({"id": "lb-1"}))],
            [import(json!({"id": "lb-2"}))],
            &["spec.import", "import can be set once"],
        ),
        change(
            "import's cluster added",
            [import(json!({"id": "lb-1"}))],
            [import(json!({"id": "lb-1", "fromCluster": "c"}))],
            &["spec.import", "import can be set once"],
        ),
        change(
            "import removed",
            [import(json!({"id": "lb-1"}))],
            [remove("/spec/import")],
            &["spec.import", "import can be set once"],
        ),
    ]
}

fn allowed() -> Vec<Allowed> {
    let import = || set("/spec/import", json!({"id": "lb-1", "fromCluster": "2f5c1a"}));
    let reference = || set("/spec/projectRef", json!({"name": "a.b"}));
    vec![
        allow("import set later", [], [import()]),
        allow(
            "another field beside import and project",
            [import(), reference()],
            [set("/spec/algorithm", json!("LeastConnections"))],
        ),
        allow(
            "policies",
            [set("/spec/managementPolicy", json!("Observe"))],
            [set("/spec/managementPolicy", json!("Manage")), set("/spec/deletionPolicy", json!("Retain"))],
        ),
        allow(
            "families",
            [set("/spec/addressFamilies", json!(["IPv6"]))],
            [set("/spec/addressFamilies", json!(["IPv6", "IPv4"]))],
        ),
        allow(
            "no targets at all",
            [remove("/spec/services/1"), set("/spec/targets", json!([]))],
            [remove("/spec/targets")],
        ),
        allow(
            "services change their order and ports",
            [],
            [set("/spec/services/0/port", json!(8443)), set("/spec/services/1/port", json!(8080))],
        ),
        allow(
            "origins of both families, one host",
            [],
            [set("/spec/services/0/allowedOrigins", json!(["::/0", "0.0.0.0/0", "192.0.2.7/32", "2001:DB8::/32"]))],
        ),
        allow("longest name", [], [set("/spec/targets/1/name", json!("b".repeat(63)))]),
        allow("name is a number", [], [set("/spec/targets/1/name", json!("1"))]),
        allow("timeout is the interval", [], [set("/spec/services/0/healthCheck/timeout", json!("5000ms"))]),
        allow(
            "shortest check",
            [],
            [set("/spec/services/0/healthCheck", json!({"interval": "100ms", "timeout": "10ms"}))],
        ),
        allow(
            "longest check",
            [],
            [set("/spec/services/0/healthCheck", json!({"interval": "59m59s1000ms", "timeout": "1h"}))],
        ),
        allow("path with a query", [], [set("/spec/services/0/healthCheck/path", json!("/healthz?full=1&x=%20"))]),
        allow(
            "bounds of weights and thresholds",
            [set("/spec/targets/0/weight", json!(0))],
            [
                set("/spec/targets/0/weight", json!(1000)),
                set("/spec/services/0/healthCheck/healthyThreshold", json!(100)),
            ],
        ),
    ]
}
