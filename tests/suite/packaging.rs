//! What `deploy/` ships, seen with kubectl: it is what the tests run, it is admitted, and it reads well.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{Namespace, Pod},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps,
};
use kube::{Api, Error, api::PostParams};
use loopback_operator::{crd, dev::apply::parse};
use serde_json::{Value, json};

use crate::{
    rig::{Scene, base_manifests, rig, until},
    servers::ready_balancer,
    tools::{kubectl, own, root},
};

const KIND: &str = "ProjectLoadBalancer";

/// Documents by kind and name.
fn documents<'a>(manifests: impl IntoIterator<Item = &'a String>) -> BTreeMap<(String, String), Value> {
    let objects = manifests.into_iter().flat_map(|manifest| parse(manifest).expect("a manifest"));
    objects
        .map(|object| {
            let kind = object.types.as_ref().expect("a kind").kind.clone();
            let name = object.metadata.name.clone().expect("a name");
            ((kind, name), plain(serde_json::to_value(object).expect("JSON")))
        })
        .collect()
}

/// With whole numbers written in one way.
fn plain(value: Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(items) => items.into_iter().map(plain).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, field)| (name, plain(field))).collect(),
        other => other,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kustomize_builds_what_the_tests_run() {
    let (rig, _peace) = rig().await;
    let built = kubectl(rig, &["kustomize", "deploy"]).await.good();
    let (built, ours) = (documents([&built]), documents(&base_manifests()));
    assert_eq!(built.keys().collect::<Vec<_>>(), ours.keys().collect::<Vec<_>>());
    for (key, object) in &ours {
        assert_eq!(&built[key], object, "{key:?}");
    }
    let arguments = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "-k", "deploy"];
    let applied = kubectl(rig, &arguments).await.good();
    assert_eq!(applied.lines().count(), ours.len(), "{applied}");
    let samples = kubectl(rig, &["kustomize", "deploy/samples"]).await.good();
    assert!(!documents([&samples]).is_empty());
}

fn deployment() -> Deployment {
    let text = std::fs::read_to_string(root().join("deploy/deployment.yaml")).expect("a manifest");
    let object = parse(&text).expect("a manifest").remove(0);
    object.try_parse().expect("a Deployment")
}

