//! Server-side apply.

use serde_json::{Value, json};

use super::{SECRETS, apply, apply_as, at, case, held, make, merge, read, remove, secret, status_of, widget};
use crate::apiserver::lab::Case;

pub fn cases() -> Vec<Case> {
    let mut cases = objects();
    cases.extend(lists());
    cases.extend(owners());
    cases.extend(statuses());
    cases
}

fn colored(color: &str) -> Value {
    widget("a", json!({"spec": {"color": color}}))
}

fn objects() -> Vec<Case> {
    let path = at("a");
    vec![
        case("apply creates", [apply(&path, colored("red")), read(&path)]),
        case("apply updates", [apply(&path, colored("red")), apply(&path, colored("blue"))]),
        case(
            "apply of the same",
            [apply(&path, colored("red")), apply(&path, colored("red")), apply(&path, colored("red"))],
        ),
        case(
            "apply takes away what it no longer says",
            [
                apply(
                    &path,
                    widget(
                        "a",
                        json!({"metadata": {"labels": {"a": "b"}}, "spec": {"color": "red", "size": 1, "notes": {"x": "y"}}}),
                    ),
                ),
                apply(&path, colored("red")),
            ],
        ),
        case("apply without a manager", [apply(&format!("{path}?fieldManager="), colored("red"))]),
        case(
            "apply with a UID creates nothing",
            [apply(&path, widget("a", json!({"metadata": {"uid": "11111111-1111-4111-8111-111111111111"}})))],
        ),
        case(
            "apply to another UID",
            [
                make("a", json!({})),
                apply(
                    &format!("{path}?force=true"),
                    widget("a", json!({"metadata": {"uid": "11111111-1111-4111-8111-111111111111"}})),
                ),
            ],
        ),
        case(
            "apply with an old version",
            [
                make("a", json!({})),
                merge(&path, json!({"metadata": {"labels": {"a": "b"}}})),
                apply(
                    &path,
                    widget(
                        "a",
                        json!({"metadata": {"resourceVersion": "{0/metadata/resourceVersion}"}, "spec": {"color": "red"}}),
                    ),
                ),
            ],
        ),
        case(
            "apply with managed fields",
            [apply(&path, widget("a", json!({"metadata": {"managedFields": [{"manager": "x"}]}})))],
        ),
        case(
            "apply leaves the status",
            [apply(&path, widget("a", json!({"spec": {"color": "red"}, "status": {"phase": "X"}})))],
        ),
        case(
            "apply a Secret",
            [
                apply(&format!("{SECRETS}/s"), secret("s", json!({"data": {"a": "YQ==", "b": "Yg=="}}))),
                apply(&format!("{SECRETS}/s"), secret("s", json!({"data": {"a": "YQ=="}}))),
                apply(&format!("{SECRETS}/s"), secret("s", json!({"data": {"a": "YQ=="}}))),
            ],
        ),
    ]
}

fn lists() -> Vec<Case> {
    let path = at("a");
    let parts = |parts: Value| widget("a", json!({"spec": {"parts": parts}}));
    vec![
        case(
            "lists by key merge",
            [
                apply_as("one", &path, parts(json!([{"name": "x", "size": 1}, {"name": "y", "size": 2}]))),
                apply_as("two", &path, parts(json!([{"name": "z", "size": 3}]))),
                apply_as("one", &path, parts(json!([{"name": "y", "size": 5}]))),
            ],
        ),
        case(
            "sets merge",
            [
                apply_as("one", &path, widget("a", json!({"spec": {"tags": ["x", "y"]}}))),
                apply_as("two", &path, widget("a", json!({"spec": {"tags": ["y", "z"]}}))),
                apply_as("one", &path, widget("a", json!({"spec": {"tags": ["x"]}}))),
            ],
        ),
        case(
            "atomic lists are replaced",
            [
                apply_as("one", &path, widget("a", json!({"spec": {"words": ["x", "y"]}}))),
                apply_as("two", &format!("{path}?force=true"), widget("a", json!({"spec": {"words": ["z"]}}))),
            ],
        ),
        case(
            "finalizers are a set",
            [
                make("a", held()),
                apply(&path, widget("a", json!({"metadata": {"finalizers": ["conformance.loopback.cloud/more"]}}))),
                apply(&path, widget("a", json!({}))),
            ],
        ),
    ]
}

