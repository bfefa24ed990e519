//! What can be measured, and when a measurement is an alert. Both halves apply these rules: one to refuse a condition that
//! cannot work, the other to evaluate it.

mod alert;
mod expected;
mod measure;
mod parameter;
mod rule;
mod series;

pub use alert::{Reading, Standing, Step, Transition, step};
pub use expected::{ExpectedProblem, ExpectedStatus};
pub use measure::{Measure, SIZE_PATTERN, THRESHOLD_MOST, Threshold, ThresholdProblem, Unit};
pub use parameter::{Category, PARAMETERS, Parameter, ParameterInfo, ProbeType, UnknownParameter, ValueKind};
pub use rule::{AlertState, Function, NoData, Operator, Recovery, Rule, RuleField, RuleProblem, RuleText, Severity};
pub use series::Series;
