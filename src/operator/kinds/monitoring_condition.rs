//! MonitoringCondition: a threshold on what is measured of a MonitoringObject.

use serde::Serialize;

use crate::{
    crd::{MonitoringCondition as Resource, MonitoringObject, Reason, monitoring_condition::MonitoringConditionSpec},
    operator::engine::kind::{Desired, FieldProblem, Found, Kind, Lookup, ParentOf, Remark, Report, Seen, Tell},
    protocol::monitoring::{AlertState, ConditionState, MonitoringCondition, Recovery, Window, member},
    rules::monitoring::{Rule, RuleProblem, RuleText},
};

/// The kind.
pub struct MonitoringConditions;

/// The kind's part of the status.
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    #[serde(skip_serializing_if = "Option::is_none")]
    alert_state: Option<AlertState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
}

impl Kind for MonitoringConditions {
    type Resource = Resource;
    type Intent = MonitoringCondition;
    type Status = Status;
    const PARENT: Option<ParentOf> = Some(ParentOf { kind: "MonitoringObject", field: "/spec/objectRef/name" });

    fn desired(resource: &Resource, found: &Found<'_>, _: &Seen<Self>) -> Desired<MonitoringCondition> {
        let intent = intent(resource);
        let object = found.get::<MonitoringObject>(&resource.spec.object_ref.name);
        let fits = |rule: Rule| match object {
            Lookup::Found(object) => rule.check_fits(object.spec.type_),
            // whether it is there is the engine's business
            Lookup::Absent | Lookup::Unknown => Ok(()),
        };
        match read(&intent).and_then(fits) {
            Ok(()) => Desired::Want { intent, hold: vec![], problems: vec![] },
            Err(problem) => {
                let field = format!("spec{}", problem.field().pointer().replace('/', "."));
                Desired::Invalid(vec![FieldProblem { field, message: problem.to_string() }])
            }
        }
    }

    fn report(resource: &Resource, seen: &Seen<Self>) -> Report<Status> {
        let Some(object) = &seen.object else {
            return Report { status: Status::default(), unreal: None, degraded: None, tell: None };
        };
        let state = &object.reality.state;
        let known = object.reality.of > 0;
        let status = Status {
            alert_state: known.then_some(state.alert_state),
            since: state.since.clone(),
            value: state.value.clone(),
        };
        let unfit = object.reality.members.get(member::PARAMETER).filter(|found| found.state == member::UNFIT);
        let unreal = unfit.map(|found| Remark::new(Reason::InvalidSpec, format!("spec.parameter: {}", found.message)));
        // an alert that fires is what a condition is for: neither unready nor degraded
        Report { status, unreal, degraded: None, tell: told(&resource.spec, state) }
    }
}

/// What an event says of where a condition stands. Its time moves with every transition, also when it is back in the same state.
fn told(spec: &MonitoringConditionSpec, state: &ConditionState) -> Option<Tell> {
    let since = state.since.as_deref()?;
    let measured = measured(spec, state.value.as_deref());
    let rule = format!("{} {}", spec.operator, spec.threshold);
    let (reason, message) = match state.alert_state {
        AlertState::Cleared => {
            (Reason::AlertCleared, format!("Cleared since {since}: {measured}; the alert is for {rule}"))
        }
        AlertState::Pending => {
            let hold = spec.for_.as_ref().map_or_else(|| "0s".to_owned(), ToString::to_string);
            (Reason::AlertPending, format!("Pending since {since}: {measured}, {rule}; the alert fires after {hold}"))
        }
        AlertState::Firing => (Reason::AlertFiring, format!("Firing since {since}: {measured}, {rule}")),
        AlertState::NoData => {
            let why = format!("the status of MonitoringObject {} says why", spec.object_ref.name);
            (Reason::AlertNoData, format!("NoData since {since}: {measured}; {why}"))
        }
    };
    let warning = matches!(state.alert_state, AlertState::Firing | AlertState::NoData);
    let first = state.alert_state != AlertState::Cleared;
    Some(Tell { field: "since", first, warning, what: Remark::new(reason, message) })
}

fn measured(spec: &MonitoringConditionSpec, value: Option<&str>) -> String {
    let parameter = format!("{} of {}", spec.parameter, spec.object_ref.name);
    let Some(value) = value else { return format!("{parameter} was not measured") };
    match &spec.window {
        Some(window) => {
            let function = window.function.unwrap_or_default();
            format!("{function} of {parameter} over {} was {value}", window.duration)
        }
        None => format!("{parameter} was {value}"),
    }
}

fn intent(resource: &Resource) -> MonitoringCondition {
    let spec = &resource.spec;
    MonitoringCondition {
        name: resource.metadata.name.clone().unwrap_or_default(),
        parameter: spec.parameter.clone(),
        operator: spec.operator,
        threshold: spec.threshold.clone(),
        window: spec
            .window
            .as_ref()
            .map(|window| Window { duration: window.duration.to_string(), function: window.function }),
        hold: spec.for_.as_ref().map(ToString::to_string),
        recovery: spec.recovery.as_ref().map(|recovery| Recovery {
            threshold: recovery.threshold.clone(),
            hold: recovery.for_.as_ref().map(ToString::to_string),
        }),
        no_data: spec.no_data,
        severity: spec.severity,
    }
}

