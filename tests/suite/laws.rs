//! The laws that every kind obeys, against the real API server. A kind is one entry of [`kinds`].

use serde_json::{Value, json};

use crate::rig::{Scene, rig};

/// A kind, and two specs of it.
struct Law {
    kind: &'static str,
    collection: &'static str,
    a: Value,
    b: Value,
}

fn kinds() -> Vec<Law> {
    let port = |port: u16| json!({"services": [{"name": "web", "port": port}], "targets": [{"name": "a", "address": "127.0.0.1", "port": 9}]});
    vec![Law { kind: "ProjectLoadBalancer", collection: "load-balancers", a: port(18080), b: port(18081) }]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn life() {
    let (rig, _peace) = rig().await;
    for law in kinds() {
        let scene = Scene::new(rig, "life").await;
        scene.apply(scene.manifest(law.kind, "x", law.a.clone())).await;
        scene.until_ready(law.kind, "x").await;
        assert_eq!(scene.held(law.collection).await.len(), 1);
        scene.delete(law.kind, "x").await;
        scene.until_gone(law.kind, "x").await;
        scene.until_empty(law.collection).await;
        drop(law.b);
    }
}
