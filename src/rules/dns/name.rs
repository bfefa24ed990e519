//! Names: RFC 1035 sections 2.3 and 3.1, RFC 2181 section 11, RFC 4343.

use std::{fmt, hash};

/// Longest label, in bytes.
const LABEL_LIMIT: usize = 63;
/// Longest name on the wire, with the length of each label and the root.
const NAME_LIMIT: usize = 255;
const SHOWN: usize = 80;

/// What the labels of a name may be made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alphabet {
    /// Letters, digits and hyphens (RFC 1123 section 2.1).
    Host,
    /// Underscores too (RFC 8552).
    Underscore,
}

/// An absolute name as it was written, without its trailing dot. Names that differ in case only are equal.
#[derive(Clone, Debug)]
pub struct Name(String);

/// Why a text is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameProblem {
    /// Nothing, or the root alone.
    #[error("a name is missing: write one such as www.example.dev")]
    Empty,
    /// Two dots in a row, or one at the start.
    #[error("{0:?} has an empty label: write one dot between two labels, and none at the start")]
    EmptyLabel(String),
    /// A label that is too long.
    #[error("the label {0:?} is longer than 63 bytes")]
    LongLabel(String),
    /// All too long.
    #[error("the name {0:?} is longer than 255 bytes on the wire, which is 253 characters")]
    Long(String),
    /// Not in ASCII.
    #[error("{0:?} has letters outside ASCII: write the label in its ASCII form (A-label), which begins with xn--")]
    International(String),
    /// A character that names have not.
    #[error("{character:?} in {name:?} is no character of {what}")]
    Character {
        /// The name.
        name: String,
        /// The first wrong one.
        character: char,
        /// What would be right.
        what: &'static str,
    },
    /// A hyphen where none may be.
    #[error("the label {0:?} begins or ends with a hyphen")]
    Hyphen(String),
    /// A star where none may be.
    #[error(
        "a star in {0:?} must be the whole leftmost label, as in *.example.dev, and stand only where a wildcard may"
    )]
    Star(String),
}

impl Name {
    /// Reads a name without a wildcard.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str, alphabet: Alphabet) -> Result<Self, NameProblem> {
        Self::read(text, alphabet, false)
    }

    /// Reads the name of a record: its leftmost label may be `*`.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse_owner(text: &str, alphabet: Alphabet) -> Result<Self, NameProblem> {
        Self::read(text, alphabet, true)
    }

    fn read(text: &str, alphabet: Alphabet, star: bool) -> Result<Self, NameProblem> {
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.is_empty() {
            return Err(if text.is_empty() { NameProblem::Empty } else { NameProblem::EmptyLabel(text.into()) });
        }
        for (index, label) in name.split('.').enumerate() {
            if label != "*" {
                check_label(name, label, alphabet)?;
            } else if !star || index > 0 || name == "*" {
                return Err(NameProblem::Star(shown(name)));
            }
        }
        // a length before each label and the root's behind the last: two more than the text
        if name.len() + 2 > NAME_LIMIT {
            return Err(NameProblem::Long(shown(name)));
        }
        Ok(Self(name.to_owned()))
    }

    /// The name as it was written, without a trailing dot.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same for all names that are equal: in lower case.
    #[must_use]
    pub fn key(&self) -> String {
        self.0.to_ascii_lowercase()
    }

    /// The labels from left to right.
    pub fn labels(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('.')
    }

    /// Whether the leftmost label is `*`.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with("*.")
    }

    /// Whether this is `domain` or below it.
    #[must_use]
    pub fn is_within(&self, domain: &Self) -> bool {
        let Some(above) = self.0.len().checked_sub(domain.0.len()) else { return false };
        let (Some(tail), head) = (self.0.get(above..), self.0.get(..above).unwrap_or_default()) else { return false };
        tail.eq_ignore_ascii_case(&domain.0) && (head.is_empty() || head.ends_with('.'))
    }

    /// The name without its leftmost label; none above a name of one label.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.0.split_once('.').map(|(_, rest)| Self(rest.to_owned()))
    }

    /// The name on the wire (RFC 1035 section 3.1), not compressed, in the case in which it was written.
    #[must_use]
    pub fn wire(&self) -> Vec<u8> {
        let mut wire = Vec::with_capacity(self.0.len() + 2);
        for label in self.labels() {
            wire.extend(u8::try_from(label.len()));
            wire.extend_from_slice(label.as_bytes());
        }
        wire.push(0);
        wire
    }
}

