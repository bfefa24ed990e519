//! From requests to answers.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::body::Body as Answer;
use bytes::Bytes;
use http::{Request, Response, request::Parts};
use kube::client::Body;
use serde_json::Value;

use super::{
    ApiServer,
    call::{Call, Verb},
    delete::Deleted,
    events,
    journal::Entry,
    kinds::{KindId, NAMESPACES},
    read::View,
    status::Refusal,
    store::{Object, State, key},
    watch::Watch,
    write::{Target, Written},
};

/// One client's way to the server.
#[derive(Clone)]
pub struct Service {
    server: ApiServer,
    identity: Arc<str>,
}

impl Service {
    pub(super) fn new(server: ApiServer, identity: &str) -> Self {
        Self { server, identity: identity.into() }
    }
}

impl tower::Service<Request<Body>> for Service {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Answer>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect_bytes().await.unwrap_or_default();
            Ok(service.server.serve(&service.identity, &head, &body))
        })
    }
}

/// What is sent back.
enum Reply {
    Whole(u16, Bytes),
    Stream(Box<Watch>),
}

impl ApiServer {
    fn serve(&self, identity: &Arc<str>, head: &Parts, body: &Bytes) -> Response<Answer> {
        let mut state = self.state();
        let call = Call::read(head).unwrap_or_default();
        let id = state.kinds.at(&call.api_version, &call.plural);
        let sent: Option<Arc<Value>> = serde_json::from_slice(body).ok().map(Arc::new);
        let mut entry = Entry {
            number: state.journal.len() as u64 + 1,
            time: state.world.now(),
            identity: identity.clone(),
            verb: call.verb.name(),
            resource: id.map(|id| state.kinds.get(id).resource()).unwrap_or_default(),
            subresource: call.subresource.clone(),
            namespace: call.namespace.clone(),
            name: call.name.clone(),
            body: sent.clone(),
            code: 200,
            revision: 0,
            before: id.and_then(|id| state.value(id, &call)),
            after: None,
        };
        let reply = match id {
            Some(id) => self.reply(&mut state, id, &call, sent, &mut entry),
            None => Err(Refusal::no_path()),
        };
        entry.after = id.and_then(|id| {
            state.value(id, &Call { name: entry.name.clone(), namespace: entry.namespace.clone(), ..Call::default() })
        });
        if entry.revision == 0 {
            entry.revision = state.revision;
        }
        let response = sendable(reply, &mut entry);
        state.journal.push(entry);
        response
    }

    fn reply(
        &self,
        state: &mut State,
        id: KindId,
        call: &Call,
        body: Option<Arc<Value>>,
        entry: &mut Entry,
    ) -> Result<Reply, Refusal> {
        let kind = state.kind(id);
        let served = match call.subresource.as_str() {
            "" => true,
            "status" => kind.status,
            "finalize" => id == NAMESPACES,
            _ => false,
        };
        if !served {
            return Err(if kind.custom { Refusal::not_found(&kind, &call.name) } else { Refusal::no_resource() });
        }
        match call.verb {
            Verb::Get => state.read(id, call).map(|object| state.whole(call, 200, &object, entry)),
            Verb::List => {
                let (text, revision) = state.list(id, call)?;
                entry.revision = revision;
                Ok(Reply::Whole(200, text))
            }
            Verb::Watch => Ok(Reply::Stream(Box::new(Watch::open(self, state, id, call)?))),
            Verb::Delete => state.delete_one(id, call, body, entry),
            Verb::DeleteCollection => state.delete_all(id, call, body),
            _ => {
                let body = body.ok_or_else(|| Refusal::bad("the body of the request cannot be read"))?;
                let (code, object) = state.write(id, call, &body)?;
                Ok(state.whole(call, code, &object, entry))
            }
        }
    }
}

impl State {
    fn value(&self, id: KindId, call: &Call) -> Option<Arc<Value>> {
        self.get(id, &key(&call.namespace, &call.name)).map(|object| object.value.clone())
    }

    fn whole(&self, call: &Call, code: u16, object: &Object, entry: &mut Entry) -> Reply {
        entry.name = object.meta("name").to_owned();
        entry.revision = object.meta("resourceVersion").parse().unwrap_or(0);
        Reply::Whole(code, View::of(self, call).text(object))
    }

    fn write(&mut self, id: KindId, call: &Call, body: &Value) -> Written {
        let target = Target::new(self, call, id);
        let core = call.api_version == "v1" && call.plural == "events";
        if call.verb == Verb::Patch && !core {
            return self.patch(&target, body);
        }
        let body = if core { events::from_core(body) } else { body.clone() };
        match call.verb {
            // A name in the path of a POST is not looked at for custom resources.
            Verb::Create if !call.name.is_empty() && !target.kind.custom => Err(Refusal::method(&target.kind)),
            Verb::Create => self.create(&target, body),
            Verb::Update => self.replace(&target, body),
            Verb::Apply => self.apply(&target, body),
            _ => self.patch(&target, &body),
        }
    }

    fn delete_one(
        &mut self,
        id: KindId,
        call: &Call,
        options: Option<Arc<Value>>,
        entry: &mut Entry,
    ) -> Result<Reply, Refusal> {
        let target = Target::new(self, call, id);
        Ok(match self.delete(&target, &options.as_deref().cloned().unwrap_or_default())? {
            Deleted::Pending(object) => self.whole(call, 200, &object, entry),
            Deleted::Gone(status) => Reply::Whole(200, status.to_string().into()),
        })
    }

    /// Deletes what a list shows, and answers with that list.
    fn delete_all(&mut self, id: KindId, call: &Call, options: Option<Arc<Value>>) -> Result<Reply, Refusal> {
        let filter = super::select::Filter::of(call, self.kinds.get(id))?;
        let (text, _) = self.list(id, call)?;
        let objects = self.shelves[id].objects.iter().filter(|(key, object)| filter.takes(key, object));
        let found: Vec<Arc<Object>> = objects.map(|(_, object)| object.clone()).collect();
        for object in found {
            let (namespace, name) = (object.meta("namespace").to_owned(), object.meta("name").to_owned());
            let one = Call { verb: Verb::Delete, namespace, name, ..Call::default() };
            let target = Target::new(self, &one, id);
            self.delete(&target, &options.as_deref().cloned().unwrap_or_default())?;
        }
        Ok(Reply::Whole(200, text))
    }
}

fn sendable(reply: Result<Reply, Refusal>, entry: &mut Entry) -> Response<Answer> {
    let (code, content, body) = match reply {
        Ok(Reply::Whole(code, text)) => (code, "application/json", Answer::from(text)),
        Ok(Reply::Stream(watch)) => {
            let events = futures::stream::unfold(*watch, Watch::next);
            (200, "application/json", Answer::from_stream(events))
        }
        Err(Refusal { code, body: Value::String(text) }) => (code, "text/plain; charset=utf-8", Answer::from(text)),
        Err(Refusal { code, body }) => (code, "application/json", Answer::from(body.to_string())),
    };
    entry.code = code;
    let mut response = Response::new(body);
    *response.status_mut() = http::StatusCode::from_u16(code).unwrap();
    let content = http::HeaderValue::from_static(content);
    response.headers_mut().insert(http::header::CONTENT_TYPE, content);
    response
}
