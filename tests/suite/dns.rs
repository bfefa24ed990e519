//! Zones and records from a manifest to an answer on the wire.

use std::{net::UdpSocket, time::Duration};

use hickory_proto::{
    op::{Message, MessageType, OpCode, Query, ResponseCode},
    rr::{Name, RecordType},
};
use serde_json::{Value, json};

use crate::rig::{DOMAIN, PATIENCE, Rig, Scene, message_of, reason_of, rig, until};

const ZONE: &str = "ProjectDnsZone";
const RECORD: &str = "DnsRecord";

/// Asks the backend over UDP.
fn ask(rig: &Rig, name: &str, of: RecordType) -> Message {
    let mut question = Message::new(4711, MessageType::Query, OpCode::Query);
    question.add_query(Query::query(Name::from_ascii(format!("{name}.")).unwrap(), of));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket.send_to(&question.to_vec().unwrap(), rig.dns).unwrap();
    let mut answer = [0; 4096];
    let length = socket.recv(&mut answer).unwrap();
    Message::from_vec(&answer[..length]).unwrap()
}

fn values(rig: &Rig, name: &str, of: RecordType) -> Vec<String> {
    let mut values: Vec<_> = ask(rig, name, of).answers.iter().map(|record| record.data.to_string()).collect();
    values.sort();
    values
}

async fn zone(scene: &Scene, name: &str) {
    let patterns = [format!("{}.{DOMAIN}", scene.name), format!("*.{}.{DOMAIN}", scene.name)];
    scene.apply(scene.manifest(ZONE, name, json!({"domain": DOMAIN, "patterns": patterns}))).await;
}

fn record(name: &str, of: &str, values: Value) -> Value {
    json!({"zoneRef": {"name": "z"}, "name": name, "type": of, "values": values})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_answered_changed_repaired_and_gone() {
    let (rig, _peace) = rig().await;
    let scene = Scene::new(rig, "dns").await;
    let name = format!("api.{}.{DOMAIN}", scene.name);
    // The child comes first, and waits for its parent.
    scene.apply(scene.manifest(RECORD, "api", record(&name, "A", json!(["192.0.2.10", "192.0.2.11"])))).await;
    scene.until_reason(RECORD, "api", "Reconciling", "ReferenceMissing").await;
    zone(&scene, "z").await;
    scene.until_ready(ZONE, "z").await;
    scene.until_ready(RECORD, "api").await;
    assert_eq!(values(rig, &name, RecordType::A), ["192.0.2.10", "192.0.2.11"]);
    let missing = ask(rig, &format!("nothing.{}.{DOMAIN}", scene.name), RecordType::A);
    assert_eq!(missing.metadata.response_code, ResponseCode::NXDomain);

    scene.apply(scene.manifest(RECORD, "api", record(&name, "A", json!(["192.0.2.12"])))).await;
    until("the change is served", async || values(rig, &name, RecordType::A) == ["192.0.2.12"]).await;

    // Behind the operator's back, then in the wrong order.
    let zones = scene.held("dns-zones").await;
    let records = format!("dns-zones/{}/records", zones[0].id);
    let held = scene.held(&records).await.remove(0);
    scene.wire().patch(&scene.name, &records, &held, json!({"values": ["192.0.2.66"]})).await;
    scene.until_event("api", "DriftRepaired", PATIENCE).await;
    until("it is repaired", async || values(rig, &name, RecordType::A) == ["192.0.2.12"]).await;
    scene.delete(ZONE, "z").await;
    let waiting = scene.until_reason(ZONE, "z", "Reconciling", "InUse").await;
    assert!(message_of(&waiting, "Reconciling").contains("DnsRecord"), "{}", message_of(&waiting, "Reconciling"));
    scene.delete(RECORD, "api").await;
    scene.until_gone(RECORD, "api").await;
    scene.until_gone(ZONE, "z").await;
    scene.until_empty("dns-zones").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bad_record_is_reported_and_the_others_are_served() {
    let (rig, _peace) = rig().await;
    let scene = Scene::new(rig, "badrecord").await;
    zone(&scene, "z").await;
    let good = format!("{}.{DOMAIN}", scene.name);
    scene.apply(scene.manifest(RECORD, "good", record(&good, "TXT", json!(["fine"])))).await;
    scene.apply(scene.manifest(RECORD, "outside", record(&format!("other.{DOMAIN}"), "A", json!(["192.0.2.1"])))).await;
    scene.until_ready(RECORD, "good").await;
    let stalled = scene.until_condition(RECORD, "outside", "Stalled", "True").await;
    assert_eq!(reason_of(&stalled, "Stalled"), "NotServed");
    assert_eq!(ask(rig, &good, RecordType::TXT).answers.len(), 1);
    assert!(ask(rig, &format!("other.{DOMAIN}"), RecordType::A).answers.is_empty());
    scene.until_condition(ZONE, "z", "Degraded", "True").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_domain_that_is_not_the_organizations_is_refused() {
    let (rig, _peace) = rig().await;
    let scene = Scene::new(rig, "foreign").await;
    let spec = json!({"domain": "not-ours.test", "patterns": ["not-ours.test"]});
    scene.apply(scene.manifest(ZONE, "z", spec)).await;
    let stalled = scene.until_stalled(ZONE, "z", "Refused").await;
    assert!(message_of(&stalled, "Stalled").contains("not-ours.test"), "{}", message_of(&stalled, "Stalled"));
    assert_eq!(ask(rig, "not-ours.test", RecordType::A).metadata.response_code, ResponseCode::Refused);
}