fn read(intent: &MonitoringCondition) -> Result<Rule, RuleProblem> {
    Rule::read(&RuleText {
        parameter: &intent.parameter,
        operator: intent.operator,
        threshold: &intent.threshold,
        window: intent.window.as_ref().map(|window| (&*window.duration, window.function)),
        hold: intent.hold.as_deref(),
        recovery: intent.recovery.as_ref().map(|back| (back.threshold.as_ref(), back.hold.as_deref())),
        no_data: intent.no_data,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::{
        operator::engine::{cache::Cache, key::Key},
        protocol::{Phase, RawObject, Reality},
    };

    fn resource(change: Value) -> Resource {
        let mut spec = json!({"objectRef": {"name": "checkout"}, "parameter": "timing.total",
            "operator": "GreaterThan", "threshold": "500ms"});
        json_patch::merge(&mut spec, &change);
        serde_json::from_value(json!({
            "apiVersion": "loopback.cloud/v1alpha1", "kind": "MonitoringCondition",
            "metadata": {"name": "slow", "namespace": "shop"}, "spec": spec
        }))
        .unwrap()
    }

    fn desired(change: Value) -> Desired<MonitoringCondition> {
        let (cache, key) = (Cache::default(), Key::new("MonitoringCondition", "shop", "slow"));
        MonitoringConditions::desired(&resource(change), &Found::new(&cache, &key), &Seen::new(None).unwrap())
    }

    fn reported(of: u64, state: Value, members: Value) -> Report<Status> {
        let raw = RawObject {
            parent: Some("mo-1".into()),
            deliveries: vec![],
            id: "mc-1".into(),
            owner: None,
            etag: "e".into(),
            revision: 2,
            intent_revision: 1,
            phase: Phase::Live,
            intent: serde_json::to_value(intent(&resource(json!({})))).unwrap(),
            reality: Reality { of, state, members: serde_json::from_value(members).unwrap() },
        };
        MonitoringConditions::report(&resource(json!({})), &Seen::new(Some(&Arc::new(raw))).unwrap())
    }

    #[test]
    fn desired_is_the_spec_and_nothing_added() {
        let whole = json!({"threshold": 500, "window": {"duration": "1m", "function": "Avg"}, "for": "30s",
            "recovery": {"threshold": "400ms", "for": "1m"}, "noData": "Fire", "severity": "Critical"});
        for change in [json!({}), whole] {
            let mut right =
                json!({"name": "slow", "parameter": "timing.total", "operator": "GreaterThan", "threshold": "500ms"});
            json_patch::merge(&mut right, &change);
            let Desired::Want { intent, .. } = desired(change) else { panic!("not wanted") };
            assert_eq!(serde_json::to_value(intent).unwrap(), right);
        }
    }

    #[test]
    fn what_cannot_work_names_its_field() {
        for (change, field) in [
            (json!({"threshold": "fast"}), "spec.threshold"),
            (json!({"recovery": {"threshold": "1s"}}), "spec.recovery.threshold"),
            (json!({"window": {"duration": "2h"}}), "spec.window.duration"),
        ] {
            let Desired::Invalid(problems) = desired(change) else { panic!("taken") };
            assert_eq!(problems[0].field, field);
        }
    }

    #[test]
    fn a_firing_alert_is_shown_and_does_not_matter() {
        let state = json!({"alertState": "Firing", "since": "2026-01-01T00:00:00Z", "value": "900ms"});
        let report = reported(1, state.clone(), json!({}));
        assert_eq!((report.unreal, report.degraded), (None, None));
        assert_eq!(serde_json::to_value(report.status).unwrap(), state);
        assert_eq!(reported(0, Value::Null, json!({})).status, Status::default(), "nothing was measured yet");
    }

    #[test]
    fn every_transition_is_told_with_time_and_value() {
        let since = "2026-01-01T00:00:00Z";
        for (state, value, reason, first, says) in [
            (
                "Cleared",
                Some("20ms"),
                Reason::AlertCleared,
                false,
                "timing.total of checkout was 20ms; the alert is for GreaterThan 500ms",
            ),
            (
                "Pending",
                Some("900ms"),
                Reason::AlertPending,
                true,
                "was 900ms, GreaterThan 500ms; the alert fires after 0s",
            ),
            ("Firing", Some("900ms"), Reason::AlertFiring, true, "was 900ms, GreaterThan 500ms"),
            ("Firing", None, Reason::AlertFiring, true, "was not measured"),
            ("NoData", None, Reason::AlertNoData, true, "the status of MonitoringObject checkout says why"),
        ] {
            let mut reality = json!({"alertState": state, "since": since});
            reality["value"] = json!(value);
            let tell = reported(1, reality, json!({})).tell.unwrap();
            let message = &tell.what.message;
            assert_eq!((tell.what.reason, tell.first), (reason, first));
            assert!(message.starts_with(&format!("{state} since {since}: ")) && message.contains(says), "{message}");
        }
    }

    #[test]
    fn a_parameter_that_the_object_does_not_have_is_not_real() {
        let wrong = json!({"parameter": {"state": "Unfit", "message": "a TCP object has no response.status"}});
        let unreal = reported(1, json!({"alertState": "NoData"}), wrong).unreal.unwrap();
        assert!(unreal.message.starts_with("spec.parameter: a TCP object"), "{}", unreal.message);
    }
}
