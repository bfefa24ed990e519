//! Operators with a defect: the traffic of the good one is bent so that it looks as if it had one. The laws must notice.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt;
use http::{Method, Request, Response};
use serde_json::{Value, json};

use crate::{apiserver::ApiServer, journal::Side, kinds::GROUP, line::Bend};

/// A defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// The finalizer is never stored.
    FinalizerUnsent,
    /// The owner of an object is new each time.
    OwnerForged,
    /// An object is created without owner: only status remembers it.
    OwnerDropped,
    /// An object is created for a cluster that is not ours.
    ClusterForged,
    /// Changes are made whatever the object is now.
    IfMatchDropped,
    /// What the backend is told to delete, it is not told.
    RetireUnsent,
    /// A change is taken as made that never was.
    PatchUnsent,
    /// What is changed is deleted instead.
    PatchDeletes,
    /// A status says Ready before the backend has anything.
    ReadyAtOnce,
    /// The status differs each time.
    StatusNoise,
    /// The status is taken as stored, but is not.
    StatusUnsent,
    /// The spec is written.
    SpecTouched,
    /// The token stands in a status.
    SecretLeaked,
    /// The finalizer goes whatever became of the object.
    UidUntested,
    /// Resources that only observe are managed.
    ObserveIgnored,
    /// What shall stay is deleted.
    RetainIgnored,
    /// What a bucket holds is given up although nobody said so.
    PurgeUnasked,
    /// What another cluster has under the same name is taken.
    ForeignTaken,
    /// The token stands in a status, in other letters.
    SecretEncoded,
    /// A replica acts whatever the Lease says.
    LeaseIgnored,
}

/// All defects.
pub const DEFECTS: &[Defect] = &[
    Defect::FinalizerUnsent,
    Defect::OwnerForged,
    Defect::OwnerDropped,
    Defect::ClusterForged,
    Defect::IfMatchDropped,
    Defect::RetireUnsent,
    Defect::PatchUnsent,
    Defect::PatchDeletes,
    Defect::ReadyAtOnce,
    Defect::StatusNoise,
    Defect::StatusUnsent,
    Defect::SpecTouched,
    Defect::SecretLeaked,
    Defect::UidUntested,
    Defect::ObserveIgnored,
    Defect::RetainIgnored,
    Defect::PurgeUnasked,
    Defect::ForeignTaken,
    Defect::SecretEncoded,
    Defect::LeaseIgnored,
];

/// Bends traffic.
pub struct Mutant {
    defect: Defect,
    api: ApiServer,
    token: String,
    count: AtomicU64,
}

impl Mutant {
    pub fn new(defect: Defect, api: ApiServer, token: &str) -> Self {
        Self { defect, api, token: token.to_owned(), count: AtomicU64::new(0) }
    }
}

