//! Events have two faces; they are kept as `events.k8s.io/v1`.

use serde_json::Value;

/// Core name and the other.
const NAMES: &[(&str, &str)] = &[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("source", "deprecatedSource"),
];

/// As the core group shows it.
pub fn to_core(event: &Value) -> Value {
    renamed(event, "v1", |(core, other)| (other, core))
}

/// As it is kept.
pub fn from_core(event: &Value) -> Value {
    renamed(event, "events.k8s.io/v1", |names| names)
}

fn renamed(
    event: &Value,
    api_version: &str,
    way: fn((&'static str, &'static str)) -> (&'static str, &'static str),
) -> Value {
    let mut event = event.clone();
    event["apiVersion"] = api_version.into();
    let map = event.as_object_mut().unwrap();
    for (from, to) in NAMES.iter().copied().map(way) {
        if let Some(value) = map.remove(from) {
            map.insert(to.to_owned(), value);
        }
    }
    event
}
