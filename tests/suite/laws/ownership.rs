//! Whose a backend object is, and how it passes on.

use reqwest::Method;
use serde_json::json;

use super::{for_every_kind, for_every_root, id, stranger};
use crate::rig::{message_of, path_of};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_owns_can_be_imported() {
    for_every_root("import", async |scene, law| {
        let intent = law.intent(scene).await;
        let made = scene.wire().create(&scene.name, law.collection, None, intent).await;
        scene.apply(scene.manifest(law.kind, "x", law.with(json!({"import": {"id": made.id}})))).await;
        let ready = scene.until_ready(law.kind, "x").await;
        let held = scene.held(law.collection).await;
        assert_eq!(held.len(), 1);
        assert_eq!((&held[0].id, &id(&ready)), (&made.id, &made.id));
        assert_eq!(held[0].owner.as_ref().unwrap().uid, ready.metadata.uid.unwrap());
        scene.delete(law.kind, "x").await;
        scene.until_gone(law.kind, "x").await;
        scene.until_empty(law.collection).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_cluster_owns_is_taken_only_by_its_name() {
    for_every_root("foreign", async |scene, law| {
        let intent = law.intent(scene).await;
        let made = scene.wire().create(&scene.name, law.collection, Some(stranger(law)), intent).await;
        scene.apply(scene.manifest(law.kind, "x", law.with(json!({"import": {"id": made.id}})))).await;
        let stalled = scene.until_stalled(law.kind, "x", "OwnedByAnother").await;
        let message = message_of(&stalled, "Stalled");
        for part in ["another-cluster", "elsewhere/theirs", "4711", &made.id] {
            assert!(message.contains(part), "{part}: {message}");
        }
        assert_eq!(stalled.metadata.finalizers, None);
        assert_eq!(scene.held(law.collection).await[0].etag, made.etag);
        scene.delete(law.kind, "x").await;
        scene.until_gone(law.kind, "x").await;
        assert_eq!(scene.held(law.collection).await[0].etag, made.etag);

        let import = json!({"import": {"id": made.id, "fromCluster": "another-cluster"}});
        scene.apply(scene.manifest(law.kind, "x", law.with(import))).await;
        let ready = scene.until_ready(law.kind, "x").await;
        let held = scene.held(law.collection).await;
        assert_eq!((held.len(), &held[0].id), (1, &made.id));
        assert_eq!(held[0].owner.as_ref().unwrap().uid, ready.metadata.uid.unwrap());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_exist_is_not_imported_and_not_made() {
    for_every_root("no-import", async |scene, law| {
        let gone = id(&law.make(scene, "x").await);
        scene.delete(law.kind, "x").await;
        scene.until_gone(law.kind, "x").await;
        scene.apply(scene.manifest(law.kind, "y", law.with(json!({"import": {"id": gone}})))).await;
        let stalled = scene.until_stalled(law.kind, "y", "ImportNotFound").await;
        assert!(message_of(&stalled, "Stalled").contains(&gone));
        assert!(scene.held(law.collection).await.is_empty());
        scene.delete(law.kind, "y").await;
        scene.until_gone(law.kind, "y").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_retained_can_be_imported_under_another_name() {
    for_every_root("hand-over", async |scene, law| {
        scene.apply(scene.manifest(law.kind, "x", law.with(json!({"deletionPolicy": "Retain"})))).await;
        let made = id(&scene.until_ready(law.kind, "x").await);
        // While its owner exists it is refused, ...
        // The spec is that of x, in all that it names after itself.
        let mut other = scene.manifest(law.kind, "x", law.with(json!({"import": {"id": made}})));
        other["metadata"]["name"] = json!("y");
        scene.apply(other).await;
        let stalled = scene.until_stalled(law.kind, "y", "OwnedByAnother").await;
        assert!(message_of(&stalled, "Stalled").contains(&format!("{}/x", scene.name)));
        // ... and taken at once when the owner lets go.
        scene.delete(law.kind, "x").await;
        let ready = scene.until_ready(law.kind, "y").await;
        let held = scene.held(law.collection).await;
        assert_eq!((held.len(), &held[0].id), (1, &made));
        assert_eq!(held[0].owner.as_ref().unwrap().uid, ready.metadata.uid.unwrap());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_taken_from_us_is_not_made_a_second_time() {
    for_every_kind("robbed", async |scene, law| {
        law.make(scene, "x").await;
        let held = scene.held(law.collection).await.remove(0);
        let path = format!("{}/owner", path_of(&scene.name, law.collection, &held));
        scene.wire().ask(Method::PUT, &path, None, Some(json!({"from": held.owner, "to": stranger(law)}))).await;
        let stalled = scene.until_stalled(law.kind, "x", "OwnedByAnother").await;
        assert!(message_of(&stalled, "Stalled").contains("another-cluster"));
        assert_eq!(scene.held(law.collection).await.len(), 1);
        scene.delete(law.kind, "x").await;
        scene.until_gone(law.kind, "x").await;
        assert_eq!(scene.held(law.collection).await.remove(0).owner.unwrap().uid, "4711");
    })
    .await;
}
