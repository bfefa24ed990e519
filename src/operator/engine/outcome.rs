//! From the one outcome of a pass to conditions, events, log line, metrics and the time of the next pass. Pure.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use serde_json::{Map, Value, json};

pub use super::stored::{conditions, is_true};
use super::{
    bounds::{cut, fitted},
    kind::{Remark, Tell},
    stored::says,
    usage,
};
use crate::crd::{ConditionType, Reason};

/// Longest message of a condition, in characters.
const MESSAGE: usize = 2_048;

/// How a pass ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The backend holds the spec and has made it real.
    Ready {
        /// What does not work although the whole does.
        degraded: Option<Remark>,
    },
    /// Under Observe: the backend differs, and this is how.
    Differs(String),
    /// It goes on by itself: a watch or the feed wakes us.
    Working(Remark),
    /// A person must act.
    Stalled {
        /// What is wrong and what to do.
        why: Remark,
        /// Whether it is also tried again, slowly, because the cause may lie outside the spec.
        again: bool,
    },
    /// It did not work; it is tried again with growing pauses, but not before this.
    Failed {
        /// What went wrong.
        why: Remark,
        /// What the backend asked for.
        at_least: Duration,
    },
    /// The backend is down, or not met yet. Its binding says so; nothing is said here.
    Down {
        /// Whether only this call was lost, so that nobody else will wake us.
        retry: bool,
    },
    /// What it takes to judge has not been read yet, as after a start. A watch wakes us; until then what was said stands.
    Unknown(Remark),
    /// A person asked us to leave it alone.
    Paused,
    /// It is being deleted and goes on by itself.
    Deleting(Remark),
    /// It is gone, or nothing of it is ours any more.
    Gone,
}

impl Outcome {
    /// For logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ready { .. } => "Ready",
            Self::Differs(_) => "Differs",
            Self::Working(_) => "Working",
            Self::Stalled { .. } => "Stalled",
            Self::Failed { .. } => "Failed",
            Self::Down { .. } => "Down",
            Self::Unknown(_) => "Unknown",
            Self::Paused => "Paused",
            Self::Deleting(_) => "Deleting",
            Self::Gone => "Gone",
        }
    }

    /// The reason of the Ready condition.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Ready { .. } => Reason::Ready,
            Self::Differs(_) => Reason::DriftFound,
            Self::Working(why)
            | Self::Unknown(why)
            | Self::Stalled { why, .. }
            | Self::Failed { why, .. }
            | Self::Deleting(why) => why.reason,
            Self::Down { .. } => Reason::BindingNotReady,
            Self::Paused => Reason::Paused,
            Self::Gone => Reason::Deleting,
        }
    }
}

/// All that a pass found.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// How it ended.
    pub outcome: Outcome,
    /// Whether the backend holds the spec.
    pub synced: bool,
    /// The kind's part of the status; `None`: what is there stays.
    pub fields: Option<Map<String, Value>>,
    /// What was repaired after somebody changed it in the backend.
    pub repaired: Option<String>,
    /// What to tell when a field of the status changes.
    pub tell: Option<Tell>,
}

impl From<Outcome> for Finding {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, synced: false, fields: None, repaired: None, tell: None }
    }
}

/// What the object looked like when the pass began.
#[derive(Clone, Copy, Debug)]
pub struct Before<'a> {
    /// Its generation.
    pub generation: i64,
    /// Its status.
    pub status: &'a Value,
    /// The request for a pass that this one answers.
    pub requested_at: Option<&'a str>,
    /// Wall-clock time, for `lastTransitionTime`.
    pub now: Timestamp,
    /// How much longer numbers that move by themselves stay as the status has them.
    pub usage_rest: Duration,
}

/// What follows from a finding.
#[derive(Clone, Debug, PartialEq)]
pub struct Conclusion {
    /// The whole status to store; `None` when the stored one says it already.
    pub status: Option<Value>,
    /// Whether the status may wait a second: it says "working", which is often over by then.
    pub hasty: bool,
    /// Whether it only says in other words why the deletion waits: many children that go make many of these.
    pub reworded: bool,
    /// Whether it was stalled before and still is: one that fails and is edited all the time makes many of these.
    pub restated: bool,
    /// What to tell once the status is stored.
    pub events: Vec<Note>,
    /// What to tell in any case: it happened in this pass, and no later one knows of it.
    pub repaired: Option<Note>,
    /// When to look again.
    pub next: Next,
    /// When a pass may store a number that moved by itself, which it said nothing of because it was too soon.
    pub usage_in: Option<Duration>,
}

