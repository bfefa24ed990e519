//! The lives of resources, as the API server's log tells them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use crate::audit::Entry;

/// What the operator writes there itself.
pub const OUR_ANNOTATIONS: [&str; 2] = ["loopback.cloud/store", "loopback.cloud/token-secret"];

/// One resource.
#[derive(Clone, Debug, Default)]
pub struct Life {
    /// Its kind and name.
    pub about: (String, String),
    /// When its deletion was asked for.
    pub deleted: Option<Timestamp>,
    /// What is not ours in it, when people last wrote it.
    pub theirs: Value,
}

/// All of them, by UID.
#[derive(Default)]
pub struct History(pub BTreeMap<String, Life>);

/// What of an object only people write.
pub fn theirs(object: &Value) -> Value {
    let mut metadata = object["metadata"].clone();
    if let Some(annotations) = metadata["annotations"].as_object_mut() {
        annotations.retain(|name, _| !OUR_ANNOTATIONS.contains(&name.as_str()));
    }
    let annotations =
        metadata["annotations"].as_object().filter(|all| !all.is_empty()).cloned().map_or(Value::Null, Value::Object);
    serde_json::json!({"spec": object["spec"], "labels": metadata["labels"], "annotations": annotations})
}

impl History {
    /// The lives in a log.
    pub fn of(log: &[Entry]) -> Self {
        let mut history = Self::default();
        for entry in log.iter().filter(|entry| entry.code < 300) {
            match entry.answered["items"].as_array() {
                Some(items) => items.iter().for_each(|item| history.take(item, entry)),
                None if entry.answered["kind"] == "Status" => history.end(&entry.answered["details"], entry),
                None => history.take(&entry.answered, entry),
            }
        }
        history
    }

    /// Whether an owner is a resource that was here.
    pub fn knows(&self, owner: &Value) -> bool {
        let life = owner["uid"].as_str().and_then(|uid| self.0.get(uid));
        life.is_some_and(|life| owner["kind"] == life.about.0.as_str() && owner["name"] == life.about.1.as_str())
    }

    /// What nothing held when its deletion was asked for is gone at once, and the answer is no object any more.
    fn end(&mut self, details: &Value, entry: &Entry) {
        let life = details["uid"].as_str().and_then(|uid| self.0.get_mut(uid));
        if let Some(life) = life.filter(|_| entry.verb == "delete") {
            life.deleted = Some(life.deleted.map_or(entry.came, |known| known.min(entry.came)));
        }
    }

    fn take(&mut self, object: &Value, entry: &Entry) {
        let Some(uid) = object["metadata"]["uid"].as_str() else { return };
        let life = self.0.entry(uid.to_owned()).or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        life.about = (text(&object["kind"]), text(&object["metadata"]["name"]));
        if !object["metadata"]["deletionTimestamp"].is_null() {
            life.deleted = Some(life.deleted.map_or(entry.came, |known| known.min(entry.came)));
        }
        if life.theirs.is_null() && object["spec"].is_object() {
            life.theirs = theirs(object);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(verb: &str, came: i64, answered: Value) -> Entry {
        Entry {
            came: Timestamp::from_second(came).unwrap(),
            user: "person".into(),
            verb: verb.into(),
            resource: "projectloadbalancers".into(),
            name: "web".into(),
            code: 200,
            answered,
            right: Default::default(),
            refused: None,
            line: String::new(),
        }
    }

    #[test]
    fn a_deletion_is_known_whether_a_finalizer_was_there_or_not() {
        let metadata = json!({"name": "web", "uid": "u"});
        let made = entry("create", 1, json!({"kind": "ProjectLoadBalancer", "metadata": metadata, "spec": {}}));
        let held = json!({"kind": "ProjectLoadBalancer",
            "metadata": {"name": "web", "uid": "u", "deletionTimestamp": "2026-01-01T00:00:00Z"}});
        let gone = json!({"kind": "Status", "status": "Success", "details": {"name": "web", "uid": "u"}});
        let deleted = |log: &[Entry]| History::of(log).0["u"].deleted.map(Timestamp::as_second);
        assert_eq!(deleted(std::slice::from_ref(&made)), None);
        for answer in [held, gone] {
            assert_eq!(deleted(&[made.clone(), entry("delete", 2, answer)]), Some(2));
        }
    }
}
