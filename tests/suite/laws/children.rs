//! Children and their parents, which come and go in any order.

use serde_json::json;

use super::{Law, PARENT, children, for_each, id};
use crate::rig::{Scene, below, condition, message_of, reason_of, until};

async fn for_every_child(what: &str, law: impl AsyncFn(&Scene, &Law, &Law)) {
    for_each(children(), what, async |scene, child| {
        law(scene, child, child.parent.as_ref().expect("a child has a parent")).await;
    })
    .await;
}

async fn apply_child(scene: &Scene, child: &Law, name: &str) {
    scene.apply(scene.manifest(child.kind, name, child.a.clone())).await;
}

async fn apply_parent(scene: &Scene, parent: &Law, more: serde_json::Value) {
    scene.apply(scene.manifest(parent.kind, PARENT, parent.with(more))).await;
}

/// Lets go of the parent in Kubernetes and leaves it in the backend.
async fn drop_parent(scene: &Scene, parent: &Law) {
    apply_parent(scene, parent, json!({"deletionPolicy": "Retain"})).await;
    scene.until_ready(parent.kind, PARENT).await;
    scene.delete(parent.kind, PARENT).await;
    scene.until_gone(parent.kind, PARENT).await;
}

/// Waits for the parent: nobody is asked to act, and nothing keeps the child.
async fn waits(scene: &Scene, child: &Law, name: &str, says: &str) {
    let waiting = scene.until_reason(child.kind, name, "Reconciling", "ReferenceMissing").await;
    assert!(message_of(&waiting, "Reconciling").contains(says), "{}", message_of(&waiting, "Reconciling"));
    assert!(condition(&waiting, "Stalled").is_none());
}