fn check_label(name: &str, label: &str, alphabet: Alphabet) -> Result<(), NameProblem> {
    if label.is_empty() {
        return Err(NameProblem::EmptyLabel(shown(name)));
    }
    if !label.is_ascii() {
        return Err(NameProblem::International(shown(name)));
    }
    if label.contains('*') {
        return Err(NameProblem::Star(shown(name)));
    }
    let (underscore, what) = match alphabet {
        Alphabet::Host => (false, "a host name: write letters, digits and hyphens, with dots between labels"),
        Alphabet::Underscore => {
            (true, "a name: write letters, digits, hyphens and underscores, with dots between labels")
        }
    };
    let fits = |c: &char| c.is_ascii_alphanumeric() || *c == '-' || (underscore && *c == '_');
    if let Some(character) = label.chars().find(|c| !fits(c)) {
        return Err(NameProblem::Character { name: shown(name), character, what });
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err(NameProblem::Hyphen(shown(label)));
    }
    if label.len() > LABEL_LIMIT {
        return Err(NameProblem::LongLabel(shown(label)));
    }
    Ok(())
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Name {}

impl hash::Hash for Name {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn host(text: &str) -> Result<Name, NameProblem> {
        Name::parse(text, Alphabet::Host)
    }

    #[test]
    fn good_names() {
        let long = [&"a".repeat(63), &"b".repeat(63), &"c".repeat(63), &"d".repeat(61)].map(String::as_str).join(".");
        assert_eq!(long.len(), 253);
        for text in ["a", "example.dev", "example.dev.", "A-1.Example.DEV", "1.2.3", "xn--grsse-lva.example", &long] {
            let name = host(text).unwrap();
            assert_eq!(name.as_str(), text.trim_end_matches('.'));
            assert_eq!(name.wire().len(), name.as_str().len() + 2);
        }
        assert_eq!(host("WWW.example.dev"), host("www.Example.dev."));
        assert!(Name::parse("_dmarc.a_b.example.dev", Alphabet::Underscore).is_ok());
        assert!(Name::parse_owner("*.example.dev", Alphabet::Host).unwrap().is_wildcard());
    }

    #[test]
    fn bad_names_say_what_is_right() {
        let long = format!("{0}.{0}.{0}.{0}", "a".repeat(63));
        let label = "a".repeat(64);
        for (text, says) in [
            ("", "a name is missing"),
            (".", "empty label"),
            ("a..b", "empty label"),
            (".a", "empty label"),
            ("a.b..", "empty label"),
            ("a b.example", "' '"),
            ("größe.example", "xn--"),
            ("a\u{0}.example", "is no character"),
            ("_a.example", "host name"),
            ("a_b.example", "host name"),
            ("-a.example", "hyphen"),
            ("a-.example", "hyphen"),
            ("a/b.example", "'/'"),
            ("a\\046b.example", "is no character"),
            ("*.example.dev", "star"),
            ("pr-*.example.dev", "star"),
            ("a.*.example.dev", "star"),
            (&label, "63 bytes"),
            (&long, "255 bytes"),
        ] {
            let problem = host(text).unwrap_err().to_string();
            assert!(problem.contains(says), "{text}: {problem}");
        }
        for text in ["*", "*.", "a.*.b", "*.*.b", "**.b", "*a.b"] {
            assert!(Name::parse_owner(text, Alphabet::Underscore).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_within_a_domain() {
        let domain = host("example.dev").unwrap();
        for (text, within) in [
            ("example.dev", true),
            ("EXAMPLE.dev.", true),
            ("a.b.example.dev", true),
            ("badexample.dev", false),
            ("dev", false),
            ("example.dev.net", false),
        ] {
            assert_eq!(host(text).unwrap().is_within(&domain), within, "{text}");
        }
        assert_eq!(host("a.b").unwrap().parent(), host("b").ok());
        assert_eq!(host("b").unwrap().parent(), None);
        assert_eq!(host("Ab.c").unwrap().wire(), b"\x02Ab\x01c\0");
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in "\\PC{0,80}") {
            if let Ok(name) = Name::parse_owner(&text, Alphabet::Underscore) {
                prop_assert!(name.wire().len() <= 255);
                prop_assert_eq!(Name::parse_owner(&format!("{name}."), Alphabet::Underscore), Ok(name));
            }
        }
    }
}
