//! What one run of a workload leaves behind: every call, what the API server last said of each object.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use jiff::Timestamp;
use loopback_operator::protocol::RawObject;
use serde_json::Value;
use tokio::{sync::watch, time::Instant};

use super::{deliver::Request, names::Names};
use crate::{
    admin::Admin,
    journal::Journal,
    plan::{Fault, Point, Side},
    planted::Bug,
    rig::Program,
    stage::BINDING,
};

/// One call of the operator.
#[derive(Clone, Debug)]
pub struct Call {
    /// Which.
    pub point: Point,
    /// Its method.
    pub method: String,
    /// Its path and query as they were.
    pub path: String,
    /// What was sent.
    pub body: Vec<u8>,
    /// The precondition that was sent with it.
    pub condition: Option<String>,
    /// When it was sent.
    pub sent: Timestamp,
    /// When its answer was there.
    pub answered: Option<Timestamp>,
    /// What was answered; `None`: nothing.
    pub code: Option<u16>,
    /// The answer; streams have none.
    pub answer: Vec<u8>,
    /// Whether it is a stream, or an event of one.
    pub stream: bool,
    /// For a status that says Ready: what the backend held when it was written.
    pub held: Option<RawObject>,
}

impl Call {
    /// Whether it changes something.
    pub fn writes(&self) -> bool {
        self.method != "GET" && !self.point.role.ends_with(":events")
    }

    /// The body, if it is JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The answer, if it is JSON.
    pub fn answer(&self) -> Value {
        serde_json::from_slice(&self.answer).unwrap_or_default()
    }
}

#[derive(Default)]
struct State {
    calls: Vec<Call>,
    counts: BTreeMap<(Side, String), u32>,
    names: Names,
    objects: BTreeMap<(String, String), Value>,
    gone: BTreeMap<String, ()>,
    reached: bool,
    pending: usize,
    fed: bool,
    last_write: Option<Instant>,
    token: String,
    planted: BTreeMap<String, usize>,
}

/// One run of a workload.
pub struct Run {
    /// The fault, and where.
    pub plan: Option<(Point, Fault)>,
    /// What the proxy makes the operator look like.
    pub bug: Option<Bug>,
    /// The project, also the name of the namespace.
    pub name: String,
    /// The cluster's name among owners.
    pub cluster: String,
    /// The backend, for witnesses.
    pub admin: Admin,
    /// What the backend did.
    pub journal: Journal,
    /// The operator's process.
    pub operator: OnceLock<Arc<Program>>,
    /// Told of everything that happens.
    pub news: watch::Sender<()>,
    state: Mutex<State>,
}

impl Run {
    /// Nothing has happened yet.
    pub fn new(name: &str, cluster: &str, admin: &Admin, plan: Option<(Point, Fault)>, bug: Option<Bug>) -> Arc<Self> {
        let (news, _) = watch::channel(());
        let journal = Journal::follow(admin.clone(), name, news.clone());
        let (name, cluster, admin) = (name.to_owned(), cluster.to_owned(), admin.clone());
        let (operator, state) = (OnceLock::new(), Mutex::default());
        Arc::new(Self { plan, bug, name, cluster, admin, journal, operator, news, state })
    }

    /// Notes that a call came; its number, and what happens to it.
    pub fn enter(&self, side: Side, method: &str, path: &str, body: &[u8]) -> (usize, bool, Option<Fault>) {
        let json = serde_json::from_slice(body).unwrap_or_default();
        let mut state = self.state.lock().unwrap();
        let (about, stream) = state.names.role(side, path, &json);
        let role = format!("{method}:{about}");
        self.note(&mut state, side, role, method, path, body, stream)
    }

