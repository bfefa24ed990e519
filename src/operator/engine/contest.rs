//! Somebody else who writes our status: another operator with the same cluster name, or one that knows less than we do. We do not
//! give way, but we do not race either.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use serde_json::Value;
use tokio::time::Instant;

use super::stored::ours;

/// Pause before a status is stored that was undone twice in a row; doubled each time, six times at most.
const FIRST: Duration = Duration::from_secs(1);
const DOUBLINGS: u32 = 6;

/// The status of an object as this process last stored it.
#[derive(Debug)]
pub(super) struct Told {
    generation: i64,
    /// Of our part of it.
    print: u64,
    at: Instant,
    /// How often in a row somebody had undone the one before.
    undone: u32,
}

impl Told {
    /// What is remembered once `stored` is known to be stored.
    pub(super) fn next(last: Option<&Self>, generation: i64, before: &Value, stored: &Value) -> Self {
        let undone = last.filter(|last| last.is_undone(generation, before)).map_or(0, |last| last.undone + 1);
        Self { generation, print: print(stored), at: Instant::now(), undone }
    }

    /// How long ago that was.
    pub(super) fn age(&self) -> Duration {
        self.at.elapsed()
    }

    /// How much longer a status waits while this one is stored instead. What was undone once is said again at once.
    pub(super) fn pause(&self, generation: i64, stored: &Value) -> Duration {
        if self.undone == 0 || !self.is_undone(generation, stored) {
            return Duration::ZERO;
        }
        let pause = FIRST * 2_u32.pow((self.undone - 1).min(DOUBLINGS));
        pause.saturating_sub(self.at.elapsed())
    }

    fn is_undone(&self, generation: i64, stored: &Value) -> bool {
        self.generation == generation && self.print != print(stored)
    }
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
        assert_eq!(Told::next(Some(&told), 1, &ours, &theirs).undone, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_others_keep_among_the_conditions_undoes_nothing() {
        let told = Told::next(None, 1, &Value::Null, &status("ours", "True"));
        assert!(!told.is_undone(1, &status("ours", "False")));
        assert!(told.is_undone(1, &Value::Null));
    }
}
