//! The end of objects.

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::Api;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Law, for_every_kind, kinds};
use crate::rig::{Rig, Scene, alone, message_of, rig, until};

/// A namespace with a token of its own, whose Secret, binding and objects can be deleted in any order.
async fn own(rig: &'static Rig, what: &str) -> Scene {
    let scene = Scene::unbound(rig, what).await;
    scene.bind_own("default").await;
    scene
}

async fn delete_secret(scene: &Scene, namespace: &str, name: &str) {
    let api = Api::<Secret>::namespaced(scene.client.clone(), namespace);
    api.delete(name, &Default::default()).await.expect("the Secret can be deleted");
}

async fn secret_is_gone(scene: &Scene, name: &str) {
    let api = Api::<Secret>::namespaced(scene.client.clone(), &scene.name);
    until("the Secret is gone", async || api.get_opt(name).await.unwrap().is_none()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletion_ends_in_whatever_order_things_are_deleted() {
    let (rig, _peace) = rig().await;
    for law in kinds() {
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let scene = own(rig, "any-order").await;
            law.make(&scene, "x").await;
            for what in order {
                match what {
                    0 => scene.delete(law.kind, "x").await,
                    1 => scene.delete("ProjectBinding", "default").await,
                    _ => delete_secret(&scene, &scene.name, "own").await,
                }
            }
            scene.until_gone(law.kind, "x").await;
            scene.until_gone("ProjectBinding", "default").await;
            secret_is_gone(&scene, "own").await;
            scene.until_empty(law.collection).await;
        }
    }
}

/// An operator that has just begun lists its kinds in any order: it lets no binding go before it knows who needs it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_deleted_while_the_operator_was_away_ends_after_its_return() {
    let (rig, _alone) = alone().await;
    let mut scenes = Vec::new();
    for law in kinds() {
        let scene = own(rig, "away").await;
        law.make(&scene, "x").await;
        scenes.push((law, scene));
    }
    rig.operator.kill();
    for (law, scene) in &scenes {
        scene.delete("ProjectBinding", "default").await;
        scene.delete(law.kind, "x").await;
    }
    rig.restart_operator().await;
    for (law, scene) in &scenes {
        scene.until_gone(law.kind, "x").await;
        scene.until_gone("ProjectBinding", "default").await;
        scene.until_empty(law.collection).await;
    }
}

/// What was lent and taken back: the deletion waits, says for what, and goes on when it is there again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletion_without_its_backend_waits_and_says_so() {
    for_every_kind("no-backend", async |scene, law| {
        law.make(scene, "x").await;
        scene.delete("LoopbackBackend", &scene.name).await;
        scene.until_condition("ProjectBinding", "default", "Ready", "False").await;
        scene.delete(law.kind, "x").await;
        let waiting = scene.until_condition(law.kind, "x", "Reconciling", "True").await;
        let message = message_of(&waiting, "Ready");
        assert!(message.contains(&format!("LoopbackBackend {}", scene.name)), "{message}");
        scene.grant_all().await;
        scene.until_gone(law.kind, "x").await;
        scene.until_empty(law.collection).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_backend_has_lost_already_can_be_deleted() {
    for_every_kind("lost", async |scene, law| {
        law.make(scene, "x").await;
        // Paused, so that it is not made anew.
        scene.merge(law.kind, "x", json!({"metadata": {"annotations": {"loopback.cloud/paused": "true"}}})).await;
        scene.until_condition(law.kind, "x", "Paused", "True").await;
        let held = scene.held(law.collection).await.remove(0);
        scene.wire().delete(&scene.name, law.collection, &held).await;
        scene.until_empty(law.collection).await;
        scene.delete(law.kind, "x").await;
        scene.until_gone(law.kind, "x").await;
        assert!(scene.held(law.collection).await.is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_create_is_refused_for_good() {
    for_every_kind("late", async |scene, law| {
        law.make(scene, "x").await;
        let held = scene.held(law.collection).await.remove(0);
        scene.delete(law.kind, "x").await;
        scene.until_gone(law.kind, "x").await;
        let path = format!("/v3/projects/{}/{}", scene.name, law.collection);
        let body = json!({"owner": held.owner, "intent": held.intent});
        let answer = scene.wire().send(Method::POST, &path, None, Some(body)).await;
        assert_eq!(answer.status(), StatusCode::CONFLICT);
        let problem: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!(problem["code"], "owner_retired");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_with_everything_in_it_can_be_deleted() {
    let (rig, _peace) = rig().await;
    for lent in [true, false] {
        let scene = if lent { Scene::new(rig, "ends").await } else { own(rig, "ends-own").await };
        for law in kinds() {
            for name in ["x", "y", "z"] {
                scene.apply(scene.manifest(law.kind, name, law.a.clone())).await;
            }
            // One is caught before it is Ready, or not; all ends well either way.
            scene.until_condition(law.kind, "x", "Synced", "True").await;
        }
        let namespaces = Api::<Namespace>::all(scene.client.clone());
        namespaces.delete(&scene.name, &Default::default()).await.unwrap();
        until("the namespace is gone", async || namespaces.get_opt(&scene.name).await.unwrap().is_none()).await;
        for Law { collection, .. } in kinds() {
            scene.until_empty(collection).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_reference_can_be_deleted() {
    let (rig, _peace) = rig().await;
    for law in kinds() {
        let scene = Scene::unbound(rig, "unbound").await;
        scene.apply(scene.manifest(law.kind, "x", law.a.clone())).await;
        scene.until_condition(law.kind, "x", "Reconciling", "True").await;
        scene.delete(law.kind, "x").await;
        scene.until_gone(law.kind, "x").await;
    }
}
