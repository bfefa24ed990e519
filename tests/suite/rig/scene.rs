//! What one test has for itself: a namespace, a project, a token, a LoopbackBackend that grants them to each other.

use std::time::Duration;

use k8s_openapi::api::{core::v1::Secret, events::v1::Event};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams},
};
use loopback_operator::{
    dev::apply::{Existing, apply, parse},
    operator::kinds,
    protocol::RawObject,
};
use serde_json::{Value, json};

use super::{MANAGER, PATIENCE, Rig, Wire, until, wire::ORGANIZATION, within};

/// One test's part of the world.
pub struct Scene {
    /// Shared processes.
    pub rig: &'static Rig,
    /// As admin.
    pub client: Client,
    /// Its namespace; the project and the LoopbackBackend have the same name.
    pub name: String,
    /// The token that its binding uses at first, and the token's id.
    pub token: (String, String),
}

/// All permissions that the kinds need.
pub fn permissions() -> Vec<String> {
    kinds::all().into_iter().flat_map(|kind| kind.permissions).map(|permission| permission.to_string()).collect()
}

impl Scene {
    /// A namespace with a binding that works.
    pub async fn new(rig: &'static Rig, what: &str) -> Self {
        let scene = Self::unbound(rig, what).await;
        scene.bind("default", json!({"backendRef": {"name": scene.name}})).await;
        scene
    }

    /// A namespace that is granted its project, without a binding.
    pub async fn unbound(rig: &'static Rig, what: &str) -> Self {
        let scene = Self::bare(rig, rig.client(), what).await;
        scene.lend().await;
        scene
    }

    /// A namespace in some cluster, a project and a token for it, and nothing that connects them.
    pub async fn bare(rig: &'static Rig, client: Client, what: &str) -> Self {
        let name = format!("{what}-{}", rig.number());
        rig.wire.project(&name).await;
        let (id, token) = rig.wire.token(&name, &permissions()).await;
        let scene = Self { rig, client, name, token: (token, id) };
        scene.label(json!({"scene": scene.name})).await;
        scene
    }

