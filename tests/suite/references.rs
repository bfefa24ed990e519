//! What objects refer to - bindings, backends, tokens, grants - may come late, change and go.

use std::net::TcpListener;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, api::DynamicObject};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    laws::{Law, kinds},
    rig::{Scene, alone, condition, message_of, permissions, reason_of, rig, until},
};

const BINDING: &str = "ProjectBinding";

fn law() -> Law {
    kinds().remove(0)
}

/// Waits for a reason of Reconciling, and that nobody is asked to act.
async fn waits(scene: &Scene, kind: &str, name: &str, says: &str) {
    let object = scene.until_reason(kind, name, "Reconciling", "ReferenceMissing").await;
    assert!(message_of(&object, "Reconciling").contains(says), "{}", message_of(&object, "Reconciling"));
    assert!(condition(&object, "Stalled").is_none());
}

async fn intent(scene: &Scene, law: &Law) -> serde_json::Value {
    scene.held(law.collection).await[0].intent.clone()
}

fn version(object: &DynamicObject) -> &str {
    object.metadata.resource_version.as_deref().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_may_come_late() {
    let (rig, _peace) = rig().await;
    let (scene, law) = (Scene::bare(rig, rig.client(), "late-lent").await, law());
    scene.apply(scene.manifest(law.kind, "x", law.a.clone())).await;
    waits(&scene, law.kind, "x", "ProjectBinding default").await;
    scene.bind("default", json!({"backendRef": {"name": scene.name}})).await;
    waits(&scene, BINDING, "default", &format!("LoopbackBackend {}", scene.name)).await;
    scene.grant_all().await;
    let secret = format!("Secret loopback-system/{}", scene.name);
    let binding = scene.until_reason(BINDING, "default", "Reconciling", "TokenMissing").await;
    assert!(message_of(&binding, "Ready").contains(&secret), "{}", message_of(&binding, "Ready"));
    scene.until_reason("LoopbackBackend", &scene.name, "Reconciling", "TokenMissing").await;
    let waiting = scene.get(law.kind, "x").await.unwrap();
    assert!(condition(&waiting, "Stalled").is_none());
    scene.secret("loopback-system", &scene.name, &scene.token.0).await;
    scene.until_ready(law.kind, "x").await;
    scene.until_ready(BINDING, "default").await;
    scene.until_ready("LoopbackBackend", &scene.name).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespaces_own_token_may_come_late() {
    let (rig, _peace) = rig().await;
    let (scene, law) = (Scene::bare(rig, rig.client(), "late-own").await, law());
    scene.bind("default", json!({"tokenSecretRef": {"name": "own", "key": "token"}})).await;
    scene.apply(scene.manifest(law.kind, "x", law.a.clone())).await;
    let binding = scene.until_reason(BINDING, "default", "Reconciling", "TokenMissing").await;
    assert!(condition(&binding, "Stalled").is_none());
    scene.secret(&scene.name, "own", &scene.token.0).await;
    scene.until_ready(law.kind, "x").await;
    // The token is kept while it has users, and let go of afterwards.
    let secrets = Api::<Secret>::namespaced(scene.client.clone(), &scene.name);
    assert!(secrets.get("own").await.unwrap().metadata.finalizers.is_some());
    scene.delete(law.kind, "x").await;
    scene.delete(BINDING, "default").await;
    scene.until_gone(BINDING, "default").await;
    until("the Secret is free", async || {
        secrets.get("own").await.unwrap().metadata.finalizers.unwrap_or_default().is_empty()
    })
    .await;
}

/// Whether the operator keeps a Secret; `None`: there is none.
async fn kept(scene: &Scene, name: &str) -> Option<bool> {
    let secret = Api::<Secret>::namespaced(scene.client.clone(), &scene.name).get_opt(name).await.unwrap()?;
    Some(secret.metadata.finalizers.is_some_and(|all| !all.is_empty()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_a_binding_names_no_more_is_free() {
    let (rig, _peace) = rig().await;
    let (scene, law) = (Scene::bare(rig, rig.client(), "moved-own").await, law());
    scene.bind_own("default").await;
    law.make(&scene, "x").await;
    assert_eq!(kept(&scene, "own").await, Some(true));
    scene.secret(&scene.name, "next", &scene.token.0).await;
    scene.bind("default", json!({"tokenSecretRef": {"name": "next", "key": "token"}})).await;
    until("the new one is kept", async || kept(&scene, "next").await == Some(true)).await;
    until("the old one is free", async || kept(&scene, "own").await == Some(false)).await;
    scene.delete(law.kind, "x").await;
    scene.delete(BINDING, "default").await;
    until("both are free", async || kept(&scene, "next").await == Some(false)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_kept_until_the_last_binding_that_shares_it_has_gone() {
    let (rig, _peace) = rig().await;
    let scene = Scene::bare(rig, rig.client(), "shared-own").await;
    scene.bind_own("default").await;
    scene.bind_own("second").await;
    for name in ["default", "second"] {
        scene.until_ready(BINDING, name).await;
    }
    // From now on nobody could put a finalizer on it again.
    let secrets = Api::<Secret>::namespaced(scene.client.clone(), &scene.name);
    secrets.delete("own", &Default::default()).await.unwrap();
    scene.delete(BINDING, "second").await;
    scene.until_gone(BINDING, "second").await;
    assert_eq!(kept(&scene, "own").await, Some(true));
    scene.delete(BINDING, "default").await;
    scene.until_gone(BINDING, "default").await;
    until("it is gone", async || kept(&scene, "own").await.is_none()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_that_has_just_begun_lets_go_of_a_secret_that_it_does_not_know_yet() {
    let (rig, _alone) = alone().await;
    let scene = Scene::bare(rig, rig.client(), "unknown-own").await;
    let names: Vec<String> = (0..8).map(|number| format!("own-{number}")).collect();
    for name in &names {
        scene.secret(&scene.name, name, &scene.token.0).await;
        scene.bind(name, json!({"tokenSecretRef": {"name": name, "key": "token"}})).await;
    }
    for name in &names {
        scene.until_ready(BINDING, name).await;
    }
    rig.operator.kill();
    let secrets = Api::<Secret>::namespaced(scene.client.clone(), &scene.name);
    for name in &names {
        scene.delete(BINDING, name).await;
        secrets.delete(name, &Default::default()).await.unwrap();
    }
    rig.restart_operator().await;
    for name in &names {
        scene.until_gone(BINDING, name).await;
        until("its Secret is gone", async || kept(&scene, name).await.is_none()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotated_token_is_used_at_once_and_a_revoked_one_holds_everything() {
    let (rig, _peace) = rig().await;
    let (scene, law) = (Scene::new(rig, "tokens").await, law());
    law.make(&scene, "x").await;
    let before = intent(&scene, &law).await;
    scene.until_ready(BINDING, "default").await;
    let quiet = scene.get(law.kind, "x").await.unwrap();
    scene.wire().ask(Method::DELETE, &format!("/v3/tokens/{}", scene.token.1), None, None).await;
    scene.until_stalled(BINDING, "default", "TokenInvalid").await;
    assert_eq!(version(&scene.get(law.kind, "x").await.unwrap()), version(&quiet), "only the binding says so");

    scene.apply(scene.manifest(law.kind, "x", law.other())).await;
    let held = scene.until_reason(law.kind, "x", "Reconciling", "BindingNotReady").await;
    assert!(condition(&held, "Stalled").is_none());
    assert_eq!(intent(&scene, &law).await, before);

    let (_, token) = scene.wire().token(&scene.name, &permissions()).await;
    scene.secret("loopback-system", &scene.name, &token).await;
    let began = std::time::Instant::now();
    scene.until_ready(law.kind, "x").await;
    println!("a new token was used after {} ms", began.elapsed().as_millis());
    assert_ne!(intent(&scene, &law).await, before);
    scene.until_ready(BINDING, "default").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_permission_is_named_and_its_grant_is_used_at_once() {
    let (rig, _peace) = rig().await;
    let (scene, law) = (Scene::new(rig, "lacking").await, law());
    scene.until_ready(BINDING, "default").await;
    let all = permissions();
    let lacking = all.iter().find(|key| key.ends_with(":create")).unwrap().clone();
    let rest: Vec<String> = all.into_iter().filter(|key| *key != lacking).collect();
    let (_, token) = scene.wire().token(&scene.name, &rest).await;
    scene.secret("loopback-system", &scene.name, &token).await;
    let binding = scene.until_reason(BINDING, "default", "Degraded", "PermissionsMissing").await;
    assert_eq!(binding.data["status"]["permissions"]["missing"], json!([lacking]));
    scene.apply(scene.manifest(law.kind, "x", law.a.clone())).await;
    let denied = scene.until_stalled(law.kind, "x", "Denied").await;
    assert!(message_of(&denied, "Stalled").contains(&lacking), "{}", message_of(&denied, "Stalled"));

    scene.secret("loopback-system", &scene.name, &scene.token.0).await;
    // What was denied is tried again by itself only after five minutes.
    scene.until_ready(law.kind, "x").await;
    let binding = scene.until_ready(BINDING, "default").await;
    assert!(binding.data["status"].get("permissions").is_none() && condition(&binding, "Degraded").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_binding_waits_for_its_users_and_says_who_they_are() {
    let (rig, _peace) = rig().await;
    let (scene, law) = (Scene::new(rig, "in-use").await, law());
    law.make(&scene, "x").await;
    scene.delete(BINDING, "default").await;
    let waiting = scene.until_reason(BINDING, "default", "Reconciling", "InUse").await;
    assert!(message_of(&waiting, "Reconciling").contains(&format!("{}/x", scene.name)));
    assert!(message_of(&waiting, "Reconciling").contains(law.kind));
    // Until then it still works.
    scene.apply(scene.manifest(law.kind, "x", law.other())).await;
    scene.until_ready(law.kind, "x").await;
    scene.delete(law.kind, "x").await;
    scene.until_gone(BINDING, "default").await;
    scene.until_empty(law.collection).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_grant_all_is_held_and_only_deletion_goes_on() {
    let (rig, _peace) = rig().await;
    let (scene, law) = (Scene::new(rig, "ungranted").await, law());
    law.make(&scene, "x").await;
    law.make(&scene, "y").await;
    scene.until_ready(BINDING, "default").await;
    let before = scene.held(law.collection).await;
    scene.grant(json!([])).await;
    scene.until_stalled(BINDING, "default", "NotGranted").await;
    let stalled = scene.until_stalled(law.kind, "x", "NotGranted").await;
    assert!(message_of(&stalled, "Stalled").contains("grant"), "{}", message_of(&stalled, "Stalled"));
    scene.apply(scene.manifest(law.kind, "x", law.other())).await;
    scene.until_stalled(law.kind, "x", "NotGranted").await;
    scene.delete(law.kind, "y").await;
    scene.until_gone(law.kind, "y").await;
    until("y is gone", async || scene.held(law.collection).await.len() == 1).await;
    let left = scene.held(law.collection).await.remove(0);
    assert!(before.iter().any(|held| held.id == left.id && held.etag == left.etag), "x was changed");

    scene.grant_all().await;
    scene.until_ready(law.kind, "x").await;
    // A grant speaks of labels: without them it is gone as well.
    scene.label(json!({"scene": "another"})).await;
    scene.until_stalled(BINDING, "default", "NotGranted").await;
    scene.label(json!({"scene": scene.name})).await;
    scene.until_ready(BINDING, "default").await;
    scene.until_ready(law.kind, "x").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_binding_holds_its_users_and_lets_them_go() {
    let (rig, _peace) = rig().await;
    let (scene, law) = (Scene::new(rig, "paused-binding").await, law());
    law.make(&scene, "x").await;
    law.make(&scene, "y").await;
    let before = scene.held(law.collection).await;
    let pause = |value: Value| json!({"metadata": {"annotations": {"loopback.cloud/paused": value}}});
    for (kind, name) in [(BINDING, "default"), ("LoopbackBackend", scene.name.as_str())] {
        scene.merge(kind, name, pause(json!("true"))).await;
        scene.until_condition(kind, name, "Paused", "True").await;
        scene.until_stalled(law.kind, "x", "Paused").await;
        scene.merge(kind, name, pause(Value::Null)).await;
        scene.until_ready(law.kind, "x").await;
    }
    scene.merge(BINDING, "default", pause(json!("true"))).await;
    scene.until_stalled(law.kind, "x", "Paused").await;
    scene.apply(scene.manifest(law.kind, "x", law.other())).await;
    scene.delete(law.kind, "y").await;
    scene.until_gone(law.kind, "y").await;
    let left = scene.held(law.collection).await.remove(0);
    assert!(before.iter().any(|held| held.id == left.id && held.etag == left.etag), "x was changed");
    scene.delete(BINDING, "default").await;
    scene.delete(law.kind, "x").await;
    scene.until_gone(law.kind, "x").await;
    scene.until_gone(BINDING, "default").await;
}

/// An address that notes whether anybody ever calls.
struct Ear(TcpListener);

impl Ear {
    fn new() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        (Self(listener), url)
    }

    fn called(&self) -> bool {
        self.0.accept().is_ok()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_sent_for_a_binding_that_was_never_granted() {
    let (rig, _peace) = rig().await;
    let (scene, law) = (Scene::bare(rig, rig.client(), "never-granted").await, law());
    let (ear, url) = Ear::new();
    scene.secret("loopback-system", &scene.name, &scene.token.0).await;
    scene
        .apply(json!({"apiVersion": "loopback.cloud/v1alpha1", "kind": "LoopbackBackend", "metadata": {"name": scene.name},
            "spec": {"url": url, "tokenSecretRef": {"namespace": "loopback-system", "name": scene.name, "key": "token"}}}))
        .await;
    scene.bind("default", json!({"backendRef": {"name": scene.name}})).await;
    scene.apply(scene.manifest(law.kind, "x", law.a.clone())).await;
    scene.until_stalled(BINDING, "default", "NotGranted").await;
    scene.until_stalled(law.kind, "x", "NotGranted").await;
    asked_again(&scene).await;
    assert!(!ear.called(), "somebody was called");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_sent_to_a_url_that_brings_no_token() {
    let (rig, _peace) = rig().await;
    let (scene, law) = (Scene::unbound(rig, "no-token").await, law());
    let (ear, url) = Ear::new();
    scene.bind("default", json!({"url": url})).await;
    scene.apply(scene.manifest(law.kind, "x", law.a.clone())).await;
    scene.until_stalled(BINDING, "default", "TokenMissing").await;
    scene.until_stalled(law.kind, "x", "TokenMissing").await;
    asked_again(&scene).await;
    assert!(!ear.called(), "somebody was called");
    // The address works: with a token of the namespace's own it is called.
    scene.secret(&scene.name, "own", "some-token").await;
    scene.bind("default", json!({"url": url, "tokenSecretRef": {"name": "own", "key": "token"}})).await;
    until("it is called", async || ear.called()).await;
}

/// Lets the binding have one more pass, whatever it would do.
async fn asked_again(scene: &Scene) {
    let request = json!({"metadata": {"annotations": {"loopback.cloud/reconcile-requested-at": "again"}}});
    scene.merge(BINDING, "default", request).await;
    until("another pass", async || {
        scene.get(BINDING, "default").await.unwrap().data["status"]["lastHandledReconcileAt"] == "again"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_backend_is_down_only_bindings_say_so() {
    let (rig, _alone) = alone().await;
    let (scene, law) = (Scene::new(rig, "outage").await, law());
    law.make(&scene, "x").await;
    scene.until_ready(BINDING, "default").await;
    let before = scene.get(law.kind, "x").await.unwrap();
    let etag = scene.held(law.collection).await[0].etag.clone();
    rig.backend.kill();
    scene.until_reason(BINDING, "default", "Reconciling", "BackendUnavailable").await;
    rig.restart_backend().await;
    scene.until_ready(BINDING, "default").await;
    scene.apply(scene.manifest(law.kind, "y", law.other())).await;
    scene.until_ready(law.kind, "y").await;
    assert_eq!(version(&scene.get(law.kind, "x").await.unwrap()), version(&before));
    assert!(scene.held(law.collection).await.iter().any(|held| held.etag == etag));
    assert_eq!(scene.events("x").await, Vec::<String>::new());
    assert_eq!(reason_of(&scene.get(law.kind, "x").await.unwrap(), "Ready"), "Ready");
}
