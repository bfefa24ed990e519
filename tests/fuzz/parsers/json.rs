//! JSON: what goes over the wire, what is stored, what Kubernetes gives. What is read, written and read again is the same.

use k8s_openapi::api::coordination::v1::Lease;
use loopback_operator::{
    backend::store::{decode, encode},
    crd,
    protocol::{
        Claim, Create, Delivered, DeliveryRef, Domain, Frame, MintedToken, NewToken, Organization, Page, Problem,
        ProjectView, RawObject, Retired, dns, load_balancer, monitoring, object_storage,
    },
    rules::{merge_patch, patch_between},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::shape;
use crate::engine::Fuzz;

const WORDS: &[&str] = &[
    "null",
    "true",
    "{}",
    "[]",
    "\"\"",
    "{\"a\":null}",
    "1e400",
    "-0",
    "\\u0000",
    "\\ud800",
    ",",
    ":",
    "\"name\":",
    "\"intent\":",
    "\"owner\":",
    "\"spec\":",
    "\"type\":",
    "\"status\":",
    "[[[[[[[[",
    "{\"a\":{\"a\":{\"a\":",
    "\"phase\":\"Live\"",
    "1",
    "\"x\"",
];

type Read = fn(&[u8]) -> Result<(), String>;

fn again<T: Serialize + DeserializeOwned>(input: &[u8]) -> Result<(), String> {
    let read: T = serde_json::from_slice(input).map_err(|problem| problem.to_string())?;
    let written = serde_json::to_value(&read).expect("what was read can be written");
    let other: T = serde_json::from_value(written.clone()).unwrap_or_else(|problem| panic!("{problem}: {written}"));
    assert_eq!(serde_json::to_value(&other).unwrap(), written);
    Ok(())
}

const WIRE: &[(&str, Read)] = &[
    ("Frame", again::<Frame>),
    ("RawObject", again::<RawObject>),
    ("Problem", again::<Problem>),
    ("ProjectView", again::<ProjectView>),
    ("Page", again::<Page<RawObject>>),
    ("Create", again::<Create>),
    ("Claim", again::<Claim>),
    ("NewToken", again::<NewToken>),
    ("MintedToken", again::<MintedToken>),
    ("Delivered", again::<Delivered>),
    ("DeliveryRef", again::<DeliveryRef>),
    ("Retired", again::<Retired>),
    ("Domain", again::<Domain>),
    ("Organization", again::<Organization>),
    ("LoadBalancer", again::<load_balancer::LoadBalancer>),
    ("Zone", again::<dns::Zone>),
    ("Record", again::<dns::Record>),
    ("Bucket", again::<object_storage::Bucket>),
    ("Credential", again::<object_storage::Credential>),
    ("MonitoringObject", again::<monitoring::MonitoringObject>),
    ("MonitoringCondition", again::<monitoring::MonitoringCondition>),
];

const KUBERNETES: &[(&str, Read)] = &[
    ("LoopbackBackend", again::<crd::LoopbackBackend>),
    ("ProjectBinding", again::<crd::ProjectBinding>),
    ("ProjectLoadBalancer", again::<crd::ProjectLoadBalancer>),
    ("ProjectDnsZone", again::<crd::ProjectDnsZone>),
    ("DnsRecord", again::<crd::DnsRecord>),
    ("ObjectBucket", again::<crd::ObjectBucket>),
    ("ObjectBucketCredential", again::<crd::ObjectBucketCredential>),
    ("MonitoringObject", again::<crd::MonitoringObject>),
    ("MonitoringCondition", again::<crd::MonitoringCondition>),
    ("Lease", again::<Lease>),
];

/// The first line names the type, the rest is the JSON.
fn typed(types: &[(&str, Read)], input: &[u8]) -> String {
    let at = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (name, json) = (&input[..at], input.get(at + 1..).unwrap_or_default());
    match types.iter().find(|(of, _)| of.as_bytes() == name) {
        Some((of, read)) => match read(json) {
            Ok(()) => format!("{of} ok"),
            Err(problem) => format!("{of} {}", shape(&problem)),
        },
        None => "no type".into(),
    }
}

#[test]
fn wire_json() {
    Fuzz { name: "wire_json", words: WORDS, inputs: 8_000, memory: 1 << 20 }.run(|input| typed(WIRE, input));
}

#[test]
fn kubernetes_json() {
    Fuzz { name: "kubernetes_json", words: WORDS, inputs: 8_000, memory: 1 << 20 }
        .run(|input| typed(KUBERNETES, input));
}

#[test]
fn merge_patches() {
    Fuzz { name: "merge_patch", words: WORDS, inputs: 6_000, memory: 1 << 20 }.run(|input| {
        let at = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
        let (first, rest) = (&input[..at], input.get(at + 1..).unwrap_or_default());
        let (Ok(from), Ok(patch)) = (serde_json::from_slice::<Value>(first), serde_json::from_slice::<Value>(rest))
        else {
            return "no JSON".into();
        };
        let to = merge_patch(&from, &patch);
        assert_eq!(merge_patch(&to, &patch), to, "twice is once");
        let between = patch_between(&from, &to);
        if !nulls(&to) {
            let found = between.as_ref().map_or_else(|| from.clone(), |between| merge_patch(&from, between));
            assert_eq!(found, to, "{from} by {between:?}");
        }
        format!("{} {} {}", kind(&from), kind(&patch), between.is_some())
    });
}

/// A merge patch cannot say null.
fn nulls(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.values().any(nulls),
        _ => false,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

#[test]
fn stored_value() {
    Fuzz { name: "stored_value", words: WORDS, inputs: 4_000, memory: 1 << 20 }.run(|input| {
        match decode::<RawObject>(input) {
            Ok(object) => {
                assert_eq!(decode::<RawObject>(&encode(&object).unwrap()), Ok(object));
                "ok".into()
            }
            Err(problem) => shape(&problem.to_string().chars().skip(38).collect::<String>()),
        }
    });
}
