//! Servers that answer as they are told, and a plane with a hand-driven feed.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    time::timeout,
};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    backend::{
        monitoring::embedded::{EmbeddedPlane, Options},
        plane::{IntentChange, Plane, RealityChange, Reporter},
    },
    protocol::{
        Intent, Phase, Project, RawObject, Reality,
        monitoring::{MonitoringCondition, MonitoringObject},
    },
    rules::outbound::Outbound,
    runtime::{Drain, World},
};

/// A server that does the same with every connection. Stops when dropped.
pub struct Server {
    pub at: SocketAddr,
    _task: AbortOnDropHandle<()>,
}

/// What a server does with a connection whose request it has read.
#[derive(Clone)]
pub enum Does {
    /// Sends these bytes and closes.
    Says(String),
    /// Waits, then sends.
    SaysAfter(Duration, String),
    /// Sends these bytes one by one, with such a pause between them.
    Drips(Duration, String),
    /// Sends, waits, sends the rest.
    Pauses(String, Duration, String),
    /// Resets the connection.
    Resets,
    /// Sends a head and an endless body.
    Floods,
}

pub fn ok(body: &str) -> Does {
    Does::Says(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()))
}

pub fn status(line: &str) -> Does {
    Does::Says(format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
}

pub fn redirect(to: &str) -> Does {
    Does::Says(format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
}

pub async fn serve(does: Does) -> Server {
    serve_at("127.0.0.1:0".parse().unwrap(), does).await
}

/// An address where nobody listens.
pub fn nobody() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

pub async fn serve_at(at: SocketAddr, does: Does) -> Server {
    let listener = TcpListener::bind(at).await.unwrap();
    let at = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, does.clone()));
        }
    });
    Server { at, _task: AbortOnDropHandle::new(task) }
}

async fn answer(mut stream: TcpStream, does: Does) {
    let mut head = Vec::new();
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
            return;
        }
    }
    match does {
        Does::Says(text) => drop(stream.write_all(text.as_bytes()).await),
        Does::SaysAfter(wait, text) => {
            tokio::time::sleep(wait).await;
            drop(stream.write_all(text.as_bytes()).await);
        }
        Does::Drips(pause, text) => {
            for byte in text.into_bytes() {
                tokio::time::sleep(pause).await;
                if stream.write_all(&[byte]).await.is_err() {
                    return;
                }
            }
        }
        Does::Pauses(first, pause, rest) => {
            drop(stream.write_all(first.as_bytes()).await);
            tokio::time::sleep(pause).await;
            drop(stream.write_all(rest.as_bytes()).await);
        }
        Does::Resets => drop(socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))),
        Does::Floods => {
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").await);
            while stream.write_all(&[b'x'; 64 << 10]).await.is_ok() {}
        }
    }
}

pub fn loopback() -> Outbound {
    Outbound { allow_loopback: true, ..Outbound::default() }
}

type Board = BTreeMap<String, Vec<Value>>;

/// A running plane.
pub struct Rig {
    intents: mpsc::Sender<IntentChange>,
    board: watch::Receiver<Board>,
    pub drain: Drain,
    revision: u64,
}

impl Rig {
    pub fn start() -> Self {
        let (intents, followed) = mpsc::channel(64);
        let (writer, board) = watch::channel(Board::new());
        let reporter = Reporter::new(move |change| {
            writer.send_modify(|board| match change {
                RealityChange::Report { id, state, durable, .. } => {
                    assert!(durable, "transitions survive");
                    board.entry(id).or_default().push(state);
                }
                RealityChange::Released { id } => board.entry(id).or_default().push(json!("released")),
            });
            std::future::ready(())
        });
        let drain = Drain::new();
        let plane = EmbeddedPlane::new(Options { outbound: loopback(), ..Options::default() }, World::real());
        let running = plane.run(followed, reporter, drain.clone());
        tokio::spawn(async move { running.await.unwrap() });
        Self { intents, board, drain, revision: 0 }
    }

    async fn send(&mut self, collection: &str, id: &str, parent: Option<&str>, intent: Value, state: Value) {
        self.revision += 1;
        let object = RawObject {
            parent: parent.map(Into::into),
            deliveries: vec![],
            id: id.into(),
            owner: None,
            etag: self.revision.to_string(),
            revision: self.revision,
            intent_revision: self.revision,
            phase: if intent.is_null() { Phase::Deleting } else { Phase::Live },
            intent,
            reality: Reality { state, ..Reality::default() },
        };
        let project = Project { id: "prj-1".into(), name: "shop".into(), organization: "acme".into() };
        let change = IntentChange::Present {
            collection: collection.into(),
            project: Arc::new(project),
            object: Box::new(object),
            chosen: Value::Null,
            secret: None,
            purge: false,
        };
        self.intents.send(change).await.unwrap();
    }

    pub async fn synced(&self) {
        self.intents.send(IntentChange::Synced { revision: 1 }).await.unwrap();
    }

    pub async fn object(&mut self, id: &str, intent: Value, state: Value) {
        self.send(MonitoringObject::COLLECTION, id, None, intent, state).await;
    }

    pub async fn condition(&mut self, id: &str, parent: &str, intent: Value, state: Value) {
        self.send(MonitoringCondition::COLLECTION, id, Some(parent), intent, state).await;
    }

    /// All that was reported of something so far.
    pub fn told(&self, id: &str) -> Vec<Value> {
        self.board.borrow().get(id).cloned().unwrap_or_default()
    }

    /// Waits until what was reported last is as it should be.
    pub async fn until(&mut self, id: &str, right: impl Fn(&Value) -> bool) -> Value {
        let seen = self.board.wait_for(|board| board.get(id).and_then(|told| told.last()).is_some_and(&right));
        let seen = timeout(Duration::from_secs(20), seen).await.map(|seen| seen.map(|board| board[id].clone()));
        match seen {
            Ok(Ok(told)) => told.last().unwrap().clone(),
            _ => panic!("{id} stays at {:?}", self.told(id)),
        }
    }

    pub async fn alert(&mut self, id: &str, state: &str) -> Value {
        self.until(id, |told| told["alertState"] == state).await
    }
}
