//! Secrets stay in Secrets, in whatever spelling.

#[path = "../../faults/oracles/spellings.rs"]
mod spellings;

use data_encoding::BASE64;
use serde_json::Value;

use self::spellings::spellings;
use super::Watchman;

/// Texts that must not leave Secrets, in all their spellings.
#[derive(Default)]
pub struct Canaries {
    spellings: Vec<String>,
    /// First two bytes of each, so that most places in a text need no more than one look.
    begins: Vec<u64>,
}

fn begin(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 8 | usize::from(bytes[1])
}

impl Canaries {
    /// A token, without what may be shown of it, or a key.
    pub fn add(&mut self, text: &str) {
        let secret = text.strip_prefix("lbt_").and_then(|rest| rest.split_once('_')).map_or(text, |(_, secret)| secret);
        self.begins.resize(1 << 10, 0);
        for spelling in spellings(secret) {
            let at = begin(spelling.as_bytes());
            self.begins[at >> 6] |= 1 << (at & 63);
            self.spellings.push(spelling);
        }
    }

    pub fn found_in(&self, text: &str) -> bool {
        let bytes = text.as_bytes();
        let begun = |at: usize| self.begins.get(at >> 6).is_some_and(|bits| bits >> (at & 63) & 1 == 1);
        let mut places = bytes.windows(2).enumerate().filter(|(_, pair)| begun(begin(pair)));
        places.any(|(at, _)| self.spellings.iter().any(|spelling| bytes[at..].starts_with(spelling.as_bytes())))
    }
}

impl Watchman {
    /// What the operator sends must carry no secret.
    pub(super) fn leaks(&self, what: &str, path: &str, body: &Value) {
        self.scanned(what, &format!("{path}\n{body}"));
    }

    /// What is printed, shown or answered must carry none.
    pub fn scanned(&self, what: &str, text: &str) {
        if self.state().canaries.found_in(text) {
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
