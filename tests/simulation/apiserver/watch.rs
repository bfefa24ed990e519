//! Watches: a place in a kind's history, and what comes after it.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Value, json};
use tokio::{sync::Notify, time::Instant};

use super::{
    ApiServer,
    call::Call,
    kinds::{Kind, KindId},
    meta,
    read::View,
    select::Filter,
    status::Refusal,
    store::{Change, Object, State},
};

/// How often a quiet watch says where it is.
const BOOKMARKS: Duration = Duration::from_secs(60);

/// One watch.
pub struct Watch {
    server: ApiServer,
    id: KindId,
    kind: Arc<Kind>,
    filter: Filter,
    view: View,
    /// How much of the history was looked at.
    position: usize,
    waiting: VecDeque<Bytes>,
    epoch: u64,
    end: Instant,
    /// When the next bookmark is due, if they are wanted.
    bookmark: Option<Instant>,
    /// Number of the last order to send bookmarks.
    ordered: u64,
    /// Ends after what waits.
    broken: bool,
}

impl Watch {
    /// Begins a watch.
    pub fn open(server: &ApiServer, state: &State, id: KindId, call: &Call) -> Result<Self, Refusal> {
        let kind = state.kind(id);
        let (filter, view, query) = (Filter::of(call, &kind)?, View::of(state, call), &call.query);
        if query.initial && query.matching != "NotOlderThan" {
            let message = "resourceVersionMatch must be NotOlderThan when sendInitialEvents is set";
            return Err(meta::bad_options(&kind, "resourceVersionMatch", message));
        }
        let asked: u64 = match query.version.as_str() {
            "" => 0,
            text => text.parse().map_err(|_| Refusal::bad("invalid resource version"))?,
        };
        let now = Instant::now();
        let mut watch = Self {
            server: server.clone(),
            id,
            filter,
            view,
            position: 0,
            waiting: VecDeque::new(),
            epoch: state.epoch,
            end: now + Duration::from_secs(call.patience()),
            bookmark: query.bookmarks.then(|| now + BOOKMARKS),
            ordered: state.bookmarks,
            broken: false,
            kind,
        };
        watch.start(state, asked, query.initial);
        Ok(watch)
    }

    fn start(&mut self, state: &State, asked: u64, initial: bool) {
        let shelf = &state.shelves[self.id];
        if asked == 0 || initial {
            self.position = shelf.log.len();
            for (_, object) in shelf.objects.iter().filter(|(key, object)| self.filter.takes(key, object)) {
                self.waiting.push_back(event("ADDED", &self.view.text(object)));
            }
            if initial {
                self.mark(state.revision, true);
            }
        } else if asked < state.oldest {
            let refusal = Refusal::expired(&format!("too old resource version: {asked} ({})", state.oldest));
            self.waiting.push_back(event("ERROR", refusal.body.to_string().as_bytes()));
            self.broken = true;
        } else {
            self.position = shelf.log.partition_point(|change| change.revision <= asked);
        }
    }

    fn mark(&mut self, revision: u64, initial: bool) {
        let (kind, api_version) = self.view.names(&self.kind);
        let mut object = json!({"kind": kind, "apiVersion": api_version,
            "metadata": {"resourceVersion": revision.to_string()}});
        if initial {
            object["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        self.waiting.push_back(event("BOOKMARK", object.to_string().as_bytes()));
    }

    /// The next event, or the end.
    pub async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some((Ok(event), self));
            }
            let changed = self.changed()?;
            let notified = changed.notified();
            if !self.look() {
                return None;
            }
            if !self.waiting.is_empty() {
                continue;
            }
            let wake = self.bookmark.map_or(self.end, |bookmark| bookmark.min(self.end));
            tokio::select! {
                biased;
                () = notified => {}
                () = tokio::time::sleep_until(wake) => {
                    if wake >= self.end {
                        return None;
                    }
                    self.due();
                }
            }
        }
    }

    fn changed(&self) -> Option<Arc<Notify>> {
        (!self.broken).then(|| self.server.state().shelves[self.id].changed.clone())
    }

    fn due(&mut self) {
        let revision = self.server.state().revision;
        self.bookmark = Some(Instant::now() + BOOKMARKS);
        self.mark(revision, false);
    }

    /// Takes in what happened; false when the watch is over.
    fn look(&mut self) -> bool {
        let server = self.server.clone();
        let state = server.state();
        if state.epoch != self.epoch {
            return false;
        }
        let changes = &state.shelves[self.id].log[self.position..];
        self.position += changes.len();
        self.waiting.extend(changes.iter().filter_map(|change| told(change, &self.filter, self.view)));
        if self.ordered != state.bookmarks {
            self.ordered = state.bookmarks;
            if self.bookmark.is_some() {
                self.mark(state.revision, false);
            }
        }
        true
    }
}

/// A change as a watch with this filter tells it.
fn told(change: &Change, filter: &Filter, view: View) -> Option<Bytes> {
    let before = change.old.as_ref().filter(|old| filter.takes(&change.key, old));
    let after = filter.takes(&change.key, &change.new) && !change.deleted;
    match (before, after) {
        (None, true) => Some(event("ADDED", &view.text(&change.new))),
        (Some(_), true) => Some(event("MODIFIED", &view.text(&change.new))),
        (Some(_), false) if change.deleted => Some(event("DELETED", &view.text(&change.new))),
        (Some(old), false) => Some(event("DELETED", &view.text(&renumbered(old, change.revision)))),
        (None, false) => None,
    }
}

/// What no longer fits is shown as it was when it did, under the version at which it ceased to.
fn renumbered(object: &Object, revision: u64) -> Arc<Object> {
    let mut value: Value = (*object.value).clone();
    value["metadata"]["resourceVersion"] = revision.to_string().into();
    Object::new(value, object.managers.clone(), false)
}

fn event(kind: &str, object: &[u8]) -> Bytes {
    let mut text = BytesMut::with_capacity(object.len() + 40);
    text.put_slice(b"{\"type\":\"");
    text.put_slice(kind.as_bytes());
    text.put_slice(b"\",\"object\":");
    text.put_slice(object);
    text.put_slice(b"}\n");
    text.freeze()
}
