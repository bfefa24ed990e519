//! All objects as a watch shows them, and whether the healthy ones stay well.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use futures::StreamExt;
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, GroupVersionKind},
    runtime::{WatchStreamExt, watcher},
};
use loopback_operator::crd;
use serde_json::Value;
use tokio::task::JoinHandle;

use super::judge::{Standing, standing};

/// Kind, namespace and name.
type Key = (String, String, String);

/// All objects as a watch shows them.
pub struct View {
    state: Arc<Mutex<State>>,
    watches: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<Key, Value>,
    /// Namespaces whose healthy objects must stay so.
    guarded: BTreeSet<String>,
    disturbed: Vec<String>,
}

impl View {
    /// Watches all of our kinds.
    pub fn start(client: Client) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let kinds = crd::all().into_iter().map(|definition| definition.spec.names.kind);
        let watches = kinds.map(|kind| tokio::spawn(follow(client.clone(), kind, state.clone()))).collect();
        Self { state, watches }
    }

    /// An object as it was seen last.
    pub fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        let key = (kind.to_owned(), namespace.to_owned(), name.to_owned());
        self.state.lock().unwrap().objects.get(&key).cloned()
    }

    /// From now on the object `beside` of each kind in a namespace must stay Ready; false: some are not.
    pub fn watch_over(&self, namespace: &str) -> bool {
        let mut state = self.state.lock().unwrap();
        let beside = |(_, found, name): &&Key| found == namespace && name == "beside";
        let ready = state.objects.iter().filter(|(key, object)| beside(key) && standing(object) == Standing::Ready);
        let all = ready.count() >= crd::all().len() - 1;
        if all {
            state.guarded.insert(namespace.to_owned());
        }
        all
    }

    /// What happened to healthy objects.
    pub fn disturbed(&self) -> Vec<String> {
        self.state.lock().unwrap().disturbed.clone()
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.watches.iter().for_each(JoinHandle::abort);
    }
}

async fn follow(client: Client, kind: String, state: Arc<Mutex<State>>) {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(crd::GROUP, crd::VERSION, &kind));
    let events = watcher(Api::<DynamicObject>::all_with(client, &resource), watcher::Config::default());
    let mut events = std::pin::pin!(events.default_backoff());
    while let Some(event) = events.next().await {
        let mut state = state.lock().unwrap();
        match event {
            Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => state.seen(&kind, &object),
            Ok(watcher::Event::Delete(object)) => state.gone(&kind, &object),
            _ => {}
        }
    }
}

fn key(kind: &str, object: &DynamicObject) -> Key {
    (kind.to_owned(), object.namespace().unwrap_or_default(), object.name_any())
}

impl State {
    fn seen(&mut self, kind: &str, object: &DynamicObject) {
        let key = key(kind, object);
        let value = serde_json::to_value(object).expect("an object is JSON");
        if key.2 == "beside" && self.guarded.contains(&key.1) && standing(&value) != Standing::Ready {
            let conditions = &value["status"]["conditions"];
            self.disturbed.push(format!("the healthy {kind} in {} was disturbed: {conditions}", key.1));
        }
        self.objects.insert(key, value);
    }

    fn gone(&mut self, kind: &str, object: &DynamicObject) {
        let key = key(kind, object);
        if key.2 == "beside" && self.guarded.contains(&key.1) {
            self.disturbed.push(format!("the healthy {kind} in {} is gone", key.1));
        }
        self.objects.remove(&key);
    }
}
