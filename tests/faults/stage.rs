//! What a workload acts on: a namespace and a project of its own, as a user and as an administrator.

use std::{sync::Arc, time::Duration};

use kube::{
    Api,
    api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams},
};
use loopback_operator::{crd::annotation, operator::kinds, protocol::RawObject};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{admin::ORGANIZATION, journal, lane::Lane, proxy::Run};

/// The binding that all go through.
pub const BINDING: &str = "ProjectBinding";
/// The Secret with the token that it uses.
pub const OWN: &str = "token";

/// What went wrong, for people.
pub type Done<T = ()> = Result<T, String>;

/// One workload's part of the world.
pub struct Stage {
    /// Where it runs.
    pub lane: Arc<Lane>,
    /// What is recorded.
    pub run: Arc<Run>,
    /// Namespace and project.
    pub name: String,
    /// What choices come from.
    pub seed: u64,
    /// How long anything may take.
    pub patience: Duration,
    /// Id and secret of the first token.
    pub token: (String, String),
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// All permissions that the kinds need.
pub fn permissions() -> Vec<String> {
    kinds::all().into_iter().flat_map(|kind| kind.permissions).map(|permission| permission.to_string()).collect()
}

/// Another one.
pub const OTHER: &str = "other";

/// Whether a path ends at a Secret that people put a token into.
pub fn holds_token(path: &str) -> bool {
    [OWN, OTHER].iter().any(|name| path.strip_suffix(name).is_some_and(|path| path.ends_with("secrets/")))
}

/// Whether a kind is one of ours.
pub fn is_ours(kind: &str) -> bool {
    !matches!(kind, "Secret" | "Event" | "Namespace")
}

impl Stage {
    /// A namespace with a binding, and an operator that has just been started.
    pub async fn set(lane: Arc<Lane>, run: Arc<Run>, seed: u64, patience: Duration, outlives: bool) -> Done<Self> {
        let name = run.name.clone();
        lane.admin.project(&name).await?;
        let token = lane.admin.token(&name, &permissions()).await?;
        let stage = Self { lane, run, name, seed, patience, token };
        stage.create("v1", "Namespace", json!({"metadata": {"name": stage.name}})).await?;
        stage.rights(outlives).await?;
        stage.token_secret(&stage.token.1.clone()).await?;
        stage.run.journal.ready().await;
        stage.lane.operator(&stage.run);
        stage.bind(OWN).await?;
        Ok(stage)
    }

