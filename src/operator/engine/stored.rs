//! What a stored status says. Others may keep conditions of their own in it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::Deserialize;
use serde_json::Value;

use crate::crd::ConditionType;

/// Whether a stored status is `wanted`, but for conditions that others keep there.
pub(super) fn says(stored: &Value, wanted: &Value) -> bool {
    let (Some(stored), Some(wanted)) = (stored.as_object(), wanted.as_object()) else { return stored == wanted };
    let same = |(name, stored): (&String, &Value)| match (wanted.get(name), stored) {
        (Some(Value::Array(wanted)), Value::Array(stored)) if name == "conditions" => {
            stored.iter().filter(ours).eq(wanted)
        }
        (wanted, stored) => wanted == Some(stored),
    };
    stored.len() == wanted.len() && stored.iter().all(same)
}

/// Whether a condition is one of ours.
pub(super) fn ours(condition: &&Value) -> bool {
    condition["type"].as_str().is_some_and(|kind| kind.parse::<ConditionType>().is_ok())
}

/// Our conditions in a status.
#[must_use]
pub fn conditions(status: &Value) -> Vec<Condition> {
    let list = status.get("conditions").and_then(Value::as_array);
    list.into_iter().flatten().filter(ours).filter_map(|condition| Condition::deserialize(condition).ok()).collect()
}

/// Whether a status has this condition with status True.
#[must_use]
pub fn is_true(status: &Value, kind: ConditionType) -> bool {
    let conditions = status.get("conditions").and_then(Value::as_array);
    let is = |condition: &Value| condition["type"] == kind.as_ref() && condition["status"] == "True";
    conditions.into_iter().flatten().any(is)
}