    /// Notes an event of a stream.
    pub fn event(&self, stream: &Point, line: &[u8]) -> Option<Fault> {
        let role = stream.role.replacen("GET:", "EVENT:", 1);
        let mut state = self.state.lock().unwrap();
        if let Ok(value) = serde_json::from_slice::<Value>(line) {
            state.names.learn(&value["object"]);
        }
        self.note(&mut state, stream.side, role, "GET", "", &[], true).2
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of one call")]
    fn note(
        &self,
        state: &mut State,
        side: Side,
        role: String,
        method: &str,
        path: &str,
        body: &[u8],
        stream: bool,
    ) -> (usize, bool, Option<Fault>) {
        let count = state.counts.entry((side, role.clone())).or_default();
        *count += 1;
        let point = Point { side, role, nth: *count };
        let fault = self.plan.as_ref().filter(|(at, _)| *at == point).map(|(_, fault)| *fault);
        state.reached |= fault.is_some();
        let (method, path, body) = (method.to_owned(), path.to_owned(), body.to_owned());
        let (sent, answer) = (Timestamp::now(), Vec::new());
        let call = Call {
            point,
            method,
            path,
            body,
            condition: None,
            sent,
            answered: None,
            code: None,
            answer,
            stream,
            held: None,
        };
        if call.writes() {
            state.last_write = Some(Instant::now());
        }
        state.calls.push(call);
        (state.calls.len() - 1, stream, fault)
    }

    /// What is known of a call so far.
    pub fn point(&self, number: usize) -> Point {
        self.state.lock().unwrap().calls[number].point.clone()
    }

    /// What the call was when it went on, if that is not what came.
    pub fn sent(&self, number: usize, request: &Request, held: Option<RawObject>) {
        let mut state = self.state.lock().unwrap();
        let call = &mut state.calls[number];
        (call.path, call.body, call.held) = (request.path.clone(), request.body.to_vec(), held);
        call.condition = request.headers.get("if-match").and_then(|value| value.to_str().ok()).map(str::to_owned);
        call.sent = Timestamp::now();
    }

    /// Notes an answer of a server.
    pub fn answered(&self, number: usize, code: u16, answer: &[u8]) {
        let value = serde_json::from_slice::<Value>(answer).unwrap_or_default();
        let mut state = self.state.lock().unwrap();
        let call = &mut state.calls[number];
        (call.code, call.answered, call.answer) = (Some(code), Some(Timestamp::now()), answer.to_owned());
        let (side, feeds, writes) = (call.point.side, call.point.role == "GET:feed", call.writes());
        state.fed |= feeds && code == 200;
        state.names.learn(&value);
        if writes {
            state.last_write = Some(Instant::now());
        }
        if side == Side::Kubernetes && code < 300 {
            state.take(value);
        }
        drop(state);
        self.news.send_replace(());
    }

    /// Takes in what the API server answered to somebody else.
    pub fn take(&self, object: Value) {
        self.state.lock().unwrap().take(object);
        self.news.send_replace(());
    }

    /// The object is gone, as the API server said to somebody else.
    pub fn forget(&self, kind: &str, name: &str) {
        self.state.lock().unwrap().objects.remove(&(kind.to_owned(), name.to_owned()));
        self.news.send_replace(());
    }

    /// What the API server last said of an object.
    pub fn object(&self, kind: &str, name: &str) -> Option<Value> {
        self.state.lock().unwrap().objects.get(&(kind.to_owned(), name.to_owned())).cloned()
    }

    /// Kinds and names of all objects that are there, as far as was said.
    pub fn objects(&self) -> BTreeMap<(String, String), Value> {
        self.state.lock().unwrap().objects.clone()
    }

    /// All calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.state.lock().unwrap().calls.clone()
    }

    /// Whether the call of the plan came.
    pub fn reached(&self) -> bool {
        self.plan.is_none() || self.state.lock().unwrap().reached
    }

    /// True the first time.
    pub fn once(&self, what: &str) -> bool {
        self.many(what, 1)
    }

    /// True so many times.
    pub fn many(&self, what: &str, times: usize) -> bool {
        let mut state = self.state.lock().unwrap();
        let count = state.planted.entry(what.to_owned()).or_default();
        *count += 1;
        *count <= times
    }

    /// The token that the binding uses at first.
    pub fn token(&self) -> String {
        self.state.lock().unwrap().token.clone()
    }

    /// Notes the token that the binding uses.
    pub fn uses(&self, token: &str) {
        token.clone_into(&mut self.state.lock().unwrap().token);
    }

    /// Something is under way that nobody waits for; or it is done.
    pub fn pend(&self, by: isize) {
        let mut state = self.state.lock().unwrap();
        state.pending = state.pending.saturating_add_signed(by);
        drop(state);
        self.news.send_replace(());
    }

    /// Kills the operator and starts it again.
    pub async fn restart(self: &Arc<Self>) {
        let run = Arc::clone(self);
        self.state.lock().unwrap().fed = false;
        let restart = move || {
            let operator = run.operator.get().expect("who calls was started");
            operator.kill();
            operator.again();
        };
        tokio::task::spawn_blocking(restart).await.expect("it can be started");
    }

    /// Waits until a running operator has written nothing for a while.
    pub async fn quiet(&self, silence: Duration, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        loop {
            let left = {
                let state = self.state.lock().unwrap();
                let since = state.last_write.map_or(silence, |last| last.elapsed());
                // Without a binding no operator follows a feed.
                let bound = state.objects.keys().any(|(kind, _)| kind == BINDING);
                let busy = state.pending > 0 || (bound && !state.fed);
                if busy { silence } else { silence.saturating_sub(since) }
            };
            if left.is_zero() {
                return true;
            }
            if Instant::now() >= end {
                return false;
            }
            tokio::time::sleep(left.min(Duration::from_millis(50))).await;
        }
    }
}

impl State {
    fn take(&mut self, object: Value) {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (kind, name, uid) = (text("/kind"), text("/metadata/name"), text("/metadata/uid"));
        if uid.is_empty() || kind.ends_with("List") || self.gone.contains_key(&uid) {
            return;
        }
        self.names.learn(&object);
        let version = |object: &Value| {
            object["metadata"]["resourceVersion"].as_str().and_then(|version| version.parse::<u64>().ok()).unwrap_or(0)
        };
        let key = (kind, name);
        if self.objects.get(&key).is_some_and(|known| version(known) > version(&object)) {
            return;
        }
        let finalizers = object.pointer("/metadata/finalizers").and_then(Value::as_array);
        if !text("/metadata/deletionTimestamp").is_empty() && finalizers.is_none_or(Vec::is_empty) {
            self.gone.insert(uid, ());
            self.objects.remove(&key);
        } else {
            self.objects.insert(key, object);
        }
    }
}
