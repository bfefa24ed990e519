//! A condition as it is written, and as it is evaluated.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Measure, Parameter, ProbeType, Threshold, ThresholdProblem, Unit, UnknownParameter};
use crate::rules::duration::{self, DurationProblem};

const MIN_WINDOW: Duration = Duration::from_secs(1);
const MAX_WINDOW: Duration = Duration::from_secs(3_600);
const MAX_HOLD: Duration = Duration::from_secs(86_400);

/// How a value is compared with the threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::Display)]
pub enum Operator {
    /// `>`
    GreaterThan,
    /// `>=`
    GreaterOrEqual,
    /// `<`
    LessThan,
    /// `<=`
    LessOrEqual,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
}

impl Operator {
    /// Whether `value` stands so to `threshold`.
    #[must_use]
    pub fn holds(self, value: Measure, threshold: Measure) -> bool {
        match self {
            Self::GreaterThan => value > threshold,
            Self::GreaterOrEqual => value >= threshold,
            Self::LessThan => value < threshold,
            Self::LessOrEqual => value <= threshold,
            Self::Equal => value == threshold,
            Self::NotEqual => value != threshold,
        }
    }
}

/// What a window makes of its samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::Display)]
pub enum Function {
    /// The newest.
    #[default]
    Last,
    /// Their average.
    Avg,
    /// The least.
    Min,
    /// The greatest.
    Max,
    /// Their sum.
    Sum,
    /// How many there are.
    Count,
    /// The least value that 95 of 100 do not exceed.
    P95,
}

/// What a probe that measures nothing means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NoData {
    /// No alert.
    #[default]
    Ignore,
    /// The same as a value beyond the threshold.
    Fire,
}

/// How grave an alert is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema, strum::Display,
)]
pub enum Severity {
    /// Good to know.
    Info,
    /// Somebody should look.
    #[default]
    Warning,
    /// Somebody must look now.
    Critical,
}

/// Where a condition stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, strum::Display)]
pub enum AlertState {
    /// All is well.
    Cleared,
    /// The threshold is crossed, not yet for long enough.
    Pending,
    /// The threshold was crossed for long enough.
    Firing,
    /// Nothing was measured.
    #[default]
    NoData,
}

/// A condition as it was written.
#[derive(Clone, Copy, Debug)]
pub struct RuleText<'a> {
    /// Key of the parameter.
    pub parameter: &'a str,
    /// The comparison.
    pub operator: Operator,
    /// What is compared with.
    pub threshold: &'a Threshold,
    /// Length and function of the window; absent: the newest sample.
    pub window: Option<(&'a str, Option<Function>)>,
    /// How long it must hold.
    pub hold: Option<&'a str>,
    /// Threshold and time of the way back.
    pub recovery: Option<(Option<&'a Threshold>, Option<&'a str>)>,
    /// What no data means.
    pub no_data: Option<NoData>,
}

/// A condition with nothing left to interpret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What is looked at.
    pub parameter: Parameter,
    /// The comparison.
    pub operator: Operator,
    /// What is compared with.
    pub threshold: Measure,
    /// Length of the window; zero: the newest sample alone.
    pub window: Duration,
    /// What the window makes of its samples.
    pub function: Function,
    /// How long the threshold must be crossed before it fires.
    pub hold: Duration,
    /// The way back.
    pub recovery: Recovery,
    /// What no data means.
    pub no_data: NoData,
}

/// When an alert is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// The threshold that must not be crossed any more.
    pub threshold: Measure,
    /// For how long.
    pub hold: Duration,
}

/// A field of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleField {
    /// `parameter`
    Parameter,
    /// `threshold`
    Threshold,
    /// `window.duration`
    Window,
    /// `for`
    For,
    /// `recovery.threshold`
    RecoveryThreshold,
    /// `recovery.for`
    RecoveryFor,
}

impl RuleField {
    /// JSON pointer in the intent.
    #[must_use]
    pub fn pointer(self) -> &'static str {
        match self {
            Self::Parameter => "/parameter",
            Self::Threshold => "/threshold",
            Self::Window => "/window/duration",
            Self::For => "/for",
            Self::RecoveryThreshold => "/recovery/threshold",
            Self::RecoveryFor => "/recovery/for",
        }
    }
}

