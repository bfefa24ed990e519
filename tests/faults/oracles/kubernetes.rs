//! S6, S7: what is written to people's objects.

use std::collections::BTreeSet;

use loopback_operator::crd::FINALIZER;
use serde_json::{Map, Value};

use super::{
    Evidence, Violation,
    history::{History, OUR_ANNOTATIONS, theirs},
};
use crate::{
    plan::{Fault, Side},
    proxy::Call,
    stage::{self, BINDING},
    status,
    workloads::Trait,
};

/// Fields of a spec that mean nothing to the backend.
const LOCAL: [&str; 6] =
    ["deletionPolicy", "managementPolicy", "import", "secretName", "projectRef", "targetNamespaces"];

/// S6: who says Ready for the present spec says what is.
pub fn ready_is_true(evidence: &Evidence<'_>) -> Vec<Violation> {
    // Somebody else's hand, or a store put back, makes any word untrue a moment later.
    if matches!(evidence.workload.trait_, Trait::Drift | Trait::Backend) {
        return vec![];
    }
    let calls = evidence
        .calls
        .iter()
        .filter(|call| call.point.side == Side::Kubernetes && call.point.role.ends_with("/status"));
    // One that the proxy held back was true when it was sent.
    let late = |call: &&Call| evidence.run.plan != Some((call.point.clone(), Fault::Late));
    calls.filter(late).filter_map(untrue).map(|what| Violation::new("S6", what)).collect()
}

fn untrue(call: &Call) -> Option<String> {
    let (sent, object) = (call.json(), call.answer());
    let ready = status::conditions(&sent)?
        .iter()
        .find(|condition| condition["type"] == "Ready" && condition["status"] == "True")?;
    let now = &object["metadata"]["generation"];
    let observed = &status::written(&sent)?["observedGeneration"];
    if call.code != Some(200) || object["kind"] == BINDING {
        return None;
    }
    if *observed != ready["observedGeneration"] {
        return Some(format!("{}: the status is of {observed}, Ready of {}", call.point, ready["observedGeneration"]));
    }
    if ready["observedGeneration"].as_i64() > now.as_i64() {
        return Some(format!("{}: it speaks of a generation that is not there yet", call.point));
    }
    if ready["observedGeneration"] != *now || !object["metadata"]["deletionTimestamp"].is_null() {
        return None;
    }
    // Nobody knows what a backend holds that is not there.
    let held = call.held.as_ref()?;
    let Some(held) = held.first() else { return Some(format!("{}: Ready, and the backend holds nothing", call.point)) };
    lacks(&object["spec"], &held.intent)
        .map(|what| format!("{}: Ready, and the backend does not hold {what}", call.point))
}

/// What of a spec an intent does not say.
pub fn lacks(spec: &Value, intent: &Value) -> Option<String> {
    let fields = spec.as_object()?.iter().filter(|(name, _)| !LOCAL.contains(&name.as_str()) && !name.ends_with("Ref"));
    for (name, wanted) in fields {
        let has = intent.get(name).unwrap_or(&Value::Null);
        let fits = match wanted {
            Value::Array(items) if items.iter().any(Value::is_object) => named(items, has),
            Value::Object(_) => lacks(wanted, has).is_none(),
            wanted => wanted == has,
        };
        if !fits {
            return Some(format!("{name} {wanted}, but {has}"));
        }
    }
    None
}

/// Lists of members are maps by name there.
fn named(items: &[Value], has: &Value) -> bool {
    let empty = Map::new();
    let members = has.as_object().unwrap_or(&empty);
    let fits = |item: &Value| {
        let mut item = item.clone();
        let name = item.as_object_mut().and_then(|item| item.remove("name")).unwrap_or_default();
        name.as_str().and_then(|name| members.get(name)).is_some_and(|member| lacks(&item, member).is_none())
    };
    members.len() == items.len() && items.iter().all(fits)
}

/// S7: of people's objects only our finalizer, our annotation and the status are written; of Secrets only those that we made.
pub fn only_what_is_ours(evidence: &Evidence<'_>, history: &History) -> Vec<Violation> {
    let writes = evidence.calls.iter().filter(|call| call.point.side == Side::Kubernetes && call.writes());
    let asked = writes.filter_map(|call| foreign(call).map(|what| format!("{}: {what}", call.point)));
    // What was asked is one witness, what came of it another.
    let ours = |entry: &&crate::audit::Entry| entry.user == evidence.user && entry.verb != "get" && entry.code < 300;
    let became = evidence.audit.iter().filter(ours).filter_map(|entry| {
        let uid = entry.answered["metadata"]["uid"].as_str()?;
        let life = history.0.get(uid)?;
        let before = previous(evidence, uid, &entry.answered).unwrap_or_else(|| life.theirs.clone());
        let now = theirs(&entry.answered);
        (now != before)
            .then(|| format!("{} {}: changed what people wrote from {before} to {now}", entry.resource, entry.name))
    });
    let all = asked.chain(became).chain(secrets_of_people(evidence));
    all.map(|what| Violation::new("S7", what)).collect()
}

