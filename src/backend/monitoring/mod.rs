//! Monitoring.

mod checks;
mod embedded;
mod settings;

use std::sync::Arc;

use serde_json::{Value, json};

pub use checks::{ConditionChecks, ObjectChecks};
pub use embedded::{EmbeddedPlane, Limits, Options};
pub use settings::{HttpSettings, ObjectSettings, ProbeSettings, TcpSettings, read_condition};

use super::api::collections::{Collection, Fact};
use crate::{
    protocol::monitoring::{MonitoringCondition, MonitoringObject},
    rules::{monitoring::PARAMETERS, outbound::Outbound},
};

/// The service's collections.
#[must_use]
pub fn collections(outbound: Outbound) -> Vec<Collection> {
    vec![
        Collection::of::<MonitoringObject>("mo", Arc::new(ObjectChecks::new(outbound))),
        Collection::of::<MonitoringCondition>("mc", Arc::new(ConditionChecks)),
    ]
}

/// What the service tells about itself: the parameter registry.
#[must_use]
pub fn facts() -> Vec<Fact> {
    vec![Fact {
        path: "/v3/monitoring/parameters",
        name: "listMonitoringParameters",
        summary: "What can be measured, with units and good first thresholds",
        content: Box::new(parameters),
    }]
}

fn parameters() -> Value {
    json!({"items": PARAMETERS})
}
