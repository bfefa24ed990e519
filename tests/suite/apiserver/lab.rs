//! Runs a case against one server.

use std::time::Duration;

use axum::body::{Body as Stream, BodyDataStream};
use futures::StreamExt;
use http::{Request, Response};
use kube::{Client, Config, client::Body, config::Kubeconfig};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::{mask::masked, simulated::ApiServer};
use crate::rig::{PATIENCE, Rig, until};

/// A name and what is done.
pub struct Case {
    pub name: &'static str,
    pub steps: Vec<Step>,
}

/// One thing that is done. In paths and bodies `{ns}` is the case's namespace, and `{3/metadata/uid}` what stood there in the
/// fourth answer.
#[derive(Clone)]
pub enum Step {
    /// A request; its answer is noted.
    Send(Ask),
    /// Opens a watch; events are noted by [`Step::Events`].
    Watch(Ask),
    /// Reads so many events, bookmarks that nobody asked for left out.
    Events(usize),
    /// The watch ends by itself; what comes until then is noted.
    End,
    /// Waits until a path answers with 404.
    Gone(&'static str),
    /// Waits until a pointer into the answer of a path says this.
    Until(&'static str, &'static str, Value),
}

/// A request.
#[derive(Clone)]
pub struct Ask {
    pub method: &'static str,
    pub path: String,
    pub content: &'static str,
    pub accept: &'static str,
    pub body: Value,
}

type Tick = Box<dyn Fn() + Send + Sync>;

/// One server and a namespace there.
pub struct Lab {
    client: Client,
    namespace: String,
    /// A round of the controller manager, where none runs by itself.
    tick: Option<Tick>,
    saw: Vec<Value>,
    watch: Option<Watching>,
}

struct Watching {
    stream: BodyDataStream,
    rest: Vec<u8>,
}

impl Lab {
    pub fn real(client: Client, number: usize) -> Self {
        Self { client, namespace: format!("conformance-{number}"), tick: None, saw: vec![], watch: None }
    }

    pub fn simulated(server: &ApiServer, number: usize) -> Self {
        let (client, server) = (server.client("suite"), server.clone());
        let tick: Tick = Box::new(move || {
            server.tick();
        });
        Self { tick: Some(tick), ..Self::real(client, number) }
    }

    /// What was seen, without what differs each time.
    pub async fn run(mut self, case: &Case) -> Vec<Value> {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}});
        let made = self.send(&Ask { body: namespace, ..post("/api/v1/namespaces") }).await;
        assert_eq!(made["code"], 201, "{made}");
        for step in &case.steps {
            self.step(step).await;
        }
        masked(self.saw, &self.namespace)
    }

    async fn step(&mut self, step: &Step) {
        match step {
            Step::Send(ask) => {
                let answer = self.send(ask).await;
                self.saw.push(answer);
            }
            Step::Watch(ask) => self.open(ask).await,
            Step::Events(count) => {
                for _ in 0..*count {
                    let event = self.event().await.unwrap_or(json!("the end"));
                    self.saw.push(json!({"code": 200, "body": event}));
                }
            }
            Step::End => {
                while let Some(event) = self.event().await {
                    self.saw.push(json!({"code": 200, "body": event}));
                }
                self.saw.push(json!({"code": 200, "body": "the end"}));
            }
            Step::Gone(path) => self.until(path, async |answer| answer["code"] == 404).await,
            Step::Until(path, pointer, value) => {
                self.until(path, async |answer| answer["body"].pointer(pointer) == Some(value)).await;
            }
        }
    }

    async fn until(&self, path: &str, holds: impl AsyncFn(&Value) -> bool) {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(tick) = &self.tick {
                tick();
            }
            let answer = self.send(&get(path)).await;
            if holds(&answer).await {
                return;
            }
            assert!(Instant::now() < end, "{path} is still {answer}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn send(&self, ask: &Ask) -> Value {
        let answer = self.request(ask).await;
        let code = answer.status().as_u16();
        let bytes = answer.into_body().collect_bytes().await.unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        json!({"code": code, "body": serde_json::from_str(&text).unwrap_or(Value::String(text))})
    }

    async fn request(&self, ask: &Ask) -> Response<Body> {
        let mut path = self.filled(&ask.path);
        if !matches!(ask.method, "GET" | "DELETE") && !path.contains("fieldManager") {
            path.push(if path.contains('?') { '&' } else { '?' });
            path.push_str("fieldManager=suite");
        }
        let body = if ask.body.is_null() { String::new() } else { self.filled(&ask.body.to_string()) };
        let mut request = Request::builder().method(ask.method).uri(path);
        for (name, value) in [("content-type", ask.content), ("accept", ask.accept)] {
            if !value.is_empty() {
                request = request.header(name, value);
            }
        }
        self.client.send(request.body(Body::from(body.into_bytes())).unwrap()).await.expect("an answer")
    }

    /// With what was seen in place of what refers to it.
    fn filled(&self, text: &str) -> String {
        let mut text = text.replace("{ns}", &self.namespace);
        for (at, answer) in self.saw.iter().enumerate() {
            for field in ["metadata/uid", "metadata/resourceVersion", "metadata/continue"] {
                let value = answer["body"].pointer(&format!("/{field}")).and_then(Value::as_str).unwrap_or("");
                text = text.replace(&format!("{{{at}/{field}}}"), value);
            }
        }
        text
    }

    async fn open(&mut self, ask: &Ask) {
        let answer = self.request(ask).await;
        let code = answer.status().as_u16();
        self.saw.push(json!({"code": code, "body": "a watch"}));
        self.watch = Some(Watching { stream: Stream::new(answer.into_body()).into_data_stream(), rest: vec![] });
    }

    async fn event(&mut self) -> Option<Value> {
        let watch = self.watch.as_mut().expect("a watch is open");
        loop {
            if let Some(end) = watch.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = watch.rest.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).expect("an event"));
            }
            let chunk = timeout(PATIENCE, watch.stream.next()).await.expect("an event in time")?;
            watch.rest.extend_from_slice(&chunk.expect("a chunk"));
        }
    }
}

/// A client of the real server that asks each thing once.
pub async fn client(rig: &Rig) -> Client {
    let kubeconfig = Kubeconfig::read_from(&rig.kubeconfig).unwrap();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await.unwrap();
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

/// Serves these kinds on the real server.
pub async fn define(client: &Client, definitions: &[Value]) {
    let lab = Lab::real(client.clone(), 0);
    for definition in definitions {
        let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        let made = lab.send(&Ask { body: definition.clone(), ..post(path) }).await;
        assert!(made["code"] == 201 || made["code"] == 409, "{made}");
        let text = |pointer: &str| definition.pointer(pointer).unwrap().as_str().unwrap().to_owned();
        let served = format!("/apis/{}/v1/{}", text("/spec/group"), text("/spec/names/plural"));
        until("the kind is served", async || lab.send(&get(&served)).await["code"] == 200).await;
    }
}

fn ask(method: &'static str, path: &str) -> Ask {
    Ask { method, path: path.to_owned(), content: "application/json", accept: "application/json", body: Value::Null }
}

pub fn get(path: &str) -> Ask {
    ask("GET", path)
}

pub fn post(path: &str) -> Ask {
    ask("POST", path)
}

pub fn put(path: &str) -> Ask {
    ask("PUT", path)
}

pub fn delete(path: &str) -> Ask {
    ask("DELETE", path)
}

pub fn patch(path: &str) -> Ask {
    ask("PATCH", path)
}
