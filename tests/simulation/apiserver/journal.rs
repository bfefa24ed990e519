//! What was asked and what came of it, for oracles that do not believe the one who asked.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

/// One request.
#[derive(Clone, Debug)]
pub struct Entry {
    /// From 1.
    pub number: u64,
    /// When it was served.
    pub time: Timestamp,
    /// Name of the client.
    pub identity: Arc<str>,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `apply`, `delete` or `deletecollection`.
    pub verb: &'static str,
    /// `secrets`, `projectbindings.loopback.cloud`; empty for a path that leads nowhere.
    pub resource: String,
    /// `status`, `finalize` or empty.
    pub subresource: String,
    /// Empty for what has none, and for all.
    pub namespace: String,
    /// Empty for collections; generated names stand here too.
    pub name: String,
    /// As it was sent.
    pub body: Option<Arc<Value>>,
    /// Code of the answer.
    pub code: u16,
    /// The version of the object, or of the collection, after it.
    pub revision: u64,
    /// The object before it.
    pub before: Option<Arc<Value>>,
    /// The object after it; `None` when it is gone.
    pub after: Option<Arc<Value>>,
}
