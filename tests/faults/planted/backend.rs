//! Bugs in what is done in the backend.

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, Method, header};
use serde_json::{Value, json};

use super::{
    Bug,
    tools::{Purpose, call, created, merged, other, purpose, read},
};
use crate::{
    plan::Side,
    proxy::{Answer, Request, Run, Upstream},
};

pub(super) async fn before(bug: Bug, run: &Arc<Run>, upstream: &Upstream, request: &mut Request) -> Option<Answer> {
    match purpose(request) {
        Purpose::Create => create(bug, run, upstream, request).await,
        Purpose::Update => update(bug, upstream, request).await,
        Purpose::Retire => retire(bug, run, upstream, request).await,
        _ => None,
    }
}

async fn create(bug: Bug, run: &Run, upstream: &Upstream, request: &mut Request) -> Option<Answer> {
    let nobody = "00000000-0000-4000-8000-000000000000";
    let mut body = request.json();
    let owner = &mut body["owner"];
    match bug {
        Bug::OwnerOfNobody => owner["uid"] = nobody.into(),
        Bug::OwnerNewEachTime => owner["uid"] = format!("{:08}-0000-4000-8000-000000000000", run.calls().len()).into(),
        Bug::OwnerOfAnotherNamespace => owner["namespace"] = "default".into(),
        Bug::OwnerOfAnotherCluster => owner["cluster"] = "elsewhere".into(),
        Bug::OwnerOfAnotherKind => owner["kind"] = "ProjectDnsZone".into(),
        Bug::CreateWithoutOwner if run.once("create") => {
            drop(body.as_object_mut().and_then(|body| body.remove("owner")))
        }
        Bug::StatusIsTheMemory => drop(body.as_object_mut().and_then(|body| body.remove("owner"))),
        Bug::CreateOnlySaid => return Some(created(request)),
        Bug::ForeignChanged | Bug::ForeignTaken | Bug::ForeignDeleted if run.once("foreign") => {
            foreign(bug, run, upstream, request).await;
        }
        _ => {}
    }
    if body != request.json() {
        request.set(&body);
    }
    None
}

/// Something is done to an object that nobody gave us.
async fn foreign(bug: Bug, run: &Run, upstream: &Upstream, request: &Request) {
    let all = read(upstream, request, request.plain_path()).await;
    let items = all["items"].as_array().cloned().unwrap_or_default();
    let Some(object) = items.into_iter().find(|object| object["owner"].is_null()) else { return };
    let path = format!("{}/{}", request.plain_path(), object["id"].as_str().unwrap_or_default());
    let media = "application/json";
    let mut act = match bug {
        Bug::ForeignChanged => {
            let patch = json!({"algorithm": "LeastConnections"});
            other(request, Method::PATCH, path, "application/merge-patch+json", &patch)
        }
        Bug::ForeignTaken => {
            let claim = json!({"from": null, "to": request.json()["owner"]});
            other(request, Method::PUT, format!("{path}/owner"), media, &claim)
        }
        _ => other(request, Method::DELETE, path, media, &Value::Null),
    };
    let etag = format!("\"{}\"", object["etag"].as_str().unwrap_or_default());
    act.headers.insert(header::IF_MATCH, HeaderValue::from_str(&etag).expect("an etag"));
    call(run, upstream, &act).await;
}

async fn update(bug: Bug, upstream: &Upstream, request: &mut Request) -> Option<Answer> {
    match bug {
        Bug::IfMatchDropped => drop(request.headers.remove(header::IF_MATCH)),
        Bug::UpdateOnlySaid | Bug::RepairOnlySaid => {
            let object = read(upstream, request, request.plain_path()).await;
            return Some(merged(object, &request.json()));
        }
        Bug::UpdateLosesPart => {
            let mut body = request.json();
            drop(body.as_object_mut().and_then(|body| body.remove("targets")));
            request.set(&body);
        }
        Bug::UpdateNeverRemoves => {
            let mut body = request.json();
            keep(&mut body);
            request.set(&body);
        }
        _ => {}
    }
    None
}

