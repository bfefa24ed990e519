//! Puts manifests into a cluster by server-side apply: any kind, namespaces and definitions first.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, Patch, PatchParams},
    core::GroupVersionKind,
    discovery::{self, Scope},
    runtime::wait::{await_condition, conditions},
};
use serde_json::Value;
use tokio::time::Instant;

use super::cluster::{CALL_LIMIT, ClusterProblem, within};

/// How long the API server may take to serve a kind whose definition it has just got.
const KIND_LIMIT: Duration = Duration::from_secs(15);
/// How often it is asked.
const KIND_POLL: Duration = Duration::from_millis(100);

/// Why manifests were not applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyProblem {
    /// The text is no YAML, or not of Kubernetes objects.
    #[error("cannot read the manifest: {0}")]
    Manifest(String),
    /// The API server does not know the kind.
    #[error("the cluster has no {kind} in {version}: apply its definition first")]
    UnknownKind {
        /// The kind.
        kind: String,
        /// Group and version.
        version: String,
    },
    /// A definition was not accepted.
    #[error("the definition {name} is not established after {} s: `kubectl describe crd {name}` says why", CALL_LIMIT.as_secs())]
    NotEstablished {
        /// The CustomResourceDefinition.
        name: String,
    },
    /// The API server refused.
    #[error(transparent)]
    Cluster(#[from] ClusterProblem),
}

/// An object that was applied.
#[derive(Clone, Debug)]
pub struct Applied {
    /// As the API server answered.
    pub object: DynamicObject,
    /// Its kind.
    pub resource: ApiResource,
}

impl Applied {
    /// An API for the object's kind in its namespace.
    #[must_use]
    pub fn api(&self, client: Client) -> Api<DynamicObject> {
        match &self.object.metadata.namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, &self.resource),
            None => Api::all_with(client, &self.resource),
        }
    }
}

/// What happens to an object that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It becomes as the manifest says, also where others manage its fields.
    Update,
    /// It stays as it is.
    Keep,
}

/// Applies every object as `manager`: namespaces first, then definitions, which are waited for until the API server serves
/// them, then the rest as given. Objects without a namespace go to the client's default one.
///
/// # Errors
/// At the first object that is refused; those before it stay.
pub async fn apply(
    client: &Client,
    manager: &str,
    objects: Vec<DynamicObject>,
    existing: Existing,
) -> Result<Vec<Applied>, ApplyProblem> {
    let mut kinds = BTreeMap::new();
    let mut applied = Vec::with_capacity(objects.len());
    let parameters = PatchParams::apply(manager).force();
    for object in in_order(objects) {
        let gvk = kind_of(&object)?;
        let key = (gvk.api_version(), gvk.kind.clone());
        if !kinds.contains_key(&key) {
            kinds.insert(key.clone(), resolve(client, &gvk).await?);
        }
        let Some((resource, scope)) = kinds.get(&key) else { continue };
        let api = api_for(client, resource, scope, object.metadata.namespace.as_deref());
        let kept = if existing == Existing::Keep { find(&api, &object, resource).await? } else { None };
        let object = match kept {
            Some(kept) => kept,
            None => apply_one(client, &api, &parameters, &object, resource).await?,
        };
        applied.push(Applied { object, resource: resource.clone() });
    }
    Ok(applied)
}

fn api_for(client: &Client, resource: &ApiResource, scope: &Scope, namespace: Option<&str>) -> Api<DynamicObject> {
    match (scope, namespace) {
        (Scope::Cluster, _) => Api::all_with(client.clone(), resource),
        (Scope::Namespaced, None) => Api::default_namespaced_with(client.clone(), resource),
        (Scope::Namespaced, Some(namespace)) => Api::namespaced_with(client.clone(), namespace, resource),
    }
}

async fn find(
    api: &Api<DynamicObject>,
    object: &DynamicObject,
    resource: &ApiResource,
) -> Result<Option<DynamicObject>, ApplyProblem> {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    Ok(within(api.get_opt(name), || format!("look for {} {name}", resource.kind)).await?)
}

async fn apply_one(
    client: &Client,
    api: &Api<DynamicObject>,
    parameters: &PatchParams,
    object: &DynamicObject,
    resource: &ApiResource,
) -> Result<DynamicObject, ApplyProblem> {
    let name = object.metadata.name.clone().unwrap_or_default();
    let patch = Patch::Apply(object);
    let call = api.patch(&name, parameters, &patch);
    let object = within(call, || format!("apply {} {name}", resource.kind)).await?;
    if resource.kind == "CustomResourceDefinition" {
        established(client, &name).await?;
    }
    Ok(object)
}

