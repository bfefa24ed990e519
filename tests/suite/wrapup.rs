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
        OPERATOR, Rig, Scene, alone, json_lines, permissions,
        rights::{self, Right},
        until, within,
    },
    servers::ready_balancer,
};

const KIND: &str = "ProjectLoadBalancer";
const BINDING: &str = "ProjectBinding";

/// What the operator asked for, with the refusals that it got.
fn used(events: &[Value]) -> BTreeMap<Right, BTreeSet<String>> {
    let mut used: BTreeMap<Right, BTreeSet<String>> = BTreeMap::new();
    for event in events {
        let Some(right) = rights::used(event) else { continue };
        used.entry(right).or_default().extend(rights::refusal(event).map(str::to_owned));
    }
    used
}

/// All that the operator asked.
fn asked(rig: &Rig) -> Vec<Value> {
    let events = json_lines(&rig.audit_log, OPERATOR);
    events.into_iter().filter(|event| event["user"]["username"] == OPERATOR).collect()
}

/// The API server may answer these from a cache that lags by any time. What is watched begins with a list that may not.
fn from_a_cache(events: &[Value]) -> Vec<&str> {
    let uris = events.iter().filter_map(|event| event["requestURI"].as_str());
    let asks = |uri: &&str| uri.split(['?', '&']).any(|pair| pair == "resourceVersion=0");
    uris.filter(asks).collect()
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
        let used = used(&asked(rig));
        granted.iter().filter(|right| !used.contains_key(*right)).cloned().collect::<Vec<_>>()
    };
    // Events are sent in the background.
    let all = within(std::time::Duration::from_secs(20), async || unused().is_empty()).await;
    assert!(all, "granted and never used: {:?}", unused());
    let asked = asked(rig);
    assert_eq!(from_a_cache(&asked), Vec::<&str>::new(), "reads that may be old");
    let used = used(&asked);
    let refused: Vec<_> = used.iter().filter(|(_, refusals)| !refusals.is_empty()).collect();
    assert!(refused.is_empty(), "refused: {refused:#?}");
    let foreign: Vec<_> = used.keys().filter(|right| !granted.contains(*right)).collect();
    assert!(foreign.is_empty(), "used and not granted by these roles: {foreign:?}");
}
