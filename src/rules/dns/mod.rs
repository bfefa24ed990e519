//! Rules of DNS that both halves apply: names, patterns of names, values of records, times to live.

mod name;
mod pattern;
mod value;

use std::time::Duration;

pub use name::{Alphabet, Name, NameProblem};
pub use pattern::{Pattern, overlaps};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
pub use value::{MOST_VALUES, RecordData, SetProblem, ValueProblem, parse_set};

use super::duration::{self, DurationProblem};

/// Time to live of a record that has none of its own.
pub const DEFAULT_TTL: Duration = Duration::from_secs(300);
/// Shortest time to live.
pub const LEAST_TTL: Duration = Duration::from_secs(1);
/// Longest time to live: a week, after which a mistake is forgotten everywhere. RFC 8767 section 4 recommends the same bound.
pub const MOST_TTL: Duration = Duration::from_hours(168);

/// What a record says about its name.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::Display,
    strum::EnumString,
    strum::VariantArray,
)]
#[allow(clippy::upper_case_acronyms, reason = "the names of the types in the DNS")]
pub enum RecordType {
    /// An IPv4 address.
    #[default]
    A,
    /// An IPv6 address.
    AAAA,
    /// The name that this name stands for.
    CNAME,
    /// Text.
    TXT,
    /// A mail server.
    MX,
    /// Where a service is.
    SRV,
    /// Who may issue certificates.
    CAA,
}

impl RecordType {
    /// The number of the type on the wire.
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Self::A => 1,
            Self::CNAME => 5,
            Self::MX => 15,
            Self::TXT => 16,
            Self::AAAA => 28,
            Self::SRV => 33,
            Self::CAA => 257,
        }
    }

    /// What names with such a record may be made of. Addresses and mail belong to hosts, whose names have no underscore
    /// (RFC 1123 section 2.1); the other types are also used at names of services and keys (RFC 8552).
    #[must_use]
    pub fn alphabet(self) -> Alphabet {
        match self {
            Self::A | Self::AAAA | Self::MX => Alphabet::Host,
            Self::CNAME | Self::TXT | Self::SRV | Self::CAA => Alphabet::Underscore,
        }
    }
}

/// Why a text is no time to live.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TtlProblem {
    /// No duration, or out of bounds.
    #[error(transparent)]
    Duration(#[from] DurationProblem),
    /// The DNS knows no fractions of seconds.
    #[error("{0} is no whole number of seconds: write for instance 60s")]
    Fraction(String),
}

/// Reads a time to live: whole seconds, absent means [`DEFAULT_TTL`].
///
/// # Errors
/// When `text` is no duration, out of bounds, or no whole number of seconds.
pub fn parse_ttl(text: Option<&str>) -> Result<u32, TtlProblem> {
    let ttl = match text {
        Some(text) => duration::parse_within(text, LEAST_TTL, MOST_TTL)?,
        None => DEFAULT_TTL,
    };
    match u32::try_from(ttl.as_secs()) {
        Ok(seconds) if ttl.subsec_nanos() == 0 => Ok(seconds),
        _ => Err(TtlProblem::Fraction(duration::format(ttl))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_to_live() {
        assert_eq!(parse_ttl(None), Ok(300));
        assert_eq!(parse_ttl(Some("60s")), Ok(60));
        assert_eq!(parse_ttl(Some("1h30m")), Ok(5400));
        assert_eq!(parse_ttl(Some("168h")), Ok(604_800));
        for bad in ["0s", "999ms", "1500ms", "169h", "60", "", "-1s"] {
            assert!(parse_ttl(Some(bad)).is_err(), "{bad}");
        }
    }
}
