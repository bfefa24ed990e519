//! What the rules of our schemas let pass, the backend takes: nobody hears of a wrong field only after it was stored.

use kube_cel::Validator;
use loopback_operator::{
    crd,
    rules::{
        cidr,
        dns::{Alphabet, Name, Pattern, parse_ttl},
        monitoring::{ExpectedStatus, Threshold, Unit},
    },
};
use serde_json::{Value, json};

use crate::engine::Fuzz;

/// The schema of a field of a kind's spec.
fn field(kind: &str, path: &str) -> Value {
    let all = crd::all();
    let definition = all.iter().find(|definition| definition.spec.names.kind == kind).expect("a kind");
    let schema = serde_json::to_value(&definition.spec.versions[0].schema).unwrap();
    let at = format!("/openAPIV3Schema/properties/spec/properties/{path}");
    schema.pointer(&at).unwrap_or_else(|| panic!("{kind} has no {path}")).clone()
}

/// Whether admission takes a text.
fn admits(schema: &Value, text: &str) -> bool {
    let bound = |name: &str, without| schema.get(name).and_then(Value::as_u64).unwrap_or(without);
    let length = text.chars().count() as u64;
    (bound("minLength", 0)..=bound("maxLength", u64::MAX)).contains(&length)
        && Validator::new().validate(schema, &json!(text), None).is_ok()
}

/// `name` is the folder of the cases.
fn agree(name: &'static str, kind: &str, path: &str, takes: impl Fn(&str) -> bool) {
    let schema = field(kind, path);
    Fuzz { name, words: &["a.b", "*.", "1h", "::", "/64", "2xx", "Ki"], inputs: 400, memory: 32 << 20 }.run(|input| {
        let Ok(text) = std::str::from_utf8(input) else { return "bytes".into() };
        // the evaluator is slow, and longer texts are refused before it is asked
        if text.len() > 400 {
            return "long".into();
        }
        let (admitted, taken) = (admits(&schema, text), takes(text));
        assert!(!admitted || taken, "{kind} {path}: {text:?} is admitted, and the backend refuses it");
        format!("{admitted} {taken}")
    });
}

#[test]
fn agree_on_durations() {
    agree("duration", "DnsRecord", "ttl", |text| parse_ttl(Some(text)).is_ok());
}

#[test]
fn agree_on_names() {
    agree("dns_name", "ProjectDnsZone", "domain", |text| Name::parse(text, Alphabet::Host).is_ok());
    agree("dns_name", "ProjectDnsZone", "patterns/items", |text| Pattern::parse(text).is_ok());
    agree("dns_name", "DnsRecord", "name", |text| Name::parse_owner(text, Alphabet::Underscore).is_ok());
}

#[test]
fn agree_on_networks() {
    let path = "services/items/properties/allowedOrigins/items";
    agree("cidr", "ProjectLoadBalancer", path, |text| {
        // the API server refuses leading zeros, this evaluator does not
        let address = text.split('/').next().unwrap_or_default();
        address.parse::<std::net::IpAddr>().is_err() || cidr::parse(text).is_ok()
    });
}

#[test]
fn agree_on_thresholds() {
    agree("threshold", "MonitoringCondition", "threshold", |text| {
        let threshold = Threshold::Text(text.into());
        // sizes beyond what can be measured are refused by the backend alone
        let beyond = text.ends_with("Gi") || text.ends_with('G');
        beyond || [Unit::None, Unit::Milliseconds, Unit::Bytes].iter().any(|unit| unit.read(&threshold).is_ok())
    });
}

#[test]
fn agree_on_statuses() {
    let takes = |text: &str| ExpectedStatus::read(Some(&[text.to_owned()])).is_ok();
    agree("status", "MonitoringObject", "http/properties/expectedStatus/items", takes);
}
