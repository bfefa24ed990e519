//! Get and list, and objects as they are sent.

use std::{collections::BTreeMap, sync::Arc};

use bytes::{BufMut, Bytes, BytesMut};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use super::{
    call::Call,
    events,
    kinds::{Kind, KindId},
    select::Filter,
    status::Refusal,
    store::{Object, State},
};

/// How objects are sent to one caller.
#[derive(Clone, Copy, Debug)]
pub struct View {
    pub partial: bool,
    /// As events of the core group.
    pub core: bool,
    pub managed: bool,
}

impl View {
    pub fn of(state: &State, call: &Call) -> Self {
        Self {
            partial: call.partial,
            core: call.api_version == "v1" && call.plural == "events",
            managed: state.managed,
        }
    }

    /// An object on its own, or in an event of a watch.
    pub fn text(self, object: &Object) -> Bytes {
        if !self.partial && !self.core {
            return object.text(self.managed);
        }
        serde_json::to_vec(&self.value(object)).unwrap().into()
    }

    fn value(self, object: &Object) -> Value {
        let value = object.shown(self.managed);
        if self.partial {
            return json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": value["metadata"]});
        }
        if self.core { events::to_core(&value) } else { (*value).clone() }
    }

    /// An object in a list: built-in kinds do not name themselves there.
    fn item(self, object: &Object, kind: &Kind) -> Bytes {
        if kind.custom || self.partial {
            return self.text(object);
        }
        let mut value = self.value(object);
        let map = value.as_object_mut().unwrap();
        map.remove("apiVersion");
        map.remove("kind");
        serde_json::to_vec(&value).unwrap().into()
    }

    /// Kind and version of what is sent.
    pub fn names(self, kind: &Kind) -> (String, String) {
        match self {
            Self { partial: true, .. } => ("PartialObjectMetadata".into(), "meta.k8s.io/v1".into()),
            Self { core: true, .. } => ("Event".into(), "v1".into()),
            _ => (kind.kind.clone(), kind.api_version()),
        }
    }
}

/// Where a list goes on.
struct Continue {
    revision: u64,
    after: String,
}

impl Continue {
    fn token(&self) -> String {
        let document = json!({"v": "meta.k8s.io/v1", "rv": self.revision, "start": self.after});
        BASE64URL_NOPAD.encode(document.to_string().as_bytes())
    }

    fn read(token: &str) -> Option<Self> {
        let document: Value = serde_json::from_slice(&BASE64URL_NOPAD.decode(token.as_bytes()).ok()?).ok()?;
        Some(Self { revision: document["rv"].as_u64()?, after: document["start"].as_str()?.to_owned() })
    }
}

impl State {
    pub fn read(&self, id: KindId, call: &Call) -> Result<Arc<Object>, Refusal> {
        self.not_future(&call.query.version)?;
        self.find(id, &super::store::key(&call.namespace, &call.name), &call.name)
    }

    /// The version that a read asks for at least.
    fn not_future(&self, version: &str) -> Result<u64, Refusal> {
        if version.is_empty() {
            return Ok(0);
        }
        let asked: u64 = version.parse().map_err(|_| Refusal::bad("invalid resource version"))?;
        if asked > self.revision { Err(Refusal::future(asked, self.revision)) } else { Ok(asked) }
    }

    /// A list as it is sent, and its version.
    pub fn list(&self, id: KindId, call: &Call) -> Result<(Bytes, u64), Refusal> {
        let kind = self.kinds.get(id);
        let (filter, query, view) = (Filter::of(call, kind)?, &call.query, View::of(self, call));
        let asked = self.not_future(&query.version)?;
        let (revision, after, past) = match Continue::read(&query.from) {
            Some(from) if from.revision < self.oldest => return Err(self.outdated(&from)),
            Some(from) => (from.revision, from.after, true),
            None if !query.from.is_empty() => {
                return Err(Refusal::bad("invalid continue token: continue key is not valid"));
            }
            None if query.matching == "Exact" && asked < self.oldest => {
                return Err(Refusal::expired("The resourceVersion for the provided list is too old."));
            }
            None if query.matching == "Exact" => (asked, String::new(), true),
            None => (self.revision, String::new(), false),
        };
        let history;
        let objects: &BTreeMap<String, Arc<Object>> = if past && revision < self.revision {
            history = self.at(id, revision);
            &history
        } else {
            &self.shelves[id].objects
        };
        let first = if after.is_empty() { filter.prefix.clone() } else { format!("{after}\0") };
        let rest = objects.range(first..).take_while(|(key, _)| key.starts_with(&filter.prefix));
        let mut fitting = rest.filter(|(key, object)| filter.takes(key, object));
        let limit = if query.limit == 0 { usize::MAX } else { query.limit };
        let page: Vec<(&String, &Arc<Object>)> = fitting.by_ref().take(limit).collect();
        let left = if page.len() == limit { fitting.count() } else { 0 };
        let mut metadata = json!({"resourceVersion": revision.to_string()});
        if kind.custom && !view.partial {
            metadata["continue"] = "".into();
        }
        if left > 0 {
            let after = page.last().map(|(key, _)| (*key).clone()).unwrap_or_default();
            metadata["continue"] = Continue { revision, after }.token().into();
            if filter.all() {
                metadata["remainingItemCount"] = left.into();
            }
        }
        Ok((written(kind, view, &metadata, page.iter().map(|(_, object)| &***object)), revision))
    }

    /// The token names a past that is gone; the answer holds one that goes on in the present.
    fn outdated(&self, from: &Continue) -> Refusal {
        let message = "The provided continue parameter is too old to display a consistent list result. \
            You can start a new list without the continue parameter, or use the continue token in this response to \
            retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - \
            objects that were created, modified, or deleted between the time the first chunk was returned and now may \
            show up in the list.";
        let mut refusal = Refusal::expired(message);
        let now = Continue { revision: self.revision, after: from.after.clone() };
        refusal.body["metadata"]["continue"] = now.token().into();
        refusal
    }
}

fn written<'a>(kind: &Kind, view: View, metadata: &Value, objects: impl Iterator<Item = &'a Object>) -> Bytes {
    let (name, api_version) = view.names(kind);
    let mut text = BytesMut::with_capacity(1_024);
    text.put_slice(
        format!("{{\"kind\":\"{name}List\",\"apiVersion\":\"{api_version}\",\"metadata\":{metadata},").as_bytes(),
    );
    text.put_slice(b"\"items\":[");
    for (at, object) in objects.enumerate() {
        if at > 0 {
            text.put_u8(b',');
        }
        text.put_slice(&view.item(object, kind));
    }
    text.put_slice(b"]}");
    text.freeze()
}