/// An event of Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Whether something is wrong.
    pub warning: bool,
    /// From the one table of reasons.
    pub reason: Reason,
    /// What happened.
    pub message: String,
}

/// When to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// When something changes.
    Change,
    /// With growing pauses, but not before this.
    Backoff(Duration),
    /// Every 5 to 15 minutes.
    Slowly,
    /// Never: the object is gone.
    Never,
}

/// What follows from `finding` for an object that looked like `before`.
#[must_use]
pub fn conclude(before: &Before<'_>, finding: &Finding) -> Conclusion {
    let old = conditions(before.status);
    let wanted = wanted(before, finding, &old);
    let mut events = wanted.as_ref().map_or_else(Vec::new, |new| events(&old, new));
    events.extend(told(before, finding));
    let repaired = finding.repaired.as_ref().map(|what| Note {
        warning: false,
        reason: Reason::DriftRepaired,
        message: what.clone(),
    });
    let (usage, usage_in) = usage::held(before, finding);
    let status = wanted
        .map(|conditions| compose(before, finding, conditions, usage))
        .filter(|status| !says(before.status, status));
    Conclusion {
        events,
        repaired,
        hasty: match finding.outcome {
            Outcome::Working(_) | Outcome::Failed { .. } | Outcome::Deleting(_) => true,
            // The time in which nothing was said does not count as patience.
            Outcome::Down { .. } | Outcome::Unknown(_) => status.is_some(),
            _ => false,
        },
        reworded: matches!(&finding.outcome, Outcome::Deleting(why) if waits_already(before, &old, why)),
        restated: matches!(finding.outcome, Outcome::Stalled { .. }) && is_true(before.status, ConditionType::Stalled),
        next: next(&finding.outcome),
        usage_in,
        status,
    }
}

/// Whether the status says already that it waits for this reason.
fn waits_already(before: &Before<'_>, old: &[Condition], why: &Remark) -> bool {
    let waits = |condition: &Condition| {
        condition.type_ == ConditionType::Reconciling.as_ref() && condition.reason == why.reason.as_ref()
    };
    observed(before.status) == Some(before.generation) && old.iter().any(waits)
}

fn next(outcome: &Outcome) -> Next {
    match outcome {
        Outcome::Ready { .. } | Outcome::Differs(_) | Outcome::Working(_) | Outcome::Paused => Next::Change,
        Outcome::Down { retry: false } | Outcome::Unknown(_) => Next::Change,
        Outcome::Down { retry: true } => Next::Backoff(Duration::ZERO),
        Outcome::Deleting(_) => Next::Change,
        Outcome::Stalled { again: false, .. } => Next::Change,
        Outcome::Stalled { again: true, .. } => Next::Slowly,
        Outcome::Failed { at_least, .. } => Next::Backoff(*at_least),
        Outcome::Gone => Next::Never,
    }
}

/// A condition before it has a time.
struct Draft {
    kind: ConditionType,
    status: &'static str,
    why: Remark,
}

fn draft(kind: ConditionType, status: &'static str, why: &Remark) -> Draft {
    Draft { kind, status, why: why.clone() }
}

/// The conditions that the object shall have; `None` when nothing is to be said.
fn wanted(before: &Before<'_>, finding: &Finding, old: &[Condition]) -> Option<Vec<Condition>> {
    let drafts = match &finding.outcome {
        Outcome::Gone => return None,
        // Only an object that has not been told about this generation is told what is not there yet.
        Outcome::Down { .. } | Outcome::Unknown(_) if observed(before.status) == Some(before.generation) => {
            return None;
        }
        Outcome::Paused => return Some(paused(before, old)),
        outcome => drafts(outcome, finding.synced),
    };
    Some(drafts.into_iter().map(|draft| dated(draft, before, old)).collect())
}

