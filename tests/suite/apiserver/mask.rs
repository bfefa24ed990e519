//! Takes out of answers what differs each time, and keeps how it relates.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Answers with names in place of UIDs, times, generated names and the namespace, and with ranks in place of versions.
pub fn masked(mut saw: Vec<Value>, namespace: &str) -> Vec<Value> {
    let mut found = Found::default();
    saw.iter().for_each(|answer| found.look(answer));
    let versions: BTreeMap<u64, usize> = found.versions.iter().copied().zip(1..).collect();
    let mut names: Vec<(String, String)> = vec![(namespace.to_owned(), "<ns>".to_owned())];
    names.extend((1..).zip(found.uids).map(|(number, uid): (usize, _)| (uid, format!("<uid {number}>"))));
    names.extend(found.generated.into_iter().map(|name| (name, "<generated>".to_owned())));
    saw.iter_mut().for_each(|answer| replace(answer, "", &names, &versions));
    saw
}

#[derive(Default)]
struct Found {
    uids: Vec<String>,
    versions: BTreeSet<u64>,
    generated: Vec<String>,
}

impl Found {
    fn look(&mut self, value: &Value) {
        match value {
            Value::Object(map) => {
                let text = |field: &str| map.get(field).and_then(Value::as_str).map(str::to_owned);
                if let Some(uid) = text("uid").filter(|uid| uid.len() == 36 && !self.uids.contains(uid)) {
                    self.uids.push(uid);
                }
                self.generated.extend(text("generateName").and(text("name")));
                // A collection's version moves with what others write.
                if let (Some(version), Some(_)) = (text("resourceVersion"), text("name")) {
                    self.versions.extend(version.parse::<u64>());
                }
                map.values().for_each(|value| self.look(value));
            }
            Value::Array(items) => items.iter().for_each(|value| self.look(value)),
            _ => {}
        }
    }
}

fn replace(value: &mut Value, field: &str, names: &[(String, String)], versions: &BTreeMap<u64, usize>) {
    match value {
        Value::Object(map) => map.iter_mut().for_each(|(field, value)| replace(value, field, names, versions)),
        Value::Array(items) => items.iter_mut().for_each(|value| replace(value, field, names, versions)),
        Value::String(text) => *text = replaced(text, field, names, versions),
        _ => {}
    }
}

fn replaced(text: &str, field: &str, names: &[(String, String)], versions: &BTreeMap<u64, usize>) -> String {
    match field {
        "resourceVersion" => {
            let rank = text.parse().ok().and_then(|version: u64| versions.get(&version));
            return rank.map_or_else(|| "<version>".to_owned(), |rank| format!("<version {rank}>"));
        }
        "continue" => return "<continue>".to_owned(),
        "creationTimestamp" | "deletionTimestamp" | "time" => return "<time>".to_owned(),
        _ => {}
    }
    let mut text = text.to_owned();
    for (from, to) in names {
        text = text.replace(from, to);
    }
    if text.contains("resource version") || text.contains("ResourceVersion") {
        text = without_numbers(&text);
    }
    text
}

/// With `#` for each number.
fn without_numbers(text: &str) -> String {
    let mut short = String::new();
    for letter in text.chars() {
        if !letter.is_ascii_digit() {
            short.push(letter);
        } else if !short.ends_with('#') {
            short.push('#');
        }
    }
    short
}
