//! Events of Kubernetes: best effort, off the path of a pass.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use tokio::sync::mpsc;
use tracing::debug;

use super::{outcome::Note, writes::MANAGER};
use crate::runtime::Drain;

/// Events that wait to be sent; what comes when it is full is dropped, because a pass never waits for an event.
const WAITING: usize = 1_024;
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest note that the API takes, in bytes.
const NOTE: usize = 1_000;

/// Where events go.
#[derive(Clone)]
pub struct Events(mpsc::Sender<(ObjectReference, Note)>);

impl Events {
    /// Sends events in the background until `drain` starts.
    #[must_use]
    pub fn start(client: Client, instance: Option<String>, drain: &Drain) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        let reporter = Reporter { controller: MANAGER.into(), instance };
        drain.spawn(send(Recorder::new(client, reporter), receiver, drain.clone()));
        Self(sender)
    }

    /// Tells something about an object.
    pub fn tell(&self, about: ObjectReference, note: Note) {
        if self.0.try_send((about, note)).is_err() {
            debug!("an event was dropped: too many wait to be sent");
        }
    }
}

async fn send(recorder: Recorder, mut notes: mpsc::Receiver<(ObjectReference, Note)>, drain: Drain) {
    loop {
        let next = tokio::select! {
            biased;
            next = notes.recv() => next,
            () = drain.wait() => return,
        };
        let Some((about, note)) = next else { return };
        let event = Event {
            type_: if note.warning { EventType::Warning } else { EventType::Normal },
            reason: note.reason.to_string(),
            note: Some(shortened(&note.message)),
            action: "Reconcile".into(),
            secondary: None,
        };
        match tokio::time::timeout(CALL_TIMEOUT, recorder.publish(&event, &about)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!(%error, "an event was not taken"),
            Err(_) => debug!("an event was not taken in time"),
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
