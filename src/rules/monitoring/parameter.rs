//! The parameter registry: what a probe measures.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::EnumCount;

use super::{Operator, Unit};

/// How something is probed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::Display)]
pub enum ProbeType {
    /// An HTTP request.
    #[default]
    HTTP,
    /// A TCP connection that is opened and closed.
    TCP,
}

/// What a parameter is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Category {
    /// The answer.
    Response,
    /// How long it took.
    Timing,
}

/// What its values look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub enum ValueKind {
    /// 1 or 0.
    Flag,
    /// A whole number.
    Number,
    /// A time.
    Duration,
    /// A size.
    Size,
}

/// Something that a probe measures. The order is that of [`PARAMETERS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, strum::EnumCount, strum::EnumIter)]
pub enum Parameter {
    /// `response.up`
    ResponseUp,
    /// `response.status`
    ResponseStatus,
    /// `response.size`
    ResponseSize,
    /// `timing.dns`
    TimingDns,
    /// `timing.connect`
    TimingConnect,
    /// `timing.tls`
    TimingTls,
    /// `timing.firstByte`
    TimingFirstByte,
    /// `timing.transfer`
    TimingTransfer,
    /// `timing.total`
    TimingTotal,
}

/// What is known of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ParameterInfo {
    /// Its name, for instance `timing.total`.
    pub key: &'static str,
    /// What it is about.
    pub category: Category,
    /// What it counts; a threshold without a unit is in this one.
    pub unit: Unit,
    /// What its values look like.
    pub kind: ValueKind,
    /// Types of objects that it is measured of.
    pub types: &'static [ProbeType],
    /// A good first operator.
    pub default_operator: Operator,
    /// A good first threshold.
    pub default_threshold: &'static str,
    /// What it is, for a person.
    pub description: &'static str,
}

const ALL: &[ProbeType] = &[ProbeType::HTTP, ProbeType::TCP];
const HTTP: &[ProbeType] = &[ProbeType::HTTP];

const fn timing(
    key: &'static str,
    types: &'static [ProbeType],
    default_threshold: &'static str,
    description: &'static str,
) -> ParameterInfo {
    ParameterInfo {
        key,
        category: Category::Timing,
        unit: Unit::Milliseconds,
        kind: ValueKind::Duration,
        types,
        default_operator: Operator::GreaterThan,
        default_threshold,
        description,
    }
}

/// All parameters.
pub const PARAMETERS: [ParameterInfo; Parameter::COUNT] = [
    ParameterInfo {
        key: "response.up",
        category: Category::Response,
        unit: Unit::None,
        kind: ValueKind::Flag,
        types: ALL,
        default_operator: Operator::LessThan,
        default_threshold: "1",
        description: "1 when the probe succeeded, else 0; its average over a window is the availability",
    },
    ParameterInfo {
        key: "response.status",
        category: Category::Response,
        unit: Unit::None,
        kind: ValueKind::Number,
        types: HTTP,
        default_operator: Operator::GreaterOrEqual,
        default_threshold: "500",
        description: "the HTTP status of the last answer; no data while there is no answer",
    },
    ParameterInfo {
        key: "response.size",
        category: Category::Response,
        unit: Unit::Bytes,
        kind: ValueKind::Size,
        types: HTTP,
        default_operator: Operator::GreaterThan,
        default_threshold: "1Mi",
        description: "length of the body as it was declared, else as it was read; reading stops after 1 MiB",
    },
    timing("timing.dns", ALL, "200ms", "time to resolve the name; 0 for an address"),
    timing("timing.connect", ALL, "200ms", "time to open the TCP connection"),
    timing("timing.tls", HTTP, "300ms", "time of the TLS handshake; no data for http URLs"),
    timing("timing.firstByte", HTTP, "500ms", "time from the request to the head of the answer"),
    timing("timing.transfer", HTTP, "500ms", "time from the head of the answer to its end, or to where reading stops"),
    timing("timing.total", ALL, "1s", "time of the whole probe; no data while there is no answer"),
];

/// There is no such parameter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct UnknownParameter(String);

impl fmt::Display for UnknownParameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known: Vec<_> = PARAMETERS.iter().map(|info| info.key).collect();
        write!(f, "no parameter is named {:?}; write one of {}", self.0, known.join(", "))
    }
}

impl Parameter {
    /// All, in the order of [`PARAMETERS`].
    pub fn all() -> impl Iterator<Item = Self> {
        <Self as strum::IntoEnumIterator>::iter()
    }

    /// The parameter of a key.
    ///
    /// # Errors
    /// When there is none; the message names those that there are.
    pub fn read(key: &str) -> Result<Self, UnknownParameter> {
        let unknown = || UnknownParameter(key.chars().take(40).collect());
        Self::all().find(|parameter| parameter.info().key == key).ok_or_else(unknown)
    }

    /// What is known of it.
    #[must_use]
    pub fn info(self) -> &'static ParameterInfo {
        const { &PARAMETERS }.get(self as usize).unwrap_or(const { &PARAMETERS[0] })
    }

    /// Whether objects of a type have it.
    #[must_use]
    pub fn fits(self, of: ProbeType) -> bool {
        self.info().types.contains(&of)
    }

    /// The keys that objects of a type have.
    #[must_use]
    pub fn keys_of(of: ProbeType) -> Vec<&'static str> {
        Self::all().filter(|parameter| parameter.fits(of)).map(|parameter| parameter.info().key).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::monitoring::Threshold;

    #[test]
    fn the_registry_is_whole() {
        for parameter in Parameter::all() {
            let info = parameter.info();
            assert_eq!(Parameter::read(info.key), Ok(parameter));
            assert!(info.unit.read(&Threshold::Text(info.default_threshold.into())).is_ok(), "{}", info.key);
            assert!(!info.types.is_empty() && !info.description.is_empty());
            let category = serde_json::to_value(info.category).unwrap();
            assert_eq!(Some(info.key.split('.').next().unwrap()), category.as_str());
        }
        assert_eq!(Parameter::read("timing.total").unwrap().info().key, "timing.total");
    }

    #[test]
    fn an_unknown_key_names_those_that_there_are() {
        let problem = Parameter::read("timing.Total").unwrap_err().to_string();
        assert!(problem.contains("timing.total") && problem.contains("response.up"), "{problem}");
    }

    #[test]
    fn a_tcp_object_has_no_status() {
        assert!(!Parameter::ResponseStatus.fits(ProbeType::TCP));
        assert_eq!(Parameter::keys_of(ProbeType::TCP), ["response.up", "timing.dns", "timing.connect", "timing.total"]);
    }
}
