//! What is known of objects and conditions, and what is reported of them. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::{outcome::Outcome, schedule::Id};
use crate::{
    backend::monitoring::settings::ObjectSettings,
    protocol::{
        Member, Revision,
        monitoring::{ConditionState, ObjectState, member},
    },
    rules::monitoring::{AlertState, Reading, Rule, Series, Standing, step},
};

/// The present moment.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Since the plane started; never goes back.
    pub passed: Duration,
    /// For people.
    pub wall: Timestamp,
}

/// What is to be reported.
#[derive(Clone, Debug, PartialEq)]
pub struct News {
    /// Of what.
    pub id: Id,
    /// The intent that it is about.
    pub of: Revision,
    /// Its state.
    pub state: Value,
    /// Its members.
    pub members: BTreeMap<String, Member>,
}

/// All objects and conditions.
#[derive(Default)]
pub struct Board {
    objects: BTreeMap<Id, Object>,
    conditions: BTreeMap<Id, Condition>,
    /// When conditions are looked at although nothing new was measured.
    looks: BTreeSet<(Duration, Id)>,
}

struct Object {
    of: Revision,
    settings: Arc<ObjectSettings>,
    state: ObjectState,
    conditions: BTreeSet<Id>,
    last: Option<(Duration, Outcome)>,
}

struct Condition {
    parent: Id,
    of: Revision,
    rule: Rule,
    series: Series,
    standing: Standing,
    state: ConditionState,
    look: Option<Duration>,
}

impl Board {
    /// An object is as `settings` say; `state` is what was reported of it before. It is reported at once when something was.
    pub fn put_object(
        &mut self,
        id: &Id,
        of: Revision,
        settings: Arc<ObjectSettings>,
        state: ObjectState,
    ) -> Option<News> {
        let (mut state, mut last, mut conditions) = (state, None, BTreeSet::new());
        if let Some(before) = self.objects.remove(id) {
            (state, conditions) = (before.state, before.conditions);
            if before.settings.probe == settings.probe {
                last = before.last;
            } else {
                // what was measured with other settings says nothing
                conditions.iter().for_each(|condition| self.start_over(condition));
            }
        }
        let object = Object { of, settings, state, conditions, last };
        let told = object.state.since.is_some().then(|| news(id, of, &object.state, None));
        self.objects.insert(Arc::clone(id), object);
        told
    }

    /// Forgets what a condition has seen; where it stands stays.
    fn start_over(&mut self, id: &Id) {
        let Some(condition) = self.conditions.get_mut(id) else { return };
        condition.series = Series::new(condition.rule.window);
        condition.standing = Standing::restored(condition.state.alert_state);
        if let Some(look) = condition.look.take() {
            self.looks.remove(&(look, Arc::clone(id)));
        }
    }

    /// A condition on the object `parent` is as `rule` says; `state` is what was reported of it before.
    pub fn put_condition(
        &mut self,
        id: &Id,
        (parent, of): (&Id, Revision),
        rule: Rule,
        state: ConditionState,
        now: Now,
    ) -> Vec<News> {
        let before = self.conditions.remove(id);
        if let Some(look) = before.as_ref().and_then(|before| before.look) {
            self.looks.remove(&(look, Arc::clone(id)));
        }
        let state = before.as_ref().map_or(state, |before| before.state.clone());
        let Some(object) = self.objects.get_mut(parent) else { return Vec::new() };
        if let Err(problem) = rule.check_fits(object.settings.probe.kind()) {
            object.conditions.remove(id);
            return vec![unfit(id, of, problem.to_string())];
        }
        object.conditions.insert(Arc::clone(id));
        let mut series = Series::new(rule.window);
        match before {
            Some(before) if before.rule.parameter == rule.parameter && before.rule.window == rule.window => {
                series = before.series;
            }
            _ => {
                if let Some((at, outcome)) = &object.last {
                    series.add(*at, outcome.value(rule.parameter));
                }
            }
        }
        let measured = object.last.is_some();
        let standing = Standing::restored(state.alert_state);
        let known = state.since.is_some();
        let condition = Condition { parent: Arc::clone(parent), of, rule, series, standing, state, look: None };
        let told = known.then(|| news(id, of, &condition.state, None));
        self.conditions.insert(Arc::clone(id), condition);
        let evaluated = if measured { self.evaluate(id, now) } else { None };
        evaluated.or(told).into_iter().collect()
    }

    /// An object is gone.
    pub fn remove_object(&mut self, id: &str) {
        self.objects.remove(id);
    }

    /// A condition is gone.
    pub fn remove_condition(&mut self, id: &str) {
        let Some((id, condition)) = self.conditions.remove_entry(id) else { return };
        if let Some(object) = self.objects.get_mut(&condition.parent) {
            object.conditions.remove(&id);
        }
        if let Some(look) = condition.look {
            self.looks.remove(&(look, id));
        }
    }

