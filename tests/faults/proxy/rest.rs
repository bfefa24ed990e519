//! When an operator is at rest: nothing is under way, its queue is empty, and nothing happens for a while.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, timeout};

use super::{Run, run::State};
use crate::stage::{BINDING, is_ours};

/// How often is asked what no news tell.
const AGAIN: Duration = Duration::from_millis(50);

impl Run {
    /// Waits until a running operator is at rest, and in the end has said its last word of every object. The error says what
    /// keeps it from that.
    pub async fn rests(&self, silence: Duration, limit: Duration, last_word: bool) -> Result<(), String> {
        let end = Instant::now() + limit;
        let mut news = self.news.subscribe();
        loop {
            news.mark_unchanged();
            let busy = self.state.lock().unwrap().busy(silence, last_word);
            let (why, pause) = match busy {
                Some(busy) => busy,
                // Asked last, and what it said holds only if nothing has happened since.
                None if self.queue_is_empty().await => match self.state.lock().unwrap().busy(silence, last_word) {
                    None => return Ok(()),
                    Some(busy) => busy,
                },
                None => ("its queue is not empty".to_owned(), AGAIN),
            };
            if Instant::now() >= end {
                return Err(why);
            }
            drop(timeout(pause, news.changed()).await);
        }
    }

    /// Whether the operator has nothing to do at the moment, as its metrics say.
    async fn queue_is_empty(&self) -> bool {
        let Some((_, address)) = self.operator.get() else { return false };
        let Ok(text) = self.admin.scrape(*address).await else { return false };
        let sum = |name: &str| {
            let lines = text.lines().filter(|line| line.starts_with(name));
            lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>()
        };
        sum("workqueue_depth{") + sum("workqueue_unfinished_work_seconds{") == 0.0
    }
}

impl State {
    /// What is still under way, and when to ask again.
    fn busy(&self, silence: Duration, last_word: bool) -> Option<(String, Duration)> {
        if self.pending > 0 {
            return Some((format!("{} calls are under way", self.pending), AGAIN));
        }
        // Without a binding no operator follows a feed.
        if !self.fed && self.objects.keys().any(|(kind, _)| kind == BINDING) {
            return Some(("the feed is not followed".to_owned(), AGAIN));
        }
        let open = self.objects.iter().find(|((kind, _), object)| last_word && is_ours(kind) && !has_last_word(object));
        if let Some(((kind, name), object)) = open {
            return Some((format!("{kind} {name} is under way: {}", object["status"]), AGAIN));
        }
        let left = silence.saturating_sub(self.moved.map_or(silence, |last| last.elapsed()));
        (!left.is_zero()).then(|| ("something happens all the time".to_owned(), left))
    }
}

/// Whether a status says of the present spec that it is as it should be, or that a person must act.
fn has_last_word(object: &Value) -> bool {
    let generation = &object["metadata"]["generation"];
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|one| {
        (one["type"] == "Ready" || one["type"] == "Stalled")
            && one["status"] == "True"
            && one["observedGeneration"] == *generation
    })
}