    /// Sets the namespace's labels.
    pub async fn label(&self, labels: Value) {
        self.apply(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name, "labels": labels}}))
            .await;
    }

    /// A LoopbackBackend that lends the namespace its project.
    pub async fn lend(&self) {
        self.secret("loopback-system", &self.name, &self.token.0).await;
        self.grant_all().await;
    }

    /// Sets the grants of this scene's LoopbackBackend.
    pub async fn grant(&self, grants: Value) {
        self.apply(json!({"apiVersion": "loopback.cloud/v1alpha1", "kind": "LoopbackBackend", "metadata": {"name": self.name},
            "spec": {"tokenSecretRef": {"namespace": "loopback-system", "name": self.name, "key": "token"}, "grants": grants}}))
            .await;
    }

    /// Grants this scene's namespace its project.
    pub async fn grant_all(&self) {
        self.grant(json!([{"name": "all", "organization": ORGANIZATION, "projects": [self.name],
            "namespaces": {"from": "Selector", "selector": {"matchLabels": {"scene": self.name}}}}]))
            .await;
    }

    /// Binds with a token of the namespace's own, in a Secret named `own`.
    pub async fn bind_own(&self, name: &str) {
        self.secret(&self.name, "own", &self.token.0).await;
        self.bind(name, json!({"tokenSecretRef": {"name": "own", "key": "token"}})).await;
    }

    /// Makes a ProjectBinding; `how` adds to its spec.
    pub async fn bind(&self, name: &str, how: Value) {
        let mut spec = json!({"organization": ORGANIZATION, "project": self.name});
        spec.as_object_mut().unwrap().extend(how.as_object().unwrap().clone());
        self.apply(self.manifest("ProjectBinding", name, spec)).await;
    }

    /// Writes a token into a Secret.
    pub async fn secret(&self, namespace: &str, name: &str, token: &str) {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace},
            "stringData": {"token": token}});
        let api = Api::<Secret>::namespaced(self.client.clone(), namespace);
        api.patch(name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(secret))
            .await
            .expect("the Secret is taken");
    }

    /// A manifest in this namespace. In the texts of the spec `{scene}` is this scene's name, `{name}` the object's.
    pub fn manifest(&self, kind: &str, name: &str, spec: Value) -> Value {
        let text = spec.to_string().replace("{scene}", &self.name).replace("{name}", name);
        let spec: Value = serde_json::from_str(&text).expect("names are plain");
        json!({"apiVersion": "loopback.cloud/v1alpha1", "kind": kind,
            "metadata": {"name": name, "namespace": self.name}, "spec": spec})
    }

    /// Applies a manifest server-side.
    pub async fn apply(&self, manifest: Value) -> DynamicObject {
        let applied =
            apply(&self.client, MANAGER, vec![serde_json::from_value(manifest).expect("a manifest")], Existing::Update)
                .await
                .expect("the manifest is taken");
        applied.into_iter().next().expect("one object").object
    }

    /// Applies manifests written as YAML.
    pub async fn apply_yaml(&self, manifests: &str) {
        let manifests = parse(manifests).expect("a manifest");
        apply(&self.client, MANAGER, manifests, Existing::Update).await.expect("the manifests are taken");
    }

    /// The API of one of our kinds in this namespace, or of LoopbackBackends.
    pub fn api(&self, kind: &str) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("loopback.cloud", "v1alpha1", kind));
        match kind {
            "LoopbackBackend" => Api::all_with(self.client.clone(), &resource),
            _ => Api::namespaced_with(self.client.clone(), &self.name, &resource),
        }
    }

    /// An object, if it is there.
    pub async fn get(&self, kind: &str, name: &str) -> Option<DynamicObject> {
        self.api(kind).get_opt(name).await.expect("the API server answers")
    }

    /// A merge patch of an object.
    pub async fn merge(&self, kind: &str, name: &str, patch: Value) -> DynamicObject {
        let patch = Patch::Merge(patch);
        self.api(kind).patch(name, &PatchParams::default(), &patch).await.expect("the patch is taken")
    }

    /// Takes an object's whole status away.
    pub async fn erase_status(&self, kind: &str, name: &str) {
        let patch = Patch::Merge(json!({"status": null}));
        self.api(kind).patch_status(name, &PatchParams::default(), &patch).await.expect("the patch is taken");
    }

    /// Asks for deletion.
    pub async fn delete(&self, kind: &str, name: &str) {
        self.api(kind).delete(name, &Default::default()).await.expect("it can be deleted");
    }

    /// Waits until an object has a condition with a status, for its present generation.
    pub async fn until_condition(&self, kind: &str, name: &str, condition_type: &str, status: &str) -> DynamicObject {
        let mut last = None;
        let reached = within(PATIENCE, async || {
            last = self.get(kind, name).await;
            last.as_ref().is_some_and(|object| {
                let generation = object.metadata.generation.unwrap_or(0);
                let found = condition(object, condition_type);
                let now = found.as_ref().is_some_and(|c| c["observedGeneration"] == generation);
                now && found.is_some_and(|c| c["status"] == status)
            })
        })
        .await;
        let shown = last.as_ref().map(|object| object.data["status"].to_string());
        assert!(reached, "{kind} {name} did not get {condition_type}={status}: {shown:?}\n{}", self.story());
        last.expect("it is there")
    }

    /// Waits until an object is Ready.
    pub async fn until_ready(&self, kind: &str, name: &str) -> DynamicObject {
        self.until_condition(kind, name, "Ready", "True").await
    }

    /// Waits until an object is Stalled for this reason.
    pub async fn until_stalled(&self, kind: &str, name: &str, reason: &str) -> DynamicObject {
        self.until_reason(kind, name, "Stalled", reason).await
    }

    /// Waits until an object has a condition that is true for this reason.
    pub async fn until_reason(&self, kind: &str, name: &str, condition_type: &str, reason: &str) -> DynamicObject {
        within(PATIENCE, async || {
            let object = self.get(kind, name).await;
            object.is_some_and(|object| reason_of(&object, condition_type) == reason)
        })
        .await;
        let object = self.until_condition(kind, name, condition_type, "True").await;
        assert_eq!(reason_of(&object, condition_type), reason, "{}", message_of(&object, condition_type));
        object
    }

    /// Waits until an object is gone.
    pub async fn until_gone(&self, kind: &str, name: &str) {
        let gone = within(PATIENCE, async || self.get(kind, name).await.is_none()).await;
        assert!(gone, "{kind} {name} is still there: {:?}\n{}", self.get(kind, name).await, self.story());
    }

    /// What the backend holds in this scene's project.
    pub async fn held(&self, collection: &str) -> Vec<RawObject> {
        self.wire().list(&self.name, collection).await
    }

    /// Waits until the project holds nothing.
    pub async fn until_empty(&self, collection: &str) {
        until("the project is empty", async || self.held(collection).await.is_empty()).await;
    }

    /// The wire API as administrator.
    pub fn wire(&self) -> &'static Wire {
        &self.rig.wire
    }

    /// Events about an object, as `REASON: note`.
    pub async fn events(&self, name: &str) -> Vec<String> {
        let api = Api::<Event>::namespaced(self.client.clone(), &self.name);
        let events = api.list(&ListParams::default()).await.expect("events").items;
        let about = |event: &Event| event.regarding.as_ref().is_some_and(|object| object.name.as_deref() == Some(name));
        let words = |event: Event| format!("{}: {}", event.reason.unwrap_or_default(), event.note.unwrap_or_default());
        events.into_iter().filter(about).map(words).collect()
    }

    /// Waits for an event about an object.
    pub async fn until_event(&self, name: &str, reason: &str, limit: Duration) -> String {
        let mut found = None;
        within(limit, async || {
            found = self.events(name).await.into_iter().find(|event| event.starts_with(&format!("{reason}:")));
            found.is_some()
        })
        .await;
        found.unwrap_or_else(|| panic!("no event {reason} about {name} within {limit:?}\n{}", self.story()))
    }

    /// What the operator logged about this scene, for the message of a failure.
    pub fn story(&self) -> String {
        let log = self.rig.operator.log();
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(&self.name)).collect();
        lines[lines.len().saturating_sub(25)..].join("\n")
    }
}

/// A condition of an object.
pub fn condition(object: &DynamicObject, condition_type: &str) -> Option<Value> {
    let conditions = object.data.pointer("/status/conditions")?.as_array()?;
    conditions.iter().find(|condition| condition["type"] == condition_type).cloned()
}

/// A condition's reason.
pub fn reason_of(object: &DynamicObject, condition_type: &str) -> String {
    condition(object, condition_type).and_then(|c| c["reason"].as_str().map(str::to_owned)).unwrap_or_default()
}

/// A condition's message.
pub fn message_of(object: &DynamicObject, condition_type: &str) -> String {
    condition(object, condition_type).and_then(|c| c["message"].as_str().map(str::to_owned)).unwrap_or_default()
}

/// An object's status.
pub fn status_of(object: &DynamicObject) -> &Value {
    &object.data["status"]
}
