//! Measured values and thresholds: fixed-point numbers, so that comparisons are exact.

use std::{borrow::Cow, fmt, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::rules::duration;

/// A measured value in thousandths of its unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Measure(i64);

impl Measure {
    /// A whole number of units.
    #[must_use]
    pub const fn whole(number: i64) -> Self {
        Self(number.saturating_mul(1000))
    }

    /// 1 or 0.
    #[must_use]
    pub const fn flag(set: bool) -> Self {
        Self::whole(if set { 1 } else { 0 })
    }

    /// A duration, in milliseconds.
    #[must_use]
    pub fn duration(duration: Duration) -> Self {
        Self(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX))
    }

    /// A number of thousandths.
    #[must_use]
    pub const fn thousandths(number: i64) -> Self {
        Self(number)
    }

    /// The number of thousandths.
    #[must_use]
    pub const fn to_thousandths(self) -> i64 {
        self.0
    }
}

/// What a value counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::Display)]
pub enum Unit {
    /// A plain number.
    None,
    /// Time, in milliseconds.
    #[serde(rename = "ms")]
    Milliseconds,
    /// Bytes.
    #[serde(rename = "B")]
    Bytes,
}

/// Why a threshold cannot be compared with a parameter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ThresholdProblem {
    /// For [`Unit::None`].
    #[error("{0:?} is not a number: write a whole number such as 500, or one with at most 3 decimals such as \"0.95\"")]
    Number(String),
    /// For [`Unit::Milliseconds`].
    #[error("{0:?} is not a time: write a duration such as 500ms, 2s or 1m30s, or a whole number of milliseconds")]
    Time(String),
    /// For [`Unit::Bytes`].
    #[error(
        "{0:?} is not a size: write a whole number of bytes, with one of k, M, G, Ki, Mi, Gi behind it or nothing, below 1Pi"
    )]
    Size(String),
}

/// Factors that may stand behind a number of bytes, and how many digits then: all sizes can be measured.
const FACTORS: [(&str, i64, usize); 7] = [
    ("Ki", 1 << 10, 12),
    ("Mi", 1 << 20, 9),
    ("Gi", 1 << 30, 6),
    ("k", 1_000, 12),
    ("M", 1_000_000, 9),
    ("G", 1_000_000_000, 6),
    ("", 1, MAX_DIGITS),
];
/// Digits of a threshold.
const MAX_DIGITS: usize = 12;
/// The highest whole number that a threshold can be.
pub const THRESHOLD_MOST: i64 = 999_999_999_999;
/// The pattern of all sizes.
pub const SIZE_PATTERN: &str = "^([0-9]{1,12}(k|Ki)?|[0-9]{1,9}Mi?|[0-9]{1,6}Gi?)$";

impl Unit {
    /// Reads a threshold.
    ///
    /// # Errors
    /// When it is none in this unit; the message says what is right.
    pub fn read(self, threshold: &Threshold) -> Result<Measure, ThresholdProblem> {
        let text = threshold.to_string();
        let shown = || text.chars().take(40).collect();
        match self {
            Self::None => number(&text).ok_or_else(|| ThresholdProblem::Number(shown())),
            Self::Milliseconds => time(&text).ok_or_else(|| ThresholdProblem::Time(shown())),
            Self::Bytes => size(&text).ok_or_else(|| ThresholdProblem::Size(shown())),
        }
    }

    /// Writes a value for a person. Times of 10 ms and more are rounded to whole milliseconds.
    #[must_use]
    pub fn write(self, Measure(value): Measure) -> String {
        match self {
            Self::None => decimal(value),
            Self::Milliseconds if value >= 10_000 => format!("{}ms", (value + 500) / 1000),
            Self::Milliseconds => format!("{}ms", decimal(value)),
            Self::Bytes => format!("{}B", value / 1000),
        }
    }
}

fn digits(text: &str, most: usize) -> Option<i64> {
    let right = (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if right { text.parse().ok() } else { None }
}

fn number(text: &str) -> Option<Measure> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let whole = digits(whole, MAX_DIGITS)?;
    let scale = match fraction.len() {
        1 => 100,
        2 => 10,
        3 => 1,
        _ => return None,
    };
    Some(Measure(whole * 1000 + digits(fraction, MAX_DIGITS)? * scale))
}

fn time(text: &str) -> Option<Measure> {
    digits(text, MAX_DIGITS).map(Measure::whole).or_else(|| duration::parse(text).ok().map(Measure::duration))
}

fn size(text: &str) -> Option<Measure> {
    let (suffix, factor, most) = FACTORS.into_iter().find(|(suffix, ..)| text.ends_with(suffix))?;
    let bytes = digits(text.strip_suffix(suffix)?, most)?.checked_mul(factor)?;
    bytes.checked_mul(1000).map(Measure)
}

