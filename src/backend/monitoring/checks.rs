//! What the service decides when an intent is accepted: whether it can be probed and evaluated.

use serde::Deserialize;
use serde_json::{Value, json};

use super::settings::{ObjectSettings, read_condition};
use crate::{
    backend::{checks::Checks, store::Transaction},
    protocol::{
        Problem, Project,
        monitoring::{MonitoringCondition, MonitoringObject},
    },
    rules::outbound::Outbound,
};

/// The checks of the collection `monitoring/objects`.
#[derive(Clone, Debug)]
pub struct ObjectChecks {
    outbound: Outbound,
}

impl ObjectChecks {
    /// `outbound`: what may be probed.
    #[must_use]
    pub fn new(outbound: Outbound) -> Self {
        Self { outbound }
    }
}

impl Checks for ObjectChecks {
    /// Chooses the type: it stays, because conditions were made for it.
    fn accept(
        &self,
        _: &mut dyn Transaction,
        _: &str,
        _: &Project,
        intent: &Value,
        before: Option<&Value>,
    ) -> Result<Value, Problem> {
        let intent: MonitoringObject = read(intent)?;
        let settings = ObjectSettings::read(&intent)?;
        settings.check_outbound(&self.outbound)?;
        let chosen = json!({"type": intent.probe});
        if let Some(before) = before.filter(|before| **before != chosen) {
            let was = before.get("type").and_then(Value::as_str).unwrap_or_default();
            let detail = format!("the type cannot be changed: write {was}, or create another object");
            return Err(Problem::invalid("/type", detail));
        }
        Ok(chosen)
    }

    fn release(&self, _: &mut dyn Transaction, _: &str, _: &Value) -> Result<(), Problem> {
        Ok(())
    }
}

/// The checks of the collection `monitoring/conditions`. Whether the object has the parameter is known only beside the object:
/// the plane says it.
#[derive(Clone, Copy, Debug)]
pub struct ConditionChecks;

impl Checks for ConditionChecks {
    fn accept(
        &self,
        _: &mut dyn Transaction,
        _: &str,
        _: &Project,
        intent: &Value,
        _: Option<&Value>,
    ) -> Result<Value, Problem> {
        let intent: MonitoringCondition = read(intent)?;
        read_condition(&intent)?;
        Ok(Value::Null)
    }

    fn release(&self, _: &mut dyn Transaction, _: &str, _: &Value) -> Result<(), Problem> {
        Ok(())
    }
}

fn read<'a, T: Deserialize<'a>>(intent: &'a Value) -> Result<T, Problem> {
    T::deserialize(intent).map_err(|problem| Problem::invalid("", problem.to_string()))
}

#[cfg(test)]
#[path = "checks_tests.rs"]
mod tests;
