//! Two operators at once: one acts, the other takes over, and who comes back from the dead harms nothing.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use loopback_operator::crd::FINALIZER;
use nix::sys::signal::Signal;
use serde_json::json;

use crate::{
    rig::{Loss, Lossy, Operator, Rig, Scene, alone, leads, until},
    servers::ready_balancer,
};

const KIND: &str = "ProjectLoadBalancer";

async fn lease(rig: &Rig) -> Lease {
    Api::<Lease>::namespaced(rig.client(), "loopback-system").get("loopback-operator").await.expect("a lease")
}

fn holder(lease: &Lease) -> String {
    lease.spec.as_ref().and_then(|spec| spec.holder_identity.clone()).unwrap_or_default()
}

/// The rig's operator leads, the replica stands by.
async fn pair(rig: &Rig) -> Operator {
    until("the first leads", async || leads(rig.metrics).await).await;
    let replica = rig.replica().await;
    assert!(!leads(replica.metrics).await, "two lead");
    replica
}

/// Waits until `replica` leads; how long that took from now.
async fn taken_over(replica: &Operator) -> Duration {
    let began = Instant::now();
    until("the other takes over", async || leads(replica.metrics).await).await;
    began.elapsed()
}

fn spec(port: u16) -> serde_json::Value {
    json!({"services": [{"name": "web", "port": port}]})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_takes_over_after_a_crash_and_at_once_after_a_stop() {
    let (rig, _alone) = alone().await;
    let scene = Scene::new(rig, "replicas").await;
    ready_balancer(&scene, "web", spec(8080)).await;
    let replica = pair(rig).await;
    let first = holder(&lease(rig).await);
    rig.operator.kill();
    let crash = taken_over(&replica).await;
    let second = holder(&lease(rig).await);
    assert_ne!(first, second);
    scene.apply(scene.manifest(KIND, "web", spec(8081))).await;
    scene.until_ready(KIND, "web").await;
    rig.operator.again();
    until("the first is ready", async || leads(replica.metrics).await && crate::rig::ready(rig.metrics).await).await;
    replica.program.signal(Signal::SIGTERM);
    let began = Instant::now();
    until("the first leads again", async || leads(rig.metrics).await).await;
    let stop = began.elapsed();
    until("the replica ends well", async || replica.program.ended()).await;
    println!("taken over {crash:?} after a crash, {stop:?} after a stop");
    scene.apply(scene.manifest(KIND, "web", spec(8082))).await;
    scene.until_ready(KIND, "web").await;
    assert_eq!(scene.held("load-balancers").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_was_frozen_longer_than_its_lease_does_no_harm() {
    let (rig, _alone) = alone().await;
    let lossy = Lossy::start(rig.wire.address()).await;
    let scene = Scene::bare(rig, rig.client(), "zombie").await;
    scene.secret(&scene.name, "own", &scene.token.0).await;
    scene.bind("default", json!({"url": lossy.url, "tokenSecretRef": {"name": "own", "key": "token"}})).await;
    for name in ["edited", "deleted", "again"] {
        scene.apply(scene.manifest(KIND, name, spec(8080))).await;
    }
    for name in ["edited", "deleted", "again"] {
        scene.until_ready(KIND, name).await;
    }
    let replica = pair(rig).await;
    // Frozen in the middle of work, and of a call whose answer waits for it when it comes back.
    lossy.lose("/load-balancers", Loss::Held);
    for (name, port) in [("edited", 8081), ("deleted", 8081), ("again", 8081), ("new", 8081)] {
        scene.apply(scene.manifest(KIND, name, spec(port))).await;
    }
    lossy.lost().await;
    rig.operator.signal(Signal::SIGSTOP);
    lossy.release();
    taken_over(&replica).await;
    for name in ["deleted", "again"] {
        scene.delete(KIND, name).await;
        scene.until_gone(KIND, name).await;
    }
    for (name, port) in [("edited", 8083), ("again", 8084)] {
        scene.apply(scene.manifest(KIND, name, spec(port))).await;
    }
    for name in ["edited", "again", "new"] {
        scene.until_ready(KIND, name).await;
    }
    rig.operator.signal(Signal::SIGCONT);
    until("the frozen one stands by", async || {
        crate::rig::ready(rig.metrics).await && !leads(rig.metrics).await && leads(replica.metrics).await
    })
    .await;
    for (name, port) in [("edited", 8083), ("again", 8084), ("new", 8081)] {
        let object = scene.until_ready(KIND, name).await;
        assert!(object.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER));
        let held = scene.held("load-balancers").await;
        let of = |held: &&loopback_operator::protocol::RawObject| held.intent["name"] == name;
        let ours: Vec<_> = held.iter().filter(of).collect();
        assert_eq!(ours.len(), 1, "{held:?}");
        assert_eq!(ours[0].intent["services"]["web"]["port"], port);
        assert_eq!(ours[0].owner.as_ref().map(|owner| owner.uid.clone()), object.metadata.uid);
    }
    assert_eq!(scene.held("load-balancers").await.len(), 3);
    replica.program.signal(Signal::SIGTERM);
    until("the first leads again", async || leads(rig.metrics).await).await;
    until("the replica ends well", async || replica.program.ended()).await;
}
