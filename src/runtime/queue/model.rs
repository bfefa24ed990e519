//! The core against a model that is too slow to use and too simple to be wrong: one list, searched from end to end.

use std::time::Instant;

use proptest::{collection::vec, prelude::*};

use super::{tests::Name, *};

const KEYS: [Name; 5] = [("a", 0), ("a", 1), ("b", 0), ("b", 1), ("c", 0)];
const WORKERS: usize = 2;

#[derive(Clone, Debug)]
enum Step {
    Add(usize, Trigger),
    AddAfter(usize, u64, Lane),
    Pop,
    Finish(usize, Outcome),
    Forget(usize),
    Sleep(u64),
}

fn step() -> impl Strategy<Value = Step> {
    use Trigger::{Dependency, Echo, Initial, Retry, User};
    let triggers = prop_oneof![Just(Initial), Just(Retry), Just(Echo), Just(Dependency), Just(User)];
    let outcome = prop_oneof![
        Just(Outcome::Done),
        (0..4_u64).prop_map(|s| Outcome::After(Duration::from_secs(s))),
        Just(Outcome::Failed),
        (0..4_u64).prop_map(|s| Outcome::FailedAfter(Duration::from_secs(s))),
    ];
    let lanes = prop_oneof![Just(Lane::Low), Just(Lane::High)];
    prop_oneof![
        4 => (0..KEYS.len(), triggers).prop_map(|(key, trigger)| Step::Add(key, trigger)),
        2 => (0..KEYS.len(), 0..5_u64, lanes).prop_map(|(key, delay, lane)| Step::AddAfter(key, delay, lane)),
        5 => Just(Step::Pop),
        4 => (0..KEYS.len(), outcome).prop_map(|(key, outcome)| Step::Finish(key, outcome)),
        1 => (0..KEYS.len()).prop_map(Step::Forget),
        2 => (0..4_u64).prop_map(Step::Sleep),
    ]
}

/// Times are whole seconds.
#[derive(Clone, Debug)]
struct Item {
    key: Name,
    /// Runnable from `due` on; the order among equals is `order`.
    due: u64,
    order: u64,
    lane: Lane,
    trigger: Trigger,
    failures: u32,
    not_before: u64,
    ready: bool,
    runs: bool,
    forgotten: bool,
    again: Option<(u64, Lane, Trigger)>,
}

#[derive(Debug, Default)]
struct Model {
    now: u64,
    items: Vec<Item>,
    order: u64,
    in_a_row: u32,
    served: [String; 2],
}

impl Model {
    fn add(&mut self, key: Name, delay: u64, lane: Lane, trigger: Trigger) {
        let due = self.now + delay;
        let Some(at) = self.items.iter().position(|item| item.key == key) else {
            let fresh = Item {
                key,
                due,
                order: 0,
                lane,
                trigger,
                failures: 0,
                not_before: 0,
                ready: false,
                runs: false,
                forgotten: false,
                again: None,
            };
            return self.place(fresh);
        };
        let mut item = self.items.remove(at);
        if item.runs {
            let old = item.again.unwrap_or((due, lane, trigger));
            item.again = Some((old.0.min(due), old.1.max(lane), old.2.max(trigger)));
            return self.items.push(item);
        }
        void(&mut item, trigger);
        item.trigger = item.trigger.max(trigger);
        if !item.ready {
            item.due = item.due.min(due.max(item.not_before));
            item.lane = item.lane.max(lane);
            self.place(item);
        } else if delay == 0 && lane > item.lane {
            item.lane = lane;
            self.place(item);
        } else {
            self.items.push(item);
        }
    }

    fn place(&mut self, mut item: Item) {
        self.order += 1;
        (item.order, item.ready) = (self.order, item.due <= self.now);
        (item.runs, item.forgotten, item.again) = (false, false, None);
        self.items.push(item);
    }

