//! What there is in the end, with what differs from run to run masked.

use serde_json::{Map, Value, json};

use crate::{
    person::TRACE,
    stage::{BINDING, Stage},
};

/// Parts of a status that are new in each run, or move by themselves. The list of what is not compared.
const MASKED: [&str; 17] = [
    "id",
    "lastTransitionTime",
    "message",
    "addresses",
    "endpoint",
    "usage",
    "records",
    "accessKeyId",
    "keys",
    "projectId",
    "since",
    "value",
    "up",
    "httpStatus",
    "alertState",
    "nameServers",
    TRACE,
];
/// Depends on how many times the operator looked, not on what it made.
const MOVING: [&str; 4] = ["reason", "unhealthyTargets", "healthyTargets", "secretName"];

/// Kubernetes from the API server, the backend from its journal.
pub async fn of(stage: &Stage) -> Value {
    let mut state = Map::new();
    for (kind, name) in stage.run.objects().into_keys().filter(|(kind, _)| kind != "Event" && kind != "Namespace") {
        let object = stage.get(&kind, &name).await.ok().flatten();
        let Some(object) = object else { continue };
        let about = format!("{kind}/{name}");
        state.insert(about, plain(stage, &kind, &object));
    }
    for (_, (collection, object)) in stage.run.journal.inventory() {
        let Some(owner) = object.owner else { continue };
        let pending: Vec<bool> = object.deliveries.iter().map(|delivery| delivery.pending).collect();
        let members = masked(&serde_json::to_value(&object.reality.members).unwrap_or_default());
        let held = json!({"intent": object.intent, "owner": owner.kind, "phase": object.phase, "pending": pending.last(), "members": members});
        let about = format!("{collection}/{}", owner.name);
        state.insert(about, renamed(stage, &held));
    }
    Value::Object(state)
}

fn plain(stage: &Stage, kind: &str, object: &Value) -> Value {
    let metadata = &object["metadata"];
    let keys: Vec<&String> = object["data"].as_object().into_iter().flat_map(|data| data.keys()).collect();
    let deleting = !metadata["deletionTimestamp"].is_null();
    let status = if kind == BINDING { json!(null) } else { masked(&object["status"]) };
    renamed(
        stage,
        &json!({"spec": object["spec"], "status": status, "finalizers": metadata["finalizers"], "keys": keys, "deleting": deleting}),
    )
}

fn renamed(stage: &Stage, value: &Value) -> Value {
    serde_json::from_str(&value.to_string().replace(&stage.name, "SCENE")).unwrap_or_default()
}

fn masked(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(masked).collect(),
        Value::Object(fields) => {
            let kept =
                fields.iter().filter(|(name, _)| !MASKED.contains(&name.as_str()) && !MOVING.contains(&name.as_str()));
            Value::Object(kept.map(|(name, value)| (name.clone(), masked(value))).collect())
        }
        value => value.clone(),
    }
}

/// The first thing that differs, for people.
pub fn difference(usual: &Value, found: &Value) -> Option<String> {
    let (usual, found) = (usual.as_object()?, found.as_object()?);
    let names: std::collections::BTreeSet<_> = usual.keys().chain(found.keys()).collect();
    let differs = names.into_iter().find(|name| usual.get(*name) != found.get(*name))?;
    let show = |side: &Map<String, Value>| side.get(differs).map_or("nothing".to_owned(), Value::to_string);
    Some(format!("{differs}: usually {}, now {}", show(usual), show(found)))
}
