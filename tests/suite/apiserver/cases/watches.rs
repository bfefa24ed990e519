//! Watches.

use serde_json::json;

use super::{
    SECRETS, WIDGETS, apply, at, case, held, make, make_secret, merge, partly, remove, status_of, watch, widget,
};
use crate::apiserver::lab::{Case, Step};

const FROM_FIRST: &str = "watch=true&resourceVersion={0/metadata/resourceVersion}";

fn from_first(more: &str) -> Step {
    watch(&format!("{WIDGETS}?{FROM_FIRST}{more}"))
}

pub fn cases() -> Vec<Case> {
    let mut cases = histories();
    cases.extend(beginnings());
    cases.extend(selections());
    cases
}

fn histories() -> Vec<Case> {
    let blue = || merge(&at("a"), json!({"spec": {"color": "blue"}}));
    let free = || merge(&at("a"), json!({"metadata": {"finalizers": null}}));
    vec![
        case(
            "watch goes on from a version",
            [
                make("a", json!({})),
                blue(),
                make("b", json!({})),
                from_first(""),
                Step::Events(2),
                remove(&at("b")),
                Step::Events(1),
            ],
        ),
        case(
            "watch across a re-creation",
            [
                make("a", json!({})),
                from_first(""),
                remove(&at("a")),
                make("a", json!({"spec": {"size": 2}})),
                blue(),
                Step::Events(3),
            ],
        ),
        case(
            "watch across a held deletion",
            [make("a", held()), from_first(""), remove(&at("a")), free(), Step::Events(2)],
        ),
        case(
            "writes without effect are not told",
            [
                make("a", json!({})),
                blue(),
                from_first(""),
                blue(),
                merge(&at("a"), json!({})),
                make("b", json!({})),
                Step::Events(2),
            ],
        ),
        case(
            "a status is told",
            [
                make("a", json!({})),
                from_first(""),
                apply(&format!("{}?force=true", status_of("a")), widget("a", json!({"status": {"phase": "X"}}))),
                Step::Events(1),
            ],
        ),
    ]
}

fn beginnings() -> Vec<Case> {
    let initial =
        "&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=20";
    vec![
        case(
            "watch from too old a version",
            [make("a", json!({})), watch(&format!("{WIDGETS}?watch=true&resourceVersion=1")), Step::End],
        ),
        case(
            "watch from the start",
            [
                make("a", json!({})),
                watch(&format!("{WIDGETS}?watch=true")),
                Step::Events(1),
                make("b", json!({})),
                Step::Events(1),
            ],
        ),
        case(
            "watch from any version",
            [make("a", json!({})), watch(&format!("{WIDGETS}?watch=true&resourceVersion=0")), Step::Events(1)],
        ),
        case(
            "a streamed list",
            [
                make("a", json!({})),
                watch(&format!("{WIDGETS}?watch=true&resourceVersion={{0/metadata/resourceVersion}}{initial}")),
                Step::Events(2),
                make("b", json!({})),
                Step::Events(1),
            ],
        ),
        case(
            "a streamed list of one Secret",
            [
                make_secret("s", json!({"stringData": {"a": "b"}})),
                make_secret("t", json!({})),
                watch(&format!(
                    "{SECRETS}?watch=true&resourceVersion={{1/metadata/resourceVersion}}&fieldSelector=metadata.name=s{initial}"
                )),
                Step::Events(2),
                remove(&format!("{SECRETS}/t")),
                remove(&format!("{SECRETS}/s")),
                Step::Events(1),
            ],
        ),
        case(
            "a streamed list of nothing",
            [
                watch(&format!("{SECRETS}?watch=true&resourceVersion=0&fieldSelector=metadata.name=s{initial}")),
                Step::Events(1),
            ],
        ),
        case("watch ends in time", [make("a", json!({})), from_first("&timeoutSeconds=1"), Step::End]),
        case(
            "watch with initial events and no match",
            [watch(&format!("{WIDGETS}?watch=true&sendInitialEvents=true"))],
        ),
    ]
}

fn selections() -> Vec<Case> {
    let label = |value: &str| merge(&at("a"), json!({"metadata": {"labels": {"x": value}}}));
    vec![
        case(
            "watch by label",
            [
                make("a", json!({})),
                from_first("&labelSelector=x=1"),
                label("1"),
                merge(&at("a"), json!({"spec": {"size": 1}})),
                label("2"),
                label("1"),
                remove(&at("a")),
                Step::Events(5),
            ],
        ),
        case(
            "watch by name",
            [
                make("a", json!({})),
                from_first("&fieldSelector=metadata.name=b"),
                label("1"),
                make("b", json!({})),
                remove(&at("b")),
                Step::Events(2),
            ],
        ),
        case(
            "watch metadata",
            [
                make("a", json!({})),
                Step::Watch(partly(&format!("{WIDGETS}?{FROM_FIRST}"))),
                merge(&at("a"), json!({"spec": {"size": 1}})),
                remove(&at("a")),
                Step::Events(2),
            ],
        ),
        case(
            "watch one namespace of many",
            [
                make("a", json!({})),
                watch(&format!(
                    "/apis/conformance.loopback.cloud/v1/widgets?{FROM_FIRST}&fieldSelector=metadata.namespace={{ns}}"
                )),
                label("1"),
                Step::Events(1),
            ],
        ),
    ]
}
