//! What a field may be given, made from the schemas that the API server gets. Pure: the same schemas give the same cases.

use std::collections::BTreeSet;

use loopback_operator::crd;
use serde_json::{Map, Value, json};

use super::bases::item;

/// Texts that are something somewhere, tried wherever a text may stand.
const TEXTS: [&str; 24] = [
    "x",
    "0",
    "-1",
    "1s",
    "1h1ms",
    "0s",
    "::1",
    "127.0.0.1",
    "::ffff:127.0.0.1",
    "fe80::1%eth0",
    "10.0.0.0/8",
    "::/0",
    "a.example.test",
    "*.example.test",
    "http://127.0.0.1:1/",
    "http://[::1]:1/a%20b",
    "../../x",
    "{}",
    "\"",
    "%00",
    "a\nb",
    "$(id)",
    "\u{202e}x",
    "xn--a",
];
const UNICODE: &str = "gr\u{f6}\u{df}e-\u{1f511}";

/// One field of a kind's spec.
#[derive(Clone, Debug)]
pub struct Field {
    /// From the spec: `/services/0/port`.
    pub pointer: String,
    schema: Value,
}

/// The schema of a kind's spec.
pub fn spec_schema(kind: &str) -> Value {
    let definition = crd::all().into_iter().find(|definition| definition.spec.names.kind == kind);
    let definition = serde_json::to_value(definition.expect("a kind of ours")).expect("a definition is JSON");
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].clone()
}

/// All fields of a kind's spec; those of a list's items at its first item.
pub fn fields(kind: &str) -> Vec<Field> {
    let mut found = Vec::new();
    collect(&spec_schema(kind), "", &mut found);
    found
}

fn collect(schema: &Value, pointer: &str, found: &mut Vec<Field>) {
    if !pointer.is_empty() {
        found.push(Field { pointer: pointer.to_owned(), schema: schema.clone() });
    }
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        collect(inner, &format!("{pointer}/{name}"), found);
    }
    if schema["items"].is_object() {
        collect(&schema["items"], &format!("{pointer}/0"), found);
    }
}

/// The names of all fields of a kind, for messages that must name one.
pub fn names(kind: &str) -> BTreeSet<String> {
    let pointers = fields(kind).into_iter().map(|field| field.pointer);
    pointers.filter_map(|pointer| pointer.rsplit('/').find(|part| *part != "0").map(str::to_owned)).collect()
}

/// What a field is given under a label; `None`: it is taken away.
pub type Try = (String, Option<Value>);

impl Field {
    /// Everything that this field is given.
    pub fn tries(&self) -> Vec<Try> {
        let mut tries: Vec<Try> = vec![("absent".into(), None)];
        let mut add = |label: &str, value: Value| tries.push((label.to_owned(), Some(value)));
        add("null", Value::Null);
        if let Some(value) = self.written_default() {
            add("default", value);
        }
        match self.schema["type"].as_str() {
            Some("string") => self.texts(&mut add),
            Some("integer") => self.numbers(&mut add),
            Some("array") => self.lists(&mut add),
            Some("boolean") => {
                add("true", json!(true));
                add("false", json!(false));
            }
            Some("object") => {
                add("empty", json!({}));
                add("unknown-field", json!({"hostile": 1}));
            }
            _ => {
                self.numbers(&mut add);
                self.texts(&mut add);
            }
        }
        for (label, value) in wrong_types() {
            if self.schema["type"] != label {
                add(&format!("type-{label}"), value);
            }
        }
        tries
    }

    /// What a label stands for.
    pub fn value(&self, label: &str) -> Option<Option<Value>> {
        self.tries().into_iter().find(|(found, _)| found == label).map(|(_, value)| value)
    }

