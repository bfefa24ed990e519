//! The write of a status, as it goes over the wire: a test of the UID, then the whole status.

use serde_json::Value;

use crate::proxy::Request;

fn step<'a>(body: &'a Value, op: &str, path: &str) -> Option<&'a Value> {
    body.as_array()?.iter().find(|step| step["op"] == op && step["path"] == path).map(|step| &step["value"])
}

/// The UID of whom it is for, if it says so.
pub fn uid(body: &Value) -> Option<&str> {
    step(body, "test", "/metadata/uid")?.as_str()
}

/// What is written.
pub fn written(body: &Value) -> Option<&Value> {
    step(body, "add", "/status")
}

/// The conditions in it.
pub fn conditions(body: &Value) -> Option<&Vec<Value>> {
    written(body)?["conditions"].as_array()
}

/// Writes something else.
pub fn change(request: &mut Request, how: impl FnOnce(&mut Value)) {
    let mut body = request.json();
    let steps = body.as_array_mut().into_iter().flatten();
    if let Some(step) = steps.into_iter().find(|step| step["path"] == "/status") {
        how(&mut step["value"]);
        request.set(&body);
    }
}

/// Writes to whoever has that name.
pub fn forget_uid(request: &mut Request) {
    let steps = request.json().as_array().cloned().unwrap_or_default();
    request.set(&steps.into_iter().filter(|step| step["path"] != "/metadata/uid").collect());
}
