//! A fault that never ends makes no hot loop: what fails is tried again with growing pauses, and the object says so.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use loopback_operator::protocol::{Code, Problem};
use serde_json::json;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    journal::{Journal, Side},
    kinds::{GROUP, KINDS},
    line::Bend,
    operator::{Replica, replica},
    plan::{Deed, Wish},
    world::{Scene, Script, controllers},
};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
/// Time in which all is made and real.
const SETTLED: Duration = Duration::from_secs(60);
/// Calls of one try come without a pause.
const PAUSE: Duration = Duration::from_millis(100);
/// Calls that meet the fault at about the same time: two at most of a pass, of two passes whose pause was drawn short.
const CALLS: usize = 4;

/// What certain calls meet each time.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// A change of the backend is refused.
    Refused(Code),
    /// It is refused because of an object that the backend does not have.
    Ghost,
    /// It is answered with something that is none of ours, and is not done.
    Garbage(u16),
    /// A status is not stored.
    Status(u16),
    /// A status is not stored when it has the kind's part.
    StatusTooLarge,
    /// A finalizer is neither stored nor removed.
    Finalizer(u16),
    /// Nothing is ever read before something is done that cannot be undone.
    Read(u16),
    /// A binding is missing.
    NoBinding,
    /// A step on a minted secret's way into its Secret is answered with something that is none of ours, and is not done.
    Delivery(&'static str, u16),
}

const FAULTS: &[Fault] = &[
    Fault::Refused(Code::Internal),
    Fault::Refused(Code::Conflict),
    Fault::Refused(Code::Invalid),
    Fault::Refused(Code::Throttled),
    Fault::Refused(Code::Unavailable),
    Fault::Refused(Code::Forbidden),
    Fault::Refused(Code::Quota),
    Fault::Refused(Code::Stale),
    Fault::Refused(Code::NotFound),
    Fault::Ghost,
    Fault::Garbage(200),
    Fault::Garbage(429),
    Fault::Garbage(502),
    Fault::Status(403),
    Fault::Status(409),
    Fault::Status(422),
    Fault::StatusTooLarge,
    Fault::Finalizer(403),
    Fault::Finalizer(422),
    Fault::Read(403),
    Fault::NoBinding,
    Fault::Delivery("/secret", 200),
    Fault::Delivery("/secret", 502),
    Fault::Delivery("/acknowledge", 200),
    Fault::Delivery("/acknowledge", 502),
];

/// Meets the operator's calls, and notes when.
struct Standing {
    fault: Fault,
    calls: Mutex<Calls>,
}

#[derive(Default)]
struct Calls {
    on: bool,
    /// When a call met the fault.
    met: Vec<Instant>,
    /// When anything was asked, but for streams.
    asked: Vec<Instant>,
    /// Whether the backend was asked how things stand since a change met the fault.
    looked: bool,
    /// How often a change came again before that.
    blind: usize,
}

impl Bend for Standing {
    fn bend(&self, side: Side, request: Request<Bytes>) -> Result<Request<Bytes>, Response<Body>> {
        let mut calls = self.calls.lock().unwrap();
        let streams = request.uri().path().ends_with("/changes")
            || request.uri().query().is_some_and(|query| query.contains("watch="));
        if !calls.on || streams {
            return Ok(request);
        }
        calls.asked.push(Instant::now());
        let objects = side == Side::Wire && request.uri().path().contains("/load-balancers");
        calls.looked |= objects && request.method() == Method::GET;
        match self.fault.answer(side, &request) {
            None => Ok(request),
            Some((code, text)) => {
                let looked = std::mem::replace(&mut calls.looked, !objects);
                calls.blind += usize::from(!looked && !calls.met.is_empty());
                calls.met.push(Instant::now());
                let mut answer = Response::new(Body::from(text));
                *answer.status_mut() = StatusCode::from_u16(code).unwrap();
                Err(answer)
            }
        }
    }
}

