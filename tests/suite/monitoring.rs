//! What is probed and when an alert fires, with the real backend, operator and API server.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    rig::{Scene, alone, message_of, rig, status_of, within},
    servers::{Server, own_address},
};

const OBJECT: &str = "MonitoringObject";
const CONDITION: &str = "MonitoringCondition";
/// What API server, operator and a busy machine may add.
const SLACK: Duration = Duration::from_secs(2);

fn probe(url: &str) -> Value {
    json!({"type": "HTTP", "http": {"url": url}, "interval": "1s", "timeout": "500ms"})
}

fn down(hold: &str) -> Value {
    json!({"objectRef": {"name": "checkout"}, "parameter": "response.up", "operator": "LessThan", "threshold": 1,
        "for": hold, "severity": "Critical"})
}

/// State, since and value.
async fn alert(scene: &Scene) -> [Value; 3] {
    let condition = scene.get(CONDITION, "down").await.expect("the condition is there");
    let status = status_of(&condition);
    [status["alertState"].clone(), status["since"].clone(), status["value"].clone()]
}

async fn until_alert(scene: &Scene, state: &str, limit: Duration) -> Duration {
    let start = Instant::now();
    let came = within(limit, async || alert(scene).await[0] == state).await;
    assert!(came, "not {state} within {limit:?}: {:?}", alert(scene).await);
    start.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_target_fires_survives_a_killed_backend_and_clears() {
    let (rig, _peace) = alone().await;
    let scene = Scene::new(rig, "alerts").await;
    let server = Server::http(own_address(), "checkout").await;
    let address = server.address;
    scene.apply(scene.manifest(CONDITION, "down", down("2s"))).await;
    scene.apply(scene.manifest(OBJECT, "checkout", probe(&format!("http://{address}/healthz")))).await;
    scene.until_ready(CONDITION, "down").await;
    until_alert(&scene, "Cleared", SLACK).await;
    let object = scene.until_ready(OBJECT, "checkout").await;
    assert_eq!((&status_of(&object)["up"], &status_of(&object)["httpStatus"]), (&json!(true), &json!(200)));

    server.kill().await;
    let took = until_alert(&scene, "Firing", Duration::from_secs(2 + 1) + SLACK).await;
    println!("fired {took:?} after the kill, for: 2s, interval: 1s");
    let fired = alert(&scene).await;
    assert_eq!(fired[2], "0");
    for (kind, name) in [(CONDITION, "down"), (OBJECT, "checkout")] {
        scene.until_ready(kind, name).await;
    }

    rig.restart_backend().await;
    let unchanged = !within(Duration::from_secs(4), async || alert(&scene).await != fired).await;
    assert!(unchanged, "{:?} became {:?}", fired, alert(&scene).await);

    let _server = Server::http(address, "back").await;
    let took = until_alert(&scene, "Cleared", Duration::from_secs(1) + 2 * SLACK).await;
    println!("cleared {took:?} after the target came back");
    scene.delete(OBJECT, "checkout").await;
    scene.delete(CONDITION, "down").await;
    scene.until_gone(CONDITION, "down").await;
    scene.until_gone(OBJECT, "checkout").await;
    scene.until_empty("monitoring/conditions").await;
    scene.until_empty("monitoring/objects").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_schema_cannot_see_is_told_with_its_field() {
    let (rig, _peace) = rig().await;
    let scene = Scene::new(rig, "unfit").await;
    scene.apply(scene.manifest(OBJECT, "db", json!({"type": "TCP", "tcp": {"host": "127.0.0.1", "port": 9}}))).await;
    scene.until_ready(OBJECT, "db").await;
    let status =
        json!({"objectRef": {"name": "db"}, "parameter": "response.status", "operator": "Equal", "threshold": 500});
    scene.apply(scene.manifest(CONDITION, "unfit", status)).await;
    let unfit = scene.until_stalled(CONDITION, "unfit", "InvalidSpec").await;
    let message = message_of(&unfit, "Stalled");
    assert!(message.contains("spec.parameter") && message.contains("timing.connect"), "{message}");
    scene.apply(scene.manifest(OBJECT, "metadata", probe("http://169.254.169.254/latest"))).await;
    let refused = scene.until_stalled(OBJECT, "metadata", "Refused").await;
    assert!(message_of(&refused, "Stalled").contains("metadata"), "{}", message_of(&refused, "Stalled"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_parameter_registry_is_served() {
    let (rig, _peace) = rig().await;
    let registry = rig.wire.ask(Method::GET, "/v3/monitoring/parameters", None, None).await;
    let total = registry["items"].as_array().expect("a list").iter().find(|item| item["key"] == "timing.total");
    let total = total.expect("the parameter is there");
    assert_eq!(
        (&total["unit"], &total["category"], &total["kind"]),
        (&json!("ms"), &json!("timing"), &json!("Duration"))
    );
}
