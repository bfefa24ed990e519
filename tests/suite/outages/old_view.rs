//! An operator whose watches tell nothing any more, although its calls go through, as behind an API server that lags: it asks
//! before it does what cannot be undone.

use loopback_operator::protocol::RawObject;
use serde_json::{Value, json};

use crate::{
    laws::{Law, roots},
    rig::{Scene, alone, until},
};

/// Being deleted in the old view; told to retain by now.
const KEPT: &str = "kept";
/// Being deleted in the old view; by now another resource of this name is to have its object.
const TAKEN: &str = "taken";
/// Alive in the old view; gone by now, and its object with it.
const LOST: &str = "lost";

async fn held(scene: &Scene, law: &Law, name: &str) -> Option<RawObject> {
    let held = scene.held(law.collection).await;
    held.into_iter().find(|object| object.owner.as_ref().is_some_and(|owner| owner.name == name))
}

/// The operator sees that both are to be deleted, and cannot do it yet.
async fn ends_begin(scene: &Scene, law: &Law) {
    for name in [KEPT, TAKEN] {
        scene.delete(law.kind, name).await;
        until("the deletion is seen", async || {
            let object = scene.get(law.kind, name).await.expect("it waits");
            object.data["status"]["observedGeneration"].as_i64() == object.metadata.generation
        })
        .await;
    }
}

/// What users do that the operator does not see.
async fn users_go_on(scene: &Scene, law: &Law) {
    let retain = json!({"spec": {"deletionPolicy": "Retain"}});
    for name in [KEPT, TAKEN, LOST] {
        scene.merge(law.kind, name, retain.clone()).await;
    }
    scene.delete(law.kind, LOST).await;
    for name in [TAKEN, LOST] {
        scene.merge(law.kind, name, json!({"metadata": {"finalizers": null}})).await;
        scene.until_gone(law.kind, name).await;
    }
    scene.apply(scene.manifest(law.kind, TAKEN, law.a.clone())).await;
}

/// The object is there, alive, and the one that it was.
fn assert_kept(what: &str, law: &Law, before: &RawObject, now: Option<&RawObject>) {
    let alive = now.is_some_and(|now| now.id == before.id && now.phase == before.phase && now.intent == before.intent);
    assert!(alive, "S3: {} {what}: its object was to stay as it is, there is {now:?}", law.kind);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_with_an_old_view_asks_before_what_cannot_be_undone() {
    let (rig, _alone) = alone().await;
    rig.operator.kill();
    let (operator, view) = rig.behind_a_view().await;
    let mut lives = Vec::new();
    for law in roots() {
        let scene = Scene::new(rig, "old-view").await;
        let mut before = Vec::new();
        for name in [KEPT, TAKEN, LOST] {
            law.make(&scene, name).await;
            before.push(held(&scene, &law, name).await.expect("an object"));
        }
        lives.push((scene, law, before));
    }
    rig.backend.kill();
    for (scene, law, _) in &lives {
        ends_begin(scene, law).await;
    }
    view.freeze(true);
    for (scene, law, _) in &lives {
        users_go_on(scene, law).await;
    }
    let reads: Vec<usize> = lives.iter().map(|(scene, ..)| scene.reads(LOST)).collect();
    rig.backend.again();
    rig.wire.wait().await;
    for ((scene, law, before), reads) in lives.iter().zip(reads) {
        scene.wire().delete(&scene.name, law.collection, &before[2]).await;
        scene.until_gone(law.kind, KEPT).await;
        assert_kept(KEPT, law, &before[0], held(scene, law, KEPT).await.as_ref());
        until("it asks before it makes the lost one again", async || {
            let made = held(scene, law, LOST).await.filter(|object| object.id != before[2].id);
            assert_eq!(made, None, "S2: {} is made for a resource that is gone", law.kind);
            scene.reads(LOST) > reads
        })
        .await;
    }
    view.freeze(false);
    for (scene, law, before) in &lives {
        let taken = scene.until_ready(law.kind, TAKEN).await;
        let object = held(scene, law, TAKEN).await;
        assert_kept(TAKEN, law, &before[1], object.as_ref());
        assert_eq!(object.and_then(|object| object.owner).map(|owner| owner.uid), taken.metadata.uid, "{}", law.kind);
        assert_eq!(taken.data["status"]["id"], Value::from(before[1].id.clone()));
        assert_kept(KEPT, law, &before[0], held(scene, law, KEPT).await.as_ref());
        assert_eq!(held(scene, law, LOST).await, None, "S2: {} is left behind", law.kind);
    }
    operator.program.kill();
    rig.restart_operator().await;
}