    fn texts(&self, add: &mut impl FnMut(&str, Value)) {
        add("empty", json!(""));
        add("unicode", json!(UNICODE));
        add("very-long", json!("a".repeat(100_000)));
        for name in self.schema["enum"].as_array().into_iter().flatten() {
            add(&format!("enum-{}", name.as_str().unwrap_or_default()), name.clone());
        }
        let length = |key: &str| self.schema[key].as_u64().and_then(|length| usize::try_from(length).ok());
        for (label, length) in [
            ("longest", length("maxLength")),
            ("too-long", length("maxLength").map(|length| length + 1)),
            ("shortest", length("minLength")),
            ("too-short", length("minLength").and_then(|length| length.checked_sub(1))),
        ] {
            if let Some(length) = length {
                add(label, json!("a".repeat(length)));
            }
        }
        for (label, text) in self.durations() {
            add(label, json!(text));
        }
        for (index, text) in TEXTS.iter().enumerate() {
            add(&format!("text-{index}"), json!(text));
        }
    }

    /// The bounds of a duration stand in its rules.
    fn durations(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        for rule in self.schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            let rule = rule["rule"].as_str().unwrap_or_default();
            let bound = |operator: &str| {
                let (_, rest) = rule.split_once(&format!("duration(self) {operator} duration('"))?;
                rest.split_once('\'').map(|(bound, _)| bound.to_owned())
            };
            if let Some(least) = bound(">=") {
                let under = match least.as_str() {
                    "1s" => "999ms".to_owned(),
                    _ => least
                        .strip_suffix("ms")
                        .and_then(|n| n.parse::<u64>().ok())
                        .map_or_else(|| "-1ms".to_owned(), |n| format!("{}ms", n - 1)),
                };
                found.extend([("min", least), ("under-min", under)]);
            }
            if let Some(most) = bound("<=") {
                found.extend([("over-max", format!("{most}1ms")), ("max", most)]);
            }
        }
        found
    }

    fn numbers(&self, add: &mut impl FnMut(&str, Value)) {
        let bound = |key: &str| self.schema[key].as_f64().map(|bound| bound as i64);
        if let Some(least) = bound("minimum") {
            add("min", json!(least));
            add("under-min", json!(least - 1));
        }
        if let Some(most) = bound("maximum") {
            add("max", json!(most));
            add("over-max", json!(most + 1));
        }
        add("fraction", json!(1.5));
        add("huge", json!(1e300));
        add("int64", json!(i64::MAX));
        add("negative", json!(i64::MIN));
    }

    fn lists(&self, add: &mut impl FnMut(&str, Value)) {
        add("empty", json!([]));
        add("of-null", json!([null]));
        let names = self.schema["items"]["enum"].as_array();
        let many = |count: u64| -> Value {
            match names {
                Some(names) => names.iter().cycle().take(usize::try_from(count).unwrap_or(0)).cloned().collect(),
                None => (0..count).map(|index| item(&self.pointer, index)).collect(),
            }
        };
        add("one", many(1));
        add("twice", json!([item(&self.pointer, 1), item(&self.pointer, 1)]));
        if let Some(most) = self.schema["maxItems"].as_u64() {
            add("full", many(most));
            add("over-full", many(most + 1));
        }
    }

    /// What the description says that absence means.
    fn written_default(&self) -> Option<Value> {
        let text = self.schema["description"].as_str()?;
        let quoted = |text: &str| text.split('`').nth(1).map(str::to_owned);
        let word = match (text.split_once("Absent: "), text.split_once("` (absent)")) {
            (Some((_, after)), _) if after.starts_with('`') => quoted(after)?,
            (Some((_, after)), _) => after.split('.').next()?.to_owned(),
            (None, Some((before, _))) => before.rsplit('`').next()?.to_owned(),
            (None, None) => return None,
        };
        match self.schema["type"].as_str()? {
            "integer" => word.parse::<i64>().ok().map(Value::from),
            "boolean" => word.parse::<bool>().ok().map(Value::from),
            "array" => {
                let names = word.strip_prefix('[')?.strip_suffix(']')?;
                Some(names.split(", ").map(Value::from).collect())
            }
            "string" if !word.contains(' ') => Some(json!(word)),
            _ => None,
        }
    }
}

