//! Workers: take a key whose turn it is, run its pass, do what follows from it.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures::FutureExt;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{Resource, ResourceExt, api::DynamicObject};
use serde_json::Value;
use tokio::time::Instant;
use tracing::{Instrument, debug, error, info, info_span, warn};

use super::{
    Engine, backends, bindings,
    cache::Subject,
    common::{deleting, generation, has_finalizer, requested_at, uid},
    contest::Told,
    key::Key,
    kind::Remark,
    leadership::Leadership,
    outcome::{Before, Conclusion, Finding, Next, Note, Outcome, conclude},
    stored::says,
    usage,
    writes::WriteError,
};
use crate::{
    crd::{Reason, annotation},
    runtime::{
        metrics::{ObjectName, PassResult},
        queue::{Outcome as Verdict, Pass, Trigger},
    },
};

/// A status that says "working" waits this long: mostly it is over by then.
const PATIENCE: Duration = Duration::from_secs(1);
/// And as long as so many writes take at present, within bounds: what it waits for waits for the API server too, which one more
/// write would only slow down.
const WRITES: u32 = 4;
const MORE_PATIENCE: Duration = Duration::from_secs(9);
/// A status that says in other words why a deletion waits is stored at most this often; one that says once more that something is
/// wrong, at most so often.
const REST: Duration = Duration::from_secs(10);
const SHORT_REST: Duration = Duration::from_secs(1);
/// Pause before something outside the spec, that a person must mend, is tried again: this long and up to twice as much more.
const SLOWLY: Duration = Duration::from_secs(300);

/// Takes passes until draining starts, while this process leads. A pass that runs when it ceases to lead is dropped where it
/// stands, as by a crash.
pub(super) async fn work(engine: Arc<Engine>, mut leadership: Leadership) {
    loop {
        tokio::select! {
            biased;
            () = engine.drain.wait() => return,
            () = leadership.gained() => {}
        }
        let pass = tokio::select! {
            biased;
            () = engine.drain.wait() => return,
            () = leadership.lost() => continue,
            pass = engine.queue.next() => pass,
        };
        let key = pass.key().clone();
        tokio::select! {
            biased;
            // It did not fail: once we lead again it need not wait.
            () = leadership.lost() => engine.queue.add(key, Trigger::Dependency),
            () = one(&engine, pass) => {}
        }
    }
}

async fn one(engine: &Arc<Engine>, pass: Pass<Key>) {
    let key = pass.key().clone();
    let Some(object) = engine.cache.get(&key) else {
        gone(engine, &key);
        return pass.finish(Verdict::Done);
    };
    let number = engine.passes.fetch_add(1, Ordering::Relaxed);
    let (kind, namespace, name) = (&*key.kind, &*key.namespace, &*key.name);
    let span = info_span!("pass", kind, namespace, name, generation = generation(&object), pass = number);
    let meter = engine.metrics.pass(kind, pass.waited());
    let (verdict, result) = looked_at(engine, &key, object).instrument(span).await;
    meter.end(result);
    pass.finish(verdict);
}

fn gone(engine: &Engine, key: &Key) {
    engine.cache.begin(key);
    engine.forget(key);
    engine.metrics.forget(&object_name(key));
    if &*key.kind == bindings::KIND {
        bindings::gone(engine, key);
    }
    engine.secrets.keep_only(key, None);
}

async fn looked_at(engine: &Arc<Engine>, key: &Key, object: Arc<DynamicObject>) -> (Verdict, PassResult) {
    engine.cache.begin(key);
    engine.recall(key, uid(&object));
    let finding = match AssertUnwindSafe(run(engine, key, object.clone())).catch_unwind().await {
        Ok(finding) => finding,
        Err(_) => {
            error!("the pass crashed; this is a defect of the operator");
            engine.metrics.pass_crashed(&key.kind);
            let why = Remark::new(Reason::Error, "The operator has a defect that shows on this object; see its log");
            Outcome::Failed { why, at_least: Duration::ZERO }.into()
        }
    };
    // Status may have been written meanwhile, and the spec changed: what the pass found is about the spec that it saw.
    let now = engine.cache.get(key).filter(|now| uid(now) == uid(&object)).unwrap_or_else(|| object.clone());
    let absent = Value::Null;
    let before = Before {
        generation: generation(&object),
        status: now.data.get("status").unwrap_or(&absent),
        requested_at: requested_at(&object),
        now: engine.world.now(),
        usage_rest: usage_rest(engine, key, &now),
    };
    follow_up(engine, key, &object, &before, &finding).await
}