/// A merge patch that removes nothing.
fn keep(patch: &mut Value) {
    if let Some(fields) = patch.as_object_mut() {
        fields.retain(|_, field| !field.is_null());
        fields.values_mut().for_each(keep);
    }
}

async fn retire(bug: Bug, run: &Arc<Run>, upstream: &Upstream, request: &mut Request) -> Option<Answer> {
    match bug {
        Bug::RetireOnlySaid => Some(Answer::json(200, &json!({"object": null}))),
        Bug::RetireRefusedForEver => Some(Answer::json(
            503,
            &json!({"type": "urn:loopback:problem:unavailable", "status": 503, "code": "unavailable", "detail": "no"}),
        )),
        Bug::FinalizerRemovedBeforeRetire if run.once("early") => {
            let (run, upstream, late) = (Arc::clone(run), upstream.clone(), request.clone());
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(900)).await;
                call(&run, &upstream, &late).await;
            });
            Some(Answer::json(200, &json!({"object": null})))
        }
        Bug::RetireOfAnotherProject => {
            request.path = request.path.replace(&format!("/{}/", run.name), "/another/");
            upstream.carry_out(request).await;
            Some(Answer::json(200, &json!({"object": null})))
        }
        _ => None,
    }
}

pub(super) async fn after(bug: Bug, run: &Arc<Run>, upstream: &Upstream, request: &Request, answer: &mut Answer) {
    match (bug, purpose(request)) {
        (Bug::CreateRetriedAsAnother, Purpose::Create) if run.once("retry") => {
            let mut again = request.clone();
            let mut body = again.json();
            body["owner"]["uid"] = "11111111-0000-4000-8000-000000000000".into();
            body["intent"]["name"] = "again".into();
            again.set(&body);
            call(run, upstream, &again).await;
        }
        (Bug::CreatedTwiceForOne, Purpose::Create) if run.once("twice") => {
            let mut again = request.clone();
            let mut body = again.json();
            (body["owner"]["cluster"], body["intent"]["name"]) = ("elsewhere".into(), "again".into());
            again.set(&body);
            call(run, upstream, &again).await;
        }
        (Bug::AsksAllTheTime, Purpose::Create) => {
            for _ in 0..60 {
                let mut asks = other(request, Method::GET, request.path.clone(), "application/json", &Value::Null);
                asks.body = Default::default();
                call(run, upstream, &asks).await;
            }
        }
        (Bug::UpdateSentAgain, Purpose::Update) => again(run, upstream, request, answer).await,
        (Bug::RetireOfTheLiving, Purpose::Update) if run.once("retire") => {
            let owner = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default()["owner"].clone();
            let uid = owner["uid"].as_str().unwrap_or_default();
            let path = format!("/v3/projects/{}/owners/{}/{uid}", run.name, run.cluster);
            call(run, upstream, &other(request, Method::DELETE, path, "application/json", &Value::Null)).await;
        }
        (Bug::AcknowledgedBeforeStored, Purpose::Fetch) => {
            let delivery = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default()["id"].clone();
            let path = format!("{}/acknowledge", request.plain_path());
            call(run, upstream, &other(request, Method::POST, path, "application/json", &json!({"id": delivery})))
                .await;
        }
        (Bug::ReissuedForNothing, Purpose::Other)
            if request.side == Side::Backend && request.path.ends_with("/acknowledge") && run.many("reissue", 6) =>
        {
            let path = request.plain_path().replace("/secret/acknowledge", "/reissue");
            call(run, upstream, &other(request, Method::POST, path, "application/json", &request.json())).await;
        }
        _ => {}
    }
}

/// The same change, again and again.
async fn again(run: &Run, upstream: &Upstream, request: &Request, answer: &mut Answer) {
    for _ in 0..12 {
        let object = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
        let etag = format!("\"{}\"", object["etag"].as_str().unwrap_or_default());
        let mut again = request.clone();
        again.headers.insert(header::IF_MATCH, HeaderValue::from_str(&etag).expect("an etag"));
        match call(run, upstream, &again).await {
            Some(next) if next.code == 200 => *answer = next,
            _ => return,
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
