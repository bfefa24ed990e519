//! Deletion, finalizers, owners, the end of namespaces.

use serde_json::{Value, json};

use super::{SECRETS, WIDGETS, at, case, change, held, make, make_secret, merge, read, remove, remove_with};
use crate::apiserver::lab::{Ask, Case, Step, get, put};

pub fn cases() -> Vec<Case> {
    let mut cases = single();
    cases.extend(finalizers());
    cases.extend(owned());
    cases.extend(namespaces());
    cases
}

fn release() -> Step {
    change(
        &at("a"),
        json!([{"op": "test", "path": "/metadata/uid", "value": "{0/metadata/uid}"},
        {"op": "test", "path": "/metadata/finalizers/0", "value": "conformance.loopback.cloud/hold"},
        {"op": "remove", "path": "/metadata/finalizers/0"}]),
    )
}

fn single() -> Vec<Case> {
    let only = |field: &str, value: &str| remove_with(&at("a"), json!({"preconditions": {field: value}}));
    vec![
        case("delete", [make("a", json!({})), remove(&at("a")), read(&at("a"))]),
        case("delete what is not there", [remove(&at("a"))]),
        case("delete twice", [make("a", json!({})), remove(&at("a")), remove(&at("a"))]),
        case("delete a Secret", [make_secret("s", json!({})), remove(&format!("{SECRETS}/s"))]),
        case(
            "delete another UID",
            [make("a", json!({})), only("uid", "11111111-1111-4111-8111-111111111111"), read(&at("a"))],
        ),
        case("delete by UID", [make("a", json!({})), only("uid", "{0/metadata/uid}")]),
        case(
            "delete another version",
            [
                make("a", json!({})),
                merge(&at("a"), json!({"spec": {"size": 1}})),
                only("resourceVersion", "{0/metadata/resourceVersion}"),
            ],
        ),
        case(
            "re-create under the same name",
            [
                make("a", json!({"spec": {"size": 1}})),
                remove(&at("a")),
                make("a", json!({})),
                release(),
                only("uid", "{0/metadata/uid}"),
            ],
        ),
        case(
            "delete a collection",
            [
                make("a", json!({"metadata": {"labels": {"x": "1"}}})),
                make("b", json!({"metadata": {"labels": {"x": "2"}}})),
                remove(&format!("{WIDGETS}?labelSelector=x=1")),
                read(&at("a")),
                read(&at("b")),
            ],
        ),
    ]
}

fn finalizers() -> Vec<Case> {
    let path = at("a");
    let begun = || vec![make("a", held()), remove(&path)];
    let then = |name: &'static str, more: Vec<Step>| case(name, begun().into_iter().chain(more));
    vec![
        then("delete what is held", vec![read(&path)]),
        then("delete what is held twice", vec![remove(&path)]),
        then("the last finalizer goes", vec![release(), read(&path)]),
        then("the finalizer goes twice", vec![release(), release()]),
        then("a finalizer goes after a re-creation", vec![release(), make("a", held()), release(), read(&path)]),
        then(
            "no new finalizer while deleting",
            vec![change(
                &path,
                json!([{"op": "add", "path": "/metadata/finalizers/-", "value": "conformance.loopback.cloud/more"}]),
            )],
        ),
        then(
            "another finalizer instead",
            vec![merge(&path, json!({"metadata": {"finalizers": ["conformance.loopback.cloud/more"]}}))],
        ),
        then("create while deleting", vec![make("a", json!({}))]),
        then(
            "edits while deleting",
            vec![
                merge(&path, json!({"spec": {"color": "blue"}})),
                merge(&path, json!({"metadata": {"deletionTimestamp": null}})),
            ],
        ),
        then(
            "delete with another UID while deleting",
            vec![remove_with(&path, json!({"preconditions": {"uid": "11111111-1111-4111-8111-111111111111"}}))],
        ),
        then(
            "the last finalizer goes with an edit",
            vec![merge(&path, json!({"metadata": {"finalizers": null}, "spec": {"color": "blue"}})), read(&path)],
        ),
    ]
}

fn owner(uid: &str, blocks: bool) -> Value {
    json!({"metadata": {"ownerReferences": [{"apiVersion": "conformance.loopback.cloud/v1", "kind": "Widget", "name": "a",
        "uid": uid, "controller": true, "blockOwnerDeletion": blocks}]}})
}

fn owned() -> Vec<Case> {
    let by = |policy: &str| remove_with(&at("a"), json!({"propagationPolicy": policy}));
    vec![
        case(
            "what is owned goes with its owner",
            [
                make("a", json!({})),
                make_secret("s", owner("{0/metadata/uid}", true)),
                remove(&at("a")),
                Step::Gone("/api/v1/namespaces/{ns}/secrets/s"),
            ],
        ),
        case(
            "an owner with another UID is none",
            [
                make("a", json!({})),
                make_secret("s", owner("11111111-1111-4111-8111-111111111111", true)),
                Step::Gone("/api/v1/namespaces/{ns}/secrets/s"),
                read(&at("a")),
            ],
        ),
        case(
            "delete in the foreground",
            [
                make("a", json!({})),
                make("b", {
                    let mut more = owner("{0/metadata/uid}", true);
                    json_patch::merge(&mut more, &held());
                    more
                }),
                by("Foreground"),
                Step::Until(
                    "/apis/conformance.loopback.cloud/v1/namespaces/{ns}/widgets/b",
                    "/metadata/generation",
                    json!(2),
                ),
                read(&at("b")),
                merge(&at("b"), json!({"metadata": {"finalizers": null}})),
                Step::Gone("/apis/conformance.loopback.cloud/v1/namespaces/{ns}/widgets/a"),
            ],
        ),
        case(
            "delete and leave orphans",
            [
                make("a", json!({})),
                make("b", owner("{0/metadata/uid}", true)),
                by("Orphan"),
                Step::Gone("/apis/conformance.loopback.cloud/v1/namespaces/{ns}/widgets/a"),
                read(&at("b")),
            ],
        ),
    ]
}

fn namespaces() -> Vec<Case> {
    const NAMESPACE: &str = "/api/v1/namespaces/{ns}";
    vec![
        case("an empty namespace ends", [remove(NAMESPACE), Step::Gone(NAMESPACE), read(NAMESPACE)]),
        case(
            "a namespace waits for what is held",
            [
                make("a", held()),
                make("b", json!({})),
                remove(NAMESPACE),
                make("c", json!({})),
                make_secret("s", json!({})),
                Step::Gone("/apis/conformance.loopback.cloud/v1/namespaces/{ns}/widgets/b"),
                merge(&at("a"), json!({"metadata": {"finalizers": null}})),
                Step::Gone(NAMESPACE),
                make("a", json!({})),
            ],
        ),
        case(
            "a namespace is finalized",
            [
                read(NAMESPACE),
                Step::Send(Ask {
                    body: json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "{ns}"}, "spec": {"finalizers": []}}),
                    ..put("/api/v1/namespaces/{ns}/finalize")
                }),
                remove(NAMESPACE),
                Step::Send(get(NAMESPACE)),
            ],
        ),
    ]
}
