//! Events of Kubernetes: best effort, off the path of a pass.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use k8s_openapi::{
    api::{
        core::v1::ObjectReference,
        events::v1::{Event, EventSeries},
    },
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
};
use serde_json::json;
use tokio::sync::mpsc;
use tracing::debug;

use super::{
    outcome::Note,
    writes::{CALL_TIMEOUT, MANAGER},
};
use crate::runtime::{Drain, World};

/// Events that wait to be sent; what comes when it is full is dropped, because a pass never waits for an event.
const WAITING: usize = 1_024;
/// How long an event is counted up rather than told anew.
const REMEMBERED: Duration = Duration::from_secs(360);
/// Longest note that the API takes, in bytes.
const NOTE: usize = 1_000;

/// Where events go.
#[derive(Clone)]
pub struct Events(mpsc::Sender<(ObjectReference, Note)>);

impl Events {
    /// Sends events in the background until `drain` starts.
    #[must_use]
    pub fn start(client: Client, instance: Option<String>, world: World, drain: &Drain) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        let instance = instance.unwrap_or_else(|| MANAGER.to_owned());
        let recorder = Recorder { client, instance, world, told: BTreeMap::new() };
        drain.spawn(send(recorder, receiver, drain.clone()));
        Self(sender)
    }

    /// Tells something about an object.
    pub fn tell(&self, about: ObjectReference, note: Note) {
        if self.0.try_send((about, note)).is_err() {
            debug!("an event was dropped: too many wait to be sent");
        }
    }
}

async fn send(mut recorder: Recorder, mut notes: mpsc::Receiver<(ObjectReference, Note)>, drain: Drain) {
    loop {
        let next = tokio::select! {
            biased;
            next = notes.recv() => next,
            () = drain.wait() => return,
        };
        let Some((about, note)) = next else { return };
        match tokio::time::timeout(CALL_TIMEOUT, recorder.publish(about, &note)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!(%error, "an event was not taken"),
            Err(_) => debug!("an event was not taken in time"),
        }
    }
}

/// What makes two events the same: object, reason, and whether it is a warning.
type Same = (Option<String>, Option<String>, Option<String>, String, bool);

struct Told {
    name: String,
    count: i32,
    last: Timestamp,
}

struct Recorder {
    client: Client,
    instance: String,
    world: World,
    told: BTreeMap<Same, Told>,
}

impl Recorder {
    async fn publish(&mut self, about: ObjectReference, note: &Note) -> kube::Result<()> {
        let now = self.world.now();
        self.told.retain(|_, told| now.duration_since(told.last).unsigned_abs() < REMEMBERED);
        let reason = note.reason.to_string();
        let same = (about.kind.clone(), about.name.clone(), about.uid.clone(), reason.clone(), note.warning);
        // Events about objects of the cluster live there.
        let namespace = about.namespace.clone().unwrap_or_else(|| "default".to_owned());
        let events = Api::<Event>::namespaced(self.client.clone(), &namespace);
        if let Some(told) = self.told.get_mut(&same) {
            (told.count, told.last) = (told.count + 1, now);
            let series = EventSeries { count: told.count, last_observed_time: MicroTime(now) };
            events.patch(&told.name, &PatchParams::default(), &Patch::Merge(json!({"series": series}))).await?;
            return Ok(());
        }
        let name = self.world.id(about.name.as_deref().unwrap_or(MANAGER));
        events.create(&PostParams::default(), &self.event(name.clone(), namespace, about, note, now)).await?;
        self.told.insert(same, Told { name, count: 1, last: now });
        Ok(())
    }

    fn event(&self, name: String, namespace: String, about: ObjectReference, note: &Note, now: Timestamp) -> Event {
        Event {
            metadata: ObjectMeta { name: Some(name), namespace: Some(namespace), ..ObjectMeta::default() },
            action: Some("Reconcile".to_owned()),
            reason: Some(note.reason.to_string()),
            note: Some(shortened(&note.message)),
            type_: Some(if note.warning { "Warning" } else { "Normal" }.to_owned()),
            event_time: Some(MicroTime(now)),
            regarding: Some(about),
            reporting_controller: Some(MANAGER.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            ..Event::default()
        }
    }
}

fn shortened(message: &str) -> String {
    let mut end = message.len().min(NOTE);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message[..end].to_owned()
}
