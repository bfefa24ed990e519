//! Changes of a spec.

use serde_json::json;

use super::{for_every_kind, for_every_kind_that_changes};
use crate::rig::{condition, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_and_back_ends_where_it_began() {
    for_every_kind_that_changes("back", async |scene, law, b| {
        law.make(scene, "x").await;
        let first = scene.held(law.collection).await.remove(0);
        scene.apply(scene.manifest(law.kind, "x", b.clone())).await;
        scene.until_ready(law.kind, "x").await;
        let second = scene.held(law.collection).await.remove(0);
        assert_ne!(second.intent, first.intent);
        law.make(scene, "x").await;
        let third = scene.held(law.collection).await.remove(0);
        assert_eq!((third.id, third.intent), (first.id, first.intent));
    })
    .await;
}

/// Ready for a generation means that the backend holds that generation's spec, however fast the edits come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rapid_edits_end_with_the_last_and_ready_never_lies() {
    for_every_kind_that_changes("rapid", async |scene, law, b| {
        law.make(scene, "x").await;
        let (id, intent) =
            scene.held(law.collection).await.into_iter().map(|held| (held.id, held.intent)).next().unwrap();
        for round in 0..15u64 {
            scene.apply(scene.manifest(law.kind, "x", b.clone())).await;
            tokio::time::sleep(std::time::Duration::from_millis(round)).await;
            scene.apply(scene.manifest(law.kind, "x", law.a.clone())).await;
            scene.until_ready(law.kind, "x").await;
            let held = scene.held(law.collection).await.remove(0);
            assert_eq!((&held.id, &held.intent), (&id, &intent), "round {round}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_object_is_left_alone() {
    for_every_kind_that_changes("paused", async |scene, law, b| {
        law.make(scene, "x").await;
        let before = scene.held(law.collection).await.remove(0);
        let pause = |value: Option<&str>| json!({"metadata": {"annotations": {"loopback.cloud/paused": value}}});
        scene.merge(law.kind, "x", pause(Some("true"))).await;
        scene.until_condition(law.kind, "x", "Paused", "True").await;
        scene.apply(scene.manifest(law.kind, "x", b.clone())).await;
        // The pass that saw the edit says so by the generation of the condition Paused.
        let paused = scene.until_condition(law.kind, "x", "Paused", "True").await;
        assert_eq!(scene.held(law.collection).await[0].etag, before.etag);
        assert_ne!(paused.data["status"]["observedGeneration"], paused.metadata.generation.unwrap());

        scene.merge(law.kind, "x", pause(None)).await;
        let ready = scene.until_ready(law.kind, "x").await;
        assert!(condition(&ready, "Paused").is_none());
        assert_ne!(scene.held(law.collection).await[0].intent, before.intent);

        scene.merge(law.kind, "x", pause(Some("true"))).await;
        scene.until_condition(law.kind, "x", "Paused", "True").await;
        scene.delete(law.kind, "x").await;
        scene.until_gone(law.kind, "x").await;
        scene.until_empty(law.collection).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_object_is_not_created() {
    for_every_kind("paused-first", async |scene, law| {
        law.make_parent(scene).await;
        let mut manifest = scene.manifest(law.kind, "x", law.a.clone());
        manifest["metadata"]["annotations"] = json!({"loopback.cloud/paused": "true"});
        scene.apply(manifest).await;
        let paused = scene.until_condition(law.kind, "x", "Paused", "True").await;
        assert_eq!(paused.metadata.finalizers, None);
        scene.until_condition("ProjectBinding", "default", "Ready", "True").await;
        assert!(scene.held(law.collection).await.is_empty());
        scene.merge(law.kind, "x", json!({"metadata": {"annotations": {"loopback.cloud/paused": "false"}}})).await;
        scene.until_ready(law.kind, "x").await;
        until("it is in the backend", async || scene.held(law.collection).await.len() == 1).await;
    })
    .await;
}
