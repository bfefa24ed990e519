//! One task a watched kind: its objects into the cache, what changed into the queue.

use std::{collections::BTreeSet, time::Duration};

use futures::{Stream, StreamExt, pin_mut};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, PartialObjectMeta},
    runtime::{
        WatchStreamExt,
        utils::Backoff,
        watcher::{self, Event, watcher},
    },
};
use tracing::{debug, info, warn};

use super::{
    Engine,
    common::{deleting, generation, has_finalizer, uid},
    key::Key,
};
use crate::runtime::{Drain, health::Gate, queue::Trigger};

/// Pauses between attempts of a watch: short, because a kind may appear at any moment (its CRD is installed later).
#[derive(Debug, Clone)]
pub struct Retry(Duration);

const FIRST: Duration = Duration::from_millis(200);
const LAST: Duration = Duration::from_secs(3);

impl Default for Retry {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Iterator for Retry {
    type Item = Duration;
    fn next(&mut self) -> Option<Duration> {
        let pause = self.0;
        self.0 = (self.0 * 2).min(LAST);
        Some(pause)
    }
}

impl Backoff for Retry {
    fn reset(&mut self) {
        self.0 = FIRST;
    }
}

/// Marks an object in the cache, and nowhere else.
const OVERRUN: &str = "loopback.cloud/overrun";

/// What a watch is about.
pub(super) struct Watch {
    pub resource: ApiResource,
    /// `None`: all namespaces, or a cluster-scoped kind.
    pub namespace: Option<String>,
    /// Only metadata is asked for.
    pub metadata_only: bool,
    /// Opened when the first list is complete.
    pub gate: Gate,
}

/// Follows one kind until `drain` starts. Survives everything: what fails is tried again.
pub(super) async fn follow(engine: std::sync::Arc<Engine>, client: Client, watch: Watch, drain: Drain) {
    let kind = watch.resource.kind.clone();
    if watch.metadata_only {
        let api: Api<PartialObjectMeta<DynamicObject>> = Api::all_with(client, &watch.resource);
        let events = watcher(api, watcher::Config::default()).map(|event| event.map(metadata));
        return take_in(&engine, &kind, &watch, events.backoff(Retry::default()), drain).await;
    }
    let api: Api<DynamicObject> = match &watch.namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, &watch.resource),
        None => Api::all_with(client, &watch.resource),
    };
    let events = watcher(api, watcher::Config::default());
    take_in(&engine, &kind, &watch, events.backoff(Retry::default()), drain).await;
}

fn metadata(event: Event<PartialObjectMeta<DynamicObject>>) -> Event<DynamicObject> {
    match event {
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
        Event::InitApply(object) => Event::InitApply(bare(object)),
        Event::Apply(object) => Event::Apply(bare(object)),
        Event::Delete(object) => Event::Delete(bare(object)),
    }
}

fn bare(object: PartialObjectMeta<DynamicObject>) -> DynamicObject {
    DynamicObject { types: object.types, metadata: object.metadata, data: serde_json::Value::Null }
}

async fn take_in(
    engine: &Engine,
    kind: &str,
    watch: &Watch,
    events: impl Stream<Item = watcher::Result<Event<DynamicObject>>>,
    drain: Drain,
) {
    pin_mut!(events);
    let mut intake = Intake { engine, kind, watch, listed: BTreeSet::new(), failing: false };
    loop {
        let event = tokio::select! {
            biased;
            () = drain.wait() => return,
            event = events.next() => event,
        };
        match event {
            Some(event) => intake.take(event),
            None => return,
        }
    }
}

struct Intake<'a> {
    engine: &'a Engine,
    kind: &'a str,
    watch: &'a Watch,
    /// Keys that the list under way has shown.
    listed: BTreeSet<Key>,
    failing: bool,
}

impl Intake<'_> {
    fn take(&mut self, event: watcher::Result<Event<DynamicObject>>) {
        let event = match event {
            Ok(event) => event,
            Err(error) => return self.failed(&error),
        };
        if std::mem::take(&mut self.failing) {
            info!(kind = self.kind, "watch works again");
        }
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(object) => {
                let key = self.key(&object);
                self.engine.shown(&key, object, Trigger::Initial);
                self.listed.insert(key);
            }
            Event::InitDone => self.done(),
            Event::Apply(object) => self.engine.shown(&self.key(&object), object, Trigger::User),
            Event::Delete(object) => {
                let key = self.key(&object);
                match self.engine.kinds.contains_key(self.kind) && overrun(&object) {
                    true => self.engine.shown(&key, on_its_way_out(object, self.engine.world.now()), Trigger::User),
                    false => self.engine.gone(&key, Some(uid(&object))),
                }
            }
        }
    }

    fn failed(&mut self, error: &watcher::Error) {
        // One line when it begins; a kind whose CRD is not installed yet would fill the log.
        if self.failing {
            debug!(kind = self.kind, %error, "watch fails");
        } else {
            warn!(kind = self.kind, %error, "watch fails; trying again until it works");
        }
        self.failing = true;
    }

    fn key(&self, object: &DynamicObject) -> Key {
        Key::new(self.kind, object.namespace().as_deref().unwrap_or_default(), &object.name_any())
    }

    /// What the list did not show vanished while nobody looked.
    fn done(&mut self) {
        let known = self.engine.cache.keys(self.kind, self.watch.namespace.as_deref());
        for key in known.difference(&self.listed) {
            self.engine.gone(key, None);
        }
        self.listed.clear();
        let namespace = self.watch.namespace.as_deref();
        let lists = if namespace.is_some() { self.engine.namespaces.len() } else { 1 };
        self.engine.cache.set_listed(self.kind, namespace, lists);
        self.watch.gate.open();
        self.engine.listed(self.kind);
    }
}

/// The API server checks for finalizers before it deletes and not while it does: one that is stored in between is overrun, and
/// what the backend made under it would stay for ever.
fn overrun(object: &DynamicObject) -> bool {
    has_finalizer(object) && !deleting(object)
}

/// The object as it would be if its finalizer had been seen.
fn on_its_way_out(mut object: DynamicObject, now: Timestamp) -> DynamicObject {
    info!(
        kind = object.types.as_ref().map_or("", |types| &types.kind),
        name = object.name_any(),
        namespace = object.namespace().as_deref(),
        "deleted in spite of its finalizer; what it has in the backend is deleted now"
    );
    object.metadata.deletion_timestamp = Some(Time(now));
    object.annotations_mut().insert(OVERRUN.to_owned(), String::new());
    object
}

/// Whether an object is only in the cache: its watch has said that it is gone, and says no more of it.
pub(super) fn only_cached(object: &DynamicObject) -> bool {
    object.annotations().contains_key(OVERRUN)
}

/// Why the new version of an object deserves a pass.
pub(super) fn difference(old: &DynamicObject, new: &DynamicObject) -> Trigger {
    let same = uid(old) == uid(new)
        && generation(old) == generation(new)
        && old.annotations() == new.annotations()
        && old.labels() == new.labels()
        && deleting(old) == deleting(new)
        && (has_finalizer(new) || !has_finalizer(old));
    if same { Trigger::Echo } else { Trigger::User }
}