async fn established(client: &Client, name: &str) -> Result<(), ApplyProblem> {
    let api = Api::<CustomResourceDefinition>::all(client.clone());
    let wait = await_condition(api, name, conditions::is_crd_established());
    match tokio::time::timeout(CALL_LIMIT, wait).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(ApplyProblem::NotEstablished { name: name.to_owned() }),
    }
}

/// Looks the kind up. One that was defined a moment ago is waited for.
async fn resolve(client: &Client, gvk: &GroupVersionKind) -> Result<(ApiResource, Scope), ApplyProblem> {
    let deadline = Instant::now() + KIND_LIMIT;
    loop {
        let looked_up = tokio::time::timeout(CALL_LIMIT, discovery::pinned_kind(client, gvk)).await;
        let what = || format!("look up {} in {}", gvk.kind, gvk.api_version());
        match looked_up.map_err(|_| ClusterProblem::Late { what: what() })? {
            Ok((resource, capabilities)) => return Ok((resource, capabilities.scope)),
            Err(error) if !is_unknown(&error) => {
                return Err(ClusterProblem::Call { what: what(), source: Box::new(error) }.into());
            }
            Err(_) if Instant::now() >= deadline => {
                return Err(ApplyProblem::UnknownKind { kind: gvk.kind.clone(), version: gvk.api_version() });
            }
            Err(_) => tokio::time::sleep(KIND_POLL).await,
        }
    }
}

fn is_unknown(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => status.code == 404,
        kube::Error::Discovery(_) => true,
        _ => false,
    }
}

fn kind_of(object: &DynamicObject) -> Result<GroupVersionKind, ApplyProblem> {
    let types = object.types.as_ref().ok_or_else(|| ApplyProblem::Manifest("an object has no kind".to_owned()))?;
    GroupVersionKind::try_from(types).map_err(|error| ApplyProblem::Manifest(error.to_string()))
}

/// The objects of a manifest of many documents; lists are opened, empty documents left out.
///
/// # Errors
/// When it is no YAML, or not of Kubernetes objects with names.
pub fn parse(manifest: &str) -> Result<Vec<DynamicObject>, ApplyProblem> {
    let problem = |error: &dyn std::error::Error| ApplyProblem::Manifest(error.to_string());
    let documents: Vec<Value> = serde_saphyr::from_multiple(manifest).map_err(|error| problem(&error))?;
    let mut objects = Vec::new();
    for document in documents.into_iter().flat_map(open_list).filter(|document| !document.is_null()) {
        let object: DynamicObject = serde_json::from_value(document).map_err(|error| problem(&error))?;
        if object.types.is_none() || object.metadata.name.is_none() {
            return Err(ApplyProblem::Manifest("an object has no apiVersion, kind or metadata.name".to_owned()));
        }
        objects.push(object);
    }
    Ok(objects)
}

fn open_list(mut document: Value) -> Vec<Value> {
    let is_list = document.get("kind").and_then(Value::as_str) == Some("List");
    match document.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) if is_list => items,
        Some(items) => {
            document["items"] = items;
            vec![document]
        }
        None => vec![document],
    }
}

/// Namespaces, then definitions, then the rest as written.
fn in_order(mut objects: Vec<DynamicObject>) -> Vec<DynamicObject> {
    objects.sort_by_key(|object| match object.types.as_ref().map(|types| types.kind.as_str()) {
        Some("Namespace") => 0,
        Some("CustomResourceDefinition") => 1,
        _ => 2,
    });
    objects
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(manifest: &str) -> Vec<String> {
        in_order(parse(manifest).unwrap()).into_iter().filter_map(|object| object.metadata.name).collect()
    }

    #[test]
    fn documents_in_an_order_that_works() {
        let manifest = "
# a comment
---
apiVersion: v1
kind: Secret
metadata: {name: b, namespace: ns}
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}
- {apiVersion: v1, kind: Namespace, metadata: {name: ns}}
---
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: d}
";
        assert_eq!(names(manifest), ["ns", "d", "b", "a"]);
    }

    #[test]
    fn what_is_no_object_is_told() {
        for text in ["kind: Secret", "apiVersion: v1\nkind: Secret\nmetadata: {}", "{", "- a"] {
            assert!(matches!(parse(text), Err(ApplyProblem::Manifest(_))), "{text}");
        }
    }
}