fn wrong_types() -> [(&'static str, Value); 5] {
    [
        ("string", json!("x")),
        ("integer", json!(7)),
        ("boolean", json!(true)),
        ("array", json!(["x"])),
        ("object", json!({"x": {"y": []}})),
    ]
}

/// Gives the field at `pointer` a value, or takes it away. What is above it comes into being.
pub fn change(spec: &mut Value, pointer: &str, value: Option<&Value>) {
    let (above, last) = pointer.rsplit_once('/').expect("a pointer");
    let mut place = spec;
    for part in above.split('/').skip(1) {
        place = step(place, part, part_is_index(pointer, above, part));
    }
    match (place, value) {
        (Value::Object(object), Some(value)) => drop(object.insert(last.to_owned(), value.clone())),
        (Value::Object(object), None) => drop(object.remove(last)),
        (Value::Array(items), Some(value)) if items.is_empty() => items.push(value.clone()),
        (Value::Array(items), Some(value)) => items[0] = value.clone(),
        (Value::Array(items), None) if !items.is_empty() => drop(items.remove(0)),
        // what is above was made something that has no fields
        _ => {}
    }
}

/// Whether what stands at `part` holds items: the next part of the pointer says so.
fn part_is_index(pointer: &str, above: &str, part: &str) -> bool {
    let end = above.find(&format!("/{part}")).map_or(0, |at| at + part.len() + 1);
    pointer[end..].starts_with("/0")
}

fn step<'a>(place: &'a mut Value, part: &str, of_items: bool) -> &'a mut Value {
    let fresh = || if of_items { json!([]) } else { Value::Object(Map::new()) };
    match place {
        Value::Object(object) => object.entry(part).or_insert_with(fresh),
        Value::Array(items) => {
            if items.is_empty() {
                items.push(fresh());
            }
            &mut items[0]
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_its_tries() {
        let balancer = fields("ProjectLoadBalancer");
        let labels = |pointer: &str| -> Vec<String> {
            let field = balancer.iter().find(|field| field.pointer == pointer).expect("a field");
            field.tries().into_iter().map(|(label, _)| label).collect()
        };
        let has = |pointer: &str, wanted: &[&str]| {
            let found = labels(pointer);
            for label in wanted {
                assert!(found.iter().any(|found| found == label), "{pointer} lacks {label}: {found:?}");
            }
            assert_eq!(found.len(), found.iter().collect::<BTreeSet<_>>().len(), "{pointer} has a label twice");
        };
        has("/services/0/port", &["absent", "null", "min", "max", "under-min", "over-max", "type-string"]);
        has("/services/0/healthCheck/interval", &["default", "min", "under-min", "max", "over-max", "unicode"]);
        has("/addressFamilies", &["default", "empty", "full", "over-full", "twice", "type-object"]);
        has("/algorithm", &["default", "enum-LeastConnections", "very-long", "empty"]);
        has("/import", &["absent", "empty", "unknown-field", "type-array"]);
    }

    #[test]
    fn a_change_reaches_its_field_whatever_stands_above() {
        for (before, pointer, value, after) in [
            (json!({"a": [{"b": 1}]}), "/a/0/b", Some(json!(2)), json!({"a": [{"b": 2}]})),
            (json!({}), "/a/0/b", Some(json!(2)), json!({"a": [{"b": 2}]})),
            (json!({"a": {"b": 1}}), "/a/b", None, json!({"a": {}})),
            (json!({"a": [1, 2]}), "/a/0", None, json!({"a": [2]})),
            (json!({"a": "x"}), "/a/b", Some(json!(2)), json!({"a": "x"})),
        ] {
            let mut spec = before;
            change(&mut spec, pointer, value.as_ref());
            assert_eq!(spec, after, "{pointer}");
        }
    }
}
