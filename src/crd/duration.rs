//! Durations as people write them: GEP-2257 strings.

use std::{fmt, time};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::schema;

/// What a duration looks like; the API server checks it with the same expression.
pub(super) const PATTERN: &str = "^([0-9]{1,5}(h|m|s|ms)){1,4}$";

/// A GEP-2257 duration, kept exactly as it was written: one to four numbers of at most five digits, each with its unit
/// `h`, `m`, `s` or `ms`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Duration(pub String);

impl Duration {
    /// The text as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The length of time; `None` when the text is no GEP-2257 duration.
    #[must_use]
    pub fn to_std(&self) -> Option<time::Duration> {
        let mut rest = self.0.as_str();
        let mut total = time::Duration::ZERO;
        let mut parts = 0;
        while !rest.is_empty() {
            let (part, tail) = part(rest)?;
            total += part;
            rest = tail;
            parts += 1;
        }
        (1..=4).contains(&parts).then_some(total)
    }
}

/// The first number with its unit, and what follows it.
fn part(text: &str) -> Option<(time::Duration, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if !(1..=5).contains(&digits) {
        return None;
    }
    let (number, tail) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    // "ms" before "m".
    for (unit, milliseconds) in [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)] {
        if let Some(tail) = tail.strip_prefix(unit) {
            return Some((time::Duration::from_millis(number * milliseconds), tail));
        }
    }
    None
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for Duration {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schema::duration(None, None)
    }

    fn inline_schema() -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(text: &str) -> Option<u128> {
        Duration::from(text).to_std().map(|duration| duration.as_millis())
    }

    #[test]
    fn reads_what_the_pattern_allows() {
        assert_eq!(millis("500ms"), Some(500));
        assert_eq!(millis("5s"), Some(5_000));
        assert_eq!(millis("1m30s"), Some(90_000));
        assert_eq!(millis("1h1m1s1ms"), Some(3_661_001));
        assert_eq!(millis("0s"), Some(0));
        assert_eq!(millis("99999h99999h99999h99999h"), Some(1_439_985_600_000_000 / 1_000));
    }

    #[test]
    fn refuses_everything_else() {
        for text in ["", "5", "s", "-5s", "1.5s", "5 s", "5d", "100000ms", "1s1s1s1s1s", "5S", "５s", "5us"] {
            assert_eq!(millis(text), None, "{text:?}");
        }
    }
}
