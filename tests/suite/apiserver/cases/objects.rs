//! Create, read, replace.

use serde_json::json;

use super::{SECRETS, WIDGETS, at, case, change, make, make_secret, merge, read, replace, secret, status_of, widget};
use crate::apiserver::lab::{Ask, Case, Step, post};

pub fn cases() -> Vec<Case> {
    let mut cases = creations();
    cases.extend(replacements());
    cases.extend(elsewhere());
    cases
}

fn creations() -> Vec<Case> {
    let to = |path: &str, body| Step::Send(Ask { body, ..post(path) });
    let red = json!({"spec": {"color": "red"}});
    vec![
        case("create and get", [make("a", red.clone()), read(&at("a"))]),
        case("create twice", [make("a", red.clone()), make("a", json!({"spec": {"color": "blue"}})), read(&at("a"))]),
        case("create with a generated name", [make("", json!({"metadata": {"name": null, "generateName": "w-"}}))]),
        case("create without a name", [make("", json!({"metadata": {"name": null}}))]),
        case(
            "create where there is no namespace",
            [to("/apis/conformance.loopback.cloud/v1/namespaces/none/widgets", widget("a", json!({})))],
        ),
        case("create for another namespace", [make("a", json!({"metadata": {"namespace": "default"}}))]),
        case("create another kind", [make("a", json!({"kind": "Gadget"}))]),
        case("create with a version", [make("a", json!({"metadata": {"resourceVersion": "7"}}))]),
        case("create with a status", [make("a", json!({"status": {"phase": "Done"}})), read(&at("a"))]),
        case(
            "create with what the server writes",
            [make(
                "a",
                json!({"metadata": {"uid": "11111111-1111-4111-8111-111111111111", "generation": 9,
                "deletionTimestamp": "2020-01-01T00:00:00Z", "creationTimestamp": "2020-01-01T00:00:00Z"}}),
            )],
        ),
        case(
            "unknown fields are dropped",
            [make("a", json!({"spec": {"color": "red", "none": 1}, "extra": {"a": 1}}))],
        ),
        case("empty metadata is dropped", [make("a", json!({"metadata": {"labels": {}, "finalizers": []}}))]),
        case(
            "create a Secret",
            [make_secret("s", json!({"stringData": {"token": "abc"}})), read(&format!("{SECRETS}/s"))],
        ),
    ]
}

fn replacements() -> Vec<Case> {
    let version = json!({"metadata": {"resourceVersion": "{0/metadata/resourceVersion}"}});
    let red = || make("a", json!({"spec": {"color": "red"}}));
    let with = |mut more: serde_json::Value| {
        json_patch::merge(&mut more, &version);
        widget("a", more)
    };
    vec![
        case("replace without a version", [red(), replace(&at("a"), widget("a", json!({})))]),
        case(
            "replace with an old version",
            [
                red(),
                merge(&at("a"), json!({"spec": {"color": "blue"}})),
                replace(&at("a"), with(json!({"spec": {"color": "green"}}))),
            ],
        ),
        case("replace the spec", [red(), replace(&at("a"), with(json!({"spec": {"color": "blue"}})))]),
        case(
            "replace labels only",
            [red(), replace(&at("a"), with(json!({"metadata": {"labels": {"a": "b"}}, "spec": {"color": "red"}})))],
        ),
        case(
            "replace with the same",
            [
                red(),
                merge(&at("a"), json!({"metadata": {"labels": {"a": "b"}}})),
                replace(
                    &at("a"),
                    widget(
                        "a",
                        json!({"metadata": {"labels": {"a": "b"},
                    "resourceVersion": "{1/metadata/resourceVersion}"}, "spec": {"color": "red"}}),
                    ),
                ),
            ],
        ),
        case(
            "replace another UID",
            [red(), replace(&at("a"), with(json!({"metadata": {"uid": "11111111-1111-4111-8111-111111111111"}})))],
        ),
        case("replace under another name", [red(), replace(&at("a"), widget("b", version.clone()))]),
        case(
            "replace what is not there",
            [replace(&at("a"), widget("a", json!({"metadata": {"resourceVersion": "1"}})))],
        ),
        case(
            "replace leaves the status",
            [red(), replace(&at("a"), with(json!({"spec": {"color": "blue"}, "status": {"phase": "X"}})))],
        ),
        case(
            "replace the status alone",
            [
                red(),
                replace(
                    &status_of("a"),
                    with(
                        json!({"metadata": {"labels": {"a": "b"}}, "spec": {"color": "blue"}, "status": {"phase": "X"}}),
                    ),
                ),
            ],
        ),
        case(
            "replace a Secret without a version",
            [
                make_secret("s", json!({"stringData": {"token": "abc"}})),
                replace(
                    &format!("{SECRETS}/s"),
                    secret("s", json!({"stringData": {"token": "def"}, "type": "Opaque"})),
                ),
            ],
        ),
    ]
}

fn elsewhere() -> Vec<Case> {
    let lease = |name: &str| format!("/apis/coordination.k8s.io/v1/namespaces/{{ns}}/leases/{name}");
    let lease_body = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"},
        "spec": {"holderIdentity": "one", "leaseDurationSeconds": 15}});
    vec![
        case("get what is not there", [read(&at("none")), read(&status_of("none")), read(&format!("{SECRETS}/none"))]),
        case(
            "paths that lead nowhere",
            [
                read("/apis/conformance.loopback.cloud/v1/namespaces/{ns}/gadgets"),
                read("/apis/none.loopback.cloud/v1/things"),
                make("a", json!({})),
                read(&format!("{}/none", at("a"))),
            ],
        ),
        case("get from the future", [make("a", json!({})), read(&format!("{}?resourceVersion=999999999", at("a")))]),
        case(
            "a Lease is taken over",
            [
                Step::Send(Ask {
                    body: lease_body.clone(),
                    ..post("/apis/coordination.k8s.io/v1/namespaces/{ns}/leases")
                }),
                merge(
                    &lease("l"),
                    json!({"spec": {"holderIdentity": "two"}, "metadata": {"resourceVersion": "{0/metadata/resourceVersion}"}}),
                ),
                merge(
                    &lease("l"),
                    json!({"spec": {"holderIdentity": "three"}, "metadata": {"resourceVersion": "{0/metadata/resourceVersion}"}}),
                ),
                change(&lease("l"), json!([{"op": "test", "path": "/spec/holderIdentity", "value": "one"}])),
            ],
        ),
        case("namespaces are labelled", [read("/api/v1/namespaces/{ns}")]),
        case("the wrong method", [Step::Send(Ask { body: widget("a", json!({})), ..post(&format!("{WIDGETS}/a")) })]),
    ]
}
