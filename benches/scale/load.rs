//! What users declare: families of ten objects, mixed as real projects are, over namespaces and projects.

use serde_json::{Value, json};

use crate::ground::{DOMAIN, NAMESPACES, namespace};

/// Objects of a family.
const FAMILY: usize = 10;
/// Kinds of which there are objects.
pub const KINDS: [&str; 7] = [
    "ProjectLoadBalancer",
    "ObjectBucket",
    "ObjectBucketCredential",
    "ProjectDnsZone",
    "DnsRecord",
    "MonitoringObject",
    "MonitoringCondition",
];

/// One object that is declared.
#[derive(Clone, Debug)]
pub struct Item {
    /// Its kind.
    pub kind: &'static str,
    /// Where.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its spec.
    pub spec: Value,
}

impl Item {
    /// Its manifest.
    pub fn manifest(&self) -> Value {
        json!({"apiVersion": "loopback.cloud/v1alpha1", "kind": self.kind,
            "metadata": {"name": self.name, "namespace": self.namespace}, "spec": self.spec})
    }
}

/// So many objects of whole families; parents come before their children.
pub fn items(count: usize) -> Vec<Item> {
    (0..count / FAMILY).flat_map(family).collect()
}

fn family(number: usize) -> Vec<Item> {
    let item = |kind, name: String, spec| Item { kind, namespace: namespace(number % NAMESPACES), name, spec };
    let of = |what: &str| format!("{what}-{number}");
    let mut family = vec![
        item("ProjectLoadBalancer", of("web"), balancer(8_080)),
        item("ProjectLoadBalancer", of("api"), balancer(8_443)),
        item("ObjectBucket", of("assets"), json!({})),
        item(
            "ObjectBucketCredential",
            of("assets-rw"),
            json!({"bucketRef": {"name": of("assets")}, "access": "ReadWrite"}),
        ),
        item("ProjectDnsZone", of("zone"), json!({"domain": DOMAIN, "patterns": [format!("*.s{number}.{DOMAIN}")]})),
        item("MonitoringObject", of("checkout"), probe()),
        item("MonitoringCondition", of("down"), condition(&of("checkout"))),
    ];
    family.extend((0..3).map(|n| {
        let spec = json!({"zoneRef": {"name": of("zone")}, "name": format!("r{n}.s{number}.{DOMAIN}"), "type": "A",
            "ttl": "60s", "values": [format!("192.0.2.{n}")]});
        item("DnsRecord", format!("record-{number}-{n}"), spec)
    }));
    family
}

/// Its targets are not asked how they are: what is measured is the control plane.
pub fn balancer(port: u16) -> Value {
    json!({"services": [{"name": "web", "port": port}],
        "targets": [{"name": "a", "address": "127.0.0.1", "port": 9}, {"name": "b", "address": "127.0.0.2", "port": 9, "weight": 2}]})
}

/// Asked at long intervals.
fn probe() -> Value {
    json!({"type": "TCP", "tcp": {"host": "127.0.0.1", "port": 9}, "interval": "1h"})
}

fn condition(object: &str) -> Value {
    json!({"objectRef": {"name": object}, "parameter": "response.up", "operator": "LessThan", "threshold": 0,
        "for": "30s", "severity": "Critical"})
}

/// What the operator would write into the status of such an object: as long, and with the same parts.
pub fn status(generation: i64) -> Value {
    let condition = |kind: &str, message: &str| {
        json!({"type": kind, "status": "True", "reason": "Ready", "message": message,
            "observedGeneration": generation, "lastTransitionTime": "2026-01-01T00:00:00Z"})
    };
    json!({"observedGeneration": generation, "id": "lb-01jd0000000000000000000000",
        "conditions": [condition("Ready", "The backend holds this spec and has made it real"),
            condition("Synced", "The backend holds this spec")]})
}
