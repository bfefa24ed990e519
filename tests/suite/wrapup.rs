//! The operator has the rights that it uses, and no others: the roles in `deploy/` compared with what the API server noted
//! down. Tests start in the order of their names: this one is the last, so that it sees what all others caused, and does
//! by itself what it needs when it is the only one.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::{coordination::v1::Lease, rbac::v1::PolicyRule};
use kube::Api;
use loopback_operator::dev::apply::parse;
use serde_json::{Value, json};

use crate::{
    exports,
    laws::kinds,
    rig::{Rig, Scene, alone, permissions, until, within},
    servers::ready_balancer,
    tools::root,
};

const KIND: &str = "ProjectLoadBalancer";
const BINDING: &str = "ProjectBinding";
const OPERATOR: &str = "system:serviceaccount:loopback-system:loopback-operator";

/// A verb, and the resource with its group and its subresource.
type Right = (String, String);

fn granted() -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    for file in ["roles.yaml", "role-secrets.yaml", "role-leases.yaml"] {
        let text = std::fs::read_to_string(root().join("deploy").join(file)).expect("a manifest");
        for object in parse(&text).expect("manifests") {
            // Roles and ClusterRoles have them, bindings do not.
            let Some(rules) = object.data.get("rules") else { continue };
            for rule in serde_json::from_value::<Vec<PolicyRule>>(rules.clone()).expect("rules") {
                for resource in rule.resources.iter().flatten() {
                    for group in rule.api_groups.iter().flatten() {
                        rights.extend(rule.verbs.iter().map(|verb| (verb.clone(), format!("{group}/{resource}"))));
                    }
                }
            }
        }
    }
    rights
}

/// What the operator asked for, with the refusals that it got.
fn used(rig: &Rig) -> BTreeMap<Right, BTreeSet<String>> {
    let log = std::fs::read_to_string(&rig.audit_log).expect("an audit log");
    let mut rights: BTreeMap<Right, BTreeSet<String>> = BTreeMap::new();
    // The last line may be half written.
    for event in log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let Some(object) = event.get("objectRef").filter(|_| event["user"]["username"] == OPERATOR) else { continue };
        let text = |field: &str| object[field].as_str().unwrap_or_default();
        let subresource =
            if text("subresource").is_empty() { String::new() } else { format!("/{}", text("subresource")) };
        let right = (
            event["verb"].as_str().expect("a verb").to_owned(),
            format!("{}/{}{subresource}", text("apiGroup"), text("resource")),
        );
        let refusals = rights.entry(right).or_default();
        let message = event["responseStatus"]["message"].as_str().unwrap_or_default();
        // Nothing can be created in a namespace that is being deleted: no matter of rights.
        if event["responseStatus"]["code"] == 403 && !message.contains("because it is being terminated") {
            refusals.insert(message.to_owned());
        }
    }
    rights
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
    let granted = granted();
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
