//! Waits until objects are Ready.

use std::time::Duration;

use futures::future::join_all;
use kube::{
    Client, ResourceExt,
    api::DynamicObject,
    runtime::wait::{Condition, await_condition},
};

use super::apply::Applied;

/// An object as it was when the waiting ended.
#[derive(Clone, Debug)]
pub struct Looked {
    /// The object; absent when it is gone or cannot be read.
    pub object: Option<DynamicObject>,
    /// What it is called: kind, namespace and name.
    pub name: String,
}

/// Waits until all of these are Ready, at most `limit`, by watching them.
pub async fn wait(client: &Client, objects: &[Applied], limit: Duration) -> Vec<Looked> {
    join_all(objects.iter().map(|applied| async move {
        let (api, name) = (applied.api(client.clone()), applied.object.name_any());
        let waited = tokio::time::timeout(limit, await_condition(api.clone(), &name, ready())).await;
        let object = match waited {
            Ok(Ok(object)) => object,
            // Late, or not to be watched: how it is now says why.
            _ => tokio::time::timeout(limit, api.get_opt(&name)).await.ok().and_then(Result::ok).flatten(),
        };
        Looked { object, name: title(applied) }
    }))
    .await
}

fn ready() -> impl Condition<DynamicObject> {
    |object: Option<&DynamicObject>| object.is_some_and(|object| why_not(object).is_none())
}

impl Looked {
    /// Why it is not Ready, for people; none when it is.
    #[must_use]
    pub fn why_not(&self) -> Option<String> {
        self.object.as_ref().map_or_else(|| Some("it is not there".to_owned()), why_not)
    }
}

fn why_not(object: &DynamicObject) -> Option<String> {
    let status = &object.data["status"];
    let observed = status["observedGeneration"].as_i64();
    let ready = status["conditions"].as_array().into_iter().flatten().find(|condition| condition["type"] == "Ready");
    let text = |field: &str| ready.and_then(|ready| ready[field].as_str()).unwrap_or_default().to_owned();
    match ready {
        None => Some("the operator has not seen it".to_owned()),
        Some(_) if observed != object.metadata.generation => Some("the operator has not seen its spec".to_owned()),
        Some(ready) if ready["status"] == "True" => None,
        Some(_) => Some(format!("{}: {}", text("reason"), text("message"))),
    }
}

fn title(applied: &Applied) -> String {
    let namespace = applied.object.namespace().map(|namespace| format!("{namespace}/")).unwrap_or_default();
    format!("{} {namespace}{}", applied.resource.kind, applied.object.name_any())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn ready_means_this_very_spec() {
        let object = |status: Value| -> DynamicObject {
            serde_json::from_value(json!({"metadata": {"name": "x", "generation": 2}, "status": status})).unwrap()
        };
        let ready =
            |value: &str| json!([{"type": "Ready", "status": value, "reason": "NotListening", "message": "port 80"}]);
        let why = |status| why_not(&object(status));
        assert_eq!(why(json!({"observedGeneration": 2, "conditions": ready("True")})), None);
        assert!(why(json!({"observedGeneration": 1, "conditions": ready("True")})).is_some());
        assert_eq!(
            why(json!({"observedGeneration": 2, "conditions": ready("False")})).unwrap(),
            "NotListening: port 80"
        );
        assert!(why(json!(null)).is_some());
    }
}
