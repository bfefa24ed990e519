//! The laws that every kind obeys, against the real API server. A kind is one entry of [`kinds`].

mod deletion;
mod edits;
mod names;
mod observe;
mod ownership;
mod secrecy;
mod silence;

use serde_json::{Value, json};

use crate::rig::{Scene, rig};

/// A kind, and two specs of it.
pub struct Law {
    /// The kind in Kubernetes.
    pub kind: &'static str,
    /// Its collection in the backend.
    pub collection: &'static str,
    /// A spec that becomes Ready.
    pub a: Value,
    /// Another one, which differs in what the backend holds. Null: nothing of that can be changed.
    pub b: Value,
    /// A change of an object made from `a` in the backend.
    pub tampering: Value,
}

/// Every kind that lives in the backend.
pub fn kinds() -> Vec<Law> {
    vec![
        Law {
            kind: "ProjectLoadBalancer",
            collection: "load-balancers",
            a: balancer(18080),
            b: balancer(18081),
            tampering: json!({"services": {"web": {"port": 18082}}}),
        },
        Law {
            kind: "MonitoringObject",
            collection: "monitoring/objects",
            a: json!({"type": "HTTP", "http": {"url": "http://127.0.0.1:9/"}}),
            b: json!({"type": "HTTP", "http": {"url": "http://127.0.0.1:9/b"}}),
            tampering: json!({"interval": "59m"}),
        },
        bucket(),
    ]
}

/// A bucket's name belongs to one bucket of all projects, and never changes.
fn bucket() -> Law {
    Law {
        kind: "ObjectBucket",
        collection: "object-stores",
        a: json!({"bucketName": "{scene}-{name}"}),
        b: Value::Null,
        tampering: json!({"provider": "embedded"}),
    }
}

fn balancer(port: u16) -> Value {
    json!({"services": [{"name": "web", "port": port}], "targets": [{"name": "a", "address": "127.0.0.1", "port": 9}]})
}

/// Runs a law for every kind, each in a scene of its own.
async fn for_every_kind(what: &str, law: impl AsyncFn(&Scene, &Law)) {
    let (rig, _peace) = rig().await;
    for kind in kinds() {
        law(&Scene::new(rig, what).await, &kind).await;
    }
}

/// Runs a law for every kind of which something can be changed, each in a scene of its own.
async fn for_every_kind_that_changes(what: &str, law: impl AsyncFn(&Scene, &Law)) {
    for_every_kind(what, async |scene, kind| {
        if !kind.b.is_null() {
            law(scene, kind).await;
        }
    })
    .await;
}

impl Law {
    /// Another spec than A, if there is one.
    pub fn other(&self) -> Value {
        if self.b.is_null() { self.a.clone() } else { self.b.clone() }
    }

    /// A spec with more in it.
    pub fn with(&self, more: Value) -> Value {
        let mut spec = self.a.clone();
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    }

    /// Makes an object named `name` from spec A and waits until it is Ready.
    pub async fn make(&self, scene: &Scene, name: &str) -> kube::api::DynamicObject {
        scene.apply(scene.manifest(self.kind, name, self.a.clone())).await;
        scene.until_ready(self.kind, name).await
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
fn id(object: &kube::api::DynamicObject) -> String {
    object.data["status"]["id"].as_str().unwrap_or_default().to_owned()
}

/// An owner as another cluster would write it.
fn stranger(law: &Law) -> Value {
    json!({"cluster": "another-cluster", "kind": law.kind, "namespace": "elsewhere", "name": "theirs", "uid": "4711"})
}