async fn both_end(scene: &Scene, child: &Law, parent: &Law) {
    scene.until_gone(child.kind, "x").await;
    scene.until_gone(parent.kind, PARENT).await;
    scene.until_empty(child.collection).await;
    scene.until_empty(parent.collection).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parent_may_come_late() {
    for_every_child("late-parent", async |scene, child, parent| {
        apply_child(scene, child, "x").await;
        waits(scene, child, "x", &format!("{} {PARENT}", parent.kind)).await;
        assert_eq!(scene.get(child.kind, "x").await.unwrap().metadata.finalizers, None);
        apply_parent(scene, parent, json!({})).await;
        scene.until_ready(child.kind, "x").await;
        let held = scene.held(child.collection).await.remove(0);
        assert_eq!(held.parent, Some(scene.held(parent.collection).await.remove(0).id));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parent_waits_for_its_children_and_says_who_they_are() {
    for_every_child("in-use", async |scene, child, parent| {
        child.make(scene, "x").await;
        scene.delete(parent.kind, PARENT).await;
        let waiting = scene.until_reason(parent.kind, PARENT, "Reconciling", "InUse").await;
        let message = message_of(&waiting, "Reconciling");
        assert!(message.contains(&format!("{} {}/x", child.kind, scene.name)), "{message}");
        // Until then the child still works, and one that comes now waits for another parent.
        scene.apply(scene.manifest(child.kind, "x", child.other())).await;
        scene.until_ready(child.kind, "x").await;
        apply_child(scene, child, "late").await;
        waits(scene, child, "late", "being deleted").await;
        scene.delete(child.kind, "x").await;
        both_end(scene, child, parent).await;
        waits(scene, child, "late", "create it").await;
        apply_parent(scene, parent, json!({})).await;
        scene.until_ready(child.kind, "late").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_and_parent_may_be_deleted_at_once() {
    for_every_child("both", async |scene, child, parent| {
        child.make(scene, "x").await;
        tokio::join!(scene.delete(parent.kind, PARENT), scene.delete(child.kind, "x"));
        both_end(scene, child, parent).await;
        // Also before either of them is Ready: then the deletion may overrun the finalizer.
        for _ in 0..10 {
            child.apply(scene, "x").await;
            tokio::join!(scene.delete(parent.kind, PARENT), scene.delete(child.kind, "x"));
            both_end(scene, child, parent).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_outlives_its_parent_and_goes_without_it() {
    for_every_child("outlives", async |scene, child, parent| {
        child.make(scene, "x").await;
        let before = scene.held(child.collection).await.remove(0);
        drop_parent(scene, parent).await;
        waits(scene, child, "x", "create it").await;
        assert_eq!(scene.held(child.collection).await[0].etag, before.etag);
        scene.delete(child.kind, "x").await;
        scene.until_gone(child.kind, "x").await;
        scene.until_empty(child.collection).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parent_that_comes_back_finds_its_child() {
    for_every_child("comes-back", async |scene, child, parent| {
        let first = child.make(scene, "x").await;
        drop_parent(scene, parent).await;
        waits(scene, child, "x", "create it").await;
        scene.apply(scene.manifest(child.kind, "x", child.other())).await;
        apply_parent(scene, parent, json!({})).await;
        let second = scene.until_ready(child.kind, "x").await;
        assert_eq!((id(&first), 1), (id(&second), scene.held(child.collection).await.len()));
    })
    .await;
}

/// The new parent of the old name is another one in the backend.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_follows_its_parent_to_another_object() {
    for_every_child("follows", async |scene, child, parent| {
        child.make(scene, "x").await;
        let left = scene.held(parent.collection).await.remove(0);
        let intent = serde_json::from_str(
            &left.intent.to_string().replace(&format!("{}-p", scene.name), &format!("{}-q", scene.name)),
        );
        let other = scene.wire().create(&scene.name, parent.collection, None, intent.unwrap()).await;
        drop_parent(scene, parent).await;
        // What the first one left behind is not to be taken over by name.
        let owner = format!("/v3/projects/{}/{}/{}/owner", scene.name, parent.collection, left.id);
        let stranger = super::stranger(parent);
        let left = scene.wire().get(&scene.name, parent.collection, &left.id).await;
        let claim = json!({"from": left.owner, "to": stranger});
        scene.wire().ask(reqwest::Method::PUT, &owner, None, Some(claim)).await;
        apply_parent(scene, parent, json!({"import": {"id": other.id}})).await;
        until("the child is below its new parent", async || {
            let held = scene.held(child.collection).await;
            held.len() == 1 && held[0].parent.as_ref() == Some(&other.id)
        })
        .await;
        let ready = scene.until_ready(child.kind, "x").await;
        let held = scene.held(child.collection).await.remove(0);
        until("the status names it", async || id(&scene.get(child.kind, "x").await.unwrap()) == held.id).await;
        assert_eq!(held.owner.unwrap().uid, ready.metadata.uid.unwrap());
        let below = below(child.collection, Some(&other.id));
        assert_eq!(scene.wire().list(&scene.name, &below).await.len(), 1);
        scene.delete(child.kind, "x").await;
        scene.delete(parent.kind, PARENT).await;
        scene.until_gone(parent.kind, PARENT).await;
        scene.until_empty(child.collection).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parent_that_was_deleted_behind_our_back_is_made_anew_with_its_children() {
    for_every_child("parent-gone", async |scene, child, parent| {
        child.make(scene, "x").await;
        // Paused, so that the child does not come back between its own end and its parent's.
        let pause = |value: Option<&str>| json!({"metadata": {"annotations": {"loopback.cloud/paused": value}}});
        scene.merge(child.kind, "x", pause(Some("true"))).await;
        scene.until_condition(child.kind, "x", "Paused", "True").await;
        let (above, held) =
            (scene.held(parent.collection).await.remove(0), scene.held(child.collection).await.remove(0));
        scene.wire().delete(&scene.name, child.collection, &held).await;
        scene.until_empty(child.collection).await;
        scene.wire().delete(&scene.name, parent.collection, &above).await;
        scene.merge(child.kind, "x", pause(None)).await;
        until("both are there again", async || {
            let (parents, children) = (scene.held(parent.collection).await, scene.held(child.collection).await);
            let new = parents.len() == 1 && parents[0].id != above.id;
            new && children.len() == 1 && children[0].parent.as_ref() == Some(&parents[0].id)
        })
        .await;
        scene.until_ready(child.kind, "x").await;
        scene.until_ready(parent.kind, PARENT).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_waits_while_its_parent_is_stalled() {
    for_every_child("stalled", async |scene, child, parent| {
        apply_parent(scene, parent, json!({"managementPolicy": "Observe"})).await;
        scene.until_stalled(parent.kind, PARENT, "ImportNotFound").await;
        apply_child(scene, child, "x").await;
        waits(scene, child, "x", &format!("{} {}/{PARENT}", parent.kind, scene.name)).await;
        // What is only observed is good enough as a parent.
        apply_parent(scene, parent, json!({"managementPolicy": "Manage"})).await;
        scene.until_ready(child.kind, "x").await;
        apply_parent(scene, parent, json!({"managementPolicy": "Observe"})).await;
        scene.until_ready(parent.kind, PARENT).await;
        scene.apply(scene.manifest(child.kind, "x", child.other())).await;
        let ready = scene.until_ready(child.kind, "x").await;
        assert_eq!(reason_of(&ready, "Ready"), "Ready");
    })
    .await;
}
