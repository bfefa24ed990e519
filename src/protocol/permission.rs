//! Permission keys and the allow rules that tokens carry.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What may be done with what a key names.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::AsRefStr,
    strum::Display,
    strum::EnumString,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Verb {
    /// See it.
    Read,
    /// Make one.
    Create,
    /// Change it.
    Update,
    /// Remove it.
    Delete,
    /// Let it do something.
    Execute,
}

/// A permission: `project.load_balancer.target:create`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(with = "String")]
pub struct Permission {
    /// The key, for instance `project.load_balancer`.
    pub key: String,
    /// The verb.
    pub verb: Verb,
}

impl Permission {
    /// The permission of `verb` on `key`.
    #[must_use]
    pub fn new(key: &str, verb: Verb) -> Self {
        Self { key: key.to_owned(), verb }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)?;
        f.write_str(":")?;
        f.write_str(self.verb.as_ref())
    }
}

// Tokens and views carry a hundred of them: no text is made on the way.
impl Serialize for Permission {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Permission {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl de::Visitor<'_> for Text {
            type Value = Permission;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a permission")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Permission, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

impl FromStr for Permission {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            let shown: String = text.chars().take(60).collect();
            format!("{shown:?} is not a permission: write KEY:VERB, for instance project.load_balancer:read")
        };
        let (key, verb) = text.split_once(':').ok_or_else(wrong)?;
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'.';
        if key.is_empty() || key.len() > 128 || !key.bytes().all(plain) {
            return Err(wrong());
        }
        Ok(Self { key: key.to_owned(), verb: verb.parse().map_err(|_| wrong())? })
    }
}

/// An allow rule of a token. There are no deny rules, and a parent key does not imply its children.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What is allowed.
    pub permission: Permission,
    /// In which organization; absent: in all (administrators only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// In which project of it; absent: in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
}

impl Rule {
    /// Whether it is about this place.
    #[must_use]
    pub fn reaches(&self, organization: Option<&str>, project: Option<&str>) -> bool {
        self.organization.as_deref().is_none_or(|o| Some(o) == organization)
            && self.project.as_deref().is_none_or(|p| Some(p) == project)
    }
}

/// The rules that apply to one caller.
#[derive(Clone, Copy, Debug)]
pub struct Access<'a>(pub &'a [Rule]);

impl Access<'_> {
    /// Whether `permission` is allowed in this place. `organization: None` asks for a permission on the platform itself.
    #[must_use]
    pub fn allows(&self, permission: &Permission, organization: Option<&str>, project: Option<&str>) -> bool {
        self.0.iter().any(|rule| rule.permission == *permission && rule.reaches(organization, project))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(permission: &str, organization: Option<&str>, project: Option<&str>) -> Rule {
        Rule {
            permission: permission.parse().unwrap(),
            organization: organization.map(str::to_owned),
            project: project.map(str::to_owned),
        }
    }

    #[test]
    fn parent_key_does_not_imply_children() {
        let rules = [rule("project.load_balancer:create", Some("acme"), Some("shop"))];
        let access = Access(&rules);
        assert!(access.allows(&"project.load_balancer:create".parse().unwrap(), Some("acme"), Some("shop")));
        assert!(!access.allows(&"project.load_balancer.target:create".parse().unwrap(), Some("acme"), Some("shop")));
        assert!(!access.allows(&"project.load_balancer:create".parse().unwrap(), Some("acme"), Some("other")));
        assert!(!access.allows(&"project.load_balancer:create".parse().unwrap(), None, None));
    }

    #[test]
    fn text_round_trips_and_nonsense_is_refused() {
        assert_eq!("a.b_c:read".parse::<Permission>().unwrap().to_string(), "a.b_c:read");
        for bad in ["", "a", "a:", ":read", "A:read", "a:write", "a b:read"] {
            assert!(bad.parse::<Permission>().is_err(), "{bad}");
        }
        assert!("x".repeat(100_000).parse::<Permission>().unwrap_err().len() < 1_000, "what was sent is not sent back");
    }
}
