//! JSON and merge patches.

use serde_json::{Value, json};

use super::{at, case, change, held, make, merge, read, remove, status_of};
use crate::apiserver::lab::{Ask, Case, Step, patch};

const UID: &str = "{0/metadata/uid}";
const HOLD: &str = "conformance.loopback.cloud/hold";

pub fn cases() -> Vec<Case> {
    let mut cases = json();
    cases.extend(merges());
    cases.extend(statuses());
    cases
}

fn red() -> Step {
    make("a", json!({"spec": {"color": "red"}}))
}

fn test_uid(uid: &str) -> Value {
    json!({"op": "test", "path": "/metadata/uid", "value": uid})
}

fn json() -> Vec<Case> {
    let hold = json!({"op": "add", "path": "/metadata/finalizers", "value": [HOLD]});
    vec![
        case(
            "JSON patch tests another UID",
            [red(), change(&at("a"), json!([test_uid("other"), hold])), read(&at("a"))],
        ),
        case("JSON patch adds a finalizer", [red(), change(&at("a"), json!([test_uid(UID), hold]))]),
        case(
            "JSON patch adds to no list",
            [red(), change(&at("a"), json!([{"op": "add", "path": "/metadata/finalizers/-", "value": HOLD}]))],
        ),
        case(
            "JSON patch removes nothing",
            [red(), change(&at("a"), json!([{"op": "remove", "path": "/metadata/finalizers/0"}]))],
        ),
        case(
            "JSON patch tests finalizers",
            [
                make("a", held()),
                change(&at("a"), json!([{"op": "test", "path": "/metadata/finalizers", "value": []}])),
                change(
                    &at("a"),
                    json!([{"op": "test", "path": "/metadata/finalizers", "value": [HOLD]},
                {"op": "add", "path": "/metadata/finalizers/-", "value": "conformance.loopback.cloud/more"}]),
                ),
            ],
        ),
        case(
            "JSON patch removes a finalizer of what lives",
            [
                make("a", held()),
                change(
                    &at("a"),
                    json!([test_uid(UID), {"op": "test", "path": "/metadata/finalizers/0", "value": HOLD},
                {"op": "remove", "path": "/metadata/finalizers/0"}]),
                ),
            ],
        ),
        case(
            "JSON patch of the spec",
            [red(), change(&at("a"), json!([{"op": "replace", "path": "/spec/color", "value": "blue"}]))],
        ),
        case("JSON patch of what is not there", [change(&at("a"), json!([hold]))]),
        case(
            "JSON patch that only tests",
            [
                red(),
                merge(&at("a"), json!({"metadata": {"labels": {"a": "b"}}})),
                change(&at("a"), json!([test_uid(UID)])),
            ],
        ),
        case(
            "JSON patch to another name",
            [red(), change(&at("a"), json!([{"op": "replace", "path": "/metadata/name", "value": "b"}]))],
        ),
        case(
            "JSON patch to another UID",
            [red(), change(&at("a"), json!([{"op": "replace", "path": "/metadata/uid", "value": "other"}]))],
        ),
        case("a patch of no known type", [red(), Step::Send(Ask { body: json!({}), ..patch(&at("a")) })]),
    ]
}

fn merges() -> Vec<Case> {
    let label = |value: &str| json!({"metadata": {"labels": {"a": value}}});
    vec![
        case("a label moves no generation", [red(), merge(&at("a"), label("b")), merge(&at("a"), label("c"))]),
        case("the same again moves no version", [red(), merge(&at("a"), label("b")), merge(&at("a"), label("b"))]),
        case("nothing at first", [red(), merge(&at("a"), json!({})), merge(&at("a"), json!({}))]),
        case("the spec moves the generation", [red(), merge(&at("a"), json!({"spec": {"color": "blue", "size": 3}}))]),
        case(
            "null takes away",
            [red(), merge(&at("a"), json!({"spec": {"color": null}})), merge(&at("a"), json!({"spec": null}))],
        ),
        case(
            "merge with the UID",
            [red(), merge(&at("a"), json!({"metadata": {"uid": UID, "annotations": {"a": "b"}}}))],
        ),
        case(
            "merge with another UID",
            [
                red(),
                merge(
                    &at("a"),
                    json!({"metadata": {"uid": "11111111-1111-4111-8111-111111111111", "annotations": {"a": "b"}}}),
                ),
            ],
        ),
        case(
            "merge with an old version",
            [
                red(),
                merge(&at("a"), label("b")),
                merge(
                    &at("a"),
                    json!({"metadata": {"finalizers": [HOLD],
                "resourceVersion": "{0/metadata/resourceVersion}"}}),
                ),
            ],
        ),
        case(
            "merge with the version",
            [
                red(),
                merge(
                    &at("a"),
                    json!({"metadata": {"finalizers": [HOLD], "resourceVersion": "{0/metadata/resourceVersion}"}}),
                ),
            ],
        ),
        case("merge empties finalizers", [make("a", held()), merge(&at("a"), json!({"metadata": {"finalizers": []}}))]),
        case(
            "merge of what the server writes",
            [red(), merge(&at("a"), json!({"metadata": {"generation": 7, "creationTimestamp": null}}))],
        ),
        case("merge of what is not there", [merge(&at("a"), label("b"))]),
        case("merge leaves the status", [red(), merge(&at("a"), json!({"status": {"phase": "X"}}))]),
        case("merge into what was deleted", [red(), remove(&at("a")), merge(&at("a"), label("b"))]),
    ]
}

fn statuses() -> Vec<Case> {
    vec![
        case(
            "merge another UID into the status",
            [
                red(),
                merge(
                    &status_of("a"),
                    json!({"metadata": {"uid": "11111111-1111-4111-8111-111111111111"}, "status": {"phase": "X"}}),
                ),
            ],
        ),
        case(
            "merge an old version into the status",
            [
                red(),
                merge(&at("a"), json!({"spec": {"color": "blue"}})),
                merge(
                    &status_of("a"),
                    json!({"metadata": {"resourceVersion": "{0/metadata/resourceVersion}"}, "status": {"phase": "X"}}),
                ),
            ],
        ),
        case(
            "JSON patch of the status tests the UID",
            [
                red(),
                change(
                    &status_of("a"),
                    json!([test_uid("other"), {"op": "add", "path": "/status", "value": {"phase": "X"}}]),
                ),
                change(
                    &status_of("a"),
                    json!([test_uid(UID), {"op": "add", "path": "/status", "value": {"phase": "X"}}]),
                ),
                change(
                    &status_of("a"),
                    json!([test_uid(UID), {"op": "add", "path": "/status", "value": {"phase": "X"}}]),
                ),
            ],
        ),
        case(
            "merge into the status",
            [red(), merge(&status_of("a"), json!({"spec": {"color": "blue"}, "status": {"phase": "X"}}))],
        ),
        case(
            "metadata with the status",
            [red(), merge(&status_of("a"), json!({"metadata": {"labels": {"a": "b"}}, "status": {"phase": "X"}}))],
        ),
        case(
            "the status is taken away",
            [
                red(),
                merge(&status_of("a"), json!({"status": {"phase": "X"}})),
                merge(&status_of("a"), json!({"status": null})),
                read(&at("a")),
            ],
        ),
    ]
}
