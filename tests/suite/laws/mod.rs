//! The laws that every kind obeys, against the real API server. A kind is one entry of [`roots`] or of [`children`].

mod children;
mod deletion;
mod edits;
mod names;
mod observe;
mod ownership;
mod secrecy;
mod silence;

use futures::future::join_all;
use kube::api::DynamicObject;
use loopback_operator::protocol::RawObject;
use serde_json::{Value, json};

use crate::rig::{DOMAIN, Scene, rig};

/// Name of the parent that the specs of children ask for.
pub const PARENT: &str = "p";

/// A kind, and two specs of it.
pub struct Law {
    /// The kind in Kubernetes.
    pub kind: &'static str,
    /// Its collection in the backend.
    pub collection: &'static str,
    /// A spec that becomes Ready.
    pub a: Value,
    /// Another one, which differs in what the backend holds; none when nothing of that may be changed.
    pub b: Option<Value>,
    /// A change of an object made from `a` in the backend.
    pub tampering: Value,
    /// What it belongs to. Roots have none, and import, Observe and Retain instead.
    pub parent: Option<Box<Law>>,
}

/// Kinds that belong to a project.
pub fn roots() -> Vec<Law> {
    vec![balancer(), monitoring_object(), zone(), bucket()]
}

/// Kinds that belong to a root, which their specs name [`PARENT`].
pub fn children() -> Vec<Law> {
    vec![monitoring_condition(), record(), credential()]
}

/// Every kind that lives in the backend.
pub fn kinds() -> Vec<Law> {
    roots().into_iter().chain(children()).collect()
}

fn balancer() -> Law {
    let spec = |port: u16| {
        json!({"services": [{"name": "web", "port": port}],
            "targets": [{"name": "a", "address": "127.0.0.1", "port": 9}]})
    };
    Law {
        kind: "ProjectLoadBalancer",
        collection: "load-balancers",
        a: spec(18080),
        b: Some(spec(18081)),
        tampering: json!({"services": {"web": {"port": 18082}}}),
        parent: None,
    }
}

/// Probed so seldom that no test sees a probe: what it finds would be news.
fn monitoring_object() -> Law {
    let spec = |url: &str| json!({"type": "HTTP", "http": {"url": url}, "interval": "1h"});
    Law {
        kind: "MonitoringObject",
        collection: "monitoring/objects",
        a: spec("http://127.0.0.1:9/"),
        b: Some(spec("http://127.0.0.1:9/b")),
        tampering: json!({"interval": "59m"}),
        parent: None,
    }
}

fn monitoring_condition() -> Law {
    // What is always measured and never below: a state that changes would be news.
    let spec = |hold: &str| {
        json!({"objectRef": {"name": PARENT}, "parameter": "response.up", "operator": "LessThan", "threshold": 0,
            "for": hold})
    };
    Law {
        kind: "MonitoringCondition",
        collection: "monitoring/conditions",
        a: spec("10s"),
        b: Some(spec("20s")),
        tampering: json!({"for": "30s"}),
        parent: Some(Box::new(monitoring_object())),
    }
}

fn zone() -> Law {
    let spec = |more: &[&str]| {
        let patterns: Vec<String> =
            ["{scene}", "*.{scene}"].iter().chain(more).map(|p| format!("{p}.{DOMAIN}")).collect();
        json!({"domain": DOMAIN, "patterns": patterns})
    };
    Law {
        kind: "ProjectDnsZone",
        collection: "dns-zones",
        a: spec(&[]),
        b: Some(spec(&["*.b.{scene}"])),
        tampering: json!({"patterns": [format!("tampered.{{scene}}.{DOMAIN}")]}),
        parent: None,
    }
}

fn record() -> Law {
    let spec = |value: &str| json!({"zoneRef": {"name": PARENT}, "name": format!("{{name}}.{{scene}}.{DOMAIN}"), "type": "A", "values": [value]});
    Law {
        kind: "DnsRecord",
        collection: "dns-zones/records",
        a: spec("192.0.2.1"),
        b: Some(spec("192.0.2.2")),
        tampering: json!({"values": ["192.0.2.66"]}),
        parent: Some(Box::new(zone())),
    }
}

