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
        Value::Object(map) => {
            let object = map.contains_key("name");
            *map = std::mem::take(map).into_iter().map(|(field, value)| (replaced(&field, "", names), value)).collect();
            for (field, value) in map.iter_mut() {
                match (field.as_str(), value.as_str()) {
                    ("resourceVersion", Some(version)) => *value = ranked(version, object, versions).into(),
                    ("continue", Some(token)) if !token.is_empty() => *value = "<continue>".into(),
                    _ => replace(value, field, names, versions),
                }
            }
        }
        Value::Array(items) => {
            items.iter_mut().for_each(|value| replace(value, field, names, versions));
            if field == "managedFields" {
                settle(items);
            }
        }
        Value::String(text) => *text = replaced(text, field, names),
        _ => {}
    }
}

/// Times of managers, and with them their order, depend on when a second ends.
fn settle(managers: &mut [Value]) {
    for manager in managers.iter_mut().filter_map(Value::as_object_mut) {
        manager.remove("time");
    }
    managers.sort_by_key(ToString::to_string);
}

/// The rank of an object's version; a collection's depends on what others write.
fn ranked(version: &str, object: bool, versions: &BTreeMap<u64, usize>) -> String {
    let rank = version.parse().ok().and_then(|version: u64| versions.get(&version)).filter(|_| object);
    rank.map_or_else(|| "<version>".to_owned(), |rank| format!("<version {rank}>"))
}

fn replaced(text: &str, field: &str, names: &[(String, String)]) -> String {
    if matches!(field, "creationTimestamp" | "deletionTimestamp") {
        return "<time>".to_owned();
    }
    let mut text = text.to_owned();
    for (from, to) in names {
        text = text.replace(from, to);
    }
    if text.contains("resource version") || text.contains("ResourceVersion") {
        text = without_numbers(&text);
    }
    match text.split_once("continue key is not valid") {
        // What follows are words of a library.
        Some((before, _)) => format!("{before}continue key is not valid"),
        None => text,
    }
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
