//! The operator has the rights that it uses, and no others: the roles in `deploy/` compared with what the API server noted
//! down. Tests start in the order of their names: this one is the last, so that it sees what all others caused, and does
//! by itself what it needs when it is the only one.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use serde_json::{Value, json};

use crate::{
    exports,
    laws::kinds,
    rig::{
        Rig, Scene, alone, permissions,
        rights::{self, Right},
        until, within,
    },
    servers::ready_balancer,
};

const KIND: &str = "ProjectLoadBalancer";
const BINDING: &str = "ProjectBinding";
const OPERATOR: &str = "system:serviceaccount:loopback-system:loopback-operator";

/// What the operator asked for, with the refusals that it got.
fn used(rig: &Rig) -> BTreeMap<Right, BTreeSet<String>> {
    let log = std::fs::read_to_string(&rig.audit_log).expect("an audit log");
    let mut used: BTreeMap<Right, BTreeSet<String>> = BTreeMap::new();
    // The last line may be half written.
    for event in log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let Some(right) = rights::used(&event).filter(|_| event["user"]["username"] == OPERATOR) else { continue };
        used.entry(right).or_default().extend(rights::refusal(&event).map(str::to_owned));
    }
    used
}

/// Makes the operator do everything that it ever does.
async fn everything(rig: &'static Rig) {
    let scene = Scene::new(rig, "rights").await;
    let (_, token) = rig.wire.token(&scene.name, &permissions()).await;
    scene.secret(&scene.name, "own", &token).await;
    scene.bind("own", json!({"tokenSecretRef": {"name": "own", "key": "token"}})).await;
    scene.until_ready(BINDING, "own").await;
    let leases = Api::<Lease>::namespaced(rig.client(), "loopback-system");
    leases.delete("loopback-operator", &Default::default()).await.expect("there is one");
    until("it is made anew", async || leases.get_opt("loopback-operator").await.expect("an answer").is_some()).await;
    // Who comes after a killed one watches the Lease until it ends.
    rig.restart_operator().await;
    // The same event twice is one event with a count: first it is created, then patched.
    let spec = |address: &str| {
        json!({"projectRef": {"name": "own"}, "services": [{"name": "web", "port": 8080}],
            "targets": [{"name": "a", "address": address, "port": 9}]})
    };
    for _ in 0..2 {
        scene.apply(scene.manifest(KIND, "web", spec("169.254.1.1"))).await;
        scene.until_condition(KIND, "web", "Degraded", "True").await;
        ready_balancer(&scene, "web", spec("127.0.0.1")).await;
        until("it is well", async || {
            crate::rig::condition(&scene.get(KIND, "web").await.unwrap(), "Degraded").is_none()
        })
        .await;
    }
    for law in kinds() {
        law.make(&scene, "any").await;
        scene.delete(law.kind, "any").await;
        scene.until_gone(law.kind, "any").await;
    }
    // A Secret of ours: made, made again when it is gone, set right.
    let spec = json!({"projectRef": {"name": "own"}, "bucketName": "{scene}"});
    scene.apply(scene.manifest("ObjectBucket", "x", spec)).await;
    scene.until_ready("ObjectBucket", "x").await;
    exports::minted_twice(&scene, "x").await;
    for (kind, name) in [("ObjectBucketCredential", "minted"), ("ObjectBucket", "x"), (KIND, "web"), (BINDING, "own")] {
        scene.delete(kind, name).await;
        scene.until_gone(kind, name).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_are_exactly_those_that_are_used() {
    let (rig, _alone) = alone().await;
    everything(rig).await;
    let granted = rights::granted(&["roles.yaml", "role-secrets.yaml", "role-leases.yaml"]);
    let unused = || {
        let used = used(rig);
        granted.iter().filter(|right| !used.contains_key(*right)).cloned().collect::<Vec<_>>()
    };
    // Events are sent in the background.
    let all = within(std::time::Duration::from_secs(20), async || unused().is_empty()).await;
    assert!(all, "granted and never used: {:?}", unused());
    let used = used(rig);
    let refused: Vec<_> = used.iter().filter(|(_, refusals)| !refusals.is_empty()).collect();
    assert!(refused.is_empty(), "refused: {refused:#?}");
    let foreign: Vec<_> = used.keys().filter(|right| !granted.contains(*right)).collect();
    assert!(foreign.is_empty(), "used and not granted by these roles: {foreign:?}");
}