async fn run(engine: &Arc<Engine>, key: &Key, object: Arc<DynamicObject>) -> Finding {
    match &*key.kind {
        bindings::KIND => bindings::pass(engine, key, object).await,
        backends::KIND => backends::pass(engine, key, &object),
        kind => match engine.kinds.get(kind) {
            Some(registered) => registered.run(engine, key, object).await,
            None => Outcome::Gone.into(),
        },
    }
}

async fn follow_up(
    engine: &Engine,
    key: &Key,
    object: &DynamicObject,
    before: &Before<'_>,
    finding: &Finding,
) -> (Verdict, PassResult) {
    let conclusion = conclude(before, finding);
    let patience = patience(engine, key, before, &conclusion);
    tell(engine, key, object, finding, conclusion.status.is_some() && patience.is_none());
    speak(engine, object, untold(engine, key, before.status));
    speak(engine, object, conclusion.repaired);
    let mut verdict = verdict(engine, conclusion.next);
    if let Some(patience) = patience {
        // A later pass says it, if it is still true.
        verdict = sooner(verdict, patience);
    } else if let Some(status) = &conclusion.status {
        // What is to be told outlives an answer that does not come, and a lead that is lost before it comes.
        let news = (!conclusion.events.is_empty()).then(|| (status.clone(), conclusion.events));
        engine.memory(key, |memory| memory.untold = news);
        match store(engine, key, object, before, status).await {
            Ok(_) => {
                // The answer is in the cache already, so its watch event is no news: who reads this object is woken here. Of a
                // status others read the id alone.
                if engine.kinds.contains_key(&*key.kind) && before.status.get("id") != status.get("id") {
                    engine.wake(&Subject::Object(key.clone()));
                }
                let news = engine.memory(key, |memory| memory.untold.take());
                speak(engine, object, news.map_or_else(Vec::new, |(_, notes)| notes));
            }
            // If so, the watch says it too, and the next pass finds nothing to do; but what answered may not have been the
            // API server, and then nothing else would bring that pass.
            Err(WriteError::Gone | WriteError::Changed) => verdict = Verdict::Failed,
            Err(error @ WriteError::Refused(_)) => {
                warn!(%error, "the status is refused");
                confess(engine, key, object, &error).await;
                verdict = Verdict::Failed;
            }
            Err(error) => {
                warn!(%error, "the status could not be stored");
                verdict = Verdict::Failed;
            }
        }
    } else {
        speak(engine, object, conclusion.events);
    }
    if let Some(rest) = conclusion.usage_in {
        verdict = sooner(verdict, rest);
    }
    let now = engine.cache.get(key);
    if now.as_deref().is_some_and(|now| overtaken(object, now)) {
        verdict = sooner(verdict, Duration::ZERO);
    }
    if finding.outcome == Outcome::Gone && unbelieved(object, now.as_deref()) {
        verdict = Verdict::Failed;
    }
    (verdict, result(&finding.outcome, verdict))
}

/// Stores a status and remembers it.
async fn store(
    engine: &Engine,
    key: &Key,
    object: &DynamicObject,
    before: &Before<'_>,
    status: &Value,
) -> Result<Arc<DynamicObject>, WriteError> {
    let answer = engine.writer.status(key, object, status).await;
    engine.memory(key, |memory| {
        // Without an answer it may be stored or not, so nobody can be said to have undone it.
        memory.told = answer.as_ref().ok().map(|stored| {
            let stored = stored.data.get("status").unwrap_or(status);
            Told::next(memory.told.as_ref(), before.generation, before.status, stored)
        });
        if answer.is_ok() && !usage::same(status, before.status) {
            memory.usage_at = Some(Instant::now());
        }
    });
    answer
}

