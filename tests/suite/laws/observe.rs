//! `managementPolicy: Observe` looks and never touches.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Law, for_each, for_every_root, id, roots};
use crate::rig::{condition, message_of, until};

/// There are no two of one name.
const UNIQUE: &str = "ObjectBucket";

fn observing(law: &Law) -> Value {
    law.with(json!({"managementPolicy": "Observe"}))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_observer_finds_by_name_and_never_writes() {
    for_every_root("observe", async |scene, law| {
        let intent = law.intent(scene).await;
        scene.apply(scene.manifest(law.kind, "x", observing(law))).await;
        scene.until_stalled(law.kind, "x", "ImportNotFound").await;

        let made = scene.wire().create(&scene.name, law.collection, None, intent).await;
        let ready = scene.until_ready(law.kind, "x").await;
        assert_eq!(id(&ready), made.id);

        let tampered = law.tamper(scene, &made).await;
        let drifted = scene.until_condition(law.kind, "x", "Drifted", "True").await;
        assert_eq!(condition(&drifted, "Ready").unwrap()["status"], "False");
        scene.until_event("x", "DriftFound", Duration::from_secs(30)).await;

        let now = scene.held(law.collection).await.remove(0);
        assert_eq!((now.etag, now.owner), (tampered.etag, None));
        assert_eq!(drifted.metadata.finalizers, None);
        scene.delete(law.kind, "x").await;
        scene.until_gone(law.kind, "x").await;
        assert_eq!(scene.held(law.collection).await.len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_observer_that_may_manage_takes_what_it_saw() {
    for_every_root("to-manage", async |scene, law| {
        let intent = law.intent(scene).await;
        let made = scene.wire().create(&scene.name, law.collection, None, intent).await;
        law.tamper(scene, &made).await;
        scene.apply(scene.manifest(law.kind, "x", observing(law))).await;
        scene.until_condition(law.kind, "x", "Drifted", "True").await;
        let ready = law.make(scene, "x").await;
        let held = scene.held(law.collection).await;
        assert_eq!(held.len(), 1, "{held:?}");
        assert_eq!((&held[0].id, &held[0].intent), (&made.id, &made.intent));
        assert_eq!(held[0].owner.as_ref().unwrap().uid, ready.metadata.uid.clone().unwrap());
        assert!(ready.metadata.finalizers.is_some() && condition(&ready, "Drifted").is_none());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manager_that_only_observes_stops_writing_and_lets_go_of_nothing() {
    for_every_root("to-observe", async |scene, law| {
        law.make(scene, "x").await;
        let before = scene.held(law.collection).await.remove(0);
        // What Manage does about it ...
        law.tamper(scene, &before).await;
        let told = scene.until_event("x", "DriftRepaired", Duration::from_secs(30)).await;
        let text = told.rsplit_once("repaired: ").unwrap().1;
        until("it is repaired", async || scene.held(law.collection).await[0].intent == before.intent).await;
        // ... is what Observe says.
        scene.apply(scene.manifest(law.kind, "x", observing(law))).await;
        scene.until_ready(law.kind, "x").await;
        let held = scene.held(law.collection).await.remove(0);
        let tampered = law.tamper(scene, &held).await;
        let drifted = scene.until_condition(law.kind, "x", "Drifted", "True").await;
        assert!(message_of(&drifted, "Drifted").ends_with(text), "{} / {text}", message_of(&drifted, "Drifted"));
        let held = scene.held(law.collection).await.remove(0);
        assert_eq!((&held.etag, &held.owner), (&tampered.etag, &before.owner));

        let ready = law.make(scene, "x").await;
        assert_eq!(id(&ready), before.id);
        assert_eq!(scene.held(law.collection).await[0].intent, before.intent);

        scene.apply(scene.manifest(law.kind, "x", observing(law))).await;
        scene.until_ready(law.kind, "x").await;
        scene.delete(law.kind, "x").await;
        scene.until_gone(law.kind, "x").await;
        assert_eq!(scene.held(law.collection).await[0].phase.to_string(), "Live");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_observer_that_sees_two_asks_which() {
    let shared = roots().into_iter().filter(|law| law.kind != UNIQUE).collect();
    for_each(shared, "ambiguous", async |scene, law| {
        let intent = law.intent(scene).await;
        let one = scene.wire().create(&scene.name, law.collection, None, intent.clone()).await;
        let other = scene.wire().create(&scene.name, law.collection, None, intent).await;
        scene.apply(scene.manifest(law.kind, "x", observing(law))).await;
        let stalled = scene.until_stalled(law.kind, "x", "Ambiguous").await;
        let message = message_of(&stalled, "Stalled");
        assert!(message.contains(&one.id) && message.contains(&other.id), "{message}");
        scene.wire().delete(&scene.name, law.collection, &one).await;
        assert_eq!(id(&scene.until_ready(law.kind, "x").await), other.id);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_observer_may_name_what_it_looks_at() {
    for_every_root("by-id", async |scene, law| {
        let intent = law.intent(scene).await;
        let made = scene.wire().create(&scene.name, law.collection, Some(super::stranger(law)), intent).await;
        let spec = law.with(json!({"managementPolicy": "Observe", "import": {"id": made.id}}));
        scene.apply(scene.manifest(law.kind, "x", spec)).await;
        assert_eq!(id(&scene.until_ready(law.kind, "x").await), made.id);
        assert_eq!(scene.held(law.collection).await[0].owner, made.owner);
    })
    .await;
}
