//! Operators with a defect: the traffic of the good one is bent so that it looks as if it had one. The laws must notice.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use bytes::Bytes;
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
];

/// Bends traffic.
pub struct Mutant {
    pub defect: Defect,
    pub api: ApiServer,
    pub token: String,
    pub count: AtomicU64,
}

/// The request as the defect would have sent it, or the answer to one that it never sent.
impl Bend for Mutant {
    fn bend(&self, side: Side, request: Request<Bytes>) -> Result<Request<Bytes>, Response<Body>> {
        let path = request.uri().path().to_owned();
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        match side {
            Side::Kube if path.contains("/loopback.cloud/") && request.method() == Method::PATCH => {
                self.kube(request, &path, body)
            }
            Side::Wire => self.wire(request, &path, body),
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
