//! What may happen to a request on its way: decided by the run's random numbers, the same for a seed each time.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use tokio::time::Instant;

/// What happens to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// There and back, each way in its time.
    Pass(Duration, Duration),
    /// It never arrives: the connection is refused.
    Refused,
    /// It never arrives, and nobody says so.
    Swallowed,
    /// It is done, its answer is lost.
    AnswerLost { silent: bool },
    /// It is done twice.
    Twice,
    /// The sender hears that it failed; it is done this much later.
    Late(Duration),
    /// Somebody answers instead of the server, this long before it may be asked again.
    Code(u16, Option<u64>),
    /// It is done; what comes back cannot be read.
    Garbled(Garble),
    /// The process of the sender ends before it is sent, or after it was done.
    Crash { done: bool },
}

/// How an answer is spoilt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Garble {
    Cut,
    Html,
    Empty,
}

/// What happens to one event of a watch or a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventFate {
    Pass,
    Delay(Duration),
    /// The connection ends before it.
    Close,
    /// The connection ends with an error before it.
    Break,
    /// It comes twice.
    Double,
    /// The server says to start over.
    Reset,
}

/// A fault that is written down, for a scenario.
#[derive(Clone, Debug)]
pub struct Rule {
    /// It waits for this moment.
    pub from: Duration,
    /// Part of `VERB path?query`, and part of the body.
    pub call: &'static str,
    pub body: &'static str,
    pub fate: Fate,
    /// How many calls it meets.
    pub times: u32,
}

/// The faults of one run.
pub struct Faults(Mutex<State>);

struct State {
    began: Instant,
    rules: Vec<Rule>,
    random: StdRng,
    /// Share of requests that something happens to; of events.
    requests: f64,
    events: f64,
    crashes: u32,
    on: bool,
    /// Calls so far, whatever came of them.
    calls: usize,
    /// Whether something was done whose end takes minutes to be noticed.
    lasting: bool,
}

impl Faults {
    pub fn new(seed: u64) -> Arc<Self> {
        let mut random = StdRng::seed_from_u64(seed ^ 0x5eed_fa17);
        // Many runs have few faults, so that each is seen to be the cause; a few have very many.
        let requests = [0.0, 0.0, 0.03, 0.03, 0.03, 0.08, 0.08, 0.2, 0.2, 0.5][pick(&mut random, 10)];
        let events = [0.0, 0.0, 0.02, 0.02, 0.1, 0.3][pick(&mut random, 6)];
        let crashes = [0, 0, 1, 1, 2, 4][pick(&mut random, 6)];
        let (began, rules) = (Instant::now(), Vec::new());
        Arc::new(Self(Mutex::new(State {
            began,
            rules,
            random,
            requests,
            events,
            crashes,
            on: true,
            calls: 0,
            lasting: false,
        })))
    }

    /// These and no others.
    pub fn written(rules: Vec<Rule>) -> Arc<Self> {
        let (began, random, lasting) = (Instant::now(), StdRng::seed_from_u64(0), !rules.is_empty());
        let state = State { began, rules, random, requests: 0.0, events: 0.0, crashes: 0, on: true, calls: 0, lasting };
        Arc::new(Self(Mutex::new(state)))
    }

    /// From now on nothing happens to anything.
    pub fn stop(&self) {
        self.state().on = false;
    }

    pub fn request(&self, writes: bool, call: &str, body: &[u8]) -> Fate {
        let mut state = self.state();
        state.calls += 1;
        if let Some(fate) = state.rule(call, body) {
            return fate;
        }
        if !state.on {
            // Never in no time: two that answer each other for ever must come to an end of the clock.
            return Fate::Pass(Duration::from_millis(1), Duration::ZERO);
        }
        // Writes are few among many reads, and matter more.
        let share = if writes { (state.requests * 2.5).min(0.7) } else { state.requests };
        if !state.random.random_bool(share) {
            return Fate::Pass(Duration::from_millis(1) + millis(&mut state.random, 3), millis(&mut state.random, 4));
        }
        let crash = state.crashes > 0 && state.random.random_bool(0.3);
        if crash {
            state.crashes -= 1;
            return Fate::Crash { done: state.random.random_bool(0.5) };
        }
        let fate = fate(&mut state.random);
        // Who hears nothing waits 295 s; who is refused asks again after 300 s.
        state.lasting |= matches!(
            fate,
            Fate::Swallowed | Fate::AnswerLost { silent: true } | Fate::Code(401 | 403 | 404, _) | Fate::Garbled(_)
        );
        fate
    }

    /// How many calls operators have made so far.
    pub fn calls(&self) -> usize {
        self.state().calls
    }

    pub fn lasting(&self) -> bool {
        self.state().lasting
    }

    pub fn event(&self) -> EventFate {
        let mut state = self.state();
        if !state.on || state.events == 0.0 {
            return EventFate::Pass;
        }
        let share = state.events;
        if !state.random.random_bool(share) {
            return EventFate::Pass;
        }
        match pick(&mut state.random, 7) {
            0 => EventFate::Close,
            1 => EventFate::Break,
            2 => EventFate::Double,
            3 => EventFate::Reset,
            _ => EventFate::Delay(millis(&mut state.random, 3_000)),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn rule(&mut self, call: &str, body: &[u8]) -> Option<Fate> {
        if self.rules.is_empty() {
            return None;
        }
        let (passed, body) = (self.began.elapsed(), String::from_utf8_lossy(body));
        let meets = |rule: &&mut Rule| {
            rule.from <= passed && call.contains(rule.call) && body.contains(rule.body) && rule.times > 0
        };
        let rule = self.rules.iter_mut().find(meets)?;
        rule.times -= 1;
        Some(rule.fate)
    }
}

fn fate(random: &mut StdRng) -> Fate {
    const CODES: [u16; 14] = [400, 401, 403, 404, 409, 410, 412, 413, 422, 429, 500, 502, 503, 504];
    match pick(random, 12) {
        0 => Fate::Refused,
        1 => Fate::Swallowed,
        2 | 3 => Fate::AnswerLost { silent: random.random_bool(0.3) },
        4 | 5 => Fate::Twice,
        6 | 7 => Fate::Late(millis(random, 30_000)),
        8 => Fate::Garbled([Garble::Cut, Garble::Html, Garble::Empty][pick(random, 3)]),
        9 => Fate::Pass(millis(random, 3_000), millis(random, 3_000)),
        _ => Fate::Code(CODES[pick(random, CODES.len())], [None, Some(0), Some(2)][pick(random, 3)]),
    }
}

/// One of so many.
pub fn pick(random: &mut impl Rng, of: usize) -> usize {
    random.random_range(0..of)
}

/// Up to so many milliseconds.
pub fn millis(random: &mut impl Rng, most: u64) -> Duration {
    Duration::from_millis(random.random_range(0..=most))
}
