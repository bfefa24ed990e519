//! Wrong LoopbackBackends.

use serde_json::{Value, json};

use super::{Allowed, Case, Table, allow, create, remove, set};

const PAIR: &str = "selector goes with from: Selector, and only with it";
const LABEL_KEY: &str = "label key such as team or example.com/team";

pub(super) fn table() -> Table {
    let mut cases = vec![
        create("no token", [remove("/spec/tokenSecretRef")], &["spec.tokenSecretRef", "Required value"]),
        create(
            "token without namespace",
            [remove("/spec/tokenSecretRef/namespace")],
            &["spec.tokenSecretRef.namespace", "Required value"],
        ),
        create(
            "address without scheme",
            [set("/spec/url", json!("api.example.com"))],
            &["spec.url", "must be an absolute URL"],
        ),
        create(
            "grant without namespaces",
            [remove("/spec/grants/0/namespaces")],
            &["spec.grants[0].namespaces", "Required value"],
        ),
        create("grant twice", [set("/spec/grants/1/name", json!("shop"))], &["spec.grants[1]", "Duplicate value"]),
        create("no projects", [set("/spec/grants/0/projects", json!([]))], &["spec.grants[0].projects", "at least 1"]),
        create(
            "all projects by a star",
            [set("/spec/grants/0/projects", json!(["*"]))],
            &["spec.grants[0].projects[0]", "must be 1 to 63"],
        ),
        create(
            "project twice",
            [set("/spec/grants/0/projects", json!(["a", "a"]))],
            &["spec.grants[0].projects[1]", "Duplicate value"],
        ),
        create(
            "namespaces from Same",
            [set("/spec/grants/0/namespaces/from", json!("Same"))],
            &["spec.grants[0].namespaces.from", "\"All\"", "\"Selector\""],
        ),
    ];
    cases.extend(selectors());
    Table { plural: "loopbackbackends", namespaced: false, good: good(), cases, allowed: allowed() }
}

fn good() -> Value {
    json!({
        "apiVersion": "loopback.cloud/v1alpha1",
        "kind": "LoopbackBackend",
        "metadata": {},
        "spec": {
            "url": "https://api.example.com",
            "tokenSecretRef": {"namespace": "loopback-system", "name": "acme", "key": "token"},
            "grants": [
                {"name": "shop", "organization": "acme", "projects": ["shop"],
                 "namespaces": {"from": "Selector", "selector": {"matchLabels": {"team": "shop"},
                                "matchExpressions": [{"key": "example.com/stage", "operator": "In", "values": ["prod"]}]}}},
                {"name": "all", "organization": "acme", "namespaces": {"from": "All"}},
            ],
        },
    })
}

/// Selectors that select nothing, or contradict themselves.
fn selectors() -> Vec<Case> {
    vec![
        create(
            "selector without labels",
            [set("/spec/grants/0/namespaces/selector", json!({}))],
            &["spec.grants[0].namespaces.selector", "at least 1"],
        ),
        create(
            "no labels",
            [set("/spec/grants/0/namespaces/selector/matchLabels", json!({}))],
            &["selector.matchLabels", "at least 1"],
        ),
        create(
            "no expressions",
            [set("/spec/grants/0/namespaces/selector/matchExpressions", json!([]))],
            &["selector.matchExpressions", "at least 1"],
        ),
        create(
            "selector missing",
            [remove("/spec/grants/0/namespaces/selector")],
            &["spec.grants[0].namespaces", PAIR],
        ),
        create(
            "selector beside All",
            [set("/spec/grants/0/namespaces/from", json!("All"))],
            &["spec.grants[0].namespaces", PAIR],
        ),
        create(
            "label key with a space",
            [set("/spec/grants/0/namespaces/selector/matchLabels", json!({"my team": "shop"}))],
            &["selector.matchLabels", LABEL_KEY],
        ),
        create(
            "label value with a space",
            [set("/spec/grants/0/namespaces/selector/matchLabels/team", json!("my shop"))],
            &["selector.matchLabels[team]", "must be a label value"],
        ),
        create(
            "expression's key with a space",
            [set("/spec/grants/0/namespaces/selector/matchExpressions/0/key", json!("my team"))],
            &["matchExpressions[0].key", LABEL_KEY],
        ),
        create(
            "expression's operator in capitals",
            [set("/spec/grants/0/namespaces/selector/matchExpressions/0/operator", json!("IN"))],
            &["matchExpressions[0].operator", "\"NotIn\""],
        ),
        create(
            "In without values",
            [remove("/spec/grants/0/namespaces/selector/matchExpressions/0/values")],
            &["matchExpressions[0]", "values go with the operators In and NotIn"],
        ),
        create(
            "Exists with values",
            [set("/spec/grants/0/namespaces/selector/matchExpressions/0/operator", json!("Exists"))],
            &["matchExpressions[0]", "values go with the operators In and NotIn"],
        ),
    ]
}

fn allowed() -> Vec<Allowed> {
    vec![
        allow("another address and token", [], [remove("/spec/url"), set("/spec/tokenSecretRef/name", json!("b"))]),
        allow("no grants", [remove("/spec/grants")], [set("/spec/grants", json!([]))]),
        allow("all projects", [], [remove("/spec/grants/0/projects")]),
        allow("only expressions", [], [remove("/spec/grants/0/namespaces/selector/matchLabels")]),
        allow("an empty label value", [], [set("/spec/grants/0/namespaces/selector/matchLabels/team", json!(""))]),
    ]
}
