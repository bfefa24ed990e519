//! Secrets where they do not belong.

use std::sync::Arc;

use data_encoding::{BASE64, HEXLOWER};
use http::{Method, header};
use serde_json::json;

use super::{
    Bug,
    tools::{Purpose, call, merge, other, purpose},
};
use crate::{
    plan::Side,
    proxy::{Request, Run, Upstream},
    status,
};

/// What the backend minted last.
fn minted(run: &Run) -> Option<String> {
    let calls = run.calls().into_iter().rev();
    let mut fetched = calls.filter(|call| call.method == "GET" && call.point.role.ends_with("/secret"));
    fetched.find_map(|call| call.answer()["values"]["secretAccessKey"].as_str().map(str::to_owned))
}

pub(super) fn before(bug: Bug, run: &Run, request: &mut Request) {
    if request.side == Side::Backend && bug == Bug::TokenInPath && request.method == Method::POST {
        let token =
            request.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        request.path = format!("{}?trace={}", request.plain_path(), token.trim_start_matches("Bearer "));
    }
    let leak = match (bug, purpose(request)) {
        (Bug::SecretInStatus | Bug::SecretInStatusEscaped, Purpose::Status) => minted(run),
        (Bug::SecretInStatusUrl, Purpose::Status) => {
            minted(run).map(|secret| secret.bytes().map(|byte| format!("%{byte:02X}")).collect())
        }
        (Bug::TokenStartInMessage, Purpose::Status) => {
            run.token().rsplit_once('_').map(|(_, secret)| secret[..10].to_owned())
        }
        _ => None,
    };
    let Some(leak) = leak else { return };
    status::change(request, |status| status["conditions"][0]["message"] = format!("used {leak}").into());
    if bug == Bug::SecretInStatusEscaped {
        let escaped: String = leak.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
        request.body = String::from_utf8_lossy(&request.body).replace(&leak, &escaped).into();
    }
}

pub(super) async fn after(bug: Bug, run: &Arc<Run>, upstream: &Upstream, request: &Request) {
    if purpose(request) != Purpose::Status {
        return;
    }
    let Some(secret) = minted(run) else { return };
    match bug {
        Bug::SecretInEventBase64 if run.once("event") => {
            let note = format!("delivered {}", BASE64.encode(format!("key={secret}").as_bytes()));
            let about = json!({"kind": "ObjectBucketCredential", "namespace": run.name, "name": "rw", "apiVersion": "loopback.cloud/v1alpha1"});
            let event = json!({"metadata": {"name": "leak", "namespace": run.name}, "eventTime": "2026-01-01T00:00:00.000000Z",
                "reportingController": "loopback-operator", "reportingInstance": "a", "action": "Reconcile", "reason": "Ready",
                "type": "Normal", "regarding": about, "note": note});
            let path = format!("/apis/events.k8s.io/v1/namespaces/{}/events", run.name);
            call(run, upstream, &other(request, Method::POST, path, "application/json", &event)).await;
        }
        Bug::SecretInAnnotationHex if run.once("annotation") => {
            let value = HEXLOWER.encode(secret.as_bytes());
            merge(run, upstream, request, &json!({"metadata": {"annotations": {"loopback.cloud/store": value}}})).await;
        }
        _ => {}
    }
}
