//! The state machine of an alert. Pure: what it stands at, what was read and when, gives what it stands at next.
//!
//! ```text
//! Cleared --crossed--> Pending --crossed for `for`--> Firing --recovered for `recovery.for`--> Cleared
//!    ^------not crossed---'           no data: as the rule says; NoData is left by the next value
//! ```
//!
//! Only [`AlertState`] has to survive a restart. How long something has held is counted anew then: nobody looked meanwhile.

use std::time::Duration;

use super::{AlertState, Measure, NoData, Rule};

/// What the window gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// A value.
    Value(Measure),
    /// The probe measured nothing.
    NoData,
}

/// Where a condition stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// What is shown.
    pub state: AlertState,
    /// Since when what leads to the next state has held without a break.
    held_from: Option<Duration>,
}

/// A change of what is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// From here.
    pub from: AlertState,
    /// To here.
    pub to: AlertState,
    /// What was read then.
    pub value: Option<Measure>,
}

/// What comes of a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Where it stands now.
    pub standing: Standing,
    /// What changed.
    pub transition: Option<Transition>,
    /// When to look again although nothing new was measured.
    pub look_at: Option<Duration>,
}

impl Standing {
    /// Where a condition stood when the process ended.
    #[must_use]
    pub fn restored(state: AlertState) -> Self {
        Self { state, held_from: None }
    }
}

/// Where a reading leads, and how long it must hold to lead there.
enum Course {
    Stay,
    Toward(AlertState, Duration),
}

/// Looks at a condition at `now`, a time that never goes back.
#[must_use]
pub fn step(rule: &Rule, before: Standing, reading: Reading, now: Duration) -> Step {
    let (to, hold) = match course(rule, before.state, reading) {
        Course::Stay => return at_rest(before.state),
        Course::Toward(to, hold) => (to, hold),
    };
    let from = before.held_from.unwrap_or(now);
    if now >= from + hold {
        return Step { transition: changed(before.state, to, reading), ..at_rest(to) };
    }
    // a breach is shown while it has to hold
    let state = if to == AlertState::Firing { AlertState::Pending } else { before.state };
    Step {
        standing: Standing { state, held_from: Some(from) },
        transition: changed(before.state, state, reading),
        look_at: Some(from + hold),
    }
}

fn course(rule: &Rule, state: AlertState, reading: Reading) -> Course {
    let now = Duration::ZERO;
    let crossed = match reading {
        Reading::Value(value) => rule.crossed(value),
        Reading::NoData => rule.no_data == NoData::Fire,
    };
    match (state, reading) {
        (AlertState::Firing, Reading::Value(value)) if !crossed && rule.recovered(value) => {
            Course::Toward(AlertState::Cleared, rule.recovery.hold)
        }
        // a lost probe or two do not end an alert sooner than good ones would
        (AlertState::Firing, Reading::NoData) if !crossed => Course::Toward(AlertState::NoData, rule.recovery.hold),
        (AlertState::Firing, _) => Course::Stay,
        _ if crossed => Course::Toward(AlertState::Firing, rule.hold),
        (AlertState::NoData, Reading::NoData) | (AlertState::Cleared, Reading::Value(_)) => Course::Stay,
        (_, Reading::NoData) => Course::Toward(AlertState::NoData, now),
        (_, Reading::Value(_)) => Course::Toward(AlertState::Cleared, now),
    }
}

fn at_rest(state: AlertState) -> Step {
    Step { standing: Standing::restored(state), transition: None, look_at: None }
}

fn changed(from: AlertState, to: AlertState, reading: Reading) -> Option<Transition> {
    let value = match reading {
        Reading::Value(value) => Some(value),
        Reading::NoData => None,
    };
    (from != to).then_some(Transition { from, to, value })
}

#[cfg(test)]
#[path = "alert_tests.rs"]
mod tests;
