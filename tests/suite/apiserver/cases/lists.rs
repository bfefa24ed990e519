//! Lists.

use serde_json::json;

use super::{SECRETS, WIDGETS, at, case, make, make_secret, merge, partly, read, remove};
use crate::apiserver::lab::{Case, Step};

fn three() -> Vec<Step> {
    let one = |name: &str, color: &str| {
        make(name, json!({"metadata": {"labels": {"color": color, name: "yes"}}, "spec": {"color": color}}))
    };
    vec![one("a", "red"), one("b", "blue"), one("c", "red")]
}

pub fn cases() -> Vec<Case> {
    let list = |query: &str| read(&format!("{WIDGETS}?{query}"));
    let then = |name: &'static str, more: Vec<Step>| case(name, three().into_iter().chain(more));
    vec![
        then("list", vec![list("")]),
        case("list nothing", [list("")]),
        then(
            "list by label",
            vec![
                list("labelSelector=color=red"),
                list("labelSelector=color!=red"),
                list("labelSelector=color in (red,green),a"),
                list("labelSelector=color notin (red),!a"),
            ]
            .into_iter()
            .map(encoded)
            .collect(),
        ),
        then("list by name", vec![list("fieldSelector=metadata.name=b"), list("fieldSelector=metadata.name!=b")]),
        then("list by a selectable field", vec![list("fieldSelector=spec.color=red")]),
        then("list by another field", vec![list("fieldSelector=spec.size=1")]),
        then("list in chunks", vec![list("limit=2"), list("limit=2&continue={3/metadata/continue}")]),
        then("list in chunks of all", vec![list("limit=3"), list("limit=500")]),
        then(
            "list in chunks by label",
            vec![
                list("limit=1&labelSelector=color=red"),
                list("limit=1&labelSelector=color=red&continue={3/metadata/continue}"),
            ],
        ),
        then(
            "list in chunks while others write",
            vec![
                list("limit=1"),
                remove(&at("b")),
                merge(&at("c"), json!({"spec": {"color": "green"}})),
                make("bb", json!({})),
                list("limit=1&continue={3/metadata/continue}"),
                list("continue={3/metadata/continue}"),
            ],
        ),
        then("list from nowhere", vec![list("limit=1&continue=nonsense")]),
        then("list from the future", vec![list("resourceVersion=999999999")]),
        then(
            "list at a version",
            vec![
                list("resourceVersion={1/metadata/resourceVersion}&resourceVersionMatch=Exact"),
                list("resourceVersion={1/metadata/resourceVersion}&resourceVersionMatch=NotOlderThan"),
                list("resourceVersion=0"),
            ],
        ),
        then("list metadata", vec![Step::Send(partly(WIDGETS))]),
        then("get metadata", vec![Step::Send(partly(&at("a")))]),
        case(
            "list Secrets",
            [
                make_secret("s", json!({"stringData": {"a": "b"}})),
                read(SECRETS),
                read(&format!("{SECRETS}?fieldSelector=metadata.name=s")),
            ],
        ),
        case(
            "list Secrets' metadata",
            [make_secret("s", json!({"stringData": {"a": "b"}})), Step::Send(partly(SECRETS))],
        ),
    ]
}

/// With blanks as paths have them.
fn encoded(step: Step) -> Step {
    match step {
        Step::Send(mut ask) => {
            ask.path = ask.path.replace(' ', "%20");
            Step::Send(ask)
        }
        other => other,
    }
}
