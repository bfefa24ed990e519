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
use tracing::{debug, warn};

use super::{
    outcome::Note,
    writes::{CALL_TIMEOUT, MANAGER},
};
use crate::{
    crd::Reason,
    runtime::{Drain, World},
};

/// Events that wait to be sent; what comes when it is full is dropped, because a pass never waits for an event.
const WAITING: usize = 1_024;
/// Pauses between attempts to send one, in seconds; those behind it wait.
const PAUSES: [u64; 4] = [1, 2, 4, 8];
/// How long an event is counted up rather than told anew.
const REMEMBERED: Duration = Duration::from_secs(360);
/// Of an object's name this much is in the name of its events, which has at most 253 characters with the id behind it.
const NAME: usize = 200;
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
        tokio::select! {
            biased;
            () = recorder.tell(&about, &note) => {}
            () = drain.wait() => return,
        }
    }
}

/// What an event is about: the object's UID, whether something is wrong, and the reason.
type Topic = (Option<String>, bool, Reason);

/// What was last told about it. Another text is another event: an event keeps the text that it was made with.
struct Told {
    name: String,
    note: String,
    count: i32,
    last: Timestamp,
}

struct Recorder {
    client: Client,
    instance: String,
    world: World,
    told: BTreeMap<Topic, Told>,
}

impl Recorder {
    /// Tells it, again after a pause where there was no answer. It has one name, so it is told once.
    async fn tell(&mut self, about: &ObjectReference, note: &Note) {
        let name = self.world.id(&stem(about.name.as_deref().unwrap_or(MANAGER)));
        for pause in PAUSES.map(Some).into_iter().chain([None]) {
            let error = match tokio::time::timeout(CALL_TIMEOUT, self.publish(&name, about, note)).await {
                Ok(Ok(())) => return,
                Ok(Err(kube::Error::Api(status))) if (400..429).contains(&status.code) => {
                    return debug!(error = status.message, "an event is refused");
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no answer within {} s", CALL_TIMEOUT.as_secs()),
            };
            debug!(error, "an event was not taken");
            match pause {
                Some(pause) => tokio::time::sleep(Duration::from_secs(pause)).await,
                None => warn!(reason = %note.reason, about = about.name, error, "an event could not be told"),
            }
        }
    }

    async fn publish(&mut self, name: &str, about: &ObjectReference, note: &Note) -> kube::Result<()> {
        let now = self.world.now();
        self.told.retain(|_, told| now.duration_since(told.last).unsigned_abs() < REMEMBERED);
        let (topic, text) = ((about.uid.clone(), note.warning, note.reason), shortened(&note.message));
        // Events about objects of the cluster live there.
        let namespace = about.namespace.clone().unwrap_or_else(|| "default".to_owned());
        let events = Api::<Event>::namespaced(self.client.clone(), &namespace);
        if let Some(told) = self.told.get_mut(&topic).filter(|told| told.note == text) {
            let count = told.count + 1;
            let series = EventSeries { count, last_observed_time: MicroTime(now) };
            events.patch(&told.name, &PatchParams::default(), &Patch::Merge(json!({"series": series}))).await?;
            (told.count, told.last) = (count, now);
            return Ok(());
        }
        let event = self.event(name.to_owned(), namespace, about.clone(), note, now);
        match events.create(&PostParams::default(), &event).await {
            // It was taken before, without an answer.
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            created => drop(created?),
        }
        self.told.insert(topic, Told { name: name.to_owned(), note: text, count: 1, last: now });
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

/// The beginning of an object's name that leaves room for an id behind it, and is a name itself.
fn stem(name: &str) -> String {
    let end = name.char_indices().nth(NAME).map_or(name.len(), |(end, _)| end);
    name[..end].trim_end_matches(['.', '-']).to_owned()
}

fn shortened(message: &str) -> String {
    let mut end = message.len().min(NOTE);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message[..end].to_owned()
}
