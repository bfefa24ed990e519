//! What others change in the backend is noticed and repaired at once.

use std::time::Instant;

use serde_json::json;

use crate::{
    laws::{for_every_kind, for_every_root},
    rig::{PATIENCE, condition, until},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_behind_our_back_is_repaired_and_told() {
    for_every_kind("drift", async |scene, law| {
        law.make(scene, "x").await;
        let before = scene.held(law.collection).await.remove(0);
        let tampered = Instant::now();
        law.tamper(scene, &before).await;
        until("it is repaired", async || {
            let held = scene.held(law.collection).await.remove(0);
            held.intent == before.intent && held.intent_revision > before.intent_revision
        })
        .await;
        println!("{}: a change was repaired after {} ms", law.kind, tampered.elapsed().as_millis());
        let event = scene.until_event("x", "DriftRepaired", PATIENCE).await;
        assert!(event.contains("set ") || event.contains("remove "), "the event says what was done: {event}");
        scene.until_ready(law.kind, "x").await;
        // That it is Ready again is told only where a slow machine had to say that it was not.
        let others = scene.events("x").await.into_iter().filter(|event| !event.starts_with("Ready:")).count();
        assert_eq!(others, 1, "{:?}", scene.events("x").await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_deleted_behind_our_back_is_made_anew_and_told() {
    for_every_kind("drift-gone", async |scene, law| {
        law.make(scene, "x").await;
        let before = scene.held(law.collection).await.remove(0);
        let deleted = Instant::now();
        scene.wire().delete(&scene.name, law.collection, &before).await;
        until("it is there again", async || {
            let held = scene.held(law.collection).await;
            held.first().is_some_and(|held| held.id != before.id && held.intent == before.intent)
        })
        .await;
        println!("{}: a deletion was repaired after {} ms", law.kind, deleted.elapsed().as_millis());
        scene.until_event("x", "DriftRepaired", PATIENCE).await;
        let id = scene.held(law.collection).await[0].id.clone();
        until("the status names the new one", async || {
            scene.get(law.kind, "x").await.unwrap().data["status"]["id"] == id.as_str()
        })
        .await;
        scene.until_ready(law.kind, "x").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_deleted_under_observe_is_only_reported() {
    for_every_root("drift-observed", async |scene, law| {
        law.make(scene, "x").await;
        scene.apply(scene.manifest(law.kind, "x", law.with(json!({"managementPolicy": "Observe"})))).await;
        let ready = scene.until_ready(law.kind, "x").await;
        assert!(condition(&ready, "Drifted").is_none());
        let held = scene.held(law.collection).await.remove(0);
        scene.wire().delete(&scene.name, law.collection, &held).await;
        scene.until_stalled(law.kind, "x", "ImportNotFound").await;
        assert!(scene.held(law.collection).await.is_empty());
    })
    .await;
}
