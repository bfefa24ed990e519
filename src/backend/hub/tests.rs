//! A plane's connection to the store.

use std::path::Path;

use serde_json::json;

use super::*;
use crate::{
    backend::{
        checks::NoChecks,
        load_balancing,
        plane::IntentChange,
        records::{self, Stored},
        store::{self, RedbStore, Transaction, View},
        tenants,
    },
    protocol::{Create, Phase, Problem, Project, RawObject},
    runtime::World,
};

struct Rig {
    store: Arc<dyn Store>,
    collections: Collections,
    project: Project,
    drain: Drain,
}

fn place<'a>(project: &'a Project, collection: &'a Collection) -> records::Place<'a> {
    records::Place {
        project,
        collection: collection.path,
        checks: &*collection.checks,
        parent: collection.parent,
        under: None,
    }
}

fn anything(_: Option<&serde_json::Value>, _: &serde_json::Value) -> Result<(), Problem> {
    Ok(())
}

impl Rig {
    async fn new(folder: &Path) -> Self {
        let store: Arc<dyn Store> = Arc::new(RedbStore::open(&folder.join("store"), &World::real()).unwrap());
        let work = |tx: &mut dyn Transaction| {
            tenants::ensure_organization(tx, "org-1", "acme")?;
            Ok(tenants::ensure_project(tx, "prj-1", "acme", "shop")?.0)
        };
        let project = store::write(&*store, true, work).await.unwrap().answer;
        let mut collections = load_balancing::collections(Arc::new(NoChecks));
        let mut parts = load_balancing::collections(Arc::new(NoChecks)).remove(0);
        (parts.path, parts.parent) = ("a/parts", Some(collections[0].path));
        collections.push(parts);
        let collections = collections.into_iter().map(Arc::new).collect();
        Self { store, collections, project, drain: Drain::new() }
    }

    fn place(&self) -> (Project, Arc<Collection>) {
        (self.project.clone(), Arc::clone(&self.collections[0]))
    }

    async fn create(&self, id: &'static str) -> RawObject {
        let (project, collection) = self.place();
        let create = Create { owner: None, parent: None, intent: json!({"name": id}) };
        let work = move |tx: &mut dyn Transaction| {
            let place = place(&project, &collection);
            records::create(tx, &place, id, &create, &anything)
        };
        store::write(&*self.store, true, work).await.unwrap().answer
    }

    async fn delete(&self, id: &'static str) {
        let (project, collection) = self.place();
        let work = move |tx: &mut dyn Transaction| {
            let place = place(&project, &collection);
            records::delete(tx, &place, id, &records::IfMatch::Any)
        };
        store::write(&*self.store, true, work).await.unwrap();
    }

    async fn stored(&self, id: &'static str) -> Option<Stored> {
        let (project, collection) = self.place();
        let look = move |view: &dyn View| Ok(records::get(view, &project.id, collection.path, id)?);
        store::read(&*self.store, look).await.unwrap()
    }
}

/// What a change is about: `+id` Live, `~id` Deleting, `-id` gone, `.` synced.
async fn next(intents: &mut Intents) -> String {
    let change = tokio::time::timeout(Duration::from_secs(10), intents.recv()).await;
    match change.expect("the hub is silent").expect("the hub is gone") {
        IntentChange::Present { object, .. } if object.phase == Phase::Live => format!("+{}", object.id),
        IntentChange::Present { object, .. } => format!("~{}", object.id),
        IntentChange::Gone { id, .. } => format!("-{id}"),
        IntentChange::Synced { .. } => ".".to_owned(),
    }
}

