//! A backend that means harm, or is none: the operator stays well, says what is wrong, and gives no token away.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use loopback_operator::crd::Reason;
use serde_json::json;

use super::{
    judge::{Standing, standing},
    server::{FEEDS, Hostile, OBJECTS, VIEWS},
};
use crate::rig::{Scene, rig, until, within};

/// What the operator may take more than before, in bytes: what it keeps of one project at most, and of some in transit.
const MEMORY: u64 = 900 << 20;
/// Longest line of the log, in bytes.
const LINE: usize = 16_384;

fn token(way: &str) -> String {
    format!("lbt_hostile_{way}_0123456789abcdef")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_backend_harms_nobody_but_its_own_binding() {
    let (rig, _peace) = rig().await;
    let (scene, good) = (Scene::new(rig, "hostile-answers").await, Scene::new(rig, "hostile-beside").await);
    let (server, before) = (Hostile::start().await, rig.operator.resident());
    let logged = rig.operator.log().len();
    for way in VIEWS.iter().chain(FEEDS).chain(OBJECTS) {
        scene.secret(&scene.name, &format!("t-{way}"), &token(way)).await;
        let reference = json!({"name": format!("t-{way}"), "key": "token"});
        scene.bind(way, json!({"url": format!("{}/{way}", server.url), "tokenSecretRef": reference})).await;
    }
    let began = Instant::now();
    let spec = json!({"services": [{"name": "web", "port": 18099}]});
    good.apply(good.manifest("ProjectLoadBalancer", "beside", spec.clone())).await;
    until("a balancer beside them", async || {
        let found = good.get("ProjectLoadBalancer", "beside").await.expect("it is there");
        found.data["status"]["id"].is_string()
    })
    .await;
    println!("beside them a balancer took {:?}", began.elapsed());
    for way in VIEWS.iter().chain(FEEDS) {
        explained(&scene, "ProjectBinding", way).await;
    }
    for way in OBJECTS {
        scene.until_ready("ProjectBinding", way).await;
        let mut spec = spec.clone();
        spec["projectRef"] = json!({"name": way});
        scene.apply(scene.manifest("ProjectLoadBalancer", way, spec)).await;
    }
    for way in OBJECTS {
        explained(&scene, "ProjectLoadBalancer", way).await;
    }
    let grown = rig.operator.resident().saturating_sub(before);
    println!("{} ways, the operator grew by {} MB", server.ways().len(), grown >> 20);
    assert!(grown < MEMORY, "the operator grew by {grown} bytes");
    nothing_leaked(&scene, &server, &rig.operator.log()[logged..]).await;
    calm(&server).await;
    clean_up(&scene).await;
}

/// Waits until an object says, for its present generation, that it is not Ready and why.
async fn explained(scene: &Scene, kind: &str, name: &str) {
    let mut last = Standing::Open;
    within(Duration::from_secs(90), async || {
        let object = scene.get(kind, name).await.expect("it is there");
        last = standing(&serde_json::to_value(&object).expect("JSON"));
        // what cannot be put into a status passes for an error, and is said
        let reason = object.data.pointer("/status/conditions/0/reason");
        let error = reason.is_some_and(|reason| reason == "Error" || reason == "Throttled");
        // while its binding is asked whether all is lost, the object waits for it
        let asking = matches!(last, Standing::Waiting(Reason::BindingNotReady, _));
        (last != Standing::Open && !asking) || error
    })
    .await;
    let object = scene.get(kind, name).await.expect("it is there");
    let text = object.data["status"].to_string();
    assert!(text.len() < 16_384, "{kind} {name}: a status of {} bytes", text.len());
    assert!(!text.contains(&token(name)), "{kind} {name}: the token is in {text}");
    match last {
        Standing::Waiting(Reason::BackendUnavailable | Reason::Denied | Reason::TokenInvalid | Reason::Refused, _) => {}
        // What is said of very many parts is cut.
        Standing::Waiting(Reason::NotListening, _) if name == "call-reality" => {}
        Standing::Open
            if ["does not fit", "not to this call", "fewer calls"].iter().any(|word| text.contains(word)) => {}
        other => panic!("{kind} {name}: {other:?}: {text}\n{}", scene.story()),
    }
}

/// Each token was sent to the address that it belongs to, and nowhere else; nothing of it is in the log.
async fn nothing_leaked(scene: &Scene, server: &Hostile, log: &str) {
    let all: BTreeSet<&str> = VIEWS.iter().chain(FEEDS).chain(OBJECTS).copied().collect();
    assert_eq!(server.ways().iter().map(String::as_str).collect::<BTreeSet<_>>(), all);
    for (way, authorization) in server.heard() {
        assert_eq!(authorization, format!("Bearer {}", token(&way)), "{way}");
    }
    assert_eq!(server.stolen(), Vec::<String>::new(), "a redirect was followed");
    assert!(!log.contains("lbt_hostile_"), "a token is in the log");
    for way in all {
        for event in scene.events(way).await {
            assert!(!event.contains("lbt_hostile_"), "{event}");
        }
    }
    let longest = log.lines().max_by_key(|line| line.len()).unwrap_or_default();
    assert!(longest.len() < LINE, "a line of {} bytes: {}", longest.len(), &longest[..200]);
    assert!(!log.contains("panicked"), "{}", scene.story());
}

/// What is answered badly each time is asked for again with pauses.
async fn calm(server: &Hostile) {
    let calls = || OBJECTS.iter().map(|way| (*way, server.calls(way))).collect::<Vec<_>>();
    let (before, began) = (calls(), Instant::now());
    until("some time passed", async || began.elapsed() > Duration::from_secs(3)).await;
    for ((way, after), (_, before)) in calls().into_iter().zip(before) {
        assert!(after - before <= 30, "L2: {way}: {} calls within {:?}", after - before, began.elapsed());
    }
}

async fn clean_up(scene: &Scene) {
    for way in OBJECTS {
        scene.delete("ProjectLoadBalancer", way).await;
        // their backend will never say that they are gone
        until("the balancer is gone", async || {
            if scene.get("ProjectLoadBalancer", way).await.is_none() {
                return true;
            }
            let api = scene.api("ProjectLoadBalancer");
            let patch = kube::api::Patch::Merge(json!({"metadata": {"finalizers": null}}));
            drop(api.patch(way, &Default::default(), &patch).await);
            false
        })
        .await;
    }
    for way in VIEWS.iter().chain(FEEDS).chain(OBJECTS) {
        scene.delete("ProjectBinding", way).await;
    }
}