/// What is wrong with a condition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleProblem {
    /// No such parameter.
    #[error(transparent)]
    Parameter(#[from] UnknownParameter),
    /// The object has no such parameter.
    #[error("a {0} object has no {1}; write one of {2}")]
    Unfit(ProbeType, &'static str, String),
    /// A threshold that is none.
    #[error("{1}")]
    Threshold(RuleField, ThresholdProblem),
    /// A duration that is none.
    #[error("{1}")]
    Duration(RuleField, DurationProblem),
    /// A recovery threshold on the wrong side.
    #[error("an alert that fires {0} {1} recovers on the other side: write a recovery threshold of {2}")]
    Side(Operator, String, String),
    /// A recovery threshold where there is no way back to measure.
    #[error("{0} has no recovery threshold: leave it out, or use another operator")]
    NoSide(Operator),
}

impl RuleProblem {
    /// The field that is wrong.
    #[must_use]
    pub fn field(&self) -> RuleField {
        match self {
            Self::Parameter(_) | Self::Unfit(..) => RuleField::Parameter,
            Self::Threshold(field, _) | Self::Duration(field, _) => *field,
            Self::Side(..) | Self::NoSide(_) => RuleField::RecoveryThreshold,
        }
    }
}

impl Rule {
    /// Reads a condition.
    ///
    /// # Errors
    /// The first field that is wrong, and what is right.
    pub fn read(text: &RuleText<'_>) -> Result<Self, RuleProblem> {
        let parameter = Parameter::read(text.parameter)?;
        let function = text.window.and_then(|(_, function)| function).unwrap_or_default();
        let unit = unit(parameter, function);
        let threshold =
            unit.read(text.threshold).map_err(|problem| RuleProblem::Threshold(RuleField::Threshold, problem))?;
        let (back, back_for) = text.recovery.unwrap_or_default();
        let recovery = Recovery {
            threshold: back.map_or(Ok(threshold), |back| read_back(unit, text.operator, threshold, back))?,
            hold: read_duration(RuleField::RecoveryFor, back_for, Duration::ZERO, MAX_HOLD)?,
        };
        Ok(Self {
            parameter,
            operator: text.operator,
            threshold,
            window: read_duration(RuleField::Window, text.window.map(|(length, _)| length), MIN_WINDOW, MAX_WINDOW)?,
            function,
            hold: read_duration(RuleField::For, text.hold, Duration::ZERO, MAX_HOLD)?,
            recovery,
            no_data: text.no_data.unwrap_or_default(),
        })
    }

    /// Whether objects of a type have what the condition looks at.
    ///
    /// # Errors
    /// They do not; the message says what they have.
    pub fn check_fits(&self, of: ProbeType) -> Result<(), RuleProblem> {
        if self.parameter.fits(of) {
            return Ok(());
        }
        Err(RuleProblem::Unfit(of, self.parameter.info().key, Parameter::keys_of(of).join(", ")))
    }

    /// The unit of threshold and value.
    #[must_use]
    pub fn unit(&self) -> Unit {
        unit(self.parameter, self.function)
    }

    /// Whether a value is beyond the threshold.
    #[must_use]
    pub fn crossed(&self, value: Measure) -> bool {
        self.operator.holds(value, self.threshold)
    }

    /// Whether a value is well on the good side.
    #[must_use]
    pub fn recovered(&self, value: Measure) -> bool {
        !self.operator.holds(value, self.recovery.threshold)
    }
}

/// A count of samples has no unit.
fn unit(parameter: Parameter, function: Function) -> Unit {
    if function == Function::Count { Unit::None } else { parameter.info().unit }
}

fn read_back(unit: Unit, operator: Operator, threshold: Measure, back: &Threshold) -> Result<Measure, RuleProblem> {
    let back = unit.read(back).map_err(|problem| RuleProblem::Threshold(RuleField::RecoveryThreshold, problem))?;
    let (right, word) = match operator {
        Operator::GreaterThan | Operator::GreaterOrEqual => (back <= threshold, "most"),
        Operator::LessThan | Operator::LessOrEqual => (back >= threshold, "least"),
        Operator::Equal | Operator::NotEqual => return Err(RuleProblem::NoSide(operator)),
    };
    let at = unit.write(threshold);
    if right { Ok(back) } else { Err(RuleProblem::Side(operator, at.clone(), format!("at {word} {at}"))) }
}

fn read_duration(field: RuleField, text: Option<&str>, min: Duration, max: Duration) -> Result<Duration, RuleProblem> {
    let Some(text) = text else { return Ok(Duration::ZERO) };
    duration::parse_within(text, min, max).map_err(|problem| RuleProblem::Duration(field, problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(threshold: &Threshold) -> RuleText<'_> {
        RuleText {
            parameter: "timing.total",
            operator: Operator::GreaterThan,
            threshold,
            window: None,
            hold: None,
            recovery: None,
            no_data: None,
        }
    }

    #[test]
    fn absent_means_the_documented_value() {
        let rule = Rule::read(&text(&Threshold::Text("500ms".into()))).unwrap();
        assert_eq!((rule.window, rule.hold, rule.function), (Duration::ZERO, Duration::ZERO, Function::Last));
        assert_eq!(rule.recovery, Recovery { threshold: Measure::whole(500), hold: Duration::ZERO });
        assert_eq!(rule.no_data, NoData::Ignore);
    }

    #[test]
    fn what_is_wrong_is_named_with_what_is_right() {
        let (half, more, less) =
            (Threshold::Text("500ms".into()), Threshold::Text("501ms".into()), Threshold::Text("499ms".into()));
        let count = Threshold::Number(3);
        let good = text(&half);
        for (wrong, field, says) in [
            (RuleText { parameter: "timing", ..good }, RuleField::Parameter, "timing.total"),
            (RuleText { parameter: "response.status", ..good }, RuleField::Threshold, "whole number"),
            (RuleText { window: Some(("1m", Some(Function::Count))), ..good }, RuleField::Threshold, "whole number"),
            (RuleText { window: Some(("999ms", None)), ..good }, RuleField::Window, "from 1s to 1h"),
            (RuleText { window: Some(("2h", None)), ..good }, RuleField::Window, "from 1s to 1h"),
            (RuleText { hold: Some("25h"), ..good }, RuleField::For, "from 0s to 24h"),
            (RuleText { hold: Some("soon"), ..good }, RuleField::For, "500ms, 5s or 1h30m"),
            (RuleText { recovery: Some((Some(&more), None)), ..good }, RuleField::RecoveryThreshold, "at most 500ms"),
            (RuleText { recovery: Some((None, Some("-1s"))), ..good }, RuleField::RecoveryFor, "duration"),
            (
                RuleText { operator: Operator::LessThan, recovery: Some((Some(&less), None)), ..good },
                RuleField::RecoveryThreshold,
                "at least 500ms",
            ),
            (
                RuleText { operator: Operator::Equal, recovery: Some((Some(&half), None)), ..good },
                RuleField::RecoveryThreshold,
                "leave it out",
            ),
        ] {
            let problem = Rule::read(&wrong).unwrap_err();
            assert_eq!(problem.field(), field, "{problem}");
            assert!(problem.to_string().contains(says), "{problem}");
        }
        let counted = RuleText { window: Some(("1m", Some(Function::Count))), threshold: &count, ..good };
        assert_eq!(Rule::read(&counted).unwrap().unit(), Unit::None);
    }

    #[test]
    fn a_parameter_fits_the_type_of_its_object() {
        let status = Threshold::Number(500);
        let rule = Rule::read(&RuleText { parameter: "response.status", ..text(&status) }).unwrap();
        assert_eq!(rule.check_fits(ProbeType::HTTP), Ok(()));
        let problem = rule.check_fits(ProbeType::TCP).unwrap_err();
        assert!(problem.to_string().contains("response.up, timing.dns"), "{problem}");
    }

    #[test]
    fn operators() {
        for (operator, below, same, above) in [
            (Operator::GreaterThan, false, false, true),
            (Operator::GreaterOrEqual, false, true, true),
            (Operator::LessThan, true, false, false),
            (Operator::LessOrEqual, true, true, false),
            (Operator::Equal, false, true, false),
            (Operator::NotEqual, true, false, true),
        ] {
            let holds = |value| operator.holds(Measure::whole(value), Measure::whole(5));
            assert_eq!((holds(4), holds(5), holds(6)), (below, same, above), "{operator}");
        }
    }
}
