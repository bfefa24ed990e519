//! What is probed and when an alert fires, with the real backend, operator and API server.

use std::{net::SocketAddr, path::Path, time::Duration};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::events::v1::Event;
use kube::{Api, api::ListParams};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    rig::{PATIENCE, Program, Scene, Wire, alone, message_of, rig, status_of, until, within},
    servers::{Server, curl, own_address},
    tools::kubectl_watch,
};

const OBJECT: &str = "MonitoringObject";
const CONDITION: &str = "MonitoringCondition";
/// What a busy machine may add to the time that the backend itself noted.
const SLACK: SignedDuration = SignedDuration::from_secs(2);

fn probe(url: &str) -> Value {
    json!({"type": "HTTP", "http": {"url": url}, "interval": "1s", "timeout": "500ms"})
}

fn down(hold: &str) -> Value {
    json!({"objectRef": {"name": "checkout"}, "parameter": "response.up", "operator": "LessThan", "threshold": 1,
        "for": hold, "severity": "Critical"})
}

fn slow(no_data: &str) -> Value {
    json!({"objectRef": {"name": "checkout"}, "parameter": "timing.total", "operator": "GreaterThan", "threshold": "1h",
        "noData": no_data})
}

/// State, since and value.
async fn alert(scene: &Scene, name: &str) -> [Value; 3] {
    let condition = scene.get(CONDITION, name).await.expect("the condition is there");
    let status = status_of(&condition);
    [status["alertState"].clone(), status["since"].clone(), status["value"].clone()]
}

/// Waits for a state; since when the backend says that it is there.
async fn until_alert(scene: &Scene, name: &str, state: &str) -> Timestamp {
    let came = within(PATIENCE, async || alert(scene, name).await[0] == state).await;
    assert!(came, "{name} is not {state}: {:?}\n{}", alert(scene, name).await, scene.story());
    alert(scene, name).await[1].as_str().expect("a time").parse().expect("a time")
}

/// Events about an object, oldest first: reason, text, and how often.
async fn told(scene: &Scene, name: &str) -> Vec<(String, String, i32)> {
    let api = Api::<Event>::namespaced(scene.client.clone(), &scene.name);
    let mut events = api.list(&ListParams::default()).await.expect("events").items;
    events.retain(|event| event.regarding.as_ref().is_some_and(|about| about.name.as_deref() == Some(name)));
    events.sort_by_key(|event| event.event_time.as_ref().map(|time| time.0));
    let count = |event: &Event| event.series.as_ref().map_or(1, |series| series.count);
    events
        .into_iter()
        .map(|event| (event.reason.clone().unwrap_or_default(), event.note.clone().unwrap_or_default(), count(&event)))
        .collect()
}

/// Waits until so many events are there, and a little longer for one too many.
async fn told_just(scene: &Scene, name: &str, reasons: &[&str]) -> Vec<(String, String, i32)> {
    within(PATIENCE, async || told(scene, name).await.len() >= reasons.len()).await;
    within(Duration::from_secs(1), async || told(scene, name).await.len() > reasons.len()).await;
    let events = told(scene, name).await;
    assert!(
        events.iter().map(|event| (&*event.0, event.2)).eq(reasons.iter().map(|reason| (*reason, 1))),
        "{events:?}\n{}",
        scene.story()
    );
    events
}

/// A backend of its own, as a process: a real server that can be killed.
fn server(at: SocketAddr, folder: &Path, flags: &[&str]) -> Program {
    let (at, state) = (at.to_string(), folder.join("state"));
    let state = state.to_string_lossy();
    let own = [
        "backend",
        "--api-listen",
        &at,
        "--state-dir",
        &state,
        "--s3-listen",
        "127.0.0.1:0",
        "--dns-listen",
        "127.0.0.1:0",
    ];
    Program::start(&folder.join("log"), own.iter().chain(flags).copied(), [])
}

async fn until_curl(at: SocketAddr, answers: bool) {
    until("curl sees the server come and go", async || curl(at).await.is_ok() == answers).await;
}