/// Secrets that people made and the operator wrote to. Of those with its tokens it may keep the end.
fn secrets_of_people(evidence: &Evidence<'_>) -> Vec<String> {
    let wrote = |entry: &&crate::audit::Entry| matches!(entry.verb.as_str(), "create" | "update" | "patch");
    let people = evidence.audit.iter().filter(|entry| entry.user != evidence.user && entry.resource == "secrets");
    let theirs: BTreeSet<&str> = people.filter(wrote).map(|entry| entry.name.as_str()).collect();
    let done = evidence.calls.iter().filter(|call| call.writes() && call.code.is_some_and(|code| code < 300));
    let to = done.filter_map(|call| Some((call, call.point.role.split_once(":secrets/")?.1)));
    let wrong = to.filter(|(call, name)| theirs.contains(name) && !stage::holds_token(&call.point.role));
    wrong.map(|(call, name)| format!("{}: Secret {name} is somebody's", call.point)).collect()
}

/// What people wrote last before a version of an object.
fn previous(evidence: &Evidence<'_>, uid: &str, object: &Value) -> Option<Value> {
    let version =
        |object: &Value| object["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse::<u64>().ok());
    let end = version(object)?;
    let people = evidence.audit.iter().filter(|entry| entry.user != evidence.user && entry.code < 300);
    let of = people
        .filter(|entry| entry.answered["metadata"]["uid"] == uid && entry.answered["spec"].is_object())
        .map(|entry| &entry.answered);
    let before = of.filter_map(|object| version(object).filter(|at| *at <= end).map(|at| (at, object)));
    before.max_by_key(|(at, _)| *at).map(|(_, object)| theirs(object))
}

fn foreign(call: &Call) -> Option<String> {
    let about = call.point.role.split_once(':').map_or("", |(_, about)| about);
    let body = call.json();
    if about.ends_with("/status") {
        return status::uid(&body).is_none().then(|| "a status for whoever has that name".to_owned());
    }
    if about.starts_with("secrets") {
        return secret(about, &body);
    }
    if call.method != "PATCH" {
        return Some(format!("{} of somebody's object", call.method));
    }
    match body.as_array() {
        Some(steps) => steps.iter().find_map(step).or_else(|| untested(steps)),
        None => merged(&body),
    }
}

fn untested(steps: &[Value]) -> Option<String> {
    let tests = steps.iter().any(|step| step["op"] == "test" && step["path"] == "/metadata/uid");
    (!tests).then(|| "a patch for whoever has that name".to_owned())
}

fn step(step: &Value) -> Option<String> {
    let path = step["path"].as_str().unwrap_or_default();
    let finalizer = |value: &Value| *value == FINALIZER || *value == serde_json::json!([FINALIZER]);
    let fine = match step["op"].as_str() {
        Some("test") => true,
        Some("add") => path.starts_with("/metadata/finalizers") && finalizer(&step["value"]),
        Some("remove") => path.starts_with("/metadata/finalizers/"),
        _ => false,
    };
    (!fine).then(|| format!("patched {path}"))
}

fn merged(body: &Value) -> Option<String> {
    let all = |value: &Value, allowed: &[&str]| {
        value.as_object().is_none_or(|fields| fields.keys().all(|name| allowed.contains(&name.as_str())))
    };
    let fine = all(body, &["metadata"])
        && all(&body["metadata"], &["uid", "annotations"])
        && all(&body["metadata"]["annotations"], &OUR_ANNOTATIONS);
    (!fine).then(|| format!("patched with {body}"))
}

/// A Secret of ours names the resource that it is for; of the token's only the finalizers are touched.
fn secret(about: &str, body: &Value) -> Option<String> {
    if stage::holds_token(about) {
        let fields: Vec<_> = body["metadata"].as_object().into_iter().flat_map(|fields| fields.keys()).collect();
        let fine = fields == ["finalizers", "resourceVersion"] && body.as_object().is_some_and(|body| body.len() == 1);
        return (!fine).then(|| "more than the finalizers of a token's Secret was written".to_owned());
    }
    let owners = body["metadata"]["ownerReferences"].as_array().map_or(&[][..], Vec::as_slice);
    let ours = owners.iter().any(|owner| owner["kind"] == "ObjectBucketCredential" && owner["controller"] == true);
    (!ours).then(|| "a Secret without its credential as owner".to_owned())
}