/// What nobody was told because the answer to a status was missing, which is stored after all.
fn untold(engine: &Engine, key: &Key, stored: &Value) -> Vec<Note> {
    let untold = engine.memory(key, |memory| memory.untold.take());
    untold.filter(|(status, _)| says(stored, status)).map_or_else(Vec::new, |(_, notes)| notes)
}

/// Whether a call was told that the object is gone while the cache has it as it was: if it is true, the watch will say so;
/// until then it is not a reason to forget the object.
fn unbelieved(seen: &DynamicObject, cached: Option<&DynamicObject>) -> bool {
    cached.is_some_and(|now| uid(now) == uid(seen) && (has_finalizer(now) || !deleting(now)))
}

/// What the backend says does not fit into a status: the status says that instead of nothing.
async fn confess(engine: &Engine, key: &Key, object: &DynamicObject, refusal: &WriteError) {
    let absent = Value::Null;
    let before = Before {
        generation: generation(object),
        status: object.data.get("status").unwrap_or(&absent),
        requested_at: requested_at(object),
        now: engine.world.now(),
        usage_rest: Duration::ZERO,
    };
    if let Some(status) = confession(&before, refusal)
        && let Err(error) = engine.writer.status(key, object, &status).await
    {
        warn!(%error, "nor is one that says so");
    }
}

/// The status that says so, which has nothing in it that the backend said; `None` when it is stored already.
fn confession(before: &Before<'_>, refusal: &WriteError) -> Option<Value> {
    let why = Remark::new(Reason::Error, format!("The backend's answer does not fit into the status. {refusal}"));
    let outcome = Outcome::Failed { why, at_least: Duration::ZERO };
    conclude(before, &Finding { fields: Some(serde_json::Map::new()), ..outcome.into() }).status
}

/// How much longer a number that moves by itself stays in a status as it is. One that was stored before this process began counts
/// from now.
fn usage_rest(engine: &Engine, key: &Key, object: &DynamicObject) -> Duration {
    let Some(rest) = object.data.get("status").and_then(usage::rest) else { return Duration::ZERO };
    let since = engine.memory(key, |memory| *memory.usage_at.get_or_insert_with(Instant::now));
    rest.saturating_sub(since.elapsed())
}

/// Whether someone edited the object during the pass. The answer to a write of ours may have brought the edit into the cache:
/// then its watch event will be no news and wakes nobody.
fn overtaken(seen: &DynamicObject, now: &DynamicObject) -> bool {
    let theirs = |object: &DynamicObject| {
        let mut annotations = object.annotations().clone();
        annotations.retain(|name, _| !matches!(name.as_str(), annotation::STORE | annotation::TOKEN_SECRET));
        annotations
    };
    let stripped = has_finalizer(seen) && !has_finalizer(now) && !deleting(now);
    uid(seen) == uid(now) && (stripped || generation(seen) != generation(now) || theirs(seen) != theirs(now))
}

/// How much longer a status waits that is hasty, that has little news, or that somebody else undoes again and again; `None`: store
/// it now.
fn patience(engine: &Engine, key: &Key, before: &Before<'_>, conclusion: &Conclusion) -> Option<Duration> {
    engine.memory(key, |memory| {
        let hasty = if conclusion.hasty {
            let since = *memory.working_since.get_or_insert_with(Instant::now);
            let patience = PATIENCE + (engine.writer.pace() * WRITES).min(MORE_PATIENCE);
            patience.saturating_sub(since.elapsed())
        } else {
            memory.working_since = None;
            Duration::ZERO
        };
        let told = memory.told.as_ref();
        let contested = told.map_or(Duration::ZERO, |told| told.pause(before.generation, before.status));
        let rest = match conclusion {
            Conclusion { reworded: true, .. } => REST,
            Conclusion { restated: true, .. } => SHORT_REST,
            _ => Duration::ZERO,
        };
        let rests = told.map_or(Duration::ZERO, |told| rest.saturating_sub(told.age()));
        let left = hasty.max(contested).max(rests);
        (conclusion.status.is_some() && !left.is_zero()).then_some(left)
    })
}

