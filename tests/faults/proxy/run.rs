//! What one run of a workload leaves behind: every call, what the API server last said of each object.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use jiff::Timestamp;
use loopback_operator::{crd::FINALIZER, protocol::RawObject};
use serde_json::Value;
use tokio::{sync::watch, time::Instant};

use super::{deliver::Request, names::Names};
use crate::{
    admin::Admin,
    journal::Journal,
    plan::{Fault, Plan, Point, Side},
    planted::Bug,
    rig::Program,
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
    /// For a status that says Ready, and for the end of a finalizer: what the backend held of that resource, if it said so.
    pub held: Option<Vec<RawObject>>,
    /// For a create: whether its sender may know that our finalizer is stored.
    pub finalized: bool,
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
pub(super) struct State {
    calls: Vec<Call>,
    counts: BTreeMap<(Side, String), u32>,
    names: Names,
    pub(super) objects: BTreeMap<(String, String), Value>,
    gone: BTreeSet<String>,
    /// UIDs of what is known to have our finalizer, or had it.
    finalized: BTreeSet<String>,
    reached: bool,
    pub(super) pending: usize,
    pub(super) fed: bool,
    /// When something was last written, or told to the operator.
    pub(super) moved: Option<Instant>,
    tokens: Vec<String>,
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
    /// The operator's process, and where it shows its metrics.
    pub operator: OnceLock<(Arc<Program>, SocketAddr)>,
    /// Told of everything that happens.
    pub news: watch::Sender<()>,
    pub(super) state: Mutex<State>,
}

/// Something that is under way, until this is dropped.
pub struct Pending(Arc<Run>);

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.state.lock().unwrap().pending -= 1;
        self.0.news.send_replace(());
    }
}

impl Run {
    /// Nothing has happened yet.
    pub fn new(name: &str, cluster: &str, admin: &Admin, plan: &Plan) -> Arc<Self> {
        let (news, _) = watch::channel(());
        let journal = Journal::follow(admin.clone(), name, news.clone());
        let (name, cluster, admin) = (name.to_owned(), cluster.to_owned(), admin.clone());
        let (operator, state) = (OnceLock::new(), Mutex::default());
        Arc::new(Self { plan: plan.at.clone(), bug: plan.bug, name, cluster, admin, journal, operator, news, state })
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
            state.learn(&value["object"]);
        }
        state.moved = Some(Instant::now());
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
        let finalized = state.knows_finalizer(body);
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
            finalized,
        };
        if call.writes() {
            state.moved = Some(Instant::now());
        }
        state.calls.push(call);
        (state.calls.len() - 1, stream, fault)
    }

    /// What is known of a call so far.
    pub fn point(&self, number: usize) -> Point {
        self.state.lock().unwrap().calls[number].point.clone()
    }

    /// What the call was when it went on, if that is not what came.
    pub fn sent(&self, number: usize, request: &Request, held: Option<Vec<RawObject>>) {
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
        state.learn(&value);
        if writes {
            state.moved = Some(Instant::now());
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
        self.state.lock().unwrap().tokens.first().cloned().unwrap_or_default()
    }

    /// All tokens that the binding uses in its time.
    pub fn tokens(&self) -> Vec<String> {
        self.state.lock().unwrap().tokens.clone()
    }

    /// Notes a token that the binding uses.
    pub fn uses(&self, token: &str) {
        self.state.lock().unwrap().tokens.push(token.to_owned());
    }

    /// Something is under way.
    pub fn pend(self: &Arc<Self>) -> Pending {
        self.state.lock().unwrap().pending += 1;
        Pending(Arc::clone(self))
    }

    /// Whether no call is under way.
    pub fn idle(&self) -> bool {
        self.state.lock().unwrap().pending == 0
    }

    /// Something is under way for so long.
    pub fn pend_for(self: &Arc<Self>, time: Duration) {
        let pending = self.pend();
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            drop(pending);
        });
    }

    /// Kills the operator and starts it again.
    pub async fn restart(self: &Arc<Self>) {
        let run = Arc::clone(self);
        self.state.lock().unwrap().fed = false;
        let restart = move || {
            let (operator, _) = run.operator.get().expect("who calls was started");
            operator.kill();
            operator.again();
        };
        tokio::task::spawn_blocking(restart).await.expect("it can be started");
    }
}

impl State {
    /// Takes in what somebody was told.
    fn learn(&mut self, value: &Value) {
        self.names.learn(value);
        for object in value["items"].as_array().into_iter().flatten().chain([value]) {
            let metadata = &object["metadata"];
            let ours = metadata["finalizers"].as_array().is_some_and(|all| all.iter().any(|one| one == FINALIZER));
            if let Some(uid) = metadata["uid"].as_str().filter(|_| ours) {
                self.finalized.insert(uid.to_owned());
            }
        }
    }

    /// Whether anybody was told that the owner in a body has our finalizer.
    fn knows_finalizer(&self, body: &[u8]) -> bool {
        let body = serde_json::from_slice::<Value>(body).unwrap_or_default();
        body["owner"]["uid"].as_str().is_some_and(|uid| self.finalized.contains(uid))
    }

    fn take(&mut self, object: Value) {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (kind, name, uid) = (text("/kind"), text("/metadata/name"), text("/metadata/uid"));
        if uid.is_empty() || kind.ends_with("List") || self.gone.contains(&uid) {
            return;
        }
        self.learn(&object);
        let version = |object: &Value| {
            object["metadata"]["resourceVersion"].as_str().and_then(|version| version.parse::<u64>().ok()).unwrap_or(0)
        };
        let key = (kind, name);
        let finalizers = object.pointer("/metadata/finalizers").and_then(Value::as_array);
        // Also when it shows the version before a write that it overtook: what nothing holds any more is gone.
        if !text("/metadata/deletionTimestamp").is_empty() && finalizers.is_none_or(Vec::is_empty) {
            if self.objects.get(&key).is_none_or(|known| known["metadata"]["uid"] == uid.as_str()) {
                self.objects.remove(&key);
            }
            self.gone.insert(uid);
        } else if self.objects.get(&key).is_none_or(|known| version(known) <= version(&object)) {
            self.objects.insert(key, object);
        }
    }
}