fn drafts(outcome: &Outcome, synced: bool) -> Vec<Draft> {
    use ConditionType::{Degraded, Drifted, Ready, Reconciling, Stalled, Synced};
    let holds = Remark::new(Reason::Synced, "The backend holds this spec");
    let sync = |why: &Remark| if synced { draft(Synced, "True", &holds) } else { draft(Synced, "False", why) };
    match outcome {
        Outcome::Ready { degraded } => {
            let real = Remark::new(Reason::Ready, "The backend holds this spec and has made it real");
            let mut all = vec![draft(Ready, "True", &real), draft(Synced, "True", &holds)];
            all.extend(degraded.iter().map(|why| draft(Degraded, "True", why)));
            all
        }
        Outcome::Differs(what) => {
            let why = Remark::new(
                Reason::DriftFound,
                format!("The policy is Observe and the backend differs; Manage would: {what}"),
            );
            vec![draft(Ready, "False", &why), draft(Synced, "False", &why), draft(Drifted, "True", &why)]
        }
        Outcome::Stalled { why, .. } => vec![draft(Ready, "False", why), sync(why), draft(Stalled, "True", why)],
        Outcome::Working(why) | Outcome::Unknown(why) | Outcome::Failed { why, .. } | Outcome::Deleting(why) => {
            vec![draft(Ready, "False", why), sync(why), draft(Reconciling, "True", why)]
        }
        Outcome::Down { .. } => {
            let why = Remark::new(Reason::BindingNotReady, "Waiting for the ProjectBinding; its status says why");
            vec![draft(Ready, "False", &why), draft(Synced, "False", &why), draft(Reconciling, "True", &why)]
        }
        Outcome::Paused | Outcome::Gone => vec![],
    }
}

/// What the last pass said stays, and that it is paused is added.
fn paused(before: &Before<'_>, old: &[Condition]) -> Vec<Condition> {
    let why = Remark::new(Reason::Paused, "The annotation loopback.cloud/paused is \"true\"; remove it to go on");
    let kept = old.iter().filter(|condition| condition.type_ != ConditionType::Paused.as_ref()).cloned();
    kept.chain([dated(draft(ConditionType::Paused, "True", &why), before, old)]).collect()
}

/// `lastTransitionTime` moves only when the status does (Kubernetes API conventions).
fn dated(draft: Draft, before: &Before<'_>, old: &[Condition]) -> Condition {
    let type_ = draft.kind.to_string();
    let same = old.iter().find(|condition| condition.type_ == type_ && condition.status == draft.status);
    // Conditions carry whole seconds.
    let now = Timestamp::from_second(before.now.as_second()).unwrap_or(before.now);
    Condition {
        last_transition_time: same.map_or(Time(now), |condition| condition.last_transition_time.clone()),
        message: cut(&draft.why.message, MESSAGE),
        observed_generation: Some(before.generation),
        reason: draft.why.reason.to_string(),
        status: draft.status.to_owned(),
        type_,
    }
}

fn observed(status: &Value) -> Option<i64> {
    status.get("observedGeneration").and_then(Value::as_i64)
}

/// The whole status: the kind's part, and ours.
fn compose(
    before: &Before<'_>,
    finding: &Finding,
    conditions: Vec<Condition>,
    usage: Option<usage::Held<'_>>,
) -> Value {
    let old = before.status;
    let found = finding.fields.clone().map(fitted);
    let mut status = found.or_else(|| old.as_object().cloned()).unwrap_or_default();
    let handled = before.requested_at.map(Value::from).or_else(|| old.get("lastHandledReconcileAt").cloned());
    let generation = match finding.outcome {
        Outcome::Paused => old.get("observedGeneration").cloned().unwrap_or(json!(-1)),
        _ => json!(before.generation),
    };
    status.insert("observedGeneration".into(), generation);
    status.insert("conditions".into(), json!(conditions));
    if let Some((field, said)) = usage {
        status.insert(field.into(), said.clone());
    }
    if let Some(handled) = handled {
        status.insert("lastHandledReconcileAt".into(), handled);
    }
    Value::Object(status)
}

fn events(old: &[Condition], new: &[Condition]) -> Vec<Note> {
    let find = |list: &[Condition], kind: ConditionType| {
        list.iter().find(|condition| condition.type_ == kind.as_ref()).cloned()
    };
    let mut notes = Vec::new();
    for kind in [ConditionType::Stalled, ConditionType::Degraded, ConditionType::Drifted] {
        let (before, after) = (find(old, kind), find(new, kind));
        match (&before, &after) {
            (None, Some(now)) => notes.push(note(true, now)),
            (Some(then), Some(now)) if then.reason != now.reason => notes.push(note(true, now)),
            (Some(_), None) if kind == ConditionType::Degraded => notes.push(recovered()),
            _ => {}
        }
    }
    let (before, after) = (find(old, ConditionType::Ready), find(new, ConditionType::Ready));
    if let (Some(then), Some(now)) = (before, after) {
        match (then.status.as_str(), now.status.as_str()) {
            // A first Ready that went well is no news: it comes from Unknown.
            ("False", "True") => notes.push(note(false, &now)),
            ("True", "False") if notes.is_empty() && now.reason != Reason::Deleting.as_ref() => {
                notes.push(note(true, &now))
            }
            _ => {}
        }
    }
    notes
}

