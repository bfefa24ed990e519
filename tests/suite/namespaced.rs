//! An operator for single namespaces: it needs no right outside of them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    rig::{Program, Rig, Scene, alone, message_of, permissions, within},
    servers::ready_balancer,
    tools::kubectl,
};

const KIND: &str = "ProjectLoadBalancer";
const BINDING: &str = "ProjectBinding";

/// A kubeconfig for an account that has the operator's roles in one namespace only.
async fn account(rig: &Rig, scene: &Scene) -> std::path::PathBuf {
    let namespace = ["-n", scene.name.as_str()];
    let run = async |arguments: &[&str]| kubectl(rig, &[&namespace, arguments].concat()).await.good();
    run(&["create", "serviceaccount", "single"]).await;
    let subject = format!("--serviceaccount={}:single", scene.name);
    for role in ["loopback-operator", "loopback-operator-secrets"] {
        run(&["create", "rolebinding", role, &format!("--clusterrole={role}"), &subject]).await;
    }
    let token = run(&["create", "token", "single"]).await;
    let base = rig.audit_log.parent().expect("a folder");
    let mut kubeconfig: Value =
        serde_json::from_str(&std::fs::read_to_string(base.join("operator-kubeconfig")).expect("a kubeconfig"))
            .expect("JSON");
    kubeconfig["users"][0]["user"] = json!({"token": token.trim()});
    let path = base.join("single-kubeconfig");
    std::fs::write(&path, kubeconfig.to_string()).expect("a kubeconfig");
    path
}

/// What the account was refused.
fn refusals(rig: &Rig, scene: &Scene) -> Vec<Value> {
    let user = format!("system:serviceaccount:{}:single", scene.name);
    let log = std::fs::read_to_string(&rig.audit_log).expect("an audit log");
    let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let refused = |event: &Value| event["user"]["username"] == user && event["responseStatus"]["code"] == 403;
    events.filter(refused).map(|event| event["responseStatus"]["message"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_of_one_namespace_needs_no_cluster_role() {
    let (rig, _alone) = alone().await;
    let scene = Scene::unbound(rig, "single").await;
    let (_, token) = rig.wire.token(&scene.name, &permissions()).await;
    scene.secret(&scene.name, "own", &token).await;
    let kubeconfig = account(rig, &scene).await;
    rig.operator.kill();
    let (url, metrics) = (rig.wire.url(), rig.metrics.to_string());
    let arguments = ["operator", "--backend-url", &url, "--metrics-listen", &metrics, "--namespaces", &scene.name];
    let operator = Program::start(
        &kubeconfig.with_extension("log"),
        arguments.into_iter().chain(["--cluster-id", "single", "--log", "info,loopback_operator=debug"]),
        [("KUBECONFIG", kubeconfig.to_string_lossy().as_ref())],
    );
    scene.bind("default", json!({"tokenSecretRef": {"name": "own", "key": "token"}})).await;
    ready_balancer(&scene, "web", json!({"services": [{"name": "web", "port": 8080}]})).await;
    let ready = async || reqwest::get(format!("http://{metrics}/readyz")).await.is_ok_and(|a| a.status().is_success());
    assert!(within(Duration::from_secs(20), ready).await, "not ready\n{}", operator.log());
    // Grants are the whole cluster's: it says that it cannot see them.
    scene.bind("lent", json!({"backendRef": {"name": scene.name}})).await;
    let lent = scene.until_stalled(BINDING, "lent", "NotGranted").await;
    let message = message_of(&lent, "Stalled");
    assert!(message.contains("watches single namespaces") && message.contains("spec.tokenSecretRef"), "{message}");
    for (kind, name) in [(KIND, "web"), (BINDING, "default"), (BINDING, "lent")] {
        scene.delete(kind, name).await;
        scene.until_gone(kind, name).await;
    }
    scene.until_empty("load-balancers").await;
    operator.kill();
    rig.restart_operator().await;
    let refusals = refusals(rig, &scene);
    assert!(refusals.is_empty(), "{refusals:#?}");
}
