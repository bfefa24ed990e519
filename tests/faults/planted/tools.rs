//! What bugs are made of.

use http::{HeaderValue, Method, header};
use serde_json::{Value, json};

use crate::{
    plan::Side,
    proxy::{Answer, Request, Run, Upstream},
    stage,
};

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    AddFinalizer,
    RemoveFinalizer,
    Status,
    Secret,
    Create,
    Update,
    Retire,
    Fetch,
    Other,
}

/// What a call of the operator is for, calls about bindings and tokens left out.
pub fn purpose(request: &Request) -> Purpose {
    let path = request.plain_path();
    if path.contains("/projectbindings") || stage::holds_token(path) {
        return Purpose::Other;
    }
    match (request.side, request.method.as_str()) {
        (Side::Kubernetes, "PATCH") if path.ends_with("/status") => Purpose::Status,
        (Side::Kubernetes, "PATCH" | "POST") if path.contains("/secrets") => Purpose::Secret,
        (Side::Kubernetes, "PATCH") => finalizer(&request.json()),
        (Side::Backend, "POST") if request.json()["owner"].is_object() => Purpose::Create,
        (Side::Backend, "PATCH") => Purpose::Update,
        (Side::Backend, "DELETE") if path.contains("/owners/") => Purpose::Retire,
        (Side::Backend, "GET") if path.ends_with("/secret") => Purpose::Fetch,
        _ => Purpose::Other,
    }
}

fn finalizer(body: &Value) -> Purpose {
    let has = |operation: &str| body.as_array().is_some_and(|steps| steps.iter().any(|step| step["op"] == operation));
    match (has("add"), has("remove")) {
        (true, _) => Purpose::AddFinalizer,
        (_, true) => Purpose::RemoveFinalizer,
        _ => Purpose::Other,
    }
}

/// A call that the operator seems to make.
pub async fn call(run: &Run, upstream: &Upstream, request: &Request) -> Option<Answer> {
    let (number, _, _) = run.enter(request.side, request.method.as_str(), &request.path, &request.body);
    run.sent(number, request, None);
    let answer = upstream.carry_out(request).await?;
    run.answered(number, answer.code, &answer.body);
    Some(answer)
}

/// Another call to the same server with the same token.
pub fn other(request: &Request, method: Method, path: String, media: &'static str, body: &Value) -> Request {
    let mut other = Request { method, path, ..request.clone() };
    other.headers.remove(header::IF_MATCH);
    other.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    other.set(body);
    other
}

/// A merge patch of the object that a status is written to.
pub async fn merge(run: &Run, upstream: &Upstream, status: &Request, patch: &Value) {
    let path = status.plain_path().trim_end_matches("/status").to_owned();
    let patch = other(status, Method::PATCH, path, "application/merge-patch+json", patch);
    call(run, upstream, &patch).await;
}

/// The object that a call is about, as the server has it; not the operator's doing.
pub async fn read(upstream: &Upstream, request: &Request, path: &str) -> Value {
    let mut read = other(request, Method::GET, path.to_owned(), "application/json", &Value::Null);
    read.body = Default::default();
    let answer = upstream.carry_out(&read).await;
    answer.and_then(|answer| serde_json::from_slice(&answer.body).ok()).unwrap_or_default()
}

/// The object that a call to Kubernetes is about, as it was last said to be.
pub fn known(run: &Run, request: &Request) -> Value {
    let path = request.plain_path().trim_end_matches("/status");
    let mut parts = path.rsplit('/');
    let (name, plural) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let about = |(kind, of): &(String, String)| of == name && format!("{}s", kind.to_lowercase()) == plural;
    run.objects().into_iter().find(|(key, _)| about(key)).map(|(_, object)| object).unwrap_or_default()
}

/// What the answer to a merge patch of an intent would be, with the intent made real.
pub fn merged(mut object: Value, patch: &Value) -> Answer {
    json_patch::merge(&mut object["intent"], patch);
    let next = object["revision"].as_u64().unwrap_or(0) + 1;
    (object["revision"], object["intentRevision"], object["reality"]["of"]) = (next.into(), next.into(), next.into());
    Answer::json(200, &object)
}

/// What the answer to a create would be, with the intent made real.
pub fn created(request: &Request) -> Answer {
    let body = request.json();
    let id = format!("os-{}", "0".repeat(26));
    let reality = json!({"of": 1, "state": {}});
    Answer::json(
        201,
        &json!({"id": id, "owner": body["owner"], "etag": "e", "revision": 1, "intentRevision": 1, "phase": "Live",
            "intent": body["intent"], "reality": reality, "deliveries": []}),
    )
}
