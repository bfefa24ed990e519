//! Wrong MonitoringConditions.

use serde_json::{Value, json};

use super::{Allowed, Case, Table, allow, change, create, remove, set};

pub(super) fn table() -> Table {
    let mut cases = shapes();
    cases.extend(thresholds());
    cases.extend(times());
    Table { plural: "monitoringconditions", namespaced: true, good: good(), cases, allowed: allowed() }
}

fn good() -> Value {
    json!({
        "apiVersion": "loopback.cloud/v1alpha1",
        "kind": "MonitoringCondition",
        "metadata": {},
        "spec": {
            "objectRef": {"name": "checkout"},
            "parameter": "timing.total",
            "operator": "GreaterThan",
            "threshold": "500ms",
            "window": {"duration": "1m", "function": "Avg"},
            "for": "30s",
            "recovery": {"threshold": "400ms", "for": "1m"},
        },
    })
}

fn shapes() -> Vec<Case> {
    vec![
        create("no object", [remove("/spec/objectRef")], &["spec.objectRef", "Required value"]),
        create("object as a text", [set("/spec/objectRef", json!("checkout"))], &["spec.objectRef", "type object"]),
        create(
            "no name of an object",
            [set("/spec/objectRef/name", json!(""))],
            &["objectRef.name", "name of an object"],
        ),
        create("no parameter", [remove("/spec/parameter")], &["spec.parameter", "Required value"]),
        create("no operator", [remove("/spec/operator")], &["spec.operator", "Required value"]),
        create("no threshold", [remove("/spec/threshold")], &["spec.threshold", "Required value"]),
        create(
            "unknown parameter",
            [set("/spec/parameter", json!("latency"))],
            &["spec.parameter", "\"timing.total\""],
        ),
        create(
            "parameter in capitals",
            [set("/spec/parameter", json!("Timing.Total"))],
            &["spec.parameter", "\"response.up\""],
        ),
        create("operator as a sign", [set("/spec/operator", json!(">"))], &["spec.operator", "\"GreaterThan\""]),
        create("unknown function", [set("/spec/window/function", json!("P99"))], &["window.function", "\"P95\""]),
        create("no length of a window", [remove("/spec/window/duration")], &["window.duration", "Required value"]),
        create("unknown severity", [set("/spec/severity", json!("Fatal"))], &["spec.severity", "\"Critical\""]),
        create("no data as in others", [set("/spec/noData", json!("OK"))], &["spec.noData", "\"Ignore\"", "\"Fire\""]),
        create("channels", [set("/spec/channelRefs", json!([]))], &["spec.channelRefs", "unknown field"]),
        create("history", [set("/spec/alertHistoryLimit", json!(5))], &["spec.alertHistoryLimit", "unknown field"]),
        change("another object", [], [set("/spec/objectRef/name", json!("other"))], &["objectRef cannot be changed"]),
    ]
}

fn thresholds() -> Vec<Case> {
    let of = |name: &'static str, parameter: &'static str, threshold: Value, says: &[&'static str]| {
        let changes = [
            set("/spec/parameter", json!(parameter)),
            set("/spec/threshold", threshold),
            remove("/spec/recovery"),
            remove("/spec/window"),
        ];
        create(name, changes, says)
    };
    vec![
        of("word as a threshold", "timing.total", json!("slow"), &["spec.threshold", "500ms"]),
        of("empty threshold", "timing.total", json!(""), &["spec.threshold", "must be a number"]),
        of("negative threshold", "response.status", json!(-1), &["spec.threshold", "greater than or equal to 0"]),
        of("negative text", "response.status", json!("-1"), &["spec.threshold", "must be a number"]),
        of("threshold is true", "response.up", json!(true), &["spec.threshold"]),
        of("threshold is a list", "response.up", json!([1]), &["spec.threshold"]),
        of("size for a time", "timing.dns", json!("64Ki"), &["spec.threshold", "must be a time such as 500ms"]),
        of("decimal for a time", "timing.dns", json!("0.5"), &["spec.threshold", "must be a time"]),
        of("time for a size", "response.size", json!("1s"), &["spec.threshold", "must be a size such as 64Ki"]),
        of("size beyond all", "response.size", json!("999999999999Gi"), &["spec.threshold", "must be a number"]),
        of(
            "number beyond all",
            "response.size",
            json!(1_000_000_000_000_i64),
            &["spec.threshold", "less than or equal"],
        ),
        of("time for a status", "response.status", json!("500ms"), &["spec.threshold", "must be a number such as 500"]),
        of("percent", "response.up", json!("95%"), &["spec.threshold", "0.95"]),
        create(
            "time for a count",
            [set("/spec/window/function", json!("Count")), remove("/spec/recovery")],
            &["spec.threshold", "for this parameter and function"],
        ),
        create(
            "recovery threshold of Equal",
            [set("/spec/operator", json!("Equal"))],
            &["spec.recovery", "have no recovery threshold"],
        ),
        create(
            "recovery threshold is a word",
            [set("/spec/recovery/threshold", json!("well"))],
            &["spec.recovery.threshold", "must be a number"],
        ),
        create(
            "recovery threshold of another unit",
            [set("/spec/recovery/threshold", json!("64Ki"))],
            &["spec.recovery.threshold", "must be a time such as 500ms"],
        ),
    ]
}

fn times() -> Vec<Case> {
    vec![
        create("for without a unit", [set("/spec/for", json!("30"))], &["spec.for", "must be a duration"]),
        create("for as a number", [set("/spec/for", json!(30))], &["spec.for", "type string"]),
        create("for too long", [set("/spec/for", json!("25h"))], &["spec.for", "at most 24h"]),
        create("window too short", [set("/spec/window/duration", json!("999ms"))], &["window.duration", "at least 1s"]),
        create("window too long", [set("/spec/window/duration", json!("2h"))], &["window.duration", "at most 1h"]),
        create("recovery too long", [set("/spec/recovery/for", json!("25h"))], &["recovery.for", "at most 24h"]),
    ]
}

fn allowed() -> Vec<Allowed> {
    let plain = || vec![remove("/spec/window"), remove("/spec/for"), remove("/spec/recovery")];
    let of = |parameter: &'static str, threshold: Value| {
        let mut changes = plain();
        changes.extend([set("/spec/parameter", json!(parameter)), set("/spec/threshold", threshold)]);
        changes
    };
    vec![
        allow("nothing but what is needed", plain(), [set("/spec/threshold", json!(500))]),
        allow("availability", of("response.up", json!("0.95")), [set("/spec/threshold", json!(1))]),
        allow("sizes", of("response.size", json!("64Ki")), [set("/spec/threshold", json!("1M"))]),
        allow("status", of("response.status", json!(500)), [set("/spec/threshold", json!("503"))]),
        allow("at once", [], [set("/spec/for", json!("0s")), set("/spec/recovery", json!({"for": "0s"}))]),
        allow(
            "severity and no data",
            [],
            [set("/spec/severity", json!("Critical")), set("/spec/noData", json!("Fire"))],
        ),
        allow(
            "a count",
            [remove("/spec/recovery")],
            [set("/spec/window/function", json!("Count")), set("/spec/threshold", json!(3))],
        ),
    ]
}
