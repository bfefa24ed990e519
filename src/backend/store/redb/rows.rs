//! Rows of all tables in one redb table: the first byte of a key is its table.

use redb::{ReadableTable, TableDefinition};

use super::super::{Row, StoreProblem, Table, View, decode, encode};
use crate::protocol::Revision;

pub(super) const ROWS: TableDefinition<&'static [u8], &'static [u8]> = TableDefinition::new("rows");

const REVISION: &[u8] = b"revision";

/// Any failure of redb.
pub(super) fn engine(problem: impl std::fmt::Display) -> StoreProblem {
    StoreProblem::Engine(problem.to_string())
}

/// A redb table at one moment.
pub(super) struct Rows<'a, T> {
    pub(super) table: &'a T,
    pub(super) revision: Revision,
}

impl<T: ReadableTable<&'static [u8], &'static [u8]>> View for Rows<'_, T> {
    fn revision(&self) -> Revision {
        self.revision
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreProblem> {
        let value = self.table.get(full(table, key).as_slice()).map_err(engine)?;
        Ok(value.map(|value| value.value().to_vec()))
    }

    fn scan(&self, table: Table, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Row>, StoreProblem> {
        let start = full(table, from);
        let end = if to.is_empty() { vec![table.byte() + 1] } else { full(table, to) };
        if start >= end {
            return Ok(Vec::new());
        }
        let range = self.table.range(start.as_slice()..end.as_slice()).map_err(engine)?;
        let mut rows = Vec::new();
        for row in range.take(limit) {
            let (key, value) = row.map_err(engine)?;
            rows.push((key.value().get(1..).unwrap_or_default().to_vec(), value.value().to_vec()));
        }
        Ok(rows)
    }
}

pub(super) type Writable<'txn> = redb::Table<'txn, &'static [u8], &'static [u8]>;

pub(super) fn put(rows: &mut Writable<'_>, table: Table, key: &[u8], value: &[u8]) -> Result<(), StoreProblem> {
    rows.insert(full(table, key).as_slice(), value).map_err(engine)?;
    Ok(())
}

pub(super) fn delete(rows: &mut Writable<'_>, table: Table, key: &[u8]) -> Result<(), StoreProblem> {
    rows.remove(full(table, key).as_slice()).map_err(engine)?;
    Ok(())
}

/// The newest revision in the table.
pub(super) fn last_revision<T: ReadableTable<&'static [u8], &'static [u8]>>(
    table: &T,
) -> Result<Revision, StoreProblem> {
    let stored = Rows { table, revision: 0 }.get(Table::Meta, REVISION)?;
    stored.map_or(Ok(0), |bytes| decode(&bytes))
}

pub(super) fn put_revision(rows: &mut Writable<'_>, revision: Revision) -> Result<(), StoreProblem> {
    put(rows, Table::Meta, REVISION, &encode(&revision)?)
}

fn full(table: Table, key: &[u8]) -> Vec<u8> {
    let mut full = Vec::with_capacity(key.len() + 1);
    full.push(table.byte());
    full.extend_from_slice(key);
    full
}
