//! What one job has written so far, over the state that it started from.

use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Included, Unbounded},
};

use bytes::Bytes;

use super::{Change, Row, StoreProblem, Table, Transaction, View};
use crate::protocol::Revision;

/// A transaction that keeps its writes to itself until [`Overlay::finish`].
pub(super) struct Overlay<'a> {
    base: &'a dyn View,
    revision: Revision,
    writes: BTreeMap<(Table, Vec<u8>), Option<Vec<u8>>>,
}

impl<'a> Overlay<'a> {
    pub(super) fn new(base: &'a dyn View, revision: Revision) -> Self {
        Self { base, revision, writes: BTreeMap::new() }
    }

    /// What differs from the base now: a row that was set to what it was is no change.
    pub(super) fn finish(self) -> Result<Vec<Change>, StoreProblem> {
        let mut changes = Vec::new();
        for ((table, key), value) in self.writes {
            let before = self.base.get(table, &key)?;
            if before == value {
                continue;
            }
            let removed = if value.is_none() { before.map(Bytes::from) } else { None };
            changes.push(Change { table, key: key.into(), removed, value: value.map(Bytes::from) });
        }
        Ok(changes)
    }

    fn written(&self, table: Table, from: &[u8], to: &[u8]) -> Vec<(&Vec<u8>, &Option<Vec<u8>>)> {
        let end = if to.is_empty() { Unbounded } else { Excluded((table, to.to_vec())) };
        if !to.is_empty() && from >= to {
            return Vec::new();
        }
        let range = self.writes.range((Included((table, from.to_vec())), end));
        range.take_while(|((t, _), _)| *t == table).map(|((_, key), value)| (key, value)).collect()
    }
}

impl View for Overlay<'_> {
    fn revision(&self) -> Revision {
        self.revision
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreProblem> {
        match self.writes.get(&(table, key.to_vec())) {
            Some(written) => Ok(written.clone()),
            None => self.base.get(table, key),
        }
    }

    fn scan(&self, table: Table, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Row>, StoreProblem> {
        let written = self.written(table, from, to);
        // Each write hides at most one row of the base, so this many are enough for `limit` merged ones.
        let base = self.base.scan(table, from, to, limit.saturating_add(written.len()))?;
        let mut rows: BTreeMap<Vec<u8>, Vec<u8>> = base.into_iter().collect();
        for (key, value) in written {
            match value {
                Some(value) => rows.insert(key.clone(), value.clone()),
                None => rows.remove(key),
            };
        }
        Ok(rows.into_iter().take(limit).collect())
    }
}

impl Transaction for Overlay<'_> {
    fn put(&mut self, table: Table, key: &[u8], value: Vec<u8>) -> Result<(), StoreProblem> {
        self.writes.insert((table, key.to_vec()), Some(value));
        Ok(())
    }

    fn delete(&mut self, table: Table, key: &[u8]) -> Result<(), StoreProblem> {
        self.writes.insert((table, key.to_vec()), None);
        Ok(())
    }
}
