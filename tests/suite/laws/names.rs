//! Objects that follow each other under one name.

use serde_json::json;

use super::{Law, for_every_kind, for_every_root, id};
use crate::rig::Scene;

/// Deletes `x` as if the operator had never heard of it: the finalizer is taken off by force.
async fn tear_out(scene: &Scene, law: &Law) {
    // Paused, so that the finalizer does not come back.
    scene.merge(law.kind, "x", json!({"metadata": {"annotations": {"loopback.cloud/paused": "true"}}})).await;
    scene.until_condition(law.kind, "x", "Paused", "True").await;
    scene.merge(law.kind, "x", json!({"metadata": {"finalizers": null}})).await;
    scene.delete(law.kind, "x").await;
    scene.until_gone(law.kind, "x").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_name_twice_is_two_objects() {
    for_every_kind("again", async |scene, law| {
        let mut before = String::new();
        for _ in 0..6 {
            let object = law.make(scene, "x").await;
            let held = scene.held(law.collection).await;
            assert_eq!(held.len(), 1, "{held:?}");
            assert_eq!(held[0].owner.as_ref().unwrap().uid, object.metadata.uid.clone().unwrap());
            assert_eq!(held[0].id, id(&object));
            assert_ne!(held[0].id, before);
            before = id(&object);
            scene.delete(law.kind, "x").await;
            // The next one is made the moment that this one is gone.
            scene.until_gone(law.kind, "x").await;
        }
        scene.until_empty(law.collection).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_retained_is_taken_by_the_next_of_its_name() {
    for_every_root("retained", async |scene, law| {
        scene.apply(scene.manifest(law.kind, "x", law.with(json!({"deletionPolicy": "Retain"})))).await;
        let first = scene.until_ready(law.kind, "x").await;
        let before = scene.held(law.collection).await.remove(0);
        scene.delete(law.kind, "x").await;
        scene.until_gone(law.kind, "x").await;
        assert_eq!(scene.held(law.collection).await[0].etag, before.etag, "the backend was called");
        let second = law.make(scene, "x").await;
        let after = scene.held(law.collection).await.remove(0);
        assert_eq!((id(&second), after.intent_revision), (id(&first), before.intent_revision));
        assert_eq!(Some(after.owner.unwrap().uid), second.metadata.uid);
        scene.delete(law.kind, "x").await;
        scene.until_gone(law.kind, "x").await;
        scene.until_empty(law.collection).await;
    })
    .await;
}

/// After a restore from a backup: the same names, other UIDs, no status.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_left_behind_is_taken_over() {
    for_every_kind("restore", async |scene, law| {
        let first = law.make(scene, "x").await;
        tear_out(scene, law).await;
        assert_eq!(scene.held(law.collection).await.len(), 1);
        scene.apply(scene.manifest(law.kind, "x", law.other())).await;
        let second = scene.until_ready(law.kind, "x").await;
        assert_ne!(first.metadata.uid, second.metadata.uid);
        assert_eq!(id(&first), id(&second));
        let held = scene.held(law.collection).await;
        assert_eq!(held.len(), 1);
        assert_eq!(held[0].owner.as_ref().unwrap().uid, second.metadata.uid.unwrap());
        scene.delete(law.kind, "x").await;
        scene.until_gone(law.kind, "x").await;
        scene.until_empty(law.collection).await;
    })
    .await;
}