/// The change of a field that the kind wants to be told.
fn told(before: &Before<'_>, finding: &Finding) -> Option<Note> {
    let Tell { field, first, warning, what } = finding.tell.as_ref()?;
    let now = finding.fields.as_ref()?.get(*field);
    let changed = before.status.get(field).map_or(*first, |then| Some(then) != now);
    changed.then(|| Note { warning: *warning, reason: what.reason, message: what.message.clone() })
}

fn note(warning: bool, condition: &Condition) -> Note {
    let reason = condition.reason.parse().unwrap_or(Reason::Error);
    Note { warning, reason, message: condition.message.clone() }
}

fn recovered() -> Note {
    Note { warning: false, reason: Reason::MembersHealthy, message: "All members work again".into() }
}

#[cfg(test)]
mod tests {
    use super::{super::bounds::WHOLE, *};

    fn default_status() -> Value {
        json!({"observedGeneration": -1, "conditions": [{"type": "Ready", "status": "Unknown", "reason": "Pending",
            "message": "Waiting for the operator", "lastTransitionTime": "1970-01-01T00:00:00Z"}]})
    }

    fn run(status: &Value, second: i64, finding: impl Into<Finding>) -> Conclusion {
        let now = Timestamp::from_second(second).unwrap();
        conclude(
            &Before { generation: 3, status, requested_at: None, now, usage_rest: Duration::ZERO },
            &finding.into(),
        )
    }

    fn ready() -> Outcome {
        Outcome::Ready { degraded: None }
    }