impl Fault {
    fn answer(self, side: Side, request: &Request<Bytes>) -> Option<(u16, String)> {
        let (writes, path) = (request.method() != Method::GET, request.uri().path());
        let ours = path.contains("/projectloadbalancers");
        let status = side == Side::Kube && ours && path.ends_with("/status");
        let change = side == Side::Wire && writes;
        let refusal = |code: u16| {
            (
                code,
                json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "it always says so", "reason": "Simulated", "code": code})
                .to_string(),
            )
        };
        match self {
            Self::Refused(code) if change => {
                let problem = Problem::new(code, "it always says so");
                Some((problem.status, serde_json::to_string(&problem).unwrap()))
            }
            Self::Ghost if change => {
                let problem = Problem { id: Some("ghost-1".into()), ..Problem::new(Code::Exists, "it always says so") };
                Some((problem.status, serde_json::to_string(&problem).unwrap()))
            }
            Self::Garbage(code) if change => Some((code, "<html>something in between</html>".into())),
            Self::Status(code) if status && writes => Some(refusal(code)),
            Self::StatusTooLarge if status && String::from_utf8_lossy(request.body()).contains("\"id\":") => {
                Some(refusal(422))
            }
            Self::Finalizer(code) if side == Side::Kube && ours && writes && !status => Some(refusal(code)),
            Self::Read(code) if side == Side::Kube && ours && !writes && path.ends_with("/a") => Some(refusal(code)),
            Self::Delivery(step, code) if side == Side::Wire && path.ends_with(step) => {
                Some((code, "<html>something in between</html>".into()))
            }
            _ => None,
        }
    }

    /// What is made while it stands.
    fn wishes(self) -> Vec<Wish> {
        match self {
            Self::Delivery(..) => {
                vec![Wish::plain("objectbuckets", "a"), Wish::plain("objectbucketcredentials", "c0")]
            }
            _ => vec![Wish::plain("projectloadbalancers", "a")],
        }
    }

    /// Whether what it meets happens only when an object is made.
    fn at_first_only(self) -> bool {
        matches!(self, Self::Delivery(..))
    }
}

impl Standing {
    fn new(fault: Fault, on: bool) -> Arc<Self> {
        Arc::new(Self { fault, calls: Mutex::new(Calls { on, ..Calls::default() }) })
    }

    /// From now on, and nothing is known of what was before.
    fn begin(&self) {
        *self.calls.lock().unwrap() = Calls { on: true, ..Calls::default() };
    }

    /// The laws for one object that has met the fault since `began`, for two hours.
    fn judge(&self, what: &str, began: Instant) {
        let calls = self.calls.lock().unwrap();
        let since = |calls: &[Instant]| calls.iter().map(|at| *at - began).collect::<Vec<_>>();
        let tries = tries(&since(&calls.met));
        let within = |from, to| tries.iter().filter(|(at, _)| (from..to).contains(at)).count();
        let about = format!("L2: {:?}, {what}: {tries:?}", self.fault);
        if matches!(self.fault, Fault::Refused(Code::Internal) | Fault::Garbage(200 | 502)) {
            let blind = calls.blind;
            assert_eq!(blind, 0, "S1: {:?}, {what}: sent again before anybody looked what became of it", self.fault);
        }
        assert!(tries.iter().all(|(_, calls)| *calls <= CALLS), "too many calls without a pause. {about}");
        assert!(within(Duration::ZERO, MINUTE) <= 12, "too many tries in a minute. {about}");
        assert!(within(HOUR, 2 * HOUR) <= 60, "pauses do not grow. {about}");
        let asked = since(&calls.asked).into_iter().filter(|at| (HOUR..2 * HOUR).contains(at)).count();
        assert!(asked <= 500, "{asked} calls in an hour. {about}");
    }
}

/// When a try began, and how many calls it took.
fn tries(calls: &[Duration]) -> Vec<(Duration, usize)> {
    let mut tries: Vec<(Duration, usize)> = Vec::new();
    let mut last = None;
    for at in calls {
        match tries.last_mut().filter(|_| last.is_some_and(|last| *at - last < PAUSE)) {
            Some((_, count)) => *count += 1,
            None => tries.push((*at, 1)),
        }
        last = Some(*at);
    }
    tries
}

