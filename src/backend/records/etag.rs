//! Entity tags and the precondition that names them (RFC 9110 sections 8.8.3 and 13.1.1).

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::protocol::{Code, Etag, Owner, Problem};

/// The tag of an object: moves with intent and owner, and with nothing else.
pub(super) fn etag(id: &str, owner: Option<&Owner>, intent: &Value) -> Etag {
    // Maps of `Value` are ordered by key, so equal values have equal text.
    let text = json!([id, owner, intent]).to_string();
    HEXLOWER.encode(Sha256::digest(text).get(..8).unwrap_or_default())
}

/// A parsed `If-Match`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IfMatch {
    /// `*`: whatever it is now.
    Any,
    /// One of these strong tags.
    Tags(Vec<Etag>),
}

impl IfMatch {
    /// Reads the value of the header. Weak tags are understood but never match.
    ///
    /// # Errors
    /// When it is not a list of entity tags.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        if text.trim() == "*" {
            return Ok(Self::Any);
        }
        let tags = text.split(',').map(|tag| parse_tag(tag.trim())).collect::<Option<Vec<_>>>();
        let wrong = || Problem::new(Code::BadRequest, "If-Match must be the object's etag in double quotes, or *");
        Ok(Self::Tags(tags.ok_or_else(wrong)?.into_iter().flatten().collect()))
    }

    /// Whether the present tag is one of these.
    ///
    /// # Errors
    /// [`Code::Stale`] when it is not.
    pub fn check(&self, present: &Etag) -> Result<(), Problem> {
        match self {
            Self::Tags(tags) if !tags.contains(present) => {
                Err(Problem::new(Code::Stale, "the object has changed since; read it again"))
            }
            _ => Ok(()),
        }
    }
}

/// `None`: malformed. `Some(None)`: weak.
fn parse_tag(tag: &str) -> Option<Option<Etag>> {
    let (weak, quoted) = tag.strip_prefix("W/").map_or((false, tag), |rest| (true, rest));
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('"') {
        return None;
    }
    Some((!weak).then(|| inner.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_match_is_parsed_and_compared_strongly() {
        let matches = |header: &str| IfMatch::parse(header).map(|m| m.check(&"abc".to_owned()).is_ok());
        for (header, matched) in
            [("\"abc\"", true), ("\"x\", \"abc\"", true), ("*", true), ("W/\"abc\"", false), ("\"\"", false)]
        {
            assert_eq!(matches(header), Ok(matched), "{header}");
        }
        for bad in ["", "abc", "\"abc", "abc\"", "\"", "\"a\"b\"", "\"a\" \"b\"", "*, \"a\"", "w/\"a\""] {
            assert_eq!(matches(bad).map_err(|p| p.code), Err(Code::BadRequest), "{bad}");
        }
    }

    #[test]
    fn tag_moves_with_intent_and_owner_only() {
        let owner =
            Owner { cluster: "c".into(), kind: "K".into(), namespace: "ns".into(), name: "n".into(), uid: "u".into() };
        let tag = etag("lb-1", Some(&owner), &json!({"a": 1, "b": 2}));
        assert_eq!(tag.len(), 16);
        assert_eq!(tag, etag("lb-1", Some(&owner), &json!({"b": 2, "a": 1})));
        assert_ne!(tag, etag("lb-1", None, &json!({"a": 1, "b": 2})));
        assert_ne!(tag, etag("lb-1", Some(&owner), &json!({"a": 1})));
        assert_ne!(tag, etag("lb-2", Some(&owner), &json!({"a": 1, "b": 2})));
    }
}
