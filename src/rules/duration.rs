//! Durations as users write them: GEP-2257, the Gateway API's subset of Go's durations.
//!
//! One to four numbers of one to five digits, each with one of the units `h`, `m`, `s`, `ms`: `500ms`, `5s`, `1h30m`. No
//! sign, no fraction, no blank. `0s` is a duration.

use std::time::Duration;

/// Units in the order in which [`format`] uses them, with their length in milliseconds.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
/// Digits of one number.
const MAX_DIGITS: usize = 5;
/// Numbers of one duration.
const MAX_PARTS: usize = 4;

/// Why a text is no duration, or not one that fits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationProblem {
    /// Not a GEP-2257 duration.
    #[error(
        "{0:?} is not a duration: write one to four whole numbers of at most five digits, each with a unit (h, m, s, ms), \
         for instance 500ms, 5s or 1h30m"
    )]
    Format(String),
    /// Shorter or longer than allowed.
    #[error("{text} is out of bounds: write a duration from {min} to {max}")]
    Bounds {
        /// What was written.
        text: String,
        /// The shortest that is allowed.
        min: String,
        /// The longest that is allowed.
        max: String,
    },
}

/// Reads a GEP-2257 duration.
///
/// # Errors
/// When `text` is not one.
pub fn parse(text: &str) -> Result<Duration, DurationProblem> {
    let problem = || DurationProblem::Format(text.chars().take(40).collect());
    let (mut rest, mut millis, mut parts) = (text, 0_u64, 0);
    while !rest.is_empty() {
        let (part, tail) = take_part(rest).ok_or_else(problem)?;
        (rest, millis, parts) = (tail, millis + part, parts + 1);
    }
    if parts == 0 || parts > MAX_PARTS {
        return Err(problem());
    }
    Ok(Duration::from_millis(millis))
}

/// Reads a GEP-2257 duration that is at least `min` and at most `max`.
///
/// # Errors
/// When `text` is not one, or is out of bounds.
pub fn parse_within(text: &str, min: Duration, max: Duration) -> Result<Duration, DurationProblem> {
    let duration = parse(text)?;
    if duration < min || duration > max {
        return Err(DurationProblem::Bounds { text: text.to_owned(), min: format(min), max: format(max) });
    }
    Ok(duration)
}

/// Writes a duration in its shortest form, in whole milliseconds. The inverse of [`parse`] below a hundred thousand
/// hours, which no field allows.
#[must_use]
pub fn format(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, length) in UNITS {
        if rest >= length {
            text.push_str(&std::format!("{}{unit}", rest / length));
            rest %= length;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// The first number with its unit, in milliseconds, and what follows it.
fn take_part(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    if digits == 0 || digits > MAX_DIGITS {
        return None;
    }
    let (number, rest) = text.split_at(digits);
    let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    let (unit, tail) = rest.split_at(letters);
    let (_, length) = UNITS.iter().find(|(name, _)| *name == unit)?;
    Some((number.parse::<u64>().ok()? * length, tail))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_gep_2257_allows() {
        for (text, millis) in [
            ("0s", 0),
            ("500ms", 500),
            ("5s", 5_000),
            ("1h30m", 5_400_000),
            ("720h", 2_592_000_000),
            ("1m1s", 61_000),
            ("1s1s", 2_000),
            ("99999h", 359_996_400_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn refuses_everything_else_and_says_what_is_right() {
        for text in
            ["", "5", "s", "-5s", "+5s", "1.5s", "5 s", " 5s", "5S", "5d", "100000s", "1s1s1s1s1s", "5us", "ms5", "٥s"]
        {
            let problem = parse(text).unwrap_err().to_string();
            assert!(problem.contains("for instance 500ms, 5s or 1h30m"), "{text}: {problem}");
        }
    }

    #[test]
    fn bounds_are_inclusive_and_named() {
        let (min, max) = (Duration::from_millis(100), Duration::from_secs(3600));
        assert_eq!(parse_within("100ms", min, max), Ok(min));
        assert_eq!(parse_within("60m", min, max), Ok(max));
        let problem = parse_within("99ms", min, max).unwrap_err().to_string();
        assert_eq!(problem, "99ms is out of bounds: write a duration from 100ms to 1h");
        assert!(parse_within("3601s", min, max).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(millis in 0_u64..359_996_400_000) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse(&format(duration)), Ok(duration));
        }

        #[test]
        fn no_text_breaks_the_reader(text in "\\PC{0,30}") {
            if let Ok(duration) = parse(&text) {
                prop_assert_eq!(parse(&format(duration)), Ok(duration));
            }
        }
    }
}
