//! The end of objects.

use std::time::Instant;

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::Api;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Law, PARENT, for_every_kind, kinds};
use crate::rig::{Rig, Scene, alone, below, message_of, rig, until};

/// Scenes that one test has at a time.
const AT_ONCE: usize = 16;

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
    let lives = kinds().into_iter().flat_map(|law| {
        let mut things = vec![(law.kind, "x"), ("ProjectBinding", "default"), ("Secret", "own")];
        things.extend(law.parent.iter().map(|parent| (parent.kind, PARENT)));
        let law = std::sync::Arc::new(law);
        orders(&things).into_iter().map(move |order| (law.clone(), order))
    });
    stream::iter(lives).for_each_concurrent(AT_ONCE, async |(law, order)| ends_in_order(rig, &law, &order).await).await;
}

async fn ends_in_order(rig: &'static Rig, law: &Law, order: &[(&str, &str)]) {
    let scene = own(rig, "any-order").await;
    law.make(&scene, "x").await;
    for (kind, name) in order {
        match *kind {
            "Secret" => delete_secret(&scene, &scene.name, name).await,
            kind => scene.delete(kind, name).await,
        }
    }
    for (kind, name) in order {
        match *kind {
            "Secret" => secret_is_gone(&scene, name).await,
            kind => scene.until_gone(kind, name).await,
        }
    }
    for law in std::iter::once(law).chain(law.parent.as_deref()) {
        scene.until_empty(law.collection).await;
    }
}

/// All orders of some things.
fn orders<T: Clone>(things: &[T]) -> Vec<Vec<T>> {
    let Some((first, rest)) = things.split_first() else { return vec![vec![]] };
    let into = |order: Vec<T>| {
        (0..=order.len()).map(move |at| [&order[..at], std::slice::from_ref(first), &order[at..]].concat())
    };
    orders(rest).into_iter().flat_map(into).collect()
}

/// An object of a kind, and the parent that it has.
fn things(law: &Law) -> Vec<(&'static str, &'static str)> {
    let parent = law.parent.iter().map(|parent| (parent.kind, PARENT));
    std::iter::once((law.kind, "x")).chain(parent).collect()
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
        for (kind, name) in things(law) {
            scene.delete(kind, name).await;
        }
    }
    rig.restart_operator().await;
    for (law, scene) in &scenes {
        for (kind, name) in things(law).into_iter().chain([("ProjectBinding", "default")]) {
            scene.until_gone(kind, name).await;
        }
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
        let path = format!("/v3/projects/{}/{}", scene.name, below(law.collection, held.parent.as_deref()));
        let mut body = json!({"owner": held.owner, "intent": held.intent});
        if let Some(parent) = &held.parent {
            body["parent"] = json!(parent);
        }
        let answer = scene.wire().send(Method::POST, &path, None, Some(body)).await;
        assert_eq!(answer.status(), StatusCode::CONFLICT, "S2: an object was made that nobody will ever delete");
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
                law.apply(&scene, name).await;
            }
            // One is caught before it is Ready, or not; all ends well either way.
            scene.until_condition(law.kind, "x", "Synced", "True").await;
        }
        let namespaces = Api::<Namespace>::all(scene.client.clone());
        let began = Instant::now();
        namespaces.delete(&scene.name, &Default::default()).await.unwrap();
        let mut ours = None;
        until("the namespace is gone", async || {
            if ours.is_none() && nothing_is_left(&scene).await {
                ours = Some(began.elapsed());
            }
            namespaces.get_opt(&scene.name).await.unwrap().is_none()
        })
        .await;
        println!(
            "a namespace with everything in it: {ours:?} until the backend was empty, {:?} in all",
            began.elapsed()
        );
        assert!(nothing_is_left(&scene).await);
    }
}

async fn nothing_is_left(scene: &Scene) -> bool {
    for Law { collection, .. } in kinds() {
        if !scene.held(collection).await.is_empty() {
            return false;
        }
    }
    true
}

/// Everything at once and children last, which is what `kubectl delete -f` of a whole application may come to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_a_namespace_has_can_be_deleted_by_hand_parents_first() {
    let (rig, _peace) = rig().await;
    let scene = own(rig, "by-hand").await;
    let mut order = vec![("ProjectBinding", "default")];
    for law in kinds() {
        law.make(&scene, "x").await;
        order.extend(law.parent.iter().map(|parent| (parent.kind, PARENT)));
    }
    order.extend(kinds().iter().map(|law| (law.kind, "x")));
    delete_secret(&scene, &scene.name, "own").await;
    let began = Instant::now();
    for (kind, name) in &order {
        scene.delete(kind, name).await;
    }
    for (kind, name) in &order {
        scene.until_gone(kind, name).await;
    }
    println!("all kinds, by hand: {:?}", began.elapsed());
    assert!(nothing_is_left(&scene).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_reference_can_be_deleted() {
    let (rig, _peace) = rig().await;
    for law in kinds() {
        let scene = Scene::unbound(rig, "unbound").await;
        law.apply(&scene, "x").await;
        scene.until_condition(law.kind, "x", "Reconciling", "True").await;
        scene.delete(law.kind, "x").await;
        scene.until_gone(law.kind, "x").await;
    }
}
