//! Keys that may run now: kinds take turns, first in first out inside a kind.

use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Unbounded},
    time::Instant,
};

use super::Keyed;

/// One lane. A key is found again by its kind and the number under which it was pushed.
#[derive(Debug)]
pub(super) struct Ready<K> {
    kinds: BTreeMap<String, BTreeMap<u64, (K, Instant)>>,
    /// The kind that was served last; the next in order has the next turn.
    served: String,
}

impl<K> Default for Ready<K> {
    fn default() -> Self {
        Self { kinds: BTreeMap::new(), served: String::new() }
    }
}

impl<K: Keyed> Ready<K> {
    pub(super) fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// Puts a key at the end of its kind. `number` grows with each push; `since` is when the key became runnable.
    pub(super) fn push(&mut self, number: u64, key: K, since: Instant) {
        if let Some(waiting) = self.kinds.get_mut(key.kind()) {
            waiting.insert(number, (key, since));
        } else {
            self.kinds.insert(key.kind().to_owned(), BTreeMap::from([(number, (key, since))]));
        }
    }

    pub(super) fn remove(&mut self, kind: &str, number: u64) -> Option<(K, Instant)> {
        let waiting = self.kinds.get_mut(kind)?;
        let found = waiting.remove(&number);
        if waiting.is_empty() {
            self.kinds.remove(kind);
        }
        found
    }

    /// The oldest key of the kind whose turn it is.
    pub(super) fn pop(&mut self) -> Option<(K, Instant)> {
        let after = (Excluded(self.served.as_str()), Unbounded);
        let next = self.kinds.range::<str, _>(after).next().or_else(|| self.kinds.iter().next())?;
        let (kind, number) = (next.0.clone(), *next.1.keys().next()?);
        let popped = self.remove(&kind, number);
        self.served = kind;
        popped
    }

    /// For each kind with work: its name, how many keys, and since when the first of them may run.
    pub(super) fn depths(&self) -> impl Iterator<Item = (&str, usize, Instant)> {
        self.kinds.iter().filter_map(|(kind, waiting)| {
            let (_, since) = waiting.values().next()?;
            Some((kind.as_str(), waiting.len(), *since))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_take_turns_and_each_is_first_in_first_out() {
        let mut ready = Ready::default();
        let now = Instant::now();
        let (arrived, served) = ([("b", 1), ("b", 2), ("b", 3), ("a", 1), ("c", 1), ("a", 2)], [3, 0, 4, 5, 1, 2]);
        for (number, key) in (0..).zip(arrived) {
            ready.push(number, key, now);
        }
        let order: Vec<_> = std::iter::from_fn(|| ready.pop()).map(|(key, _)| key).collect();
        assert_eq!(order, served.map(|at| arrived[at]));
        assert!(ready.is_empty());
    }
}
