//! Secrets stay in Secrets, in whatever spelling.

#[path = "../../faults/oracles/spellings.rs"]
mod spellings;

use data_encoding::BASE64;
use serde_json::Value;

pub use self::spellings::Finder;
use super::Watchman;
use crate::journal::Entry;

impl Watchman {
    /// What the operator sends must carry no secret.
    pub(super) fn leaks(&self, entry: &Entry) {
        let what = format_args!("{} {}", entry.verb, entry.path);
        self.scanned(what, &entry.path);
        self.scanned(what, &String::from_utf8_lossy(&entry.sent));
    }

    /// What is printed, shown or answered must carry none.
    pub fn scanned(&self, what: impl std::fmt::Display, text: &str) {
        if self.state().canaries.finds(text) {
            self.broken("S5", format!("{what} carries a secret"));
        }
    }

    /// What the backend minted, as the operator stores it.
    pub(super) fn minted(&self, secret: &Value) {
        let key = secret.pointer("/data/AWS_SECRET_ACCESS_KEY").and_then(Value::as_str);
        let text = key.and_then(|key| String::from_utf8(BASE64.decode(key.as_bytes()).ok()?).ok());
        if let Some(text) = text {
            self.canary(&text);
        }
    }
}