/// Thousandths as a decimal number without trailing zeros.
fn decimal(value: i64) -> String {
    let (whole, rest) = (value / 1000, (value % 1000).abs());
    let text = format!("{whole}.{rest:03}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A threshold as it was written: an integer, or a text with a unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Threshold {
    /// In the parameter's unit.
    Number(i64),
    /// For instance `500ms`.
    Text(String),
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl<'de> Deserialize<'de> for Threshold {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Threshold;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number, or a text such as \"500ms\"")
            }

            fn visit_i64<E>(self, number: i64) -> Result<Threshold, E> {
                Ok(Threshold::Number(number))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Threshold, E> {
                i64::try_from(number).map(Threshold::Number).map_err(E::custom)
            }

            fn visit_str<E>(self, text: &str) -> Result<Threshold, E> {
                Ok(Threshold::Text(text.to_owned()))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for Threshold {
    fn schema_name() -> Cow<'static, str> {
        "Threshold".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["integer", "string"]})
    }

    fn inline_schema() -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(unit: Unit, text: &str) -> Option<i64> {
        unit.read(&Threshold::Text(text.into())).ok().map(Measure::to_thousandths)
    }

    #[test]
    fn thresholds_are_read_in_their_unit() {
        for (unit, text, thousandths) in [
            (Unit::None, "200", Some(200_000)),
            (Unit::None, "0.95", Some(950)),
            (Unit::None, "1.5", Some(1_500)),
            (Unit::None, "0.125", Some(125)),
            (Unit::None, "0.1255", None),
            (Unit::None, "500ms", None),
            (Unit::None, "-1", None),
            (Unit::None, "1.", None),
            (Unit::None, ".5", None),
            (Unit::None, "", None),
            (Unit::None, "1e3", None),
            (Unit::None, "9999999999999", None),
            (Unit::Milliseconds, "500ms", Some(500_000)),
            (Unit::Milliseconds, "1m30s", Some(90_000_000)),
            (Unit::Milliseconds, "500", Some(500_000)),
            (Unit::Milliseconds, "0s", Some(0)),
            (Unit::Milliseconds, "0.5s", None),
            (Unit::Milliseconds, "5 s", None),
            (Unit::Milliseconds, "64Ki", None),
            (Unit::Bytes, "512", Some(512_000)),
            (Unit::Bytes, "64Ki", Some(65_536_000)),
            (Unit::Bytes, "1M", Some(1_000_000_000)),
            (Unit::Bytes, "2Gi", Some(2_147_483_648_000)),
            (Unit::Bytes, "1.5Mi", None),
            (Unit::Bytes, "Ki", None),
            (Unit::Bytes, "999999999999Gi", None),
            (Unit::Bytes, "1s", None),
            (Unit::Bytes, "999999999999", Some(999_999_999_999_000)),
            (Unit::Bytes, "999999999999Ki", Some(1_023_999_999_998_976_000)),
            (Unit::Bytes, "999999999Mi", Some(1_048_575_998_951_424_000)),
            (Unit::Bytes, "9999999999Mi", None),
            (Unit::Bytes, "999999Gi", Some(1_073_740_750_258_176_000)),
            (Unit::Bytes, "1000000G", None),
        ] {
            assert_eq!(read(unit, text), thousandths, "{unit} {text}");
        }
        assert_eq!(Unit::Milliseconds.read(&Threshold::Number(250)), Ok(Measure::whole(250)));
        assert!(Unit::None.read(&Threshold::Number(-1)).is_err());
    }

    #[test]
    fn values_are_written_for_people() {
        for (unit, thousandths, text) in [
            (Unit::None, 503_000, "503"),
            (Unit::None, 950, "0.95"),
            (Unit::None, 0, "0"),
            (Unit::Milliseconds, 512_345, "512ms"),
            (Unit::Milliseconds, 1_250, "1.25ms"),
            (Unit::Bytes, 1_536_000, "1536B"),
        ] {
            assert_eq!(unit.write(Measure(thousandths)), text);
        }
    }

    #[test]
    fn a_threshold_stays_as_it_was_written() {
        for text in ["5", "\"5\"", "\"500ms\"", "-3"] {
            let read: Threshold = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), text);
        }
        for wrong in ["0.5", "true", "[1]", "18446744073709551615", "null"] {
            assert!(serde_json::from_str::<Threshold>(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in "\\PC{0,24}") {
            for unit in [Unit::None, Unit::Milliseconds, Unit::Bytes] {
                let _ = unit.read(&Threshold::Text(text.clone()));
            }
        }

        #[test]
        fn plain_numbers_read_back(value in 0_i64..1_000_000_000) {
            prop_assert_eq!(read(Unit::None, &Unit::None.write(Measure(value))), Some(value));
        }
    }
}
