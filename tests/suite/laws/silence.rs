//! Nothing is written that need not be, in Kubernetes and in the backend.

use std::{process::Command, time::Duration};

use serde_json::{Value, json};

use super::{Law, for_every_kind, kinds};
use crate::rig::{PATIENCE, Scene, alone, until, within};

/// Every write that the operator makes for an object that goes well.
const LIFE: [&str; 2] = ["patch", "patch status"];

/// What must not move.
async fn still(scene: &Scene, law: &Law) -> (Option<String>, String, u64) {
    let object = scene.get(law.kind, "x").await.unwrap();
    let held = &scene.held(law.collection).await[0];
    (object.metadata.resource_version, held.etag.clone(), held.intent_revision)
}

/// How many writes there were, once the log does not grow any more: it has a call only some time after its answer.
async fn logged(scene: &Scene) -> usize {
    loop {
        let writes = scene.writes("x").len();
        if !within(Duration::from_millis(500), async || scene.writes("x").len() != writes).await {
            return writes;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_objects_whole_life_is_one_finalizer_and_one_status() {
    for_every_kind("silent-life", async |scene, law| {
        // On a machine that is too busy to be done within a second, the operator says "working" before. Then once more.
        for attempt in 0..8 {
            let name = format!("x{attempt}");
            let began = std::time::Instant::now();
            law.make(scene, &name).await;
            let took = began.elapsed();
            // The log has a call only some time after its answer.
            until("its writes are in the log", async || scene.writes(&name).len() >= LIFE.len()).await;
            let writes = scene.writes(&name);
            if writes == LIFE {
                println!("apply to Ready: {} ms", took.as_millis());
                assert_eq!(scene.events(&name).await, Vec::<String>::new(), "a first Ready is no news");
                return;
            }
            assert!(took.as_millis() > 900, "{writes:?} within {took:?}");
        }
        panic!("never Ready within a second");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_pass_writes_nothing_on_either_side() {
    for_every_kind("silent", async |scene, law| {
        law.make(scene, "x").await;
        let poke = json!({"metadata": {"annotations": {"example.com/poke": "1"}}});
        let passes = scene.passes("x");
        scene.merge(law.kind, "x", poke).await;
        let before = still(scene, law).await;
        let writes = scene.writes("x");
        until("another pass", async || scene.passes("x") > passes).await;
        assert_eq!((still(scene, law).await, scene.writes("x")), (before, writes));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_operator_writes_nothing() {
    let (rig, _alone) = alone().await;
    let mut lives = Vec::new();
    for law in kinds() {
        let scene = Scene::new(rig, "silent-restart").await;
        law.make(&scene, "x").await;
        scene.until_ready("ProjectBinding", "default").await;
        let before = (still(&scene, &law).await, scene.get("ProjectBinding", "default").await, scene.passes("x"));
        lives.push((scene, law, before));
    }
    rig.restart_operator().await;
    for (scene, law, (before, binding, passes)) in lives {
        // It connects to all that other tests have left behind, too.
        let again = within(3 * PATIENCE, async || scene.passes("x") > passes).await;
        assert!(again, "no pass that finds it Ready\n{}", scene.story());
        assert_eq!(still(&scene, &law).await, before);
        assert_eq!(scene.get("ProjectBinding", "default").await, binding);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_for_a_pass_is_echoed_by_one_status_write() {
    for_every_kind("request", async |scene, law| {
        law.make(scene, "x").await;
        for value in ["first", "second"] {
            let writes = logged(scene).await;
            scene
                .merge(
                    law.kind,
                    "x",
                    json!({"metadata": {"annotations": {"loopback.cloud/reconcile-requested-at": value}}}),
                )
                .await;
            let began = std::time::Instant::now();
            until("the request is echoed", async || {
                scene.get(law.kind, "x").await.unwrap().data["status"]["lastHandledReconcileAt"] == value
            })
            .await;
            assert!(began.elapsed().as_secs() < 10, "not at once: {:?}", began.elapsed());
            until("its write is in the log", async || scene.writes("x").len() > writes).await;
            assert_eq!(scene.writes("x")[writes..], ["patch status"]);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_status_comes_back() {
    for_every_kind("lost-status", async |scene, law| {
        let before = law.make(scene, "x").await;
        scene.erase_status(law.kind, "x").await;
        let after = scene.until_ready(law.kind, "x").await;
        let without_times = |status: &Value| {
            let mut status = status.clone();
            for condition in status["conditions"].as_array_mut().unwrap() {
                condition.as_object_mut().unwrap().remove("lastTransitionTime");
            }
            status
        };
        assert_eq!(without_times(&after.data["status"]), without_times(&before.data["status"]));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_finalizer_comes_back() {
    for_every_kind("lost-finalizer", async |scene, law| {
        let before = law.make(scene, "x").await;
        scene.merge(law.kind, "x", json!({"metadata": {"finalizers": null}})).await;
        until("the finalizer is back", async || {
            scene.get(law.kind, "x").await.unwrap().metadata.finalizers == before.metadata.finalizers
        })
        .await;
        scene.delete(law.kind, "x").await;
        scene.until_gone(law.kind, "x").await;
        scene.until_empty(law.collection).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn applying_the_same_again_changes_nothing() {
    for_every_kind("same", async |scene, law| {
        law.make(scene, "x").await;
        let before = still(scene, law).await;
        scene.apply(scene.manifest(law.kind, "x", law.a.clone())).await;
        assert_eq!(still(scene, law).await, before);
        // And as `kubectl apply` does it, on the client's side.
        let manifest = scene.manifest(law.kind, "y", law.a.clone()).to_string();
        kubectl_apply(scene, &manifest);
        scene.until_ready(law.kind, "y").await;
        let before = scene.get(law.kind, "y").await;
        kubectl_apply(scene, &manifest);
        assert_eq!(scene.get(law.kind, "y").await, before);
    })
    .await;
}

fn kubectl_apply(scene: &Scene, manifest: &str) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), manifest).unwrap();
    let path = file.path().to_str().unwrap();
    let kubeconfig = scene.rig.kubeconfig.to_str().unwrap();
    let output = Command::new("kubectl").args(["--kubeconfig", kubeconfig, "apply", "-f", path]).output();
    let output = output.expect("kubectl runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
