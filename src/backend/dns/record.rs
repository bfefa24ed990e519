//! A record's intent, read.

use std::sync::Arc;

use super::zone::RecordSet;
use crate::{
    protocol::dns::Record,
    rules::dns::{Name, NameProblem, RecordType, SetProblem, TtlProblem, parse_set, parse_ttl},
};

/// A record's intent as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// Its name.
    pub name: Name,
    /// Its type.
    pub of: RecordType,
    /// Time to live and values.
    pub set: Arc<RecordSet>,
}

/// Why a record's intent cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordProblem {
    /// Its name.
    #[error("name: {0}")]
    Name(#[from] NameProblem),
    /// Its time to live.
    #[error("ttl: {0}")]
    Ttl(#[from] TtlProblem),
    /// Its values.
    #[error("values: {0}")]
    Values(#[from] SetProblem),
}

impl RecordProblem {
    /// JSON pointer of the field.
    #[must_use]
    pub fn field(&self) -> String {
        match self {
            Self::Name(_) => "/name".into(),
            Self::Ttl(_) => "/ttl".into(),
            Self::Values(SetProblem::Value { index, .. } | SetProblem::Twice(index)) => format!("/values/{index}"),
            Self::Values(_) => "/values".into(),
        }
    }
}

/// Reads a record's intent.
///
/// # Errors
/// The first field that is wrong.
pub fn parse(record: &Record) -> Result<Parsed, RecordProblem> {
    let name = Name::parse_owner(&record.name, record.of.alphabet())?;
    let ttl = parse_ttl(record.ttl.as_deref())?;
    let set = Arc::new(RecordSet::new(ttl, &parse_set(record.of, &record.values)?));
    Ok(Parsed { name, of: record.of, set })
}
