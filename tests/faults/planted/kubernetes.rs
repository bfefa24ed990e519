//! Bugs in what is written to Kubernetes.

use std::{sync::Arc, time::Duration};

use http::Method;
use loopback_operator::crd::FINALIZER;
use serde_json::{Value, json};

use super::{
    Bug,
    tools::{Purpose, call, known, merge, other, purpose},
};
use crate::{
    proxy::{Answer, Request, Run, Upstream},
    status,
};

pub(super) async fn before(bug: Bug, run: &Arc<Run>, upstream: &Upstream, request: &mut Request) -> Option<Answer> {
    match (bug, purpose(request)) {
        (Bug::FinalizerNeverStored, Purpose::AddFinalizer) => return Some(finalizer_said(run, request)),
        (Bug::FinalizerStoredLate, Purpose::AddFinalizer) => {
            let (run, upstream, late) = (Arc::clone(run), upstream.clone(), request.clone());
            let answer = finalizer_said(&run, request);
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(700)).await;
                call(&run, &upstream, &late).await;
            });
            return Some(answer);
        }
        (Bug::FinalizerNeverRemoved, Purpose::RemoveFinalizer) => {
            let mut object = known(run, request);
            object["metadata"]["finalizers"] = json!([]);
            return Some(Answer::json(200, &object));
        }
        (Bug::FinalizerWithoutUid, Purpose::AddFinalizer) => status::forget_uid(request),
        (Bug::StatusOnlySaid, Purpose::Status) => {
            let mut object = known(run, request);
            object["status"] = status::written(&request.json()).cloned().unwrap_or_default();
            return Some(Answer::json(200, &object));
        }
        (Bug::StatusWithoutUid, Purpose::Status) => status::forget_uid(request),
        (Bug::StatusOfTheFuture, Purpose::Status) => ahead(request, true),
        (Bug::StatusHalfStale, Purpose::Status) => ahead(request, false),
        (Bug::SecretWithoutOwner, Purpose::Secret) => change(request, "/metadata", |metadata| {
            drop(metadata.as_object_mut().and_then(|all| all.remove("ownerReferences")))
        }),
        _ => {}
    }
    None
}

/// What the answer would be, had the finalizer been stored.
fn finalizer_said(run: &Run, request: &Request) -> Answer {
    let mut object = known(run, request);
    object["metadata"]["finalizers"] = json!([FINALIZER]);
    Answer::json(200, &object)
}

fn change(request: &mut Request, at: &str, how: impl FnOnce(&mut Value)) {
    let mut body = request.json();
    if let Some(part) = body.pointer_mut(at) {
        how(part);
    }
    request.set(&body);
}

/// A status that speaks of one generation more; of its parts only Ready, unless all do.
fn ahead(request: &mut Request, all: bool) {
    let more = |value: &mut Value| *value = (value.as_i64().unwrap_or(0) + 1).into();
    status::change(request, |status| {
        if all {
            more(&mut status["observedGeneration"]);
        }
        status["conditions"]
            .as_array_mut()
            .into_iter()
            .flatten()
            .for_each(|condition| more(&mut condition["observedGeneration"]));
    });
}

pub(super) async fn after(bug: Bug, run: &Arc<Run>, upstream: &Upstream, request: &Request, _: &mut Answer) {
    if purpose(request) != Purpose::Status {
        return;
    }
    match bug {
        Bug::SpecChanged if run.once("spec") => {
            merge(run, upstream, request, &json!({"spec": {"algorithm": "LeastConnections"}})).await
        }
        Bug::AsksWithoutRight => {
            let path = format!("/api/v1/namespaces/{}/configmaps", run.name);
            let mut asks = other(request, Method::GET, path, "application/json", &Value::Null);
            asks.body = Default::default();
            call(run, upstream, &asks).await;
        }
        Bug::LabelSet => merge(run, upstream, request, &json!({"metadata": {"labels": {"touched": "yes"}}})).await,
        Bug::AnnotationSet => {
            merge(run, upstream, request, &json!({"metadata": {"annotations": {"note": "seen"}}})).await
        }
        Bug::StatusEachPass if run.once("status") => {
            let (run, upstream, request) = (Arc::clone(run), upstream.clone(), request.clone());
            tokio::spawn(async move { again_and_again(&run, &upstream, &request).await });
        }
        Bug::SecretOfAnotherOverwritten if request.plain_path().contains("/objectbucketcredentials/") => {
            overwrite(run, upstream, request).await;
        }
        _ => {}
    }
}

async fn again_and_again(run: &Run, upstream: &Upstream, request: &Request) {
    for round in 0..150 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let mut again = request.clone();
        status::change(&mut again, |status| status["conditions"][0]["message"] = format!("pass {round}").into());
        call(run, upstream, &again).await;
    }
}

async fn overwrite(run: &Run, upstream: &Upstream, status: &Request) {
    let body = status.json();
    let (uid, name) = (status::uid(&body), status.plain_path().trim_end_matches("/status").rsplit('/').next());
    let owner = json!({"apiVersion": "loopback.cloud/v1alpha1", "kind": "ObjectBucketCredential", "name": name, "uid": uid, "controller": true});
    let body = json!({"metadata": {"ownerReferences": [owner]}, "data": {"AWS_REGION": "bG9jYWw="}});
    let path = format!("/api/v1/namespaces/{}/secrets/keys", run.name);
    call(run, upstream, &other(status, Method::PATCH, path, "application/merge-patch+json", &body)).await;
}