    /// How an object is probed, and the intent that says so.
    pub fn settings(&self, id: &str) -> Option<(Revision, Arc<ObjectSettings>)> {
        self.objects.get(id).map(|object| (object.of, Arc::clone(&object.settings)))
    }

    /// What an object that has not been measured since the start is probed by.
    pub fn unmeasured(&self, id: &str) -> Option<Arc<ObjectSettings>> {
        let object = self.objects.get(id).filter(|object| object.last.is_none());
        object.map(|object| Arc::clone(&object.settings))
    }

    /// Samples that are held.
    #[cfg(test)]
    pub fn samples(&self) -> usize {
        self.conditions.values().map(|condition| condition.series.len()).sum()
    }

    /// A probe has ended; `of` is the intent that it was made for.
    pub fn measured(&mut self, id: &Id, of: Revision, outcome: Outcome, now: Now) -> Vec<News> {
        let Some(object) = self.objects.get_mut(id).filter(|object| object.of == of) else { return Vec::new() };
        let mut told: Vec<_> = object.judge(id, &outcome, now).into_iter().collect();
        for condition in &object.conditions {
            if let Some(condition) = self.conditions.get_mut(condition) {
                condition.series.add(now.passed, outcome.value(condition.rule.parameter));
            }
        }
        let conditions: Vec<_> = object.conditions.iter().cloned().collect();
        object.last = Some((now.passed, outcome));
        told.extend(conditions.iter().filter_map(|condition| self.evaluate(condition, now)));
        told
    }

    /// When to [`Board::look`].
    pub fn next_look(&self) -> Option<Duration> {
        self.looks.first().map(|(at, _)| *at)
    }

    /// Looks at the conditions whose time has come.
    pub fn look(&mut self, now: Now) -> Vec<News> {
        let mut told = Vec::new();
        while self.next_look().is_some_and(|at| at <= now.passed) {
            let Some((_, id)) = self.looks.pop_first() else { break };
            told.extend(self.evaluate(&id, now));
        }
        told
    }

    fn evaluate(&mut self, id: &Id, now: Now) -> Option<News> {
        let condition = self.conditions.get_mut(id)?;
        let reading = condition.series.value(condition.rule.function).map_or(Reading::NoData, Reading::Value);
        let next = step(&condition.rule, condition.standing, reading, now.passed);
        condition.standing = next.standing;
        if condition.look != next.look_at {
            if let Some(look) = condition.look {
                self.looks.remove(&(look, Arc::clone(id)));
            }
            self.looks.extend(next.look_at.map(|at| (at, Arc::clone(id))));
            condition.look = next.look_at;
        }
        // the first look is told also when it finds what a new condition starts with
        if next.transition.is_none() && condition.state.since.is_some() {
            return None;
        }
        let value = next.transition.and_then(|transition| transition.value);
        condition.state = ConditionState {
            alert_state: next.standing.state,
            since: Some(now.wall.to_string()),
            value: value.map(|value| condition.rule.unit().write(value)),
        };
        Some(news(id, condition.of, &condition.state, None))
    }
}

impl Object {
    /// What is told of an outcome: whether the object is up, when that changed.
    fn judge(&mut self, id: &Id, outcome: &Outcome, now: Now) -> Option<News> {
        let (up, failure) = match &outcome.result {
            Ok(()) => (Some(true), None),
            Err(failure) => ((!failure.ours).then_some(false), Some(failure)),
        };
        let reason = failure.map_or("", |failure| failure.reason);
        // why nothing can be measured is news; why something is down is told once
        let same = self.state.up == up && (up.is_some() || self.state.reason == reason);
        if self.state.since.is_some() && same {
            return None;
        }
        self.state = ObjectState {
            up,
            since: Some(now.wall.to_string()),
            status: outcome.status,
            reason: reason.to_owned(),
            message: failure.map_or_else(String::new, |failure| failure.message.clone()),
        };
        Some(news(id, self.of, &self.state, None))
    }
}

fn news(id: &Id, of: Revision, state: &impl Serialize, wrong: Option<Member>) -> News {
    // plain data; should it not be JSON all the same, the object is seen without a state
    let state = serde_json::to_value(state).unwrap_or_default();
    let members = wrong.map(|wrong| (member::PARAMETER.to_owned(), wrong)).into_iter().collect();
    News { id: Arc::clone(id), of, state, members }
}

fn unfit(id: &Id, of: Revision, message: String) -> News {
    let wrong = Member { state: member::UNFIT.to_owned(), reason: "WrongParameter".to_owned(), message };
    news(id, of, &ConditionState { alert_state: AlertState::NoData, since: None, value: None }, Some(wrong))
}

#[cfg(test)]
#[path = "board_tests.rs"]
mod tests;
