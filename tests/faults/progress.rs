//! How far a campaign is, and where its time goes.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

/// A line at least so often, while anything ends at all.
const EVERY: Duration = Duration::from_secs(20);

/// The parts of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Namespace, project, rights, start of an operator.
    Set,
    /// What users do, and what comes of it.
    Told,
    /// Until all is as without faults, and at rest.
    Settled,
    /// Until all is deleted.
    Cleared,
    /// What the witnesses make of it.
    Judged,
}

/// How long each part of a run took.
#[derive(Clone, Debug)]
pub struct Spent {
    last: Instant,
    parts: [Duration; 5],
}

impl Default for Spent {
    fn default() -> Self {
        Self { last: Instant::now(), parts: [Duration::ZERO; 5] }
    }
}

impl Spent {
    /// What was done since the last part was this one.
    pub fn on(&mut self, part: Part) {
        self.parts[part as usize] += self.last.elapsed();
        self.last = Instant::now();
    }
}

#[derive(Default)]
struct State {
    done: usize,
    alarms: usize,
    spent: [Duration; 5],
    told: Option<Instant>,
}

/// Counts what is done, and says so from time to time.
pub struct Progress {
    what: &'static str,
    all: usize,
    began: Instant,
    state: Mutex<State>,
}

impl Progress {
    /// Nothing is done of so many.
    pub fn new(what: &'static str, all: usize) -> Self {
        Self { what, all, began: Instant::now(), state: Mutex::default() }
    }

    /// One more.
    pub fn done(&self, spent: &Spent, broken: bool) {
        let mut state = self.state.lock().unwrap();
        state.done += 1;
        state.alarms += usize::from(broken);
        state.spent.iter_mut().zip(spent.parts).for_each(|(sum, part)| *sum += part);
        if state.done == self.all || state.told.is_none_or(|told| told.elapsed() >= EVERY) {
            state.told = Some(Instant::now());
            let mean = |part: Part| state.spent[part as usize].as_secs_f64() / state.done as f64;
            println!(
                "{}: {} of {}, {} broken, {:.1} min; each: set {:.2} s, told {:.2}, settled {:.2}, cleared {:.2}, judged {:.2}",
                self.what,
                state.done,
                self.all,
                state.alarms,
                self.began.elapsed().as_secs_f64() / 60.0,
                mean(Part::Set),
                mean(Part::Told),
                mean(Part::Settled),
                mean(Part::Cleared),
                mean(Part::Judged),
            );
        }
    }
}
