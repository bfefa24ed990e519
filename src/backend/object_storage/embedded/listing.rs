//! Listings with prefix, delimiter and paging, over rows that are sorted by key. What a delimiter hides is skipped, not read.

use super::problem::VaultProblem;
use crate::backend::store::prefix_end;

/// Most entries of one page.
pub(super) const PAGE: usize = 1000;

/// What to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) prefix: String,
    /// Never empty.
    pub(super) delimiter: Option<String>,
    pub(super) after: After,
    pub(super) limit: usize,
}

/// Where the page before ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum After {
    /// There was none.
    #[default]
    Start,
    /// At this key.
    Key(String),
    /// At this common prefix: all keys that start with it are done.
    Prefix(String),
}

/// One entry of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry<T> {
    /// An object.
    Row(String, T),
    /// All keys that start with this.
    Prefix(String),
}

impl<T> Entry<T> {
    fn position(&self) -> After {
        match self {
            Self::Row(key, _) => After::Key(key.clone()),
            Self::Prefix(prefix) => After::Prefix(prefix.clone()),
        }
    }
}

/// One page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page<T> {
    pub(super) entries: Vec<Entry<T>>,
    /// Where the next page goes on; absent when this is the last.
    pub(super) next: Option<After>,
}

/// Lists. `scan(from, limit)` answers the rows with keys at or after `from`, in order, at most `limit`.
pub(super) fn list<T>(
    query: &Query,
    scan: impl Fn(&[u8], usize) -> Result<Vec<(String, T)>, VaultProblem>,
) -> Result<Page<T>, VaultProblem> {
    let mut page = Page { entries: Vec::new(), next: None };
    if query.limit == 0 {
        return Ok(page);
    }
    let mut from = start(query);
    loop {
        // One more than is wanted, to know whether there is a next page. With a delimiter most rows may be hidden, so that
        // fewer are read at a time.
        let want = query.limit - page.entries.len() + 1;
        let want = if query.delimiter.is_some() { want.min(64) } else { want };
        let rows = scan(&from, want)?;
        let complete = rows.len() < want;
        for (key, row) in rows {
            if !key.starts_with(&query.prefix) {
                return Ok(page);
            }
            if key.as_bytes() < from.as_slice() {
                continue;
            }
            if page.entries.len() == query.limit {
                page.next = page.entries.last().map(Entry::position);
                return Ok(page);
            }
            if let Some(common) = common_prefix(&key, query) {
                from = prefix_end(common.as_bytes());
                page.entries.push(Entry::Prefix(common));
            } else {
                from = [key.as_bytes(), &[0]].concat();
                page.entries.push(Entry::Row(key, row));
            }
        }
        if complete || from.is_empty() {
            return Ok(page);
        }
    }
}

/// The first key that can be on the page.
fn start(query: &Query) -> Vec<u8> {
    let after = match &query.after {
        After::Start => Vec::new(),
        After::Key(key) => [key.as_bytes(), &[0]].concat(),
        After::Prefix(prefix) => prefix_end(prefix.as_bytes()),
    };
    after.max(query.prefix.as_bytes().to_vec())
}

/// What stands in a listing for this key, when the delimiter occurs behind the prefix.
fn common_prefix(key: &str, query: &Query) -> Option<String> {
    let delimiter = query.delimiter.as_deref()?;
    // Behind a NUL stands what is not the key's.
    let rest = key.get(query.prefix.len()..)?.split('\0').next()?;
    let end = query.prefix.len() + rest.find(delimiter)? + delimiter.len();
    key.get(..end).map(str::to_owned)
}

/// Where to go on behind a key that the client names as the end of the last page, as version 1 does: when it is itself a
/// common prefix, all of it is done.
pub(super) fn behind(marker: &str, prefix: &str, delimiter: Option<&str>) -> After {
    let query = Query { prefix: prefix.to_owned(), delimiter: delimiter.map(str::to_owned), ..Query::default() };
    if marker.is_empty() {
        After::Start
    } else if marker.starts_with(prefix) && common_prefix(marker, &query).as_deref() == Some(marker) {
        After::Prefix(marker.to_owned())
    } else {
        After::Key(marker.to_owned())
    }
}

#[cfg(test)]
#[path = "listing_tests.rs"]
mod tests;