impl Bend for Mutant {
    /// The answer as the defect would have read it.
    fn misread(&self, answer: Response<Body>) -> Response<Body> {
        let (said, read) = match self.defect {
            Defect::ObserveIgnored => (r#""managementPolicy":"Observe""#, r#""managementPolicy":"Manage""#),
            Defect::RetainIgnored => (r#""deletionPolicy":"Retain""#, r#""deletionPolicy":"Delete""#),
            Defect::ForeignTaken => (r#""cluster":"other""#, r#""cluster":"sim""#),
            _ => return answer,
        };
        let (mut head, body) = answer.into_parts();
        head.headers.remove("content-length");
        let chunks = body.into_data_stream();
        let bent = chunks.map(move |chunk| {
            chunk.map(|bytes| match std::str::from_utf8(&bytes) {
                Ok(text) => Bytes::from(text.replace(said, read)),
                Err(_) => bytes,
            })
        });
        Response::from_parts(head, Body::from_stream(bent))
    }

    /// The request as the defect would have sent it, or the answer to one that it never sent.
    fn bend(&self, side: Side, request: Request<Bytes>) -> Result<Request<Bytes>, Response<Body>> {
        let path = request.uri().path().to_owned();
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        match side {
            Side::Kube if path.contains("/loopback.cloud/") && request.method() == Method::PATCH => {
                self.kube(request, &path, body)
            }
            Side::Wire => self.wire(request, &path, body),
            Side::Kube if self.defect == Defect::LeaseIgnored && path.contains("/leases") => lease(&request, &body),
            Side::Kube => Ok(request),
        }
    }
}

impl Mutant {
    fn kube(&self, request: Request<Bytes>, path: &str, mut body: Value) -> Result<Request<Bytes>, Response<Body>> {
        let status = path.ends_with("/status");
        let has = |op: &str| {
            body.as_array().into_iter().flatten().any(|one| {
                one["op"] == op && one["path"].as_str().is_some_and(|path| path.starts_with("/metadata/finalizers"))
            })
        };
        let (adds, removes) = (has("add"), has("remove"));
        match self.defect {
            Defect::FinalizerUnsent if adds => {
                let Some(mut object) = self.object(path) else { return Ok(request) };
                object["metadata"]["finalizers"] = json!(["loopback.cloud/finalizer"]);
                return Err(answer(&object));
            }
            Defect::SpecTouched if adds => {
                if let Some(operations) = body.as_array_mut() {
                    operations.push(json!({"op": "add", "path": "/metadata/labels", "value": {"touched": "yes"}}));
                }
            }
            Defect::UidUntested if removes => {
                if let Some(operations) = body.as_array_mut() {
                    operations.retain(|one| one["op"] != "test");
                }
            }
            Defect::ReadyAtOnce if status => {
                let generation = self.object(path).map(|object| object["metadata"]["generation"].clone());
                written(&mut body)["observedGeneration"] = generation.unwrap_or_default();
                for one in written(&mut body)["conditions"].as_array_mut().into_iter().flatten() {
                    one["status"] = json!("True");
                }
            }
            Defect::StatusNoise if status => {
                let number = self.count.fetch_add(1, Ordering::Relaxed);
                for one in written(&mut body)["conditions"].as_array_mut().into_iter().flatten() {
                    one["message"] = json!(format!("pass {number}"));
                }
            }
            Defect::StatusUnsent if status => {
                let Some(mut object) = self.object(path) else { return Ok(request) };
                object["status"] = written(&mut body).clone();
                return Err(answer(&object));
            }
            Defect::SecretEncoded if status => {
                let secret = data_encoding::BASE64.encode(format!("token={}", self.token).as_bytes());
                for one in written(&mut body)["conditions"].as_array_mut().into_iter().flatten() {
                    one["message"] = json!(format!("with {secret}"));
                }
            }
            Defect::SecretLeaked if status => {
                for one in written(&mut body)["conditions"].as_array_mut().into_iter().flatten() {
                    one["message"] = json!(format!("with {}", self.token));
                }
            }
            _ => return Ok(request),
        }
        Ok(with(request, &body))
    }

    fn wire(&self, mut request: Request<Bytes>, path: &str, mut body: Value) -> Result<Request<Bytes>, Response<Body>> {
        let create = request.method() == Method::POST && body["owner"].is_object();
        let patch = request.method() == Method::PATCH;
        match self.defect {
            Defect::OwnerForged if create => {
                body["owner"]["uid"] = json!(format!("forged-{}", self.count.fetch_add(1, Ordering::Relaxed)));
            }
            Defect::ClusterForged if create => body["owner"]["cluster"] = json!("other"),
            Defect::OwnerDropped if create => {
                body.as_object_mut().map(|fields| fields.remove("owner"));
            }
            Defect::IfMatchDropped if patch => {
                request.headers_mut().remove("if-match");
                return Ok(request);
            }
            Defect::RetireUnsent if path.contains("/owners/") => return Err(answer(&json!({}))),
            Defect::PurgeUnasked if path.contains("/owners/") => {
                *request.uri_mut() = format!("{path}?purge=true").parse().unwrap();
                return Ok(request);
            }
            Defect::ForeignTaken if body["from"]["uid"].as_str().is_some_and(|uid| uid.starts_with("foreign")) => {
                body["from"]["cluster"] = json!("other");
            }
            Defect::PatchUnsent if patch => {
                return Err(answer(
                    &json!({"id": "none", "etag": "e", "revision": 1, "intentRevision": 1, "phase": "Live",
                    "intent": {}, "reality": {"of": 1, "state": null}}),
                ));
            }
            Defect::PatchDeletes if patch => {
                *request.method_mut() = Method::DELETE;
                *request.body_mut() = Bytes::new();
                return Ok(request);
            }
            _ => return Ok(request),
        }
        Ok(with(request, &body))
    }

    fn object(&self, path: &str) -> Option<Value> {
        let parts: Vec<&str> = path.trim_end_matches("/status").split('/').collect();
        let [.., namespace, plural, name] = parts.as_slice() else { return None };
        let same = |object: &&std::sync::Arc<Value>| {
            object["metadata"]["name"] == **name && object["metadata"]["namespace"] == **namespace
        };
        self.api.objects(GROUP, plural).iter().find(same).map(|object| (**object).clone())
    }
}

/// The Lease is as one would like it.
fn lease(request: &Request<Bytes>, body: &Value) -> Result<Request<Bytes>, Response<Body>> {
    if request.method() != Method::GET {
        return Err(answer(body));
    }
    let mut absent = answer(&json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "leases \"operator\" not found", "reason": "NotFound", "code": 404}));
    *absent.status_mut() = http::StatusCode::NOT_FOUND;
    Err(absent)
}

/// The status in a write to it.
fn written(body: &mut Value) -> &mut Value {
    if !body.is_array() {
        return &mut body["status"];
    }
    let at = body.as_array().into_iter().flatten().position(|one| one["path"] == "/status").unwrap_or_default();
    &mut body[at]["value"]
}

fn with(request: Request<Bytes>, body: &Value) -> Request<Bytes> {
    let (mut head, _) = request.into_parts();
    head.headers.remove("content-length");
    Request::from_parts(head, body.to_string().into())
}

fn answer(value: &Value) -> Response<Body> {
    let mut answer = Response::new(Body::from(value.to_string()));
    answer.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    answer
}