fn sooner(verdict: Verdict, patience: Duration) -> Verdict {
    match verdict {
        Verdict::Done => Verdict::After(patience),
        Verdict::After(other) => Verdict::After(other.min(patience)),
        // A retry comes about as soon, and says it then.
        failed => failed,
    }
}

fn verdict(engine: &Engine, next: Next) -> Verdict {
    match next {
        Next::Change | Next::Never => Verdict::Done,
        Next::Backoff(at_least) if at_least.is_zero() => Verdict::Failed,
        Next::Backoff(at_least) => Verdict::FailedAfter(at_least),
        Next::Slowly => Verdict::After(SLOWLY + engine.world.up_to(2 * SLOWLY)),
    }
}

fn result(outcome: &Outcome, verdict: Verdict) -> PassResult {
    match (outcome, verdict) {
        (Outcome::Stalled { .. }, _) => PassResult::TerminalError,
        (_, Verdict::Failed | Verdict::FailedAfter(_)) => PassResult::Error,
        (_, Verdict::After(_)) => PassResult::RequeueAfter,
        (_, Verdict::Done) => PassResult::Success,
    }
}

fn speak(engine: &Engine, object: &DynamicObject, notes: impl IntoIterator<Item = Note>) {
    for note in notes {
        engine.events.tell(reference(object), note);
    }
}

fn reference(object: &DynamicObject) -> ObjectReference {
    let types = object.types.clone().unwrap_or_default();
    ObjectReference {
        api_version: Some(types.api_version),
        kind: Some(types.kind),
        name: Some(object.name_any()),
        namespace: object.namespace(),
        uid: object.meta().uid.clone(),
        resource_version: None,
        field_path: None,
    }
}

/// Log line and metrics of one pass.
fn tell(engine: &Engine, key: &Key, object: &DynamicObject, finding: &Finding, news: bool) {
    match &finding.outcome {
        Outcome::Failed { why, .. } => {
            warn!(reason = %why.reason, message = why.message, "failed; will be tried again")
        }
        Outcome::Stalled { why, .. } if news => {
            warn!(reason = %why.reason, message = why.message, "stalled; a person must act");
        }
        outcome if news => info!(outcome = outcome.name(), "status changes"),
        outcome => debug!(outcome = outcome.name(), "nothing new"),
    }
    if let Some(what) = &finding.repaired {
        info!(what, "drift repaired");
        engine.metrics.drift_corrected(&key.kind);
    }
    let name = object_name(key);
    match &finding.outcome {
        Outcome::Gone => engine.metrics.forget(&name),
        Outcome::Paused | Outcome::Down { .. } | Outcome::Unknown(_) => {}
        outcome => {
            engine.metrics.resource_ready(&name, matches!(outcome, Outcome::Ready { .. }), outcome.reason().as_ref())
        }
    }
    let deleting = object.meta().deletion_timestamp.as_ref();
    let blocked = deleting
        .filter(|_| finding.outcome != Outcome::Gone)
        .map(|since| Duration::try_from(engine.world.now().duration_since(since.0)).unwrap_or_default());
    engine.metrics.deletion_blocked(&name, blocked);
    time_to_ready(engine, key, generation(object), &finding.outcome);
}

/// From the moment a new generation was first looked at until it is Ready.
fn time_to_ready(engine: &Engine, key: &Key, generation: i64, outcome: &Outcome) {
    let took = engine.memory(key, |memory| {
        let known = memory.changed_at.filter(|(known, _)| *known == generation);
        let (_, since) = *memory.changed_at.insert(known.unwrap_or((generation, Instant::now())));
        // A generation counts once; afterwards its time is not asked for again.
        let first = !matches!(memory.ready_generation, Some(ready) if ready == generation);
        let ready = matches!(outcome, Outcome::Ready { .. });
        if ready {
            memory.ready_generation = Some(generation);
        }
        (ready && first).then(|| since.elapsed())
    });
    if let Some(took) = took {
        engine.metrics.time_to_ready(&key.kind, took);
    }
}

