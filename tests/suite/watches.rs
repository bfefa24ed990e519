//! What the operator sees of Kubernetes: nothing stops it, and nothing that happened while it was away is lost.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use loopback_operator::dev::{binaries::Program, controlplane::Signal};
use serde_json::json;

use crate::{
    laws::{Law, kinds},
    rig::{OwnCluster, Scene, alone, base_manifests, rig, until},
};

fn law() -> Law {
    kinds().remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happened_while_the_operator_was_away_is_made_up_for() {
    let (rig, _alone) = alone().await;
    let (scene, law) = (Scene::new(rig, "away").await, law());
    for name in ["edited", "deleted", "vanished", "tampered"] {
        law.make(&scene, name).await;
    }
    let of = async |name: &str| {
        let held = scene.held(law.collection).await;
        held.into_iter().find(|held| held.owner.as_ref().is_some_and(|owner| owner.name == name))
    };
    let (edited, tampered) = (of("edited").await.unwrap(), of("tampered").await.unwrap());
    rig.operator.kill();
    scene.apply(scene.manifest(law.kind, "edited", law.other())).await;
    scene.delete(law.kind, "deleted").await;
    scene.merge(law.kind, "vanished", json!({"metadata": {"finalizers": null}})).await;
    scene.delete(law.kind, "vanished").await;
    scene.apply(scene.manifest(law.kind, "new", law.a.clone())).await;
    law.tamper(&scene, &tampered).await;
    rig.restart_operator().await;
    scene.until_ready(law.kind, "edited").await;
    scene.until_ready(law.kind, "new").await;
    scene.until_gone(law.kind, "deleted").await;
    until("what was deleted is gone", async || of("deleted").await.is_none()).await;
    until("the repair", async || of("tampered").await.unwrap().intent == tampered.intent).await;
    assert_ne!(of("edited").await.unwrap().intent, edited.intent);
    // Nobody asked for the end of what was left behind.
    assert!(of("vanished").await.is_some());
}

/// One cluster of its own, because definitions are everybody's and the API server dies.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn definitions_come_and_go_and_the_api_server_may_die() {
    let (rig, _peace) = rig().await;
    let law = law();
    let late = |manifest: &String| {
        manifest.contains(&format!("kind: {}\n", law.kind)) && manifest.contains("kind: CustomResourceDefinition")
    };
    let (later, first): (Vec<String>, Vec<String>) = base_manifests().into_iter().partition(late);
    assert_eq!(later.len(), 1);
    let mut cluster = OwnCluster::start(rig, &first).await;
    let scene = Scene::bare(rig, cluster.client.clone(), "definitions").await;
    scene.bind_own("default").await;
    // A kind that is not installed stops nothing.
    scene.until_ready("ProjectBinding", "default").await;
    define(&scene, &later[0]).await;
    law.make(&scene, "x").await;
    an_object_that_does_not_fit_stops_nothing(&scene, &law, &later[0]).await;
    the_api_server_may_die(&mut cluster, &scene, &law).await;
    for asleep in [false, true] {
        a_deleted_definition_retains(&cluster, &scene, &law, &later[0], asleep).await;
    }
}

async fn define(scene: &Scene, manifest: &str) {
    scene.apply_yaml(manifest).await;
}

fn definitions(client: &Client) -> Api<CustomResourceDefinition> {
    Api::all(client.clone())
}

async fn definition(scene: &Scene, law: &Law) -> CustomResourceDefinition {
    let all = definitions(&scene.client).list(&Default::default()).await.unwrap();
    all.items.into_iter().find(|definition| definition.spec.names.kind == law.kind).unwrap()
}

async fn an_object_that_does_not_fit_stops_nothing(scene: &Scene, law: &Law, manifest: &str) {
    let found = definition(scene, law).await;
    let name = found.metadata.name.unwrap();
    // As an older version of the definition may have taken it.
    let loose = json!([
        {"op": "remove", "path": "/spec/versions/0/selectableFields"},
        {"op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema",
            "value": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
    ]);
    let loose: Patch<CustomResourceDefinition> = Patch::Json(serde_json::from_value(loose).unwrap());
    definitions(&scene.client).patch(&name, &PatchParams::default(), &loose).await.unwrap();
    let odd = scene.manifest(law.kind, "odd", json!({"services": "none", "targets": 7}));
    until("the definition is loose", async || {
        scene.api(law.kind).create(&Default::default(), &serde_json::from_value(odd.clone()).unwrap()).await.is_ok()
    })
    .await;
    scene.until_stalled(law.kind, "odd", "InvalidSpec").await;
    scene.apply(scene.manifest(law.kind, "beside", law.a.clone())).await;
    scene.until_ready(law.kind, "beside").await;
    // Tightened again, it can still be deleted.
    define(scene, manifest).await;
    scene.delete(law.kind, "odd").await;
    scene.until_gone(law.kind, "odd").await;
    scene.delete(law.kind, "beside").await;
    scene.until_gone(law.kind, "beside").await;
}

async fn the_api_server_may_die(cluster: &mut OwnCluster, scene: &Scene, law: &Law) {
    cluster.plane.signal(Program::ApiServer, Signal::SIGKILL).unwrap();
    // Drift needs no Kubernetes to be repaired.
    let before = scene.held(law.collection).await.remove(0);
    law.tamper(scene, &before).await;
    until("the repair", async || scene.held(law.collection).await[0].intent == before.intent).await;
    cluster.plane.restart(Program::ApiServer).await.unwrap();
    scene.apply(scene.manifest(law.kind, "x", law.other())).await;
    scene.until_ready(law.kind, "x").await;
    assert_ne!(scene.held(law.collection).await[0].intent, before.intent);
}

async fn a_deleted_definition_retains(cluster: &OwnCluster, scene: &Scene, law: &Law, manifest: &str, asleep: bool) {
    let before = scene.held(law.collection).await.remove(0);
    let name = definition(scene, law).await.metadata.name.unwrap();
    if asleep {
        cluster.operator.program.kill();
    }
    definitions(&scene.client).delete(&name, &Default::default()).await.unwrap();
    if asleep {
        // It wakes up when the objects are being deleted already.
        until("the object is being deleted", async || {
            scene.get(law.kind, "x").await.is_some_and(|object| object.metadata.deletion_timestamp.is_some())
        })
        .await;
        cluster.operator.program.again();
    }
    until("the definition is gone", async || definitions(&scene.client).get_opt(&name).await.unwrap().is_none()).await;
    let left = scene.held(law.collection).await;
    assert_eq!(left.len(), 1);
    assert_eq!((&left[0].id, &left[0].etag), (&before.id, &before.etag));
    // Installed again, the same manifest finds what was left.
    define(scene, manifest).await;
    scene.apply(scene.manifest(law.kind, "x", law.other())).await;
    let ready = scene.until_ready(law.kind, "x").await;
    assert_eq!(ready.data["status"]["id"], before.id.as_str());
}