    fn find<'a>(status: &'a Value, kind: &str) -> Option<&'a Value> {
        status["conditions"].as_array().unwrap().iter().find(|condition| condition["type"] == kind)
    }

    #[test]
    fn a_first_ready_is_one_status_and_no_event_and_then_silence() {
        let first = run(&default_status(), 100, ready());
        let status = first.status.unwrap();
        assert_eq!(first.events, []);
        assert_eq!(status["observedGeneration"], 3);
        assert_eq!(find(&status, "Ready").unwrap()["status"], "True");
        assert!(find(&status, "Reconciling").is_none() && find(&status, "Stalled").is_none());
        let second = run(&status, 200, ready());
        assert_eq!((second.status, second.events, second.next), (None, vec![], Next::Change));
    }

    #[test]
    fn stalled_and_reconciling_never_meet_and_transitions_are_told_once() {
        let why = Remark::new(Reason::Denied, "no");
        let stalled = run(&default_status(), 1, Outcome::Stalled { why: why.clone(), again: true });
        let status = stalled.status.unwrap();
        assert_eq!(stalled.events, [Note { warning: true, reason: Reason::Denied, message: "no".into() }]);
        assert_eq!(stalled.next, Next::Slowly);
        assert!(find(&status, "Stalled").is_some() && find(&status, "Reconciling").is_none());
        assert_eq!(run(&status, 9, Outcome::Stalled { why, again: true }).status, None);
        let well = run(&status, 10, ready());
        assert_eq!(well.events.len(), 1);
        assert!(!well.events[0].warning);
    }

    #[test]
    fn transition_time_moves_only_with_the_status() {
        let status = run(&default_status(), 100, ready()).status.unwrap();
        let degraded = Outcome::Ready { degraded: Some(Remark::new(Reason::MembersUnhealthy, "web/a")) };
        let next = run(&status, 200, degraded).status.unwrap();
        assert_eq!(find(&next, "Ready").unwrap()["lastTransitionTime"], "1970-01-01T00:01:40Z");
        assert_eq!(find(&next, "Degraded").unwrap()["lastTransitionTime"], "1970-01-01T00:03:20Z");
        let healed = run(&next, 300, ready());
        assert_eq!(healed.events[0].reason, Reason::MembersHealthy);
    }

    #[test]
    fn what_is_not_known_is_told_only_to_those_who_have_heard_nothing() {
        let unread = Outcome::Unknown(Remark::new(Reason::Progressing, "Looking for the Secret"));
        for outcome in [Outcome::Down { retry: false }, unread] {
            let first = run(&default_status(), 1, outcome.clone());
            assert!(first.status.is_some() && first.hasty);
            let status = run(&default_status(), 1, ready()).status.unwrap();
            let later = run(&status, 2, outcome);
            assert_eq!(later.status, None);
            assert!(!later.hasty, "silence uses up no patience");
        }
    }

    #[test]
    fn what_is_stalled_still_is_no_news_that_cannot_wait() {
        let stalled = |what: &str| Outcome::Stalled { why: Remark::new(Reason::Refused, what), again: true };
        let first = run(&default_status(), 1, stalled("no"));
        assert!(first.status.is_some() && !first.restated);
        let status = first.status.unwrap();
        let second = run(&status, 2, stalled("still no"));
        assert!(second.status.is_some() && second.restated);
        assert!(!run(&status, 2, ready()).restated);
    }

    #[test]
    fn a_deletion_that_waits_for_others_than_before_only_changes_its_words() {
        let waits = |reason, what: &str| Outcome::Deleting(Remark::new(reason, what));
        let first = run(&default_status(), 1, waits(Reason::InUse, "a, b"));
        assert!(!first.reworded);
        let status = first.status.unwrap();
        assert!(run(&status, 2, waits(Reason::InUse, "b")).reworded);
        assert!(!run(&status, 2, waits(Reason::Deleting, "the backend lets go")).reworded);
        assert!(!run(&status, 2, ready()).reworded);
    }

    #[test]
    fn a_status_stays_below_64_kib_whatever_the_backend_says() {
        let long = "x".repeat(10_000);
        let member = |n| json!({"name": format!("t{n}"), "state": "Unhealthy", "message": long});
        let members: Vec<Value> = (0..1_000).map(member).collect();
        let fields = json!({"id": "lb-1", "services": members, "unhealthyTargets": members, "message": long});
        let why = Remark::new(Reason::MembersUnhealthy, long.clone());
        for outcome in [
            Outcome::Ready { degraded: Some(why.clone()) },
            Outcome::Stalled { why: why.clone(), again: true },
            Outcome::Differs(long.clone()),
        ] {
            let finding = Finding { fields: fields.as_object().cloned(), ..outcome.into() };
            let status = run(&default_status(), 1, finding.clone()).status.unwrap();
            let size = status.to_string().len();
            assert!(size > 20_000 && size < WHOLE, "{size} bytes");
            assert_eq!(run(&status, 2, finding).status, None, "said once");
        }
    }

    #[test]
    fn a_change_of_a_field_is_told_once() {
        let state = |state: &str| json!({"alertState": state}).as_object().cloned();
        let what = Remark::new(Reason::Error, "it fires");
        let tell = Tell { field: "alertState", first: false, warning: true, what };
        let finding =
            |now: &str| Finding { fields: state(now), synced: true, tell: Some(tell.clone()), ..ready().into() };
        let first = run(&default_status(), 1, finding("Cleared"));
        assert_eq!(first.events, []);
        let fires = run(&first.status.unwrap(), 2, finding("Firing"));
        assert_eq!(fires.events, [Note { warning: true, reason: Reason::Error, message: "it fires".into() }]);
        assert_eq!(run(&fires.status.unwrap(), 3, finding("Firing")).events, []);
        let mut at_once = finding("Firing");
        at_once.tell.as_mut().unwrap().first = true;
        assert_eq!(run(&default_status(), 1, at_once).events, fires.events, "nothing came before it");
    }

    #[test]
    fn what_others_keep_among_the_conditions_makes_no_write() {
        let mut status = run(&default_status(), 1, ready()).status.unwrap();
        let theirs = json!({"type": "example.com/Seen", "status": "True"});
        status["conditions"].as_array_mut().unwrap().insert(1, theirs);
        assert_eq!(run(&status, 2, ready()).status, None);
        status["conditions"][0]["message"] = "another".into();
        assert!(run(&status, 2, ready()).status.is_some());
        status["conditions"] = json!("broken");
        assert!(run(&status, 2, ready()).status.is_some());
    }

    #[test]
    fn pausing_keeps_what_was_said() {
        let status = run(&default_status(), 1, ready()).status.unwrap();
        let paused = run(&status, 2, Outcome::Paused).status.unwrap();
        assert_eq!(find(&paused, "Ready").unwrap()["status"], "True");
        assert_eq!(find(&paused, "Paused").unwrap()["status"], "True");
        assert_eq!(run(&paused, 3, Outcome::Paused).status, None);
        assert!(find(&run(&paused, 4, ready()).status.unwrap(), "Paused").is_none());
    }

    #[test]
    fn the_kinds_part_stays_when_a_pass_has_nothing_to_say_about_it() {
        let fields = json!({"id": "lb-1"}).as_object().cloned();
        let status = run(&default_status(), 1, Finding { fields, synced: true, ..ready().into() }).status.unwrap();
        let why = Remark::new(Reason::Error, "x");
        let failed = run(&status, 2, Outcome::Failed { why, at_least: Duration::ZERO }).status.unwrap();
        assert_eq!(failed["id"], "lb-1");
    }
}
