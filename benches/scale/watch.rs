//! What users see: when each object became Ready.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::StreamExt;
use kube::{
    ResourceExt,
    api::DynamicObject,
    runtime::{
        WatchStreamExt,
        watcher::{Config, Event, watcher},
    },
};
use serde_json::Value;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::{
    ground::Ground,
    load::{Item, KINDS},
};

/// Longest time from one object that becomes Ready to the next.
const STANDSTILL: Duration = Duration::from_secs(60);

/// Whether an object is Ready as it is now.
pub fn is_ready(object: &DynamicObject) -> bool {
    let conditions = object.data.pointer("/status/conditions").and_then(Value::as_array);
    let now = object.metadata.generation.unwrap_or(0);
    conditions.into_iter().flatten().any(|condition| {
        condition["type"] == "Ready" && condition["status"] == "True" && condition["observedGeneration"] == now
    })
}

type Key = (String, String, String);

/// Who watches.
pub struct Watcher {
    seen: Arc<Mutex<BTreeMap<Key, Instant>>>,
    count: watch::Receiver<usize>,
    _tasks: JoinSet<()>,
}

impl Watcher {
    /// Watches all kinds from now on.
    pub fn start(ground: &Ground) -> Self {
        let seen: Arc<Mutex<BTreeMap<Key, Instant>>> = Arc::default();
        let (sender, count) = watch::channel(0);
        let mut tasks = JoinSet::new();
        for kind in KINDS {
            let (seen, sender) = (seen.clone(), sender.clone());
            let mut events = watcher(ground.all(kind), Config::default()).default_backoff().boxed();
            tasks.spawn(async move {
                while let Some(event) = events.next().await {
                    let (Ok(Event::Apply(object)) | Ok(Event::InitApply(object))) = event else { continue };
                    if is_ready(&object) {
                        let key = (kind.to_owned(), object.namespace().unwrap_or_default(), object.name_any());
                        let mut seen = seen.lock().unwrap();
                        seen.entry(key).or_insert_with(Instant::now);
                        sender.send_replace(seen.len());
                    }
                }
            });
        }
        Self { seen, count, _tasks: tasks }
    }

    /// Waits until so many are Ready.
    pub async fn until(&mut self, count: usize) {
        while *self.count.borrow_and_update() < count {
            let waited = timeout(STANDSTILL, self.count.changed()).await;
            assert!(waited.is_ok(), "only {} of {count} became Ready", *self.count.borrow());
        }
    }

    /// Waits until an object is Ready; when it was first seen so.
    pub async fn until_seen(&mut self, item: &Item) -> Instant {
        let key = (item.kind.to_owned(), item.namespace.clone(), item.name.clone());
        loop {
            self.count.borrow_and_update();
            if let Some(at) = self.seen.lock().unwrap().get(&key) {
                return *at;
            }
            let waited = timeout(STANDSTILL, self.count.changed()).await;
            assert!(waited.is_ok(), "{key:?} did not become Ready");
        }
    }
}
