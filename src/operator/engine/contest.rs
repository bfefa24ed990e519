//! Somebody else who undoes what we do, in a status or in the backend: another operator with the same cluster name, one that knows
//! less than we do, a script. We do not give way, but we do not race either.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use serde_json::Value;
use tokio::time::Instant;

use super::stored::ours;

/// Pause before something is done again that was undone twice in a row; doubled each time, six times at most.
const FIRST: Duration = Duration::from_secs(1);
const DOUBLINGS: u32 = 6;
/// What stood for so long is a new beginning.
const CALM: Duration = Duration::from_secs(600);

/// What was done, and how often in a row somebody had undone it before.
#[derive(Clone, Copy, Debug)]
struct Turn {
    at: Instant,
    undone: u32,
}

impl Turn {
    /// It is done now. `last`: the turn that somebody has undone.
    fn next(last: Option<&Self>) -> Self {
        let last = last.filter(|last| last.at.elapsed() < CALM);
        Self { at: Instant::now(), undone: last.map_or(0, |last| last.undone + 1) }
    }

    /// How much longer to wait before it is done again. What was undone once is done again at once.
    fn pause(&self) -> Duration {
        let Some(doublings) = self.undone.checked_sub(1) else { return Duration::ZERO };
        (FIRST * 2_u32.pow(doublings.min(DOUBLINGS))).saturating_sub(self.at.elapsed())
    }
}

/// The intent that the backend last took from us.
#[derive(Debug)]
pub(super) struct Reached {
    /// A hash of it, because there are very many; none when it will not stay.
    print: Option<u64>,
    turn: Turn,
}

impl Reached {
    /// What is remembered once the backend has taken `intent`; `None`: what it took will not stay.
    pub(super) fn next(last: Option<&Self>, intent: Option<&Value>) -> Self {
        let print = intent.map(hashed);
        let turn = Turn::next(last.filter(|last| last.print == print).map(|last| &last.turn));
        Self { print, turn }
    }

    /// Whether it is this one.
    pub(super) fn is(&self, intent: &Value) -> bool {
        self.print == Some(hashed(intent))
    }

    /// How much longer `intent` waits while the backend has another.
    pub(super) fn pause(&self, intent: &Value) -> Duration {
        if self.is(intent) { self.turn.pause() } else { Duration::ZERO }
    }
}

/// The status of an object as this process last stored it.
#[derive(Debug)]
pub(super) struct Told {
    generation: i64,
    /// Of our part of it.
    print: u64,
    turn: Turn,
}

impl Told {
    /// What is remembered once `stored` is known to be stored.
    pub(super) fn next(last: Option<&Self>, generation: i64, before: &Value, stored: &Value) -> Self {
        let turn = Turn::next(last.filter(|last| last.is_undone(generation, before)).map(|last| &last.turn));
        Self { generation, print: print(stored), turn }
    }

    /// How long ago that was.
    pub(super) fn age(&self) -> Duration {
        self.turn.at.elapsed()
    }

    /// How much longer a status waits while this one is stored instead.
    pub(super) fn pause(&self, generation: i64, stored: &Value) -> Duration {
        if self.is_undone(generation, stored) { self.turn.pause() } else { Duration::ZERO }
    }

    fn is_undone(&self, generation: i64, stored: &Value) -> bool {
        self.generation == generation && self.print != print(stored)
    }
}

fn hashed(value: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Of what we say in a status: what others keep among the conditions is theirs.
fn print(status: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    for (name, value) in status.as_object().into_iter().flatten() {
        match value.as_array().filter(|_| name == "conditions") {
            Some(conditions) => conditions.iter().filter(ours).for_each(|condition| condition.hash(&mut hasher)),
            None => (name, value).hash(&mut hasher),
        }
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(message: &str, theirs: &str) -> Value {
        let ready = json!({"type": "Ready", "status": "True", "message": message});
        json!({"id": "lb-1", "conditions": [ready, {"type": "example.com/Theirs", "status": theirs}]})
    }

    #[tokio::test(start_paused = true)]
    async fn who_undoes_a_status_again_and_again_is_answered_more_and_more_slowly() {
        let (ours, theirs) = (status("ours", "True"), status("theirs", "True"));
        let mut told = Told::next(None, 1, &Value::Null, &ours);
        let mut pauses = Vec::new();
        for _ in 0..10 {
            let pause = told.pause(1, &theirs);
            tokio::time::advance(pause).await;
            assert_eq!(told.pause(1, &theirs), Duration::ZERO, "it has waited");
            pauses.push(pause.as_secs());
            told = Told::next(Some(&told), 1, &theirs, &ours);
        }
        assert_eq!(pauses, [0, 1, 2, 4, 8, 16, 32, 64, 64, 64]);
        assert_eq!(told.pause(2, &theirs), Duration::ZERO, "a new generation is told at once");
        assert_eq!(told.pause(1, &ours), Duration::ZERO, "nobody undid it: this is news");
        assert_eq!(Told::next(Some(&told), 1, &ours, &theirs).turn.undone, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_changed_in_the_backend_again_and_again_is_repaired_more_and_more_slowly() {
        let (intent, other) = (json!({"port": 1}), json!({"port": 2}));
        let mut reached = Reached::next(None, Some(&intent));
        let mut pauses = Vec::new();
        for _ in 0..5 {
            let pause = reached.pause(&intent);
            tokio::time::advance(pause).await;
            pauses.push(pause.as_secs());
            reached = Reached::next(Some(&reached), Some(&intent));
        }
        assert_eq!(pauses, [0, 1, 2, 4, 8]);
        assert_eq!(reached.pause(&other), Duration::ZERO, "a new intent is sent at once");
        tokio::time::advance(CALM).await;
        reached = Reached::next(Some(&reached), Some(&intent));
        assert_eq!(reached.pause(&intent), Duration::ZERO, "it had stood for long");
    }

    #[tokio::test(start_paused = true)]
    async fn what_others_keep_among_the_conditions_undoes_nothing() {
        let told = Told::next(None, 1, &Value::Null, &status("ours", "True"));
        assert!(!told.is_undone(1, &status("ours", "False")));
        assert!(told.is_undone(1, &Value::Null));
    }
}
