//! Who may write which names, as somebody reads it who knows nothing of the others.

use std::time::Instant;

use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use reqwest::Method;
use serde_json::json;

use crate::rig::{DOMAIN, Scene, message_of, rig, status_of, until};

const ZONE: &str = "ProjectDnsZone";
const RECORD: &str = "DnsRecord";

async fn zone(scene: &Scene, domain: &str, patterns: &[&str]) {
    scene.apply(scene.manifest(ZONE, "z", json!({"domain": domain, "patterns": patterns}))).await;
}

async fn record(scene: &Scene, object: &str, name: &str, of: &str, value: &str) {
    let spec = json!({"zoneRef": {"name": "z"}, "name": name, "type": of, "values": [value]});
    scene.apply(scene.manifest(RECORD, object, spec)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_of_another_project_are_refused_and_the_other_side_is_named() {
    let (rig, _peace) = rig().await;
    let (ours, theirs) = (Scene::new(rig, "overlap-a").await, Scene::new(rig, "overlap-b").await);
    let (star, name) = (format!("*.{}.{DOMAIN}", ours.name), format!("api.{}.{DOMAIN}", ours.name));
    zone(&ours, DOMAIN, &[&star]).await;
    ours.until_ready(ZONE, "z").await;
    zone(&theirs, DOMAIN, &[&name]).await;
    let stalled = theirs.until_stalled(ZONE, "z", "Refused").await;
    let message = message_of(&stalled, "Stalled");
    for part in [&name, &star, "the zone z", &format!("the project {}", ours.name), "patterns", "narrow one of the two"]
    {
        assert!(message.contains(part), "{part}: {message}");
    }
    // the other side narrows; ours is tried again
    zone(&ours, DOMAIN, &[&format!("other.{}.{DOMAIN}", ours.name)]).await;
    ours.until_ready(ZONE, "z").await;
    let again = json!({"metadata": {"annotations": {"loopback.cloud/reconcile-requested-at": "1"}}});
    until("it is taken", async || {
        theirs.merge(ZONE, "z", again.clone()).await;
        theirs.held("dns-zones").await.len() == 1
    })
    .await;
    theirs.until_ready(ZONE, "z").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn narrower_patterns_keep_records_and_mark_them() {
    let (rig, _peace) = rig().await;
    let scene = Scene::new(rig, "narrow").await;
    let (star, stays) = (format!("*.{}.{DOMAIN}", scene.name), format!("stays.{}.{DOMAIN}", scene.name));
    zone(&scene, DOMAIN, &[&star]).await;
    record(&scene, "stays", &stays, "A", "192.0.2.1").await;
    record(&scene, "falls", &format!("falls.{}.{DOMAIN}", scene.name), "A", "192.0.2.1").await;
    scene.until_ready(RECORD, "stays").await;
    scene.until_ready(RECORD, "falls").await;
    zone(&scene, DOMAIN, &[&stays]).await;
    let stalled = scene.until_stalled(RECORD, "falls", "NotServed").await;
    let message = message_of(&stalled, "Stalled");
    for part in ["falls.", "no pattern of its zone z", &stays, "rename the record, or add a pattern"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    scene.until_ready(RECORD, "stays").await;
    let degraded = scene.until_condition(ZONE, "z", "Degraded", "True").await;
    assert!(message_of(&degraded, "Degraded").starts_with("1 record is not served; falls."), "{degraded:?}");
    until("the zone counts", async || {
        let zone = scene.get(ZONE, "z").await.expect("a zone");
        let listed = status_of(&zone)["unservedRecords"].as_array().map_or(0, Vec::len);
        (status_of(&zone)["records"].as_u64(), listed) == (Some(1), 1)
    })
    .await;
    let records = format!("dns-zones/{}/records", scene.held("dns-zones").await[0].id);
    assert_eq!(scene.held(&records).await.len(), 2, "what is not served is kept");
    zone(&scene, DOMAIN, &[&star]).await;
    scene.until_ready(RECORD, "falls").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_domain_that_is_taken_away_is_served_until_its_zone_changes() {
    let (rig, _peace) = rig().await;
    let scene = Scene::new(rig, "taken").await;
    let domain = format!("{}.test", scene.name);
    let path = format!("/v3/organizations/acme/domains/{domain}");
    scene.wire().put(&path, json!({})).await;
    zone(&scene, &domain, &[&domain]).await;
    record(&scene, "r", &domain, "TXT", "here").await;
    scene.until_ready(RECORD, "r").await;
    scene.wire().ask(Method::DELETE, &path, None, None).await;
    scene.until_ready(RECORD, "r").await;
    zone(&scene, &domain, &[&domain, &format!("*.{domain}")]).await;
    let stalled = scene.until_stalled(ZONE, "z", "Refused").await;
    let message = message_of(&stalled, "Stalled");
    for part in ["domain", "the organization acme does not own the domain", &domain, "an administrator must give"] {
        assert!(message.contains(part), "{part}: {message}");
    }
}

/// What the API server lets through because its rules cannot say it: the backend refuses it by field.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_that_only_the_backend_understands_are_stalled_by_field() {
    let (rig, _peace) = rig().await;
    let scene = Scene::new(rig, "badvalue").await;
    let name = format!("{}.{DOMAIN}", scene.name);
    zone(&scene, DOMAIN, &[&name]).await;
    scene.until_ready(ZONE, "z").await;
    let cases: [(&str, &str, &str, &str); 6] = [
        ("mx", "MX", "99999 mail.example.test", "preference and host"),
        ("mx-name", "MX", "10 -mail.example.test", "hyphen"),
        ("srv", "SRV", "10 5 70000 sip.example.test", "priority, weight, port and host"),
        ("caa", "CAA", "300 issue ca.example.net", "flags, tag and value"),
        ("txt", "TXT", "\"open", "do not match"),
        ("txt-long", "TXT", &format!("\"{}\"", "x".repeat(256)), "longer than 255 bytes"),
    ];
    for (object, of, value, says) in cases {
        record(&scene, object, &name, of, value).await;
        let stalled = scene.until_stalled(RECORD, object, "Refused").await;
        let message = message_of(&stalled, "Stalled");
        assert!(message.contains("values") && message.contains(says), "{object}: {message}");
    }
}

/// The namespace's controller begins 5 s after the deletion, and looks again 5 s later: some ten seconds in all, of which ours
/// are those between its first deletion and the last object's end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_with_a_zone_and_records_is_emptied_at_once() {
    let (rig, _peace) = rig().await;
    let scene = Scene::new(rig, "nsdns").await;
    let name = format!("{}.{DOMAIN}", scene.name);
    zone(&scene, DOMAIN, &[&format!("*.{name}")]).await;
    for n in 0..10 {
        record(&scene, &format!("r{n}"), &format!("r{n}.{name}"), "A", "192.0.2.1").await;
    }
    for n in 0..10 {
        scene.until_ready(RECORD, &format!("r{n}")).await;
    }
    let namespaces = Api::<Namespace>::all(scene.client.clone());
    namespaces.delete(&scene.name, &Default::default()).await.expect("it can be deleted");
    until("the controller begins", async || {
        scene.get(ZONE, "z").await.is_none_or(|zone| zone.metadata.deletion_timestamp.is_some())
    })
    .await;
    let began = Instant::now();
    for n in 0..10 {
        scene.until_gone(RECORD, &format!("r{n}")).await;
    }
    scene.until_gone(ZONE, "z").await;
    println!("a zone and ten records: gone after {:?}", began.elapsed());
    scene.until_empty("dns-zones").await;
    until("the namespace is gone", async || {
        namespaces.get_opt(&scene.name).await.expect("the API server answers").is_none()
    })
    .await;
}