async fn report(reporter: &Reporter, object: &RawObject, n: u64) {
    reporter.report(&object.id, object.intent_revision, json!({"n": n}), BTreeMap::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn intents_come_once_and_reality_goes_back() {
    let folder = tempfile::tempdir().unwrap();
    let rig = Rig::new(folder.path()).await;
    let a = rig.create("lb-a").await;
    rig.create("lb-b").await;
    let (mut intents, reporter) = connect(&rig.store, &rig.collections, &rig.drain);
    assert_eq!([next(&mut intents).await, next(&mut intents).await, next(&mut intents).await], ["+lb-a", "+lb-b", "."]);
    let before = rig.store.log().newest();
    // Many reports of one object are few writes, and none of them comes back as an intent.
    for n in 0..500 {
        report(&reporter, &a, n).await;
    }
    reporter.released("lb-b").await;
    let c = rig.create("lb-c").await;
    assert_eq!(next(&mut intents).await, "+lb-c");
    while rig.stored("lb-a").await.unwrap().object.reality.state != json!({"n": 499}) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(rig.store.log().newest() < before + 20);
    assert!(rig.stored("lb-b").await.is_some(), "a Live object is not released");
    rig.delete("lb-c").await;
    assert_eq!(next(&mut intents).await, "~lb-c");
    report(&reporter, &c, 1).await;
    reporter.released("lb-c").await;
    assert_eq!(next(&mut intents).await, "-lb-c");
    assert!(rig.stored("lb-c").await.is_none());
    assert!(rig.drain.finish(Duration::from_secs(2)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lost_the_log_is_told_the_difference() {
    let folder = tempfile::tempdir().unwrap();
    let rig = Rig::new(folder.path()).await;
    for id in ["lb-a", "lb-b", "lb-c"] {
        rig.create(id).await;
    }
    let (sender, mut intents) = mpsc::channel(16);
    let homes = Homes::default();
    let mut feeder = Feeder::new(Arc::clone(&rig.store), Arc::clone(&rig.collections), sender, Arc::clone(&homes));
    let told = |intents: &mut Intents| {
        let mut told = Vec::new();
        while let Ok(change) = intents.try_recv() {
            told.push(match change {
                IntentChange::Present { object, .. } => format!("{} {}", object.id, object.phase),
                IntentChange::Gone { id, .. } => format!("{id} gone"),
                IntentChange::Synced { .. } => ".".to_owned(),
            });
        }
        told
    };
    assert!(matches!(feeder.snapshot().await, Ok(Some(_))));
    assert_eq!(told(&mut intents), ["lb-a Live", "lb-b Live", "lb-c Live"]);
    rig.delete("lb-a").await;
    let families = Arc::clone(&rig.collections);
    let work = move |tx: &mut dyn Transaction| records::released(tx, "prj-1", &families, "load-balancers", "lb-a");
    store::write(&*rig.store, true, work).await.unwrap();
    rig.delete("lb-b").await;
    rig.create("lb-d").await;
    assert!(matches!(feeder.snapshot().await, Ok(Some(_))));
    assert_eq!(told(&mut intents), ["lb-b Deleting", "lb-d Live", "lb-a gone"]);
    assert_eq!(lock(&homes).keys().collect::<Vec<_>>(), ["lb-b", "lb-c", "lb-d"]);
    assert!(matches!(feeder.snapshot().await, Ok(Some(_))));
    assert!(told(&mut intents).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_that_changed_after_its_child_came_is_told_first() {
    let folder = tempfile::tempdir().unwrap();
    let rig = Rig::new(folder.path()).await;
    let (sender, mut intents) = mpsc::channel(16);
    let mut feeder = Feeder::new(Arc::clone(&rig.store), Arc::clone(&rig.collections), sender, Homes::default());
    let start = rig.store.log().newest();
    rig.create("lb-a").await;
    let (project, parts) = (rig.project.clone(), Arc::clone(&rig.collections[1]));
    let work = move |tx: &mut dyn Transaction| {
        let create = Create { owner: None, parent: Some("lb-a".into()), intent: json!({"name": "p"}) };
        records::create(tx, &place(&project, &parts), "part-a", &create, &anything)
    };
    store::write(&*rig.store, true, work).await.unwrap();
    let (project, whole) = rig.place();
    let work = move |tx: &mut dyn Transaction| {
        let patch = json!({"name": "other"});
        records::patch(tx, &place(&project, &whole), "lb-a", &records::IfMatch::Any, &patch, &anything)
    };
    store::write(&*rig.store, true, work).await.unwrap();
    let commits = rig.store.log().after(start, usize::MAX).unwrap();
    assert!(matches!(feeder.take_in(&commits).await, Ok(true)));
    assert_eq!([next(&mut intents).await, next(&mut intents).await], ["+lb-a", "+part-a"]);
}
