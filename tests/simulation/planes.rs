//! A plane that makes everything real after a while, and lets go of what is deleted after another.

use std::{collections::BTreeMap, time::Duration};

use futures::{StreamExt, stream::FuturesUnordered};
use loopback_operator::{
    backend::plane::{IntentChange, Intents, Reporter},
    protocol::{Member, Phase, RawObject, object_storage::member},
    runtime::{Drain, World},
};
use serde_json::{Value, json};

/// Longest time until something is real, or let go.
const LAG: Duration = Duration::from_secs(2);

/// One plane for the collections of a service. Buckets that are `full` stay until they are purged.
pub async fn run(mut intents: Intents, reality: Reporter, world: World, full: bool, drain: Drain) {
    let mut work = FuturesUnordered::new();
    // Which of the changes of an object is its newest: what was begun for an older one is not reported after it.
    let (mut number, mut newest) = (0_u64, BTreeMap::new());
    loop {
        tokio::select! {
            biased;
            () = drain.wait() => return,
            Some((done, change)) = work.next() => report(&reality, &change, full, newest.get(id(&change)) == Some(&done)).await,
            change = intents.recv() => {
                let Some(change) = change else { return };
                number += 1;
                newest.insert(id(&change).to_owned(), number);
                let (lag, number) = (world.up_to(LAG), number);
                work.push(async move {
                    tokio::time::sleep(lag).await;
                    (number, change)
                });
            }
        }
    }
}

fn id(change: &IntentChange) -> &str {
    match change {
        IntentChange::Present { object, .. } => &object.id,
        IntentChange::Gone { .. } | IntentChange::Synced { .. } => "",
    }
}

async fn report(reality: &Reporter, change: &IntentChange, full: bool, newest: bool) {
    let IntentChange::Present { collection, object, chosen, purge, .. } = change else { return };
    let blocked = full && !purge && collection == "object-stores";
    let members = match object.phase {
        _ if !newest => return,
        Phase::Deleting if !blocked => return reality.released(&object.id).await,
        Phase::Deleting => not_empty(),
        Phase::Live => BTreeMap::new(),
    };
    let state = state(collection, object, chosen);
    reality.report(&object.id, object.intent_revision, state, members).await;
}

fn not_empty() -> BTreeMap<String, Member> {
    let content =
        Member { state: member::BLOCKED.into(), reason: member::NOT_EMPTY.into(), message: "1 object is left".into() };
    [(member::CONTENT.to_owned(), content)].into()
}

fn state(collection: &str, object: &RawObject, chosen: &Value) -> Value {
    let text = |pointer: &str| chosen.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    match collection {
        "load-balancers" => {
            let services = object.intent["services"].as_object().into_iter().flatten();
            let services: BTreeMap<_, _> =
                services.map(|(name, _)| (name, json!({"healthyTargets": 1, "targets": 1}))).collect();
            json!({"addresses": chosen["addresses"], "services": services})
        }
        "object-stores" => json!({"endpoint": "http://s3.example.dev", "region": text("/region"),
            "provider": text("/provider"), "usage": {"objects": 0, "bytes": 0}}),
        "object-stores/credentials" => json!({"accessKeyId": text("/accessKeyId"), "endpoint": "http://s3.example.dev",
            "region": "local-1", "bucketName": "shop"}),
        "dns-zones" => json!({"nameServers": ["ns.example.dev"], "records": 0, "overlaps": [], "serial": 1}),
        "dns-zones/records" => json!({"state": "Served"}),
        "monitoring/objects" => json!({"up": true, "reason": "", "message": ""}),
        _ => Value::Null,
    }
}
