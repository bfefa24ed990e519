//! The answers that are no objects, worded as the real server words them.

use serde_json::{Value, json};

use super::kinds::Kind;

/// A refusal.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub code: u16,
    /// A `Status`, or text for a path that leads nowhere.
    pub body: Value,
}

impl Refusal {
    fn new(code: u16, reason: &str, message: &str, details: Value) -> Self {
        let mut body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": reason, "details": details, "code": code});
        if body["details"].is_null() {
            body.as_object_mut().unwrap().remove("details");
        }
        Self { code, body }
    }

    fn about(code: u16, reason: &str, message: &str, kind: &Kind, name: &str) -> Self {
        Self::new(code, reason, message, details(kind, name))
    }

    /// No such path.
    pub fn no_path() -> Self {
        Self { code: 404, body: Value::String("404 page not found\n".into()) }
    }

    /// No such subresource.
    pub fn no_resource() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource", json!({}))
    }

    pub fn method(kind: &Kind) -> Self {
        let message = "the server does not allow this method on the requested resource";
        let details = json!({"group": kind.group, "kind": kind.plural});
        Self::new(405, "MethodNotAllowed", message, details)
    }

    pub fn not_found(kind: &Kind, name: &str) -> Self {
        Self::about(404, "NotFound", &format!("{} \"{name}\" not found", kind.resource()), kind, name)
    }

    pub fn exists(kind: &Kind, name: &str, deleting: bool) -> Self {
        let before = if deleting { "object is being deleted: " } else { "" };
        let message = format!("{before}{} \"{name}\" already exists", kind.resource());
        Self::about(409, "AlreadyExists", &message, kind, name)
    }

    pub fn conflict(kind: &Kind, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} \"{name}\": {why}", kind.resource());
        Self::about(409, "Conflict", &message, kind, name)
    }

    /// A precondition of a deletion that does not hold; it names the kind, not the resource.
    pub fn not_meant(kind: &Kind, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} \"{name}\": {why}", kind.qualified());
        let mut refusal = Self::about(409, "Conflict", &message, kind, name);
        refusal.body["details"]["kind"] = kind.kind.clone().into();
        refusal
    }

    pub fn modified(kind: &Kind, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(kind, name, why)
    }

    /// The namespace goes away: nothing new in it.
    pub fn terminating(kind: &Kind, name: &str, namespace: &str) -> Self {
        let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
        let message = format!("{} \"{name}\" is forbidden: {why}", kind.resource());
        let mut refusal = Self::about(403, "Forbidden", &message, kind, name);
        refusal.body["details"]["causes"] = json!([{"reason": "NamespaceTerminating",
            "message": format!("namespace {namespace} is being terminated"), "field": "metadata.namespace"}]);
        refusal
    }

    /// A field that is not right; `reason` and `message` as field errors have them.
    pub fn invalid(kind: &Kind, name: &str, causes: &[(&str, &str, String)]) -> Self {
        let mut all: Vec<String> = causes.iter().map(|(_, field, message)| format!("{field}: {message}")).collect();
        all.dedup();
        let all = if let [one] = all.as_slice() { one.clone() } else { format!("[{}]", all.join(", ")) };
        let message = format!("{} \"{name}\" is invalid: {all}", kind.qualified());
        let causes: Vec<Value> = causes
            .iter()
            .map(|(reason, field, message)| json!({"reason": reason, "message": message, "field": field}))
            .collect();
        let mut details = json!({"name": name, "group": kind.group, "kind": kind.kind, "causes": causes});
        drop_empty(&mut details);
        Self::new(422, "Invalid", &message, details)
    }

    /// A body or a selector that cannot be read.
    pub fn bad(message: &str) -> Self {
        Self::new(400, "BadRequest", message, Value::Null)
    }

    /// What the server takes for its own mistake.
    pub fn internal(message: &str) -> Self {
        let mut refusal = Self::new(500, "", message, Value::Null);
        refusal.body.as_object_mut().unwrap().remove("reason");
        refusal
    }

    /// A JSON patch that does not fit.
    pub fn patch(_why: &str) -> Self {
        Self::new(422, "Invalid", "the server rejected our request due to an error in our request", json!({}))
    }

    pub fn media_type(accepted: &str) -> Self {
        let message =
            format!("the body of the request was in an unknown format - accepted media types include: {accepted}");
        Self::new(415, "UnsupportedMediaType", &message, Value::Null)
    }

    /// The past is gone.
    pub fn expired(message: &str) -> Self {
        Self::new(410, "Expired", message, Value::Null)
    }

    pub fn future(asked: u64, now: u64) -> Self {
        let message = format!("Timeout: Too large resource version: {asked}, current: {now}");
        let details = json!({"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
            "retryAfterSeconds": 1});
        Self::new(504, "Timeout", &message, details)
    }

    /// Fields that other managers own.
    pub fn contested(fields: &[(String, String)]) -> Self {
        let managers: Vec<&String> = fields.iter().map(|(manager, _)| manager).collect();
        let causes: Vec<Value> = fields
            .iter()
            .map(|(manager, field)| {
                json!({"reason": "FieldManagerConflict", "message": format!("conflict with {manager}"), "field": field})
            })
            .collect();
        let same = managers.iter().all(|manager| *manager == managers[0]);
        let message = match fields {
            [(manager, field)] => format!("Apply failed with 1 conflict: conflict with {manager}: {field}"),
            all if same => {
                let lines: Vec<String> = all.iter().map(|(_, field)| format!("- {field}")).collect();
                let count = all.len();
                format!("Apply failed with {count} conflicts: conflicts with {}:\n{}", managers[0], lines.join("\n"))
            }
            all => format!("Apply failed with {} conflicts", all.len()),
        };
        Self::new(409, "Conflict", &message, json!({"causes": causes}))
    }
}

/// Details of an answer about one object.
pub fn details(kind: &Kind, name: &str) -> Value {
    let mut details = json!({"name": name, "group": kind.group, "kind": kind.plural});
    drop_empty(&mut details);
    details
}

fn drop_empty(details: &mut Value) {
    details.as_object_mut().unwrap().retain(|_, value| value != "");
}

/// The answer to a deletion that is done.
pub fn deleted(kind: &Kind, name: &str, uid: &str) -> Value {
    let mut details = details(kind, name);
    details["uid"] = uid.into();
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}
