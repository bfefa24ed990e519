//! What the API server itself costs: an operator that does nothing but the two writes that nobody can avoid.

use std::sync::Arc;

use futures::StreamExt;
use kube::{
    Api, ResourceExt,
    api::{DynamicObject, Patch, PatchParams},
    runtime::{
        WatchStreamExt,
        watcher::{Config, Event, watcher},
    },
};
use loopback_operator::crd::FINALIZER;
use serde_json::{Value, json};
use tokio::{sync::Semaphore, task::JoinSet};

use crate::{
    ground::{Ground, api_of},
    load::{KINDS, status},
};

/// Objects that it works on at the same time, as the operator.
const WORKERS: usize = 16;

/// Starts it; it works until the set is dropped.
pub fn start(ground: &Ground) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let turns = Arc::new(Semaphore::new(WORKERS));
    for kind in KINDS {
        tasks.spawn(follow(ground.client.clone(), kind, turns.clone()));
    }
    tasks
}

async fn follow(client: kube::Client, kind: &'static str, turns: Arc<Semaphore>) {
    let mut working = JoinSet::new();
    let mut events = watcher(api_of(&client, kind, None), Config::default()).default_backoff().boxed();
    while let Some(event) = events.next().await {
        let (Ok(Event::Apply(object)) | Ok(Event::InitApply(object))) = event else { continue };
        if object.finalizers().is_empty() {
            let (api, turns) = (api_of(&client, kind, object.namespace().as_deref()), turns.clone());
            working.spawn(async move {
                let _turn = turns.acquire().await.unwrap();
                write(&api, &object).await;
            });
        }
        while working.try_join_next().is_some() {}
    }
}

async fn write(api: &Api<DynamicObject>, object: &DynamicObject) {
    let (name, parameters) = (object.name_any(), PatchParams::default());
    let same = json!({"op": "test", "path": "/metadata/uid", "value": object.uid()});
    let finalizer = json!([same, {"op": "add", "path": "/metadata/finalizers", "value": [FINALIZER]}]);
    api.patch(&name, &parameters, &json_patch(finalizer)).await.unwrap();
    let status = status(object.metadata.generation.unwrap_or(1));
    let status = json!([same, {"op": "add", "path": "/status", "value": status}]);
    api.patch_status(&name, &parameters, &json_patch(status)).await.unwrap();
}

fn json_patch(patch: Value) -> Patch<Value> {
    Patch::Json(serde_json::from_value(patch).unwrap())
}
