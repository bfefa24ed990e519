//! Rows in memory, for tests of what runs in transactions.

use std::collections::BTreeMap;

use super::{Row, StoreProblem, Table, Transaction, View, overlay::Overlay};
use crate::protocol::{Problem, Revision};

/// Runs jobs one after the other, as a store does.
#[derive(Default)]
pub(crate) struct Memory {
    rows: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    revision: Revision,
}

impl Memory {
    pub(crate) fn job<R>(
        &mut self,
        work: impl FnOnce(&mut dyn Transaction) -> Result<R, Problem>,
    ) -> Result<R, Problem> {
        let mut overlay = Overlay::new(self, self.revision + 1);
        let answer = work(&mut overlay)?;
        let changes = overlay.finish()?;
        self.revision += u64::from(!changes.is_empty());
        for change in changes {
            let key = (change.table, change.key.to_vec());
            match change.value {
                Some(value) => self.rows.insert(key, value.to_vec()),
                None => self.rows.remove(&key),
            };
        }
        Ok(answer)
    }
}

impl View for Memory {
    fn revision(&self) -> Revision {
        self.revision
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreProblem> {
        Ok(self.rows.get(&(table, key.to_vec())).cloned())
    }

    fn scan(&self, table: Table, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Row>, StoreProblem> {
        let within = |key: &Vec<u8>| key.as_slice() >= from && (to.is_empty() || key.as_slice() < to);
        let rows = self.rows.iter().filter(|((t, key), _)| *t == table && within(key));
        Ok(rows.take(limit).map(|((_, key), value)| (key.clone(), value.clone())).collect())
    }
}
