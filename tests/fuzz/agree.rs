//! What the rules of our schemas let pass, the backend takes: nobody hears of a wrong field only after it was stored.

use kube_cel::Validator;
use loopback_operator::{
    crd,
    rules::{
        cidr,
        dns::{Alphabet, Name, Pattern, parse_ttl},
        monitoring::{ExpectedStatus, Operator, Rule, RuleText, Threshold},
    },
};
use serde_json::{Value, json};

use crate::engine::Fuzz;

/// The schema of a kind's spec.
fn spec(kind: &str) -> Value {
    let all = crd::all();
    let definition = all.iter().find(|definition| definition.spec.names.kind == kind).expect("a kind");
    let schema = serde_json::to_value(&definition.spec.versions[0].schema).unwrap();
    schema.pointer("/openAPIV3Schema/properties/spec").expect("a spec").clone()
}

/// The schema of a field of a kind's spec.
fn field(kind: &str, path: &str) -> Value {
    spec(kind).pointer(&format!("/properties/{path}")).unwrap_or_else(|| panic!("{kind} has no {path}")).clone()
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
        // the API server refuses leading zeros and signs, this evaluator does not
        let (address, prefix) = text.split_once('/').unwrap_or((text, ""));
        let odd = prefix.parse::<u8>().is_ok_and(|number| number.to_string() != prefix);
        odd || address.parse::<std::net::IpAddr>().is_err() || cidr::parse(text).is_ok()
    });
}

/// A condition with this threshold; with this recovery threshold; and whether the backend takes each.
fn conditions(parameter: &str, threshold: &Threshold) -> [(Value, bool); 2] {
    let (name, zero) = (json!({"name": "x"}), Threshold::Number(0));
    let plain = json!({"objectRef": name, "parameter": parameter, "operator": "LessThan", "threshold": threshold});
    let mut back = plain.clone();
    back["threshold"] = json!(zero);
    back["recovery"] = json!({"threshold": threshold});
    let rule = |threshold, recovery| RuleText {
        parameter,
        operator: Operator::LessThan,
        threshold,
        window: None,
        hold: None,
        recovery,
        no_data: None,
    };
    let (first, second) = (rule(threshold, None), rule(&zero, Some((Some(threshold), None))));
    [(plain, Rule::read(&first).is_ok()), (back, Rule::read(&second).is_ok())]
}

#[test]
fn agree_on_thresholds() {
    let (schema, of_field) = (spec("MonitoringCondition"), field("MonitoringCondition", "threshold"));
    let bound = |name: &str| of_field[name].as_f64().unwrap() as i64;
    let numbers = bound("minimum")..=bound("maximum");
    let words = &["Ki", "Mi", "Gi", "k", "M", "G", "ms", "s", "h", ".", "999999999999"];
    Fuzz { name: "threshold", words, inputs: 150, memory: 32 << 20 }.run(|input| {
        let Ok(text) = std::str::from_utf8(input) else { return "bytes".into() };
        if text.len() > 40 {
            return "long".into();
        }
        let number = text.parse().ok().map(Threshold::Number);
        let mut class = String::new();
        for threshold in number.into_iter().chain([Threshold::Text(text.into())]) {
            let fits = match &threshold {
                Threshold::Number(number) => numbers.contains(number),
                Threshold::Text(text) => admits(&of_field, text),
            };
            for parameter in ["response.up", "response.size", "timing.total"] {
                for (condition, taken) in conditions(parameter, &threshold) {
                    let admitted = fits && Validator::new().validate(&schema, &condition, None).is_ok();
                    assert!(!admitted || taken, "{condition} is admitted, and the backend refuses it");
                    class += &format!("{admitted} {taken} ");
                }
            }
        }
        class
    });
}

#[test]
fn agree_on_statuses() {
    let takes = |text: &str| ExpectedStatus::read(Some(&[text.to_owned()])).is_ok();
    agree("status", "MonitoringObject", "http/properties/expectedStatus/items", takes);
}