    /// Those of the operator here. RoleBindings go with their namespace, and the rights to end what is in it with them.
    async fn rights(&self, outlive: bool) -> Done {
        for role in ["loopback-operator", "loopback-operator-secrets"] {
            let to = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role});
            let name = if outlive { format!("{role}-{}", self.name) } else { role.to_owned() };
            let body = json!({"metadata": {"name": name}, "roleRef": to, "subjects": [self.lane.subject()]});
            let kind = if outlive { "ClusterRoleBinding" } else { "RoleBinding" };
            self.create("rbac.authorization.k8s.io/v1", kind, body).await?;
        }
        Ok(())
    }

    /// Binds the namespace to its project, with the token in a Secret.
    pub async fn bind(&self, secret: &str) -> Done {
        let token = json!({"name": secret, "key": "token"});
        let spec = json!({"organization": ORGANIZATION, "project": self.name, "tokenSecretRef": token});
        self.apply(BINDING, "default", spec).await.map(drop)
    }

    /// Writes a token where the binding looks for it.
    pub async fn token_secret(&self, token: &str) -> Done {
        self.run.uses(token);
        let body = json!({"metadata": {"name": OWN}, "stringData": {"token": token}});
        self.put("v1", "Secret", OWN, body).await.map(drop)
    }

    fn api(&self, version: &str, kind: &str) -> Api<DynamicObject> {
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let client = self.lane.ground.client.clone();
        match kind {
            "Namespace" | "ClusterRoleBinding" => Api::all_with(client, &resource),
            _ => Api::namespaced_with(client, &self.name, &resource),
        }
    }

    fn ours(&self, kind: &str) -> Api<DynamicObject> {
        self.api("loopback.cloud/v1alpha1", kind)
    }

    async fn create(&self, version: &str, kind: &str, mut body: Value) -> Done {
        (body["apiVersion"], body["kind"]) = (version.into(), kind.into());
        let object = serde_json::from_value(body).map_err(said)?;
        self.api(version, kind).create(&PostParams::default(), &object).await.map(drop).map_err(said)
    }

    async fn put(&self, version: &str, kind: &str, name: &str, mut body: Value) -> Done<DynamicObject> {
        (body["apiVersion"], body["kind"]) = (version.into(), kind.into());
        let parameters = PatchParams::apply("faults").force();
        let object = self.api(version, kind).patch(name, &parameters, &Patch::Apply(body)).await.map_err(said)?;
        self.run.take(serde_json::to_value(&object).map_err(said)?);
        Ok(object)
    }

    /// Applies an object of ours. In the texts of the spec `{scene}` is the project.
    pub async fn apply(&self, kind: &str, name: &str, spec: Value) -> Done<DynamicObject> {
        let spec: Value = serde_json::from_str(&spec.to_string().replace("{scene}", &self.name)).map_err(said)?;
        self.put("loopback.cloud/v1alpha1", kind, name, json!({"metadata": {"name": name}, "spec": spec})).await
    }

    /// A Secret that a user made.
    pub async fn secret(&self, name: &str, data: Value) -> Done {
        self.put("v1", "Secret", name, json!({"metadata": {"name": name}, "stringData": data})).await.map(drop)
    }

    /// Asks for a pass of an object.
    pub async fn ask_again(&self, kind: &str, name: &str, request: &str) -> Done {
        let patch = Patch::Merge(json!({"metadata": {"annotations": {annotation::RECONCILE_REQUESTED_AT: request}}}));
        let object = self.ours(kind).patch(name, &PatchParams::default(), &patch).await.map_err(said)?;
        self.run.take(serde_json::to_value(&object).map_err(said)?);
        Ok(())
    }

    /// Takes a status away.
    pub async fn erase_status(&self, kind: &str, name: &str) -> Done {
        let patch = Patch::Merge(json!({"status": null}));
        let object = self.ours(kind).patch_status(name, &PatchParams::default(), &patch).await.map_err(said)?;
        self.run.take(serde_json::to_value(&object).map_err(said)?);
        Ok(())
    }

    /// Asks for deletion; one that is gone is fine.
    pub async fn delete(&self, kind: &str, name: &str) -> Done {
        self.remove("loopback.cloud/v1alpha1", kind, name).await
    }

    /// Deletes a Secret.
    pub async fn delete_secret(&self, name: &str) -> Done {
        self.remove("v1", "Secret", name).await
    }

    /// Deletes the namespace.
    pub async fn delete_namespace(&self) -> Done {
        self.remove("v1", "Namespace", &self.name).await
    }

    async fn remove(&self, version: &str, kind: &str, name: &str) -> Done {
        match self.api(version, kind).delete(name, &DeleteParams::default()).await {
            Ok(answer) => match answer.left() {
                Some(object) => self.run.take(serde_json::to_value(&object).map_err(said)?),
                None => self.run.forget(kind, name),
            },
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(said(error)),
        }
        Ok(())
    }

    /// An object as the API server has it now.
    pub async fn get(&self, kind: &str, name: &str) -> Done<Option<Value>> {
        let version = if kind == "Secret" || kind == "Namespace" { "v1" } else { "loopback.cloud/v1alpha1" };
        let object = self.api(version, kind).get_opt(name).await.map_err(said)?;
        object.map(|object| serde_json::to_value(object).map_err(said)).transpose()
    }

    /// Waits for something that calls or the journal tell of.
    pub async fn until(&self, what: &str, holds: impl Fn() -> bool) -> Done {
        let end = Instant::now() + self.patience;
        let mut news = self.run.news.subscribe();
        while !holds() {
            if tokio::time::timeout_at(end, news.changed()).await.is_err() {
                return Err(format!("not within {:?}: {what}", self.patience));
            }
        }
        Ok(())
    }

    /// Waits for an object as only the API server knows it.
    pub async fn poll(&self, kind: &str, name: &str, what: &str, holds: impl Fn(Option<Value>) -> bool) -> Done {
        let end = Instant::now() + self.patience;
        while !holds(self.get(kind, name).await?) {
            if Instant::now() > end {
                return Err(format!("not within {:?}: {what}", self.patience));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// Waits until an object has a true condition for its present generation, for a reason that starts so.
    pub async fn until_true(&self, kind: &str, name: &str, condition: &str, reason: &str) -> Done {
        let holds = || {
            let object = self.run.object(kind, name).unwrap_or_default();
            let conditions =
                object.pointer("/status/conditions").and_then(Value::as_array).cloned().unwrap_or_default();
            let ready = |found: &Value| {
                found["type"] == condition
                    && found["status"] == "True"
                    && found["observedGeneration"] == object["metadata"]["generation"]
                    && found["reason"].as_str().is_some_and(|found| found.starts_with(reason))
            };
            conditions.iter().any(ready)
        };
        let result = self.until(&format!("{kind} {name} {condition} {reason}"), holds).await;
        result.map_err(|error| format!("{error}; {}", self.run.object(kind, name).unwrap_or_default()["status"]))
    }

    /// Waits until an object is Ready.
    pub async fn until_ready(&self, kind: &str, name: &str) -> Done {
        self.until_true(kind, name, "Ready", "").await
    }

    /// Waits until an object is gone.
    pub async fn until_gone(&self, kind: &str, name: &str) -> Done {
        let result = self.until(&format!("{kind} {name} is gone"), || self.run.object(kind, name).is_none()).await;
        result.map_err(|error| format!("{error}; {}", self.run.object(kind, name).unwrap_or_default()["status"]))
    }

    /// What the backend holds for an object of this name, if anything.
    pub fn held(&self, name: &str) -> Option<(String, RawObject)> {
        let of = |object: &RawObject| object.owner.as_ref().is_some_and(|owner| owner.name == name);
        self.run.journal.inventory().into_values().find(|(_, object)| of(object))
    }

    /// Changes what the backend holds for an object, behind the operator's back.
    pub async fn drift(&self, name: &str, patch: Value) -> Done {
        let (collection, object) = self.held(name).ok_or("the backend does not hold it")?;
        let path = format!("/v3/projects/{}/{}", self.name, journal::path(&collection, &object));
        self.lane.admin.change(Method::PATCH, &path, Some(&object.etag), Some(patch)).await.map(drop)
    }

    /// Deletes what the backend holds for an object, behind the operator's back.
    pub async fn snatch(&self, name: &str) -> Done {
        let (collection, object) = self.held(name).ok_or("the backend does not hold it")?;
        let path = format!("/v3/projects/{}/{}", self.name, journal::path(&collection, &object));
        self.lane.admin.change(Method::DELETE, &path, Some(&object.etag), None).await.map(drop)
    }
}