/// The Pod that the Deployment makes, without the parts of its security context at these pointers.
fn pod(without: &[&str]) -> Pod {
    let template = deployment().spec.expect("a spec").template;
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "operator"}, "spec": template.spec});
    for pointer in without {
        let (parent, field) = pointer.rsplit_once('/').expect("a pointer");
        let removed = pod.pointer_mut(parent).and_then(Value::as_object_mut).and_then(|parent| parent.remove(field));
        assert!(removed.is_some(), "nothing at {pointer}");
    }
    serde_json::from_value(pod).expect("a Pod")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operators_pod_needs_no_privilege() {
    let (rig, _peace) = rig().await;
    let scene = Scene::unbound(rig, "restricted").await;
    let restricted = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    let namespaces = Api::<Namespace>::all(scene.client.clone());
    let patch = kube::api::Patch::Merge(restricted);
    namespaces.patch(&scene.name, &Default::default(), &patch).await.expect("a label");
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    for namespace in ["loopback-system", &scene.name] {
        let pods = Api::<Pod>::namespaced(scene.client.clone(), namespace);
        until("the namespace's label is known", async || {
            pods.create(&dry_run, &pod(&["/spec/containers/0/securityContext"])).await.is_err()
        })
        .await;
        pods.create(&dry_run, &pod(&[])).await.expect("the Pod is admitted");
        for without in [
            "/spec/securityContext/runAsNonRoot",
            "/spec/securityContext/seccompProfile",
            "/spec/containers/0/securityContext/capabilities",
            "/spec/containers/0/securityContext/allowPrivilegeEscalation",
        ] {
            match pods.create(&dry_run, &pod(&[without])).await {
                Err(Error::Api(status)) if status.message.contains("violates PodSecurity") => {}
                other => panic!("without {without}: {other:?}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_setting_of_the_deployment_exists() {
    let pod = deployment().spec.expect("a spec").template.spec.expect("a Pod");
    for container in &pod.containers {
        let arguments: Vec<&str> = container.args.iter().flatten().map(String::as_str).collect();
        let help = own(&[&arguments[..], &["--help"]].concat()).await.good();
        for variable in container.env.iter().flatten() {
            assert!(help.contains(&format!("[env: {}", variable.name)), "no {} in:\n{help}", variable.name);
        }
    }
    // Every flag has its variable.
    for command in ["operator", "backend", "dev", "crds"] {
        let help = own(&[command, "--help"]).await.good();
        for flag in help.lines().filter_map(|line| line.trim().strip_prefix("--")) {
            let name = flag.split([' ', '=']).next().unwrap_or(flag);
            let variable = format!("[env: LOOPBACK_{}", name.replace('-', "_").to_uppercase());
            let ours = help.contains(&variable) || command == "crds" && name == "output";
            assert!(ours, "{command} --{name} has no {variable}]");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_binary_prints_the_definitions() {
    let printed = own(&["crds"]).await.good();
    let files = crd::all().into_iter().map(|definition| {
        let path = root().join("crds").join(format!("{}.yaml", definition.spec.names.plural));
        format!("---\n{}", std::fs::read_to_string(path).expect("a definition"))
    });
    assert!(printed == files.collect::<String>(), "`crds` does not print what is in crds/");
}

/// Each field's path, with its description.
fn described(path: &str, schema: &JSONSchemaProps, all: &mut Vec<(String, String)>) {
    for (name, field) in schema.properties.iter().flatten() {
        let path = format!("{path}.{name}");
        all.push((path.clone(), field.description.clone().unwrap_or_default()));
        described(&path, field, all);
        if let Some(
            k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaPropsOrArray::Schema(items),
        ) = &field.items
        {
            described(&path, items, all);
        }
    }
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_field_is_explained() {
    let (rig, _peace) = rig().await;
    for definition in crd::all() {
        let short = definition.spec.names.short_names.as_ref().expect("a short name")[0].clone();
        let schema = definition.spec.versions[0].schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref());
        let mut fields = Vec::new();
        described(&short, schema.expect("a schema"), &mut fields);
        let undescribed: Vec<_> = fields.iter().filter(|(_, text)| text.is_empty()).map(|(path, _)| path).collect();
        assert!(undescribed.is_empty(), "no description: {undescribed:?}");
        let (mut pages, mut asked) = (String::new(), 0);
        for path in fields.iter().map(|(path, _)| path.rsplit_once('.').expect("a path").0).filter(|path| {
            let deep = ["spec", "spec.services", "spec.services.healthCheck", "spec.targets", "status", "spec.grants"];
            deep.iter().any(|wanted| *path == format!("{short}.{wanted}"))
        }) {
            if !pages.contains(&format!("\n@{path}\n")) {
                asked += 1;
                pages += &format!("\n@{path}\n");
                pages += &words(&kubectl(rig, &["explain", path]).await.good());
            }
        }
        assert!(asked >= 2, "{short}");
        for (path, text) in &fields {
            let parent = path.rsplit_once('.').expect("a path").0;
            if pages.contains(&format!("\n@{parent}\n")) {
                assert!(pages.contains(&words(text)), "kubectl explain {parent} does not show of {path}: {text}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_shows_columns_and_waits() {
    let (rig, _peace) = rig().await;
    let scene = Scene::new(rig, "columns").await;
    let spec = json!({"services": [{"name": "web", "port": 8080}], "targets": [{"name": "a", "address": "169.254.1.1", "port": 9}]});
    scene.apply(scene.manifest(KIND, "web", spec)).await;
    let waited =
        kubectl(rig, &["wait", "-n", &scene.name, "--for=condition=Ready", "plb", "--all", "--timeout=60s"]).await;
    assert!(waited.good().contains("web condition met"));
    let table = kubectl(rig, &["get", "loopback", "-n", &scene.name]).await.good();
    let row = |start: &str| {
        let line = table.lines().find(|line| line.starts_with(start));
        words(line.unwrap_or_else(|| panic!("no {start} in:\n{table}")))
    };
    for header in [
        "NAME READY REASON ADDRESS DEGRADED AGE",
        "NAME READY REASON ORGANIZATION PROJECT AGE",
        "NAME READY REASON URL AGE",
    ] {
        assert!(table.lines().any(|line| words(line) == header), "no {header} in:\n{table}");
    }
    let balancer = row("projectloadbalancer.loopback.cloud/web");
    assert!(balancer.contains(" True Ready 127.20."), "{balancer}");
    assert!(balancer.split(' ').nth(4) == Some("True"), "not degraded: {balancer}");
    assert!(row("projectbinding.loopback.cloud/default").contains(" True Ready "));
    let wide = kubectl(rig, &["get", "plb", "-n", &scene.name, "-o", "wide"]).await.good();
    assert!(wide.contains(" ID") && wide.contains("lb-"), "{wide}");
    for short in ["lpb", "lpp"] {
        assert!(words(&kubectl(rig, &["get", short, "-A"]).await.good()).contains("READY REASON"), "{short}");
    }
    let selected =
        ["get", "lpp", "-n", &scene.name, "--field-selector", &format!("spec.backendRef.name={}", scene.name)];
    assert!(kubectl(rig, &selected).await.good().contains("default"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn protected_objects_are_not_deleted() {
    let (rig, _peace) = rig().await;
    let scene = Scene::new(rig, "protected").await;
    let spec = json!({"services": [{"name": "web", "port": 8080}]});
    for name in ["web", "kept"] {
        ready_balancer(&scene, name, spec.clone()).await;
        let protect = json!({"metadata": {"annotations": {"loopback.cloud/deletion-protection": "true"}}});
        scene.merge(KIND, name, protect).await;
    }
    let api = scene.api(KIND);
    let rehearsal = kube::api::DeleteParams { dry_run: true, ..Default::default() };
    until("the policy is in force", async || api.delete("web", &rehearsal).await.is_err()).await;
    match api.delete("web", &Default::default()).await {
        Err(Error::Api(status)) => {
            assert_eq!(status.code, 403, "{}", status.message);
            let advice =
                "web is protected: to delete it, first remove its annotation loopback.cloud/deletion-protection";
            assert!(status.message.contains(advice), "{}", status.message);
        }
        other => panic!("a protected object was deleted: {other:?}"),
    }
    let collection = api.delete_collection(&Default::default(), &Default::default()).await;
    assert!(collection.is_err(), "protected objects were deleted with their collection");
    // Any other value protects nothing.
    scene
        .merge(KIND, "web", json!({"metadata": {"annotations": {"loopback.cloud/deletion-protection": "false"}}}))
        .await;
    scene.delete(KIND, "web").await;
    scene.until_gone(KIND, "web").await;
    // A namespace's end is not held up.
    let namespaces = Api::<Namespace>::all(scene.client.clone());
    namespaces.delete(&scene.name, &Default::default()).await.expect("it can be deleted");
    let gone = crate::rig::within(Duration::from_secs(60), async || {
        namespaces.get_opt(&scene.name).await.expect("an answer").is_none()
    })
    .await;
    assert!(gone, "the namespace does not end\n{}", scene.story());
    scene.until_empty("load-balancers").await;
}
