//! What a call is about, in words that are the same in every run.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::plan::Side;

/// Names of what has an identity that differs in each run: UIDs of resources, ids of backend objects.
#[derive(Default)]
pub struct Names(BTreeMap<String, String>);

impl Names {
    /// Takes names out of what was sent or answered.
    pub fn learn(&mut self, body: &Value) {
        match body {
            Value::Array(items) => items.iter().for_each(|item| self.learn(item)),
            Value::Object(fields) => {
                self.learn_one(body);
                for field in ["items", "object", "owner", "metadata"] {
                    if let Some(inner) = fields.get(field) {
                        self.learn(inner);
                    }
                }
            }
            _ => {}
        }
    }

    fn learn_one(&mut self, body: &Value) {
        let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str);
        for (identity, name) in [("/id", "/owner/name"), ("/uid", "/name")] {
            if let (Some(identity), Some(name)) = (text(identity), text(name)) {
                self.0.insert(identity.to_owned(), name.to_owned());
            }
        }
    }

    fn of(&self, part: &str) -> String {
        match self.0.get(part) {
            Some(name) => name.clone(),
            // An id that nobody could learn: a kind of object and 26 letters.
            None if part.rsplit_once('-').is_some_and(|(_, id)| id.len() == 26) => "?".to_owned(),
            None => part.to_owned(),
        }
    }

    /// What a call is about. `Some(true)` with it: its answer is a stream.
    pub fn role(&self, side: Side, path_and_query: &str, body: &Value) -> (String, bool) {
        let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        match side {
            Side::Kubernetes => kubernetes(path, query),
            Side::Backend => self.backend(path, query, body),
        }
    }

    fn backend(&self, path: &str, query: &str, body: &Value) -> (String, bool) {
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').skip(3).collect();
        match parts.as_slice() {
            [] => ("view".into(), false),
            ["changes"] => ("feed".into(), true),
            ["owners", _, uid] => (format!("owners/{}", self.of(uid)), false),
            parts => {
                let mut role = parts.iter().map(|part| self.of(part)).collect::<Vec<_>>().join("/");
                if let Some(owner) = body.pointer("/owner/name").and_then(Value::as_str) {
                    role = format!("{role}/{owner}");
                }
                let owner = query.split('&').find_map(|pair| pair.strip_prefix("owner.uid="));
                (owner.map_or(role.clone(), |uid| format!("{role}?{}", self.of(uid))), false)
            }
        }
    }
}

fn kubernetes(path: &str, query: &str) -> (String, bool) {
    let streams = query.contains("watch=true");
    let rest =
        path.split_once("/namespaces/").and_then(|(_, rest)| rest.split_once('/')).map_or(path, |(_, rest)| rest);
    if rest.starts_with("events") {
        return ("events".into(), false);
    }
    let field = query.split('&').find_map(|pair| pair.strip_prefix("fieldSelector=metadata.name%3D"));
    let role = field.map_or_else(|| rest.to_owned(), |name| format!("{rest}/{name}"));
    let asked = if streams { "?watch" } else { "" };
    (format!("{role}{asked}"), streams)
}

#[test]
fn what_is_new_in_each_run_is_named_by_its_role() {
    let mut names = Names::default();
    let id = "os-01jd00000000000000000000aa";
    names.learn(&serde_json::json!({"id": id, "owner": {"name": "assets", "uid": "u-1"}}));
    for (side, path, body, role) in [
        (Side::Backend, "/v3/projects/p-1", Value::Null, "view"),
        (Side::Backend, "/v3/projects/p-1/changes?after=x", Value::Null, "feed"),
        (Side::Backend, "/v3/projects/p-1/owners/lane/u-1", Value::Null, "owners/assets"),
        (
            Side::Backend,
            "/v3/projects/p-1/object-stores",
            serde_json::json!({"owner": {"name": "a"}}),
            "object-stores/a",
        ),
        (
            Side::Backend,
            &format!("/v3/projects/p-1/object-stores/{id}/secret"),
            Value::Null,
            "object-stores/assets/secret",
        ),
        (
            Side::Kubernetes,
            "/apis/loopback.cloud/v1alpha1/namespaces/p-1/objectbuckets/a/status?force=true",
            Value::Null,
            "objectbuckets/a/status",
        ),
        (
            Side::Kubernetes,
            "/api/v1/namespaces/p-1/secrets?watch=true&fieldSelector=metadata.name%3Dt",
            Value::Null,
            "secrets/t?watch",
        ),
        (Side::Kubernetes, "/apis/events.k8s.io/v1/namespaces/p-1/events/x.17", Value::Null, "events"),
    ] {
        assert_eq!(names.role(side, path, &body).0, role);
    }
}
