//! What only the server of the simulation has: the past forgotten at will, a journal, watches cut, the same run each time.

use std::time::Duration;

use futures::{StreamExt, pin_mut};
use k8s_openapi::{
    api::core::v1::{Event, Namespace},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Resource,
    api::{
        ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams, WatchEvent,
        WatchParams,
    },
    runtime::events::{self, EventType, Recorder, Reporter},
};
use loopback_operator::runtime::World;
use serde_json::json;
use tokio::time::{Instant, timeout};

use super::{cases, simulated::ApiServer};

fn server() -> ApiServer {
    let server = ApiServer::new(World::seeded(1));
    server.install(&cases::definitions());
    server
}

fn widgets(client: Client) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("conformance.loopback.cloud", "v1", "Widget"));
    Api::namespaced_with(client, "default", &resource)
}

fn widget(name: &str) -> DynamicObject {
    let manifest = json!({"apiVersion": "conformance.loopback.cloud/v1", "kind": "Widget", "metadata": {"name": name},
        "spec": {"color": "red"}});
    serde_json::from_value(manifest).unwrap()
}

fn version(object: &DynamicObject) -> String {
    object.metadata.resource_version.clone().unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_past_can_be_forgotten() {
    let server = server();
    let api = widgets(server.client("suite"));
    let first = api.create(&PostParams::default(), &widget("a")).await.unwrap();
    api.create(&PostParams::default(), &widget("b")).await.unwrap();
    let page = api.list(&ListParams::default().limit(1)).await.unwrap();
    api.create(&PostParams::default(), &widget("c")).await.unwrap();
    server.compact();
    let events = api.watch(&WatchParams::default(), &version(&first)).await.unwrap();
    pin_mut!(events);
    let Some(Ok(WatchEvent::Error(status))) = events.next().await else { panic!("no error") };
    assert_eq!((status.code, status.reason.as_str()), (410, "Expired"));
    assert!(events.next().await.is_none());
    let rest = ListParams::default().limit(1).continue_token(&page.metadata.continue_.unwrap());
    let Err(kube::Error::Api(status)) = api.list(&rest).await else { panic!("no error") };
    assert_eq!(status.code, 410);
    let now = api.list(&ListParams::default()).await.unwrap();
    assert_eq!(now.items.len(), 3);
    assert_eq!(now.metadata.resource_version, Some(server.revision().to_string()));
}

#[tokio::test(start_paused = true)]
async fn watches_are_cut_and_marked() {
    let server = server();
    let api = widgets(server.client("suite"));
    let first = api.create(&PostParams::default(), &widget("a")).await.unwrap();
    let events = api.watch(&WatchParams::default(), &version(&first)).await.unwrap();
    pin_mut!(events);
    assert!(timeout(Duration::from_secs(1), events.next()).await.is_err());
    server.bookmark();
    let Some(Ok(WatchEvent::Bookmark(mark))) = events.next().await else { panic!("no bookmark") };
    assert_eq!(mark.metadata.resource_version, server.revision().to_string());
    let begun = Instant::now();
    assert!(matches!(events.next().await, Some(Ok(WatchEvent::Bookmark(_)))), "a quiet watch is marked each minute");
    assert_eq!(begun.elapsed().as_secs(), 59);
    server.close_watches();
    assert!(events.next().await.is_none());
}

/// One run of some calls, as the journal tells it.
async fn story() -> Vec<String> {
    let server = server();
    let api = widgets(server.client("suite"));
    api.create(&PostParams::default(), &widget("a")).await.unwrap();
    tokio::time::advance(Duration::from_secs(2)).await;
    let blue = Patch::Merge(json!({"spec": {"color": "blue"}}));
    api.patch("a", &PatchParams::default(), &blue).await.unwrap();
    api.delete("a", &Default::default()).await.unwrap();
    drop(api.get("a").await);
    let color =
        |object: Option<&std::sync::Arc<serde_json::Value>>| object.map(|object| object["spec"]["color"].clone());
    let told = |entry: super::simulated::Entry| {
        let (before, after) = (color(entry.before.as_ref()), color(entry.after.as_ref()));
        let place = [&*entry.identity, entry.verb, &entry.resource, &entry.subresource, &entry.namespace, &entry.name]
            .join(" ");
        let sent = entry.body.is_some();
        format!("{} {} {place} {sent} {} {} {before:?} {after:?}", entry.number, entry.time, entry.code, entry.revision)
    };
    server.journal().into_iter().map(told).collect()
}

#[tokio::test(start_paused = true)]
async fn the_journal_tells_all_and_each_time_the_same() {
    let story = [story().await, story().await];
    assert_eq!(story[0], story[1]);
    let lines: Vec<&str> = story[0].iter().map(String::as_str).collect();
    let about = "widgets.conformance.loopback.cloud  default a";
    assert_eq!(
        lines,
        [
            format!("1 2026-01-01T00:00:00Z suite create {about} true 201 104 None Some(String(\"red\"))"),
            format!(
                "2 2026-01-01T00:00:02Z suite patch {about} true 200 105 Some(String(\"red\")) Some(String(\"blue\"))"
            ),
            format!("3 2026-01-01T00:00:02Z suite delete {about} true 200 106 Some(String(\"blue\")) None"),
            format!("4 2026-01-01T00:00:02Z suite get {about} false 404 106 None None"),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_definition_takes_its_objects_along() {
    let server = server();
    let api = widgets(server.client("suite"));
    api.create(&PostParams::default(), &widget("a")).await.unwrap();
    let definitions = Api::<CustomResourceDefinition>::all(server.client("suite"));
    definitions.delete("widgets.conformance.loopback.cloud", &Default::default()).await.unwrap();
    assert_eq!(server.objects("conformance.loopback.cloud/v1", "widgets").len(), 1);
    while server.tick() {}
    assert!(definitions.get_opt("widgets.conformance.loopback.cloud").await.unwrap().is_none());
    let Err(kube::Error::Api(status)) = api.list(&ListParams::default()).await else { panic!("it is served") };
    assert_eq!(status.code, 404);
}

#[tokio::test(start_paused = true)]
async fn an_event_has_two_faces() {
    let server = server();
    let client = server.client("suite");
    let about = Api::<Namespace>::all(client.clone()).get("default").await.unwrap().object_ref(&());
    let reporter = Reporter { controller: "suite".into(), instance: None };
    let event = events::Event {
        type_: EventType::Normal,
        reason: "Tried".into(),
        note: Some("it works".into()),
        action: "Try".into(),
        secondary: None,
    };
    Recorder::new(client.clone(), reporter).publish(&event, &about).await.unwrap();
    let core = Api::<Event>::namespaced(client, "default").list(&ListParams::default()).await.unwrap().items;
    assert_eq!(core[0].message.as_deref(), Some("it works"));
    assert_eq!(core[0].involved_object.name.as_deref(), Some("default"));
}

/// A call costs the same however many came before it. The limit is far above what it costs.
#[tokio::test(start_paused = true)]
async fn calls_are_cheap() {
    let server = server();
    let api = widgets(server.client("suite"));
    api.create(&PostParams::default(), &widget("a")).await.unwrap();
    let begun = std::time::Instant::now();
    let calls = 3_000;
    for round in 0..calls / 3 {
        let status = Patch::Merge(json!({"status": {"phase": round.to_string()}}));
        api.patch_status("a", &PatchParams::default(), &status).await.unwrap();
        let size = Patch::Merge(json!({"spec": {"size": round}}));
        api.patch("a", &PatchParams::default(), &size).await.unwrap();
        api.get("a").await.unwrap();
    }
    let cost = begun.elapsed() / calls;
    println!("{cost:?} a call, its client included");
    assert_eq!(server.journal().len(), calls as usize + 1);
    assert!(cost < Duration::from_millis(5), "{cost:?} a call");
}