fn object_name(key: &Key) -> ObjectName {
    ObjectName { kind: key.kind.to_string(), namespace: key.namespace.to_string(), name: key.name.to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_is_gone_when_the_watch_says_so() {
        let object = |uid: &str, deleting: bool, held: bool| -> DynamicObject {
            let finalizers = if held { json!([crate::crd::FINALIZER]) } else { json!([]) };
            let at = deleting.then_some("2026-01-01T00:00:00Z");
            let metadata = json!({"name": "a", "uid": uid, "finalizers": finalizers, "deletionTimestamp": at});
            serde_json::from_value(json!({"metadata": metadata})).unwrap()
        };
        let seen = object("u", true, true);
        assert!(unbelieved(&seen, Some(&object("u", true, true))));
        assert!(unbelieved(&seen, Some(&object("u", false, false))));
        assert!(!unbelieved(&seen, Some(&object("u", true, false))), "we let go of it");
        assert!(!unbelieved(&seen, Some(&object("other", true, true))), "a namesake has passes of its own");
        assert!(!unbelieved(&seen, None));
    }

    #[test]
    fn a_status_that_is_refused_is_replaced_by_one_that_says_so() {
        let said = json!({"id": "lb-1", "services": ["x".repeat(100_000)], "observedGeneration": 2, "conditions": []});
        let now = jiff::Timestamp::UNIX_EPOCH;
        let before = |status| Before { generation: 3, status, requested_at: None, now, usage_rest: Duration::ZERO };
        let refusal = WriteError::Refused(format!("status.services[0]: Too long: {}", "y".repeat(100_000)));
        let status = confession(&before(&said), &refusal).unwrap();
        assert_eq!(status["observedGeneration"], 3);
        assert_eq!((&status["id"], &status["services"]), (&Value::Null, &Value::Null));
        let ready = &status["conditions"][0];
        assert_eq!((&ready["status"], &ready["reason"]), (&json!("False"), &json!("Error")));
        let message = ready["message"].as_str().unwrap();
        assert!(
            message.contains("does not fit into the status") && message.contains("status.services[0]"),
            "{message}"
        );
        assert!(status.to_string().len() < 10_000, "this one fits");
        assert_eq!(confession(&before(&status), &refusal), None, "said once");
    }

    #[test]
    fn an_edit_during_a_pass_is_seen_in_the_answer_to_its_status() {
        let object = |generation: i64, annotations: Value| -> DynamicObject {
            serde_json::from_value(
                json!({"metadata": {"name": "a", "generation": generation, "annotations": annotations}}),
            )
            .unwrap()
        };
        let seen = object(3, json!({"a": "b"}));
        assert!(!overtaken(&seen, &object(3, json!({"a": "b", annotation::STORE: "ours"}))));
        assert!(overtaken(&seen, &object(4, json!({"a": "b"}))));
        assert!(overtaken(&seen, &object(3, json!({"a": "b", annotation::PAUSED: "true"}))));
    }

    #[test]
    fn what_others_did_during_a_pass_is_not_missed() {
        let object = |metadata: Value| -> DynamicObject {
            serde_json::from_value(json!({"apiVersion": "v1", "kind": "K", "metadata": metadata})).unwrap()
        };
        let ours = json!([crate::crd::FINALIZER]);
        let seen = object(json!({"uid": "u", "generation": 1, "finalizers": ours}));
        for (now, missed) in [
            (json!({"uid": "u", "generation": 1, "finalizers": ours, "resourceVersion": "2"}), false),
            (json!({"uid": "u", "generation": 1, "finalizers": ours, "annotations": {annotation::STORE: "s"}}), false),
            (json!({"uid": "u", "generation": 2, "finalizers": ours}), true),
            (json!({"uid": "u", "generation": 1, "finalizers": ours, "annotations": {"a": "b"}}), true),
            (json!({"uid": "u", "generation": 1}), true),
            // We took it off ourselves.
            (json!({"uid": "u", "generation": 1, "deletionTimestamp": "2026-01-01T00:00:00Z"}), false),
            (json!({"uid": "v", "generation": 2}), false),
        ] {
            assert_eq!(overtaken(&seen, &object(now.clone())), missed, "{now}");
        }
        let bare = object(json!({"uid": "u", "generation": 1}));
        assert!(!overtaken(&bare, &seen), "we put it on ourselves");
    }
}
