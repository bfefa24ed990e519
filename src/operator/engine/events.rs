//! Events of Kubernetes: best effort, off the path of a pass.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use tokio::{sync::mpsc, time::Instant};
use tracing::debug;

use super::{outcome::Note, writes::MANAGER};
use crate::{crd::Reason, runtime::Drain};

/// Events that wait to be sent; what comes when it is full is dropped, because a pass never waits for an event.
const WAITING: usize = 1_024;
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the same event is counted instead of told again.
const SERIES: Duration = Duration::from_secs(6 * 60);
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
        drain.spawn(send(client, reporter, receiver, drain.clone()));
        Self(sender)
    }

    /// Tells something about an object.
    pub fn tell(&self, about: ObjectReference, note: Note) {
        if self.0.try_send((about, note)).is_err() {
            debug!("an event was dropped: too many wait to be sent");
        }
    }
}

/// What was told of an object for a reason, and who counts how often.
struct Series {
    note: String,
    recorder: Recorder,
    last: Instant,
}

/// About whom, whether something is wrong, and for which reason.
type Topic = (Option<String>, bool, Reason);

async fn send(client: Client, reporter: Reporter, mut notes: mpsc::Receiver<(ObjectReference, Note)>, drain: Drain) {
    let mut told = BTreeMap::<Topic, Series>::new();
    loop {
        let next = tokio::select! {
            biased;
            next = notes.recv() => next,
            () = drain.wait() => return,
        };
        let Some((about, note)) = next else { return };
        told.retain(|_, series| series.last.elapsed() < SERIES);
        // A recorder counts what comes again and keeps the first text: another text starts anew.
        let text = shortened(&note.message);
        let fresh = || Series {
            note: text.clone(),
            recorder: Recorder::new(client.clone(), reporter.clone()),
            last: Instant::now(),
        };
        let series = told.entry((about.uid.clone(), note.warning, note.reason)).or_insert_with(fresh);
        if series.note != text {
            *series = fresh();
        }
        series.last = Instant::now();
        let event = Event {
            type_: if note.warning { EventType::Warning } else { EventType::Normal },
            reason: note.reason.to_string(),
            note: Some(text.clone()),
            action: "Reconcile".into(),
            secondary: None,
        };
        match tokio::time::timeout(CALL_TIMEOUT, series.recorder.publish(&event, &about)).await {
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