    fn pop(&mut self) -> Option<(Name, Trigger, u32)> {
        let mut late: Vec<_> =
            self.items.iter().filter(|i| !i.runs && !i.ready && i.due <= self.now).cloned().collect();
        late.sort_by_key(|item| (item.due, item.order));
        for item in late {
            self.items.retain(|other| other.key != item.key);
            self.place(item);
        }
        if self.items.iter().filter(|item| item.runs).count() >= WORKERS {
            return None;
        }
        let has = |lane| self.items.iter().any(|item| item.ready && item.lane == lane);
        let lane = match (has(Lane::High), has(Lane::Low)) {
            (false, false) => return None,
            (true, low) if !(low && self.in_a_row >= 7) => Lane::High,
            _ => Lane::Low,
        };
        self.in_a_row = if lane == Lane::High { self.in_a_row + 1 } else { 0 };
        let served = &mut self.served[usize::from(lane == Lane::High)];
        let waits = |item: &&mut Item| item.ready && item.lane == lane;
        let turn = |item: &Item| (*item.key.0 <= **served, item.key.0, item.order);
        let item = self.items.iter_mut().filter(waits).min_by_key(|item| turn(item))?;
        item.key.0.clone_into(served);
        (item.ready, item.runs) = (false, true);
        Some((item.key, item.trigger, item.failures))
    }

    fn finish(&mut self, key: Name, outcome: Outcome) {
        let Some(at) = self.items.iter().position(|item| item.key == key && item.runs) else { return };
        let mut item = self.items.remove(at);
        let mut next: Vec<(u64, Lane, Trigger)> = vec![];
        let failed = matches!(outcome, Outcome::Failed | Outcome::FailedAfter(_));
        if !item.forgotten && failed {
            item.failures += 1;
            item.not_before = self.now + outcome.least().as_secs() + (1 << (item.failures - 1)).min(300);
            next.push((item.not_before, Lane::Low, Trigger::Retry));
        } else {
            (item.failures, item.not_before) = (0, 0);
        }
        if let (Outcome::After(delay), false) = (outcome, item.forgotten) {
            next.push((self.now + delay.as_secs(), Lane::Low, Trigger::Retry));
        }
        if let Some((due, lane, trigger)) = item.again {
            void(&mut item, trigger);
            next.push((due.max(item.not_before), lane, trigger));
        }
        let Some(due) = next.iter().map(|wish| wish.0).min() else { return };
        item.due = due;
        item.lane = next.iter().map(|wish| wish.1).max().unwrap_or(Lane::Low);
        item.trigger = next.iter().map(|wish| wish.2).max().unwrap_or(Trigger::Initial);
        self.place(item);
    }

    fn forget(&mut self, key: Name) {
        self.items.retain(|item| item.key != key || item.runs);
        for item in self.items.iter_mut().filter(|item| item.key == key) {
            (item.failures, item.not_before, item.again, item.forgotten) = (0, 0, None, true);
        }
    }
}

fn void(item: &mut Item, trigger: Trigger) {
    if trigger >= Trigger::Dependency {
        item.not_before = 0;
    }
    if trigger == Trigger::User {
        item.failures = 0;
    }
}

proptest! {
    #[test]
    fn the_core_does_what_the_model_does(steps in vec(step(), 1..200)) {
        let start = Instant::now();
        let mut core = Core::new(WORKERS, Backoff::default());
        let mut model = Model::default();
        for step in steps {
            let now = start + Duration::from_secs(model.now);
            match step {
                Step::Add(key, trigger) => {
                    core.add(KEYS[key], trigger, now);
                    model.add(KEYS[key], 0, trigger.lane(), trigger);
                }
                Step::AddAfter(key, delay, lane) => {
                    core.add_after(KEYS[key], Duration::from_secs(delay), lane, now);
                    model.add(KEYS[key], delay, lane, Trigger::Retry);
                }
                Step::Pop => {
                    let picked = core.pop(now).map(|picked| (picked.key, picked.trigger, picked.failures));
                    prop_assert_eq!(picked, model.pop());
                }
                Step::Finish(key, outcome) => {
                    core.finish(&KEYS[key], outcome, now, |limit| limit);
                    model.finish(KEYS[key], outcome);
                }
                Step::Forget(key) => {
                    core.forget(&KEYS[key]);
                    model.forget(KEYS[key]);
                }
                Step::Sleep(seconds) => model.now += seconds,
            }
            prop_assert_eq!(core.len(), model.items.len());
        }
    }
}
