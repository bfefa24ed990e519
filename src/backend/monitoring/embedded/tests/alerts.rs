use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::rig::{Rig, nobody, ok, serve, serve_at};

fn http(url: &str) -> Value {
    json!({"name": "shop", "type": "HTTP", "http": {"url": url}, "interval": "1s", "timeout": "500ms"})
}

fn down_for(hold: &str) -> Value {
    json!({"name": "down", "parameter": "response.up", "operator": "LessThan", "threshold": 1, "for": hold})
}

/// A busy machine.
const SLACK: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_killed_target_fires_within_for_plus_one_interval_and_clears_likewise() {
    let server = serve(ok("fine")).await;
    let at = server.at;
    let mut rig = Rig::start();
    rig.synced().await;
    rig.object("mo", http(&format!("http://{at}/")), Value::Null).await;
    rig.condition("mc", "mo", down_for("2s"), Value::Null).await;
    rig.alert("mc", "Cleared").await;
    assert_eq!(rig.until("mo", |told| told["up"] == true).await["status"], 200);

    drop(server);
    let killed = Instant::now();
    let fired = rig.alert("mc", "Firing").await;
    assert!(killed.elapsed() <= Duration::from_secs(3) + SLACK, "{:?}", killed.elapsed());
    assert!(killed.elapsed() >= Duration::from_secs(2), "{:?}", killed.elapsed());
    assert_eq!(fired["value"], "0");
    assert_eq!(rig.told("mo").last().unwrap()["reason"], "ConnectionRefused");

    let _server = serve_at(at, ok("back")).await;
    let back = Instant::now();
    rig.alert("mc", "Cleared").await;
    assert!(back.elapsed() <= Duration::from_secs(1) + SLACK, "{:?}", back.elapsed());
    let states: Vec<_> = rig.told("mc").iter().map(|told| told["alertState"].clone()).collect();
    assert_eq!(states, ["Cleared", "Pending", "Firing", "Cleared"], "nothing but transitions");
}

#[tokio::test]
async fn a_restart_while_firing_changes_nothing() {
    let gone = nobody();
    let mut rig = Rig::start();
    rig.object("mo", http(&format!("http://{gone}/")), Value::Null).await;
    rig.condition("mc", "mo", down_for("0s"), Value::Null).await;
    let fired = rig.alert("mc", "Firing").await;
    let down = rig.told("mo").last().unwrap().clone();
    rig.drain.start();

    let mut rig = Rig::start();
    rig.object("mo", http(&format!("http://{gone}/")), down.clone()).await;
    rig.condition("mc", "mo", down_for("0s"), fired.clone()).await;
    rig.synced().await;
    rig.alert("mc", "Firing").await;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!((rig.told("mc"), rig.told("mo")), (vec![fired], vec![down]));

    let _server = serve_at(gone, ok("back")).await;
    rig.alert("mc", "Cleared").await;
}

#[tokio::test]
async fn a_new_condition_does_not_wait_for_the_turn_of_an_object_that_was_measured_before_a_restart() {
    let server = serve(ok("fine")).await;
    let hourly =
        json!({"name": "shop", "type": "HTTP", "http": {"url": format!("http://{}/", server.at)}, "interval": "1h"});
    let mut rig = Rig::start();
    rig.object("mo", hourly.clone(), Value::Null).await;
    let up = rig.until("mo", |told| told["up"] == true).await;
    rig.drain.start();

    let mut rig = Rig::start();
    rig.object("mo", hourly, up).await;
    rig.synced().await;
    rig.condition("mc", "mo", down_for("0s"), Value::Null).await;
    rig.alert("mc", "Cleared").await;
}

#[tokio::test]
async fn what_is_deleted_is_let_go_of() {
    let server = serve(ok("fine")).await;
    let mut rig = Rig::start();
    rig.synced().await;
    rig.object("mo", http(&format!("http://{}/", server.at)), Value::Null).await;
    rig.condition("mc", "mo", down_for("0s"), Value::Null).await;
    rig.alert("mc", "Cleared").await;
    rig.condition("mc", "mo", Value::Null, Value::Null).await;
    rig.until("mc", |told| told == "released").await;
    rig.object("mo", Value::Null, Value::Null).await;
    rig.until("mo", |told| told == "released").await;
    drop(server);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(rig.told("mo").last().unwrap(), "released");
}

#[tokio::test]
async fn a_name_that_leads_where_nobody_may_go_is_no_data() {
    let mut rig = Rig::start();
    rig.synced().await;
    rig.object("mo", http("http://0.0.0.0:80/"), Value::Null).await;
    rig.condition("mc", "mo", down_for("0s"), Value::Null).await;
    assert_eq!(rig.until("mo", |told| told["reason"] == "Refused").await.get("up"), None);
    rig.alert("mc", "NoData").await;
}

/// 1,000 objects once a second: how many probes a second that makes, and what it costs.
#[tokio::test]
async fn a_thousand_objects_once_a_second() {
    let server = serve(ok("fine")).await;
    let mut rig = Rig::start();
    for number in 0..1000 {
        rig.object(&format!("mo-{number}"), http(&format!("http://{}/", server.at)), Value::Null).await;
    }
    rig.synced().await;
    let start = Instant::now();
    for number in 0..1000 {
        rig.until(&format!("mo-{number}"), |told| told["up"] == true).await;
    }
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}