fn owners() -> Vec<Case> {
    let path = at("a");
    vec![
        case(
            "apply against another applier",
            [apply_as("one", &path, colored("red")), apply_as("two", &path, colored("blue"))],
        ),
        case(
            "apply by force",
            [
                apply_as("one", &path, colored("red")),
                apply_as("two&force=true", &path, colored("blue")),
                apply_as("one", &path, colored("blue")),
            ],
        ),
        case(
            "shared fields stay until nobody says them",
            [
                apply_as("one", &path, colored("red")),
                apply_as("two", &path, colored("red")),
                apply_as("one", &path, widget("a", json!({}))),
                apply_as("two", &path, widget("a", json!({}))),
            ],
        ),
        case(
            "apply against an update",
            [
                make("a", json!({"spec": {"color": "red", "size": 1}})),
                apply_as("two&force=true", &path, widget("a", json!({"spec": {"color": "blue", "size": 1}}))),
                merge(&path, json!({"spec": {"color": "green"}})),
            ],
        ),
        case(
            "an update takes an applier's field away",
            [
                apply_as("one", &path, widget("a", json!({"spec": {"color": "red", "size": 1}}))),
                merge(&path, json!({"spec": {"color": null}})),
                apply_as("one", &path, widget("a", json!({"spec": {"size": 1}}))),
            ],
        ),
    ]
}

fn statuses() -> Vec<Case> {
    let status = |status: Value| widget("a", json!({"metadata": {"uid": "{0/metadata/uid}"}, "status": status}));
    let ready = |value: &str| json!({"observedGeneration": 1, "conditions": [{"type": "Ready", "status": value}, {"type": "Stalled", "status": "False"}]});
    let path = format!("{}?force=true", status_of("a"));
    vec![
        case("apply a status", [make("a", json!({"spec": {"color": "red"}})), apply(&path, status(ready("True")))]),
        case(
            "apply the same status",
            [make("a", json!({})), apply(&path, status(ready("True"))), apply(&path, status(ready("True")))],
        ),
        case(
            "apply another status",
            [
                make("a", json!({})),
                apply(&path, status(ready("True"))),
                apply(&path, status(json!({"phase": "X", "conditions": [{"type": "Ready", "status": "False"}]}))),
            ],
        ),
        case("apply a status to nothing", [apply(&path, widget("a", json!({"status": ready("True")})))]),
        case(
            "apply a status to what was deleted",
            [make("a", json!({})), remove(&at("a")), apply(&path, status(ready("True")))],
        ),
        case(
            "apply a status to a namesake",
            [
                make("a", json!({})),
                remove(&at("a")),
                make("a", json!({})),
                apply(&path, status(ready("True"))),
                read(&at("a")),
            ],
        ),
        case(
            "apply a status while deleting",
            [make("a", held()), remove(&at("a")), apply(&path, status(ready("True")))],
        ),
        case(
            "apply a status with an old version",
            [
                make("a", json!({})),
                merge(&at("a"), json!({"spec": {"color": "red"}})),
                apply(
                    &path,
                    widget(
                        "a",
                        json!({"metadata": {"resourceVersion": "{0/metadata/resourceVersion}"}, "status": {"phase": "X"}}),
                    ),
                ),
            ],
        ),
        case(
            "apply a status with a spec",
            [
                make("a", json!({"spec": {"color": "red"}})),
                apply(&path, widget("a", json!({"spec": {"color": "blue"}, "status": {"phase": "X"}}))),
            ],
        ),
    ]
}