/// A bucket's name belongs to one bucket of all projects, and nothing of a bucket ever changes.
fn bucket() -> Law {
    Law {
        kind: "ObjectBucket",
        collection: "object-stores",
        a: json!({"bucketName": "{scene}-{name}"}),
        b: None,
        tampering: json!({"provider": "embedded"}),
        parent: None,
    }
}

fn credential() -> Law {
    let spec = |access: &str| json!({"bucketRef": {"name": PARENT}, "access": access});
    Law {
        kind: "ObjectBucketCredential",
        collection: "object-stores/credentials",
        a: spec("ReadWrite"),
        b: Some(spec("ReadOnly")),
        tampering: json!({"access": "WriteOnly"}),
        parent: Some(Box::new(bucket())),
    }
}

/// Runs a law for each of these kinds at once, each in a scene of its own.
pub async fn for_each(laws: Vec<Law>, what: &str, law: impl AsyncFn(&Scene, &Law)) {
    let (rig, _peace) = rig().await;
    let law = &law;
    join_all(laws.into_iter().map(async |kind| law(&Scene::new(rig, what).await, &kind).await)).await;
}

/// Runs a law for every kind.
pub async fn for_every_kind(what: &str, law: impl AsyncFn(&Scene, &Law)) {
    for_each(kinds(), what, law).await;
}

/// Runs a law for every kind of which something can be changed; the last argument is the other spec.
pub async fn for_every_kind_that_changes(what: &str, law: impl AsyncFn(&Scene, &Law, &Value)) {
    let changing = kinds().into_iter().filter(|law| law.b.is_some()).collect();
    for_each(changing, what, async |scene, kind| law(scene, kind, kind.b.as_ref().unwrap()).await).await;
}

/// Runs a law about what only roots have: import, Observe, Retain.
pub async fn for_every_root(what: &str, law: impl AsyncFn(&Scene, &Law)) {
    for_each(roots(), what, law).await;
}

impl Law {
    /// A spec with more in it.
    pub fn with(&self, more: Value) -> Value {
        let mut spec = self.a.clone();
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    }

    /// Applies an object named `name` with spec A, and the parent that it needs.
    pub async fn apply(&self, scene: &Scene, name: &str) {
        if let Some(parent) = &self.parent {
            scene.apply(scene.manifest(parent.kind, PARENT, parent.a.clone())).await;
        }
        scene.apply(scene.manifest(self.kind, name, self.a.clone())).await;
    }

    /// Another spec than A, if there is one.
    pub fn other(&self) -> Value {
        self.b.as_ref().unwrap_or(&self.a).clone()
    }

    /// Changes an object behind the operator's back.
    pub async fn tamper(&self, scene: &Scene, object: &RawObject) -> RawObject {
        let patch = scene.filled(&self.tampering, &object.id);
        scene.wire().patch(&scene.name, self.collection, object, patch).await
    }

    /// Makes an object named `name` from spec A and waits until it is Ready.
    pub async fn make(&self, scene: &Scene, name: &str) -> DynamicObject {
        self.apply(scene, name).await;
        scene.until_ready(self.kind, name).await
    }

    /// Makes the parent, for what is to happen when it is there.
    pub async fn make_parent(&self, scene: &Scene) {
        if let Some(parent) = &self.parent {
            scene.apply(scene.manifest(parent.kind, PARENT, parent.a.clone())).await;
            scene.until_ready(parent.kind, PARENT).await;
        }
    }

    /// The intent that spec A leads to under the name `x`; nothing of it is left.
    pub async fn intent(&self, scene: &Scene) -> Value {
        self.make(scene, "x").await;
        let intent = scene.held(self.collection).await[0].intent.clone();
        scene.delete(self.kind, "x").await;
        scene.until_gone(self.kind, "x").await;
        scene.until_empty(self.collection).await;
        intent
    }
}

/// The id in an object's status.
fn id(object: &DynamicObject) -> String {
    object.data["status"]["id"].as_str().unwrap_or_default().to_owned()
}

/// An owner as another cluster would write it.
fn stranger(law: &Law) -> Value {
    json!({"cluster": "another-cluster", "kind": law.kind, "namespace": "elsewhere", "name": "theirs", "uid": "4711"})
}