/// The alert states that `kubectl get -w` has shown, each once.
fn shown(to: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(to).expect("a file");
    let state = |line: &str| {
        let mut words = line.split_whitespace();
        words.find(|word| ["Cleared", "Pending", "Firing", "NoData"].contains(word)).map(str::to_owned)
    };
    let mut states: Vec<String> = text.lines().filter_map(state).collect();
    states.dedup();
    states
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_fires_survives_killed_halves_and_clears() {
    let (rig, _peace) = alone().await;
    let scene = Scene::new(rig, "alerts").await;
    let (folder, at) = (tempfile::tempdir().expect("a folder"), own_address());
    let server = server(at, folder.path(), &[]);
    until_curl(at, true).await;
    for (name, spec) in [("down", down("2s")), ("long", down("1h")), ("slow", slow("Ignore")), ("strict", slow("Fire"))]
    {
        scene.apply(scene.manifest(CONDITION, name, spec)).await;
    }
    scene.apply(scene.manifest(OBJECT, "checkout", probe(&format!("http://{at}/readyz")))).await;
    for name in ["down", "long", "slow", "strict"] {
        scene.until_ready(CONDITION, name).await;
        until_alert(&scene, name, "Cleared").await;
    }
    let object = scene.until_ready(OBJECT, "checkout").await;
    assert_eq!((&status_of(&object)["up"], &status_of(&object)["httpStatus"]), (&json!(true), &json!(200)));
    let watched = folder.path().join("watch");
    let _watch = kubectl_watch(rig, &["get", "lpmc", "down", "-n", &scene.name, "-w"], &watched);
    until("kubectl shows the first state", async || shown(&watched) == ["Cleared"]).await;

    let killed = Timestamp::now();
    server.kill();
    until_curl(at, false).await;
    let fired = until_alert(&scene, "down", "Firing").await.duration_since(killed);
    println!("fired {fired:?} after the kill; for: 2s, interval: 1s");
    assert!(fired >= SignedDuration::from_secs(2) && fired <= SignedDuration::from_secs(3) + SLACK, "{fired:?}");
    until_alert(&scene, "long", "Pending").await;
    until_alert(&scene, "slow", "NoData").await;
    until_alert(&scene, "strict", "Firing").await;

    let names = ["down", "long", "slow", "strict"];
    let all = async || futures::future::join_all(names.map(|name| alert(&scene, name))).await;
    let before = all().await;
    assert_eq!((&before[0][2], &before[3][2]), (&json!("0"), &Value::Null));
    for (kind, name) in [(CONDITION, "down"), (OBJECT, "checkout")] {
        scene.until_ready(kind, name).await;
    }
    rig.restart_backend().await;
    rig.restart_operator().await;
    let changed = within(Duration::from_secs(4), async || all().await != before).await;
    assert!(!changed, "{before:?} became {:?}", all().await);

    let back = Timestamp::now();
    server.again();
    let cleared = until_alert(&scene, "down", "Cleared").await.duration_since(back);
    println!("cleared {cleared:?} after the server was started again");
    until_curl(at, true).await;
    assert!(cleared <= SignedDuration::from_secs(1) + SLACK * 2, "{cleared:?}");
    for name in names {
        until_alert(&scene, name, "Cleared").await;
    }
    until("kubectl shows every transition", async || shown(&watched) == ["Cleared", "Pending", "Firing", "Cleared"])
        .await;
    let events = told_just(&scene, "down", &["AlertPending", "AlertFiring", "AlertCleared"]).await;
    let since = before[0][1].as_str().expect("a time");
    assert_eq!(events[1].1, format!("Firing since {since}: response.up of checkout was 0, LessThan 1"));
    told_just(&scene, "long", &["AlertPending", "AlertCleared"]).await;
    told_just(&scene, "slow", &["AlertNoData", "AlertCleared"]).await;
    let events = told_just(&scene, "strict", &["AlertFiring", "AlertCleared"]).await;
    assert!(events[0].1.contains("was not measured"), "{events:?}");

    scene.delete(OBJECT, "checkout").await;
    for name in names {
        scene.delete(CONDITION, name).await;
    }
    scene.until_gone(OBJECT, "checkout").await;
    scene.until_empty("monitoring/conditions").await;
    scene.until_empty("monitoring/objects").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_that_fires_again_is_told_again() {
    let (rig, _peace) = rig().await;
    let scene = Scene::new(rig, "again").await;
    let server = Server::http(own_address(), "checkout").await;
    scene.apply(scene.manifest(OBJECT, "checkout", probe(&format!("http://{}/", server.address)))).await;
    let firing = json!({"spec": {"operator": "LessThan"}});
    scene.apply(scene.manifest(CONDITION, "slow", slow("Ignore"))).await;
    until_alert(&scene, "slow", "Cleared").await;
    for change in [&firing, &json!({"spec": {"operator": "GreaterThan"}}), &firing] {
        let state = if change == &firing { "Firing" } else { "Cleared" };
        scene.merge(CONDITION, "slow", change.clone()).await;
        until_alert(&scene, "slow", state).await;
    }
    let events = told_just(&scene, "slow", &["AlertFiring", "AlertCleared", "AlertFiring"]).await;
    assert_ne!(events[0].1, events[2].1, "each says its own time");
    scene.apply(scene.manifest(CONDITION, "at-once", slow("Ignore"))).await;
    until_alert(&scene, "at-once", "Cleared").await;
    let mut at_once = slow("Ignore");
    at_once["operator"] = json!("LessThan");
    scene.apply(scene.manifest(CONDITION, "fires", at_once)).await;
    told_just(&scene, "fires", &["AlertFiring"]).await;
    told_just(&scene, "at-once", &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_not_be_asked_is_not_down() {
    let (rig, _peace) = rig().await;
    let scene = Scene::new(rig, "unasked").await;
    let own = format!("http://localhost:{}/readyz", rig.wire.address().port());
    scene.apply(scene.manifest(OBJECT, "checkout", probe(&own))).await;
    scene.apply(scene.manifest(CONDITION, "down", down("0s"))).await;
    let object = scene.until_reason(OBJECT, "checkout", "Degraded", "NotMeasured").await;
    let message = message_of(&object, "Degraded");
    assert!(message.contains("belongs to the backend itself"), "{message}");
    assert_eq!((status_of(&object).get("up"), &status_of(&object)["reason"]), (None, &json!("Refused")));
    until_alert(&scene, "down", "NoData").await;
    scene.apply(scene.manifest(OBJECT, "private", probe("http://10.0.0.1/"))).await;
    let refused = message_of(&scene.until_stalled(OBJECT, "private", "Refused").await, "Stalled");
    assert!(refused.contains("spec.http.url") && refused.contains("--outbound-allow-private"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_flag_lets_probes_into_private_networks_and_nowhere_else() {
    let (folder, at): (TempDir, _) = (tempfile::tempdir().expect("a folder"), own_address());
    let server = server(at, folder.path(), &["--outbound-allow-private"]);
    let wire = Wire::admin(at, &folder.path().join("state/admin-token")).await;
    wire.project("net").await;
    for (host, status) in [
        ("10.0.0.1", StatusCode::CREATED),
        ("[::ffff:192.168.0.1]", StatusCode::CREATED),
        ("127.0.0.1", StatusCode::UNPROCESSABLE_ENTITY),
        ("[::1]", StatusCode::UNPROCESSABLE_ENTITY),
        ("169.254.169.254", StatusCode::UNPROCESSABLE_ENTITY),
        ("[::ffff:169.254.169.254]", StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        let intent = json!({"name": "x", "type": "HTTP", "http": {"url": format!("http://{host}/")}, "interval": "1h"});
        let body = Some(json!({"intent": intent}));
        let answer = wire.send(Method::POST, "/v3/projects/net/monitoring/objects", None, body).await;
        assert_eq!(answer.status(), status, "{host}: {}", answer.text().await.unwrap_or_default());
    }
    server.kill();
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

/// An intent with one thing wrong, and the field that the backend must name.
fn wrong_intents() -> Vec<(&'static str, Value, &'static str)> {
    let object = |change: Value, field| ("monitoring/objects", changed(probe("http://127.0.0.1:9/"), &change), field);
    let rule = json!({"parameter": "timing.total", "operator": "GreaterThan", "threshold": "500ms"});
    let condition = |change: Value, field| ("monitoring/conditions", changed(rule.clone(), &change), field);
    vec![
        object(json!({"name": 7}), "/name"),
        object(json!({"type": "ICMP"}), "/type"),
        object(json!({"type": "http"}), "/type"),
        object(json!({"http": "http://127.0.0.1/"}), "/http"),
        object(json!({"http": null}), "/http"),
        object(json!({"http": {"url": null}}), "/http"),
        object(json!({"http": {"url": 1}}), "/http/url"),
        object(json!({"http": {"url": "/healthz"}}), "/http/url"),
        object(json!({"http": {"url": "http://169.254.169.254/"}}), "/http/url"),
        object(json!({"http": {"url": "http://10.0.0.1/"}}), "/http/url"),
        object(json!({"http": {"method": "POST"}}), "/http/method"),
        object(json!({"http": {"headers": {}}}), "/http/headers"),
        object(json!({"http": {"expectedStatus": "200"}}), "/http/expectedStatus"),
        object(json!({"http": {"expectedStatus": ["200", 204]}}), "/http/expectedStatus/1"),
        object(json!({"http": {"expectedStatus": ["2xx", "6xx"]}}), "/http/expectedStatus/1"),
        object(json!({"http": {"followRedirects": "yes"}}), "/http/followRedirects"),
        object(json!({"type": "TCP", "http": null, "tcp": {"host": "db.example.com", "port": 70_000}}), "/tcp/port"),
        object(json!({"type": "TCP", "http": null, "tcp": {"host": "db.example.com"}}), "/tcp"),
        object(json!({"interval": 30}), "/interval"),
        object(json!({"interval": "0s"}), "/interval"),
        object(json!({"timeout": "1m"}), "/timeout"),
        object(json!({"sourceRefs": []}), "/sourceRefs"),
        condition(json!({"name": ""}), "/name"),
        condition(json!({"parameter": 1}), "/parameter"),
        condition(json!({"parameter": "latency"}), "/parameter"),
        condition(json!({"operator": ">"}), "/operator"),
        condition(json!({"operator": null}), ""),
        condition(json!({"threshold": 0.5}), "/threshold"),
        condition(json!({"threshold": true}), "/threshold"),
        condition(json!({"threshold": "64Ki"}), "/threshold"),
        condition(json!({"window": "1m"}), "/window"),
        condition(json!({"window": {"duration": "2h"}}), "/window/duration"),
        condition(json!({"window": {"duration": "1m", "function": "P99"}}), "/window/function"),
        condition(json!({"for": 5}), "/for"),
        condition(json!({"for": "x"}), "/for"),
        condition(json!({"recovery": []}), "/recovery"),
        condition(json!({"recovery": {"threshold": "1s"}}), "/recovery/threshold"),
        condition(json!({"recovery": {"for": "25h"}}), "/recovery/for"),
        condition(json!({"noData": "OK"}), "/noData"),
        condition(json!({"severity": "Fatal"}), "/severity"),
        condition(json!({"channelRefs": []}), "/channelRefs"),
    ]
}

fn changed(mut intent: Value, change: &Value) -> Value {
    intent["name"] = json!("x");
    json_patch::merge(&mut intent, change);
    intent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wire_api_names_the_field_that_is_wrong() {
    let (rig, _peace) = rig().await;
    let scene = Scene::new(rig, "wire").await;
    let parent = rig
        .wire
        .create(&scene.name, "monitoring/objects", None, changed(probe("http://127.0.0.1:9/"), &json!({})))
        .await;
    for (collection, intent, field) in wrong_intents() {
        let mut body = json!({"intent": intent});
        if collection == "monitoring/conditions" {
            body["parent"] = json!(parent.id);
        }
        let path = format!("/v3/projects/{}/{collection}", scene.name);
        let answer = rig.wire.send(Method::POST, &path, None, Some(body)).await;
        let (status, problem) = (answer.status(), answer.json::<Value>().await.expect("a problem"));
        assert_eq!(
            (status, &problem["code"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &json!("invalid")),
            "{intent}: {problem}"
        );
        let found = problem["field"].as_str().unwrap_or_default();
        assert!(found == format!("/intent{field}") || found == field, "{field}: {problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
    }
    assert_eq!(scene.held("monitoring/objects").await.len(), 1, "none was taken");
    assert_eq!(scene.held("monitoring/conditions").await.len(), 0, "none was taken");
}