/// A world with one balancer, or what the fault is about, no other fault than this, and the operator in it.
async fn play(fault: Fault, from_the_start: bool) {
    let cut = CancellationToken::new();
    let script = Script::written(Vec::new(), Vec::new());
    let mut scene = Scene::new(&script, None, Journal::new(script.deeds.len()), cut.clone()).await;
    let standing = Standing::new(fault, from_the_start);
    scene.site.bend = Some(standing.clone());
    tokio::spawn(controllers(scene.site.kube.api.clone(), cut.clone()));
    tokio::spawn(replica(scene.site.clone(), Replica { name: "a", elected: false }, cut.clone()));
    let mut deeds = vec![Deed::Namespace, Deed::Backend, Deed::TokenSecrets];
    deeds.extend(fault.wishes().into_iter().map(Deed::Create));
    if !matches!(fault, Fault::NoBinding) {
        deeds.push(Deed::Binding { own: false });
    }
    let began = Instant::now();
    act(&mut scene, deeds).await;
    if from_the_start {
        sleep(2 * HOUR).await;
        standing.judge("create", began);
        explained(&scene, fault);
    } else {
        sleep(SETTLED).await;
        let balancer = Wish::plain("projectloadbalancers", "a");
        let edit = Deed::Edit(Wish { variant: 1, ..balancer.clone() });
        for (what, deed) in [("edit", edit), ("delete", Deed::Delete(balancer.kind, balancer.name.clone()))] {
            standing.begin();
            let began = Instant::now();
            act(&mut scene, vec![deed]).await;
            sleep(2 * HOUR).await;
            standing.judge(what, began);
            if matches!(fault, Fault::Refused(_) | Fault::Garbage(_)) {
                let (reason, _) = ready(&scene, balancer.kind);
                assert!(!matches!(&*reason, "Ready" | "BindingNotReady"), "{fault:?}, {what}: {reason}");
            }
        }
    }
    cut.cancel();
}

async fn act(scene: &mut Scene, deeds: Vec<Deed>) {
    scene.users.work(deeds.into_iter().map(|deed| (Duration::ZERO, deed)).collect()).await;
}

/// Reason and message of the object's Ready condition.
fn ready(scene: &Scene, kind: usize) -> (String, String) {
    let objects = scene.site.kube.api.objects(GROUP, KINDS[kind].plural);
    let conditions = objects.first().and_then(|object| object["status"]["conditions"].as_array().cloned());
    let ready = conditions.into_iter().flatten().find(|one| one["type"] == "Ready").unwrap_or_default();
    let text = |field: &str| ready[field].as_str().unwrap_or_default().to_owned();
    (text("reason"), text("message"))
}

/// What the object says at the end.
fn explained(scene: &Scene, fault: Fault) {
    let kind = fault.wishes().last().unwrap().kind;
    let (reason, message) = ready(scene, kind);
    let (expected, says) = match fault {
        Fault::Refused(Code::Internal) | Fault::Garbage(200 | 502) | Fault::Ghost | Fault::Delivery(..) => {
            ("Error", "not to this call")
        }
        Fault::Refused(Code::Throttled) | Fault::Garbage(429) => ("Throttled", "fewer calls"),
        Fault::Refused(Code::Forbidden) => ("Denied", "it always says so"),
        Fault::Refused(Code::Quota) => ("QuotaExceeded", "it always says so"),
        Fault::Refused(Code::Conflict | Code::Invalid | Code::Stale) => ("Refused", "it always says so"),
        Fault::Refused(_) => ("BackendUnavailable", "it always says so"),
        Fault::StatusTooLarge => ("Error", "does not fit into the status"),
        Fault::Finalizer(403) => ("Error", "it always says so"),
        Fault::Finalizer(_) => ("Error", "changed meanwhile"),
        Fault::NoBinding => ("ReferenceMissing", "ProjectBinding default"),
        Fault::Garbage(_) | Fault::Status(_) | Fault::Read(_) => return,
    };
    assert!(reason == expected && message.contains(says), "{fault:?}: {reason}: {message}");
}

#[test]
fn a_fault_that_never_ends_makes_no_hot_loop() {
    std::thread::scope(|scope| {
        for faults in FAULTS.chunks(FAULTS.len().div_ceil(2)) {
            scope.spawn(move || {
                let both = |fault: &Fault| [(*fault, true), (*fault, false)];
                for (fault, from_the_start) in faults.iter().flat_map(both) {
                    if !from_the_start && fault.at_first_only() {
                        continue;
                    }
                    let runtime = tokio::runtime::Builder::new_current_thread();
                    let runtime = { runtime }.enable_time().start_paused(true).build().unwrap();
                    runtime.block_on(play(fault, from_the_start));
                }
            });
        }
    });
}
