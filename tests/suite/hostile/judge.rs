//! What must be true of every operation, judged by what the API server and the backend show.

use std::{collections::BTreeSet, str::FromStr};

use kube::{Error, core::Status};
use loopback_operator::crd::Reason;
use serde_json::Value;

use super::values::names;

/// Where an object stands, as its conditions say for its present generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is said yet, or only that it is being worked on.
    Open,
    /// The backend holds the spec and has made it real.
    Ready,
    /// It waits for something, or for a person: the reason and the message.
    Waiting(Reason, String),
    /// What is said must not be said.
    Wrong(String),
}

/// Reasons that pass by themselves, and soon.
const PASSING: [Reason; 4] = [Reason::Pending, Reason::Progressing, Reason::Throttled, Reason::Error];
/// Reasons of a spec that is wrong: they must name the field.
const OF_THE_SPEC: [Reason; 2] = [Reason::InvalidSpec, Reason::Refused];

/// Where an object stands.
pub fn standing(object: &Value) -> Standing {
    let generation = &object["metadata"]["generation"];
    let ready = condition(object, "Ready");
    let Some(ready) = ready.filter(|ready| ready["observedGeneration"] == *generation) else { return Standing::Open };
    let shown = |kind: &str| condition(object, kind).is_some_and(|condition| condition["status"] == "True");
    if shown("Stalled") && shown("Reconciling") {
        return Standing::Wrong("Stalled and Reconciling at once".into());
    }
    let (reason, message) = (text(ready, "reason"), text(ready, "message"));
    if ready["status"] == "True" {
        return if shown("Stalled") { Standing::Wrong("Ready and Stalled".into()) } else { Standing::Ready };
    }
    let Ok(reason) = Reason::from_str(reason) else { return Standing::Wrong(format!("no reason of ours: {reason}")) };
    if message.is_empty() {
        return Standing::Wrong(format!("{reason} without a message"));
    }
    match (shown("Stalled") || shown("Drifted"), shown("Reconciling")) {
        (true, _) => Standing::Waiting(reason, message.to_owned()),
        (false, true) if !PASSING.contains(&reason) => Standing::Waiting(reason, message.to_owned()),
        _ => Standing::Open,
    }
}

fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

/// What is wrong with a refusal of the API server; `changed` are the fields that made it refuse.
pub fn refusal(kind: &str, changed: &[(String, String)], error: &Error) -> Result<(), String> {
    let Error::Api(status) = error else { return Err(format!("no answer of the API server: {error}")) };
    let Status { code, message, .. } = &**status;
    if !matches!(code, 400 | 422) {
        return Err(format!("refused with {code}: {}", short(message)));
    }
    let fields = changed.iter().flat_map(|(pointer, _)| pointer.split('/').filter(|part| *part != "0"));
    let named = fields.filter(|part| !part.is_empty()).any(|part| message.contains(part));
    let named = named || names(kind).iter().any(|name| message.contains(&format!("spec.{name}")));
    if named { Ok(()) } else { Err(format!("refused without naming a field: {}", short(message))) }
}

/// What is wrong with the words for an object that is not Ready.
pub fn words(kind: &str, reason: Reason, message: &str) -> Result<(), String> {
    let known: BTreeSet<String> = names(kind);
    let words: BTreeSet<&str> = message.split(|c: char| !c.is_alphanumeric()).collect();
    if OF_THE_SPEC.contains(&reason) && !known.iter().any(|name| words.contains(name.as_str())) {
        return Err(format!("{reason} names no field: {message}"));
    }
    Ok(())
}

/// The beginning of a long text.
pub fn short(text: &str) -> String {
    text.chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(conditions: Value) -> Value {
        json!({"metadata": {"generation": 2}, "status": {"conditions": conditions}})
    }

    fn said(kind: &str, status: &str, reason: &str, message: &str) -> Value {
        json!({"type": kind, "status": status, "reason": reason, "message": message, "observedGeneration": 2})
    }

    #[test]
    fn only_what_is_said_of_this_generation_counts() {
        let mut old = said("Ready", "True", "Ready", "ok");
        old["observedGeneration"] = json!(1);
        assert_eq!(standing(&object(json!([old]))), Standing::Open);
        assert_eq!(standing(&object(json!([]))), Standing::Open);
        assert_eq!(standing(&object(json!([said("Ready", "True", "Ready", "ok")]))), Standing::Ready);
        let not = |reason: &str, message: &str, beside: &str| {
            standing(&object(json!([said("Ready", "False", reason, message), said(beside, "True", reason, message)])))
        };
        assert_eq!(not("Refused", "no", "Stalled"), Standing::Waiting(Reason::Refused, "no".into()));
        assert_eq!(not("Error", "oops", "Reconciling"), Standing::Open);
        assert!(matches!(not("Refused", "", "Stalled"), Standing::Wrong(_)));
        assert!(matches!(not("Surprise", "x", "Stalled"), Standing::Wrong(_)));
    }

    #[test]
    fn a_spec_that_is_wrong_is_told_which_field() {
        assert!(words("DnsRecord", Reason::Refused, "spec.values: no address").is_ok());
        assert!(words("DnsRecord", Reason::Refused, "no").is_err());
        assert!(words("DnsRecord", Reason::ReferenceMissing, "it is not there").is_ok());
    }
}
