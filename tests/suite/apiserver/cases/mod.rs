//! What is asked of both servers.

mod applies;
mod deletions;
mod lists;
mod objects;
mod patches;
mod watches;

use serde_json::{Value, json};

use super::lab::{Ask, Case, Step, delete, get, patch, post, put};

const WIDGETS: &str = "/apis/conformance.loopback.cloud/v1/namespaces/{ns}/widgets";
const SECRETS: &str = "/api/v1/namespaces/{ns}/secrets";

/// All cases.
pub fn all() -> Vec<Case> {
    let parts =
        [objects::cases(), patches::cases(), applies::cases(), deletions::cases(), lists::cases(), watches::cases()];
    parts.into_iter().flatten().collect()
}

/// The kinds that the cases use: built like the product's, and nobody else writes them.
pub fn definitions() -> Vec<Value> {
    let text = || json!({"type": "string"});
    let part =
        json!({"type": "object", "required": ["name"], "properties": {"name": text(), "size": {"type": "integer"}}});
    let condition = json!({"type": "object", "required": ["type"], "properties":
        {"type": text(), "status": text(), "reason": text()}});
    let keyed = |item: &Value, key: &str| json!({"type": "array", "items": item, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]});
    let spec = json!({"type": "object", "properties": {
        "color": text(), "size": {"type": "integer"}, "parts": keyed(&part, "name"),
        "tags": {"type": "array", "items": text(), "x-kubernetes-list-type": "set"},
        "words": {"type": "array", "items": text(), "x-kubernetes-list-type": "atomic"},
        "notes": {"type": "object", "additionalProperties": text()}}});
    let status = json!({"type": "object", "properties":
        {"phase": text(), "observedGeneration": {"type": "integer"}, "conditions": keyed(&condition, "type")},
        "default": {"observedGeneration": -1, "conditions": [{"type": "Ready", "status": "Unknown"}]}});
    let schema = json!({"type": "object", "properties": {"spec": spec, "status": status}});
    vec![json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.conformance.loopback.cloud"},
        "spec": {"group": "conformance.loopback.cloud", "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "selectableFields": [{"jsonPath": ".spec.color"}], "schema": {"openAPIV3Schema": schema}}]}})]
}

fn case(name: &'static str, steps: impl IntoIterator<Item = Step>) -> Case {
    Case { name, steps: steps.into_iter().collect() }
}

/// A widget; `more` is merged into it.
fn widget(name: &str, more: Value) -> Value {
    let mut widget =
        json!({"apiVersion": "conformance.loopback.cloud/v1", "kind": "Widget", "metadata": {"name": name}});
    json_patch::merge(&mut widget, &more);
    widget
}

fn secret(name: &str, more: Value) -> Value {
    let mut secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}});
    json_patch::merge(&mut secret, &more);
    secret
}

fn at(name: &str) -> String {
    format!("{WIDGETS}/{name}")
}

fn status_of(name: &str) -> String {
    format!("{WIDGETS}/{name}/status")
}

fn make(name: &str, more: Value) -> Step {
    Step::Send(Ask { body: widget(name, more), ..post(WIDGETS) })
}

fn make_secret(name: &str, more: Value) -> Step {
    Step::Send(Ask { body: secret(name, more), ..post(SECRETS) })
}

fn read(path: &str) -> Step {
    Step::Send(get(path))
}

fn replace(path: &str, body: Value) -> Step {
    Step::Send(Ask { body, ..put(path) })
}

fn change(path: &str, body: Value) -> Step {
    Step::Send(Ask { body, content: "application/json-patch+json", ..patch(path) })
}

fn merge(path: &str, body: Value) -> Step {
    Step::Send(Ask { body, content: "application/merge-patch+json", ..patch(path) })
}

fn apply(path: &str, body: Value) -> Step {
    Step::Send(Ask { body, content: "application/apply-patch+yaml", ..patch(path) })
}

fn apply_as(manager: &str, path: &str, body: Value) -> Step {
    apply(&format!("{path}?fieldManager={manager}"), body)
}

fn remove(path: &str) -> Step {
    Step::Send(delete(path))
}

fn remove_with(path: &str, options: Value) -> Step {
    let mut body = json!({"apiVersion": "v1", "kind": "DeleteOptions"});
    json_patch::merge(&mut body, &options);
    Step::Send(Ask { body, ..delete(path) })
}

fn watch(path: &str) -> Step {
    Step::Watch(get(path))
}

/// Metadata only.
fn partly(path: &str) -> Ask {
    let list = path.ends_with("s") || path.contains('?');
    let kind = if list && !path.contains("watch=") { "PartialObjectMetadataList" } else { "PartialObjectMetadata" };
    let accept = match kind {
        "PartialObjectMetadataList" => "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
        _ => "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
    };
    Ask { accept, ..get(path) }
}

/// A finalizer of nobody.
fn held() -> Value {
    json!({"metadata": {"finalizers": ["conformance.loopback.cloud/hold"]}})
}
