//! Who owns which field, and server-side apply.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Map, Value, json};

use super::{
    fields::{Fields, children, compare, keyed_edge, named},
    schema::{OPEN, Schema, Shape},
    status::Refusal,
};

/// One entry of `managedFields`.
#[derive(Clone, Debug)]
pub struct Manager {
    pub name: String,
    /// `Apply` or `Update`.
    pub applies: bool,
    pub subresource: String,
    pub time: String,
    pub fields: Fields,
}

/// All managers of an object.
pub type Managers = Arc<Vec<Manager>>;

/// Who writes, and how.
#[derive(Clone, Debug)]
pub struct Author<'a> {
    pub name: &'a str,
    pub applies: bool,
    pub subresource: &'a str,
    pub force: bool,
    pub time: &'a str,
    /// Whether `/status` is apart, so that main writes own nothing of it and status writes nothing else.
    pub split: bool,
    /// Of a custom resource, whose parts can be owned as a whole.
    pub custom: bool,
}

impl Author<'_> {
    fn is(&self, manager: &Manager) -> bool {
        manager.name == self.name && manager.applies == self.applies && manager.subresource == self.subresource
    }

    /// Of these fields those that this author can own.
    fn allowed(&self, fields: Fields) -> Fields {
        let mut fields = fields.without_identity();
        if !self.custom {
            for part in ["f:spec", "f:status"] {
                fields.inner.entry(part.to_owned()).and_modify(|part| part.own = false);
            }
        }
        match (self.split, self.subresource) {
            (true, "") => fields.without("status"),
            (true, "status") => fields.without("spec").without("metadata"),
            _ => fields,
        }
    }
}

/// As `managedFields` of an object.
pub fn document(managers: &Managers, api_version: &str) -> Value {
    let one = |manager: &Manager| {
        let mut entry = json!({"manager": manager.name, "operation": if manager.applies { "Apply" } else { "Update" },
            "apiVersion": api_version, "time": manager.time, "fieldsType": "FieldsV1",
            "fieldsV1": manager.fields.document()});
        if !manager.subresource.is_empty() {
            entry["subresource"] = manager.subresource.clone().into();
        }
        entry
    };
    managers.iter().map(one).collect()
}

/// Managers after a write that is no apply.
pub fn updated(
    old: Option<&Value>,
    new: &Value,
    schema: &Schema,
    managers: &Managers,
    author: &Author<'_>,
) -> Managers {
    // Who never applied and owned nothing from the start is not tracked.
    if old.is_some() && managers.is_empty() {
        return managers.clone();
    }
    let differences = compare(old, Some(new), schema);
    let (written, removed) = (author.allowed(differences.written()), differences.removed.without_identity());
    if written.is_empty() && removed.is_empty() {
        return managers.clone();
    }
    let mut managers: Vec<Manager> = (**managers).clone();
    for manager in managers.iter_mut().filter(|manager| !author.is(manager)) {
        manager.fields = manager.fields.difference(&written).difference(&removed);
    }
    let mine = managers.iter().find(|manager| author.is(manager)).map(|manager| manager.fields.clone());
    let mine = mine.unwrap_or_default().difference(&removed).union(&written);
    set(&mut managers, author, mine);
    Arc::new(managers)
}

fn set(managers: &mut Vec<Manager>, author: &Author<'_>, fields: Fields) {
    match managers.iter_mut().find(|manager| author.is(manager)) {
        Some(manager) if manager.fields == fields => {}
        Some(manager) => {
            manager.fields = fields;
            manager.time = author.time.to_owned();
        }
        None => managers.push(Manager {
            name: author.name.to_owned(),
            applies: author.applies,
            subresource: author.subresource.to_owned(),
            time: author.time.to_owned(),
            fields,
        }),
    }
    managers.retain(|manager| !manager.fields.is_empty());
}

/// The object and its managers after an apply.
pub fn apply(
    live: &Value,
    configuration: &Value,
    schema: &Schema,
    managers: &Managers,
    author: &Author<'_>,
) -> Result<(Value, Managers), Refusal> {
    let mut all: Vec<Manager> = (**managers).clone();
    if all.is_empty() {
        let before = Author { name: "before-first-apply", applies: false, ..author.clone() };
        set(&mut all, &before, before.allowed(compare(None, Some(live), schema).added));
    }
    let last = all.iter().find(|manager| author.is(manager)).map(|manager| manager.fields.clone());
    let mine = author.allowed(named(configuration, schema));
    let mut merged = merge(live, configuration, schema);
    set(&mut all, author, mine);
    if let Some(last) = last {
        let owned = all.iter().fold(Fields::default(), |all, manager| all.union(&manager.fields));
        remove(&mut merged, &last.difference(&owned), &owned, schema);
    }
    let differences = compare(Some(live), Some(&merged), schema);
    let (written, removed) = (differences.written().without_identity(), differences.removed.without_identity());
    let mut contested = Vec::new();
    for manager in all.iter_mut().filter(|manager| !author.is(manager)) {
        let conflicts = manager.fields.intersection(&written);
        let mut paths = Vec::new();
        conflicts.paths("", &mut paths);
        contested.extend(paths.into_iter().map(|path| (quoted(manager), path)));
        manager.fields = manager.fields.difference(&conflicts).difference(&removed);
    }
    if !author.force && !contested.is_empty() {
        return Err(Refusal::contested(&contested));
    }
    all.retain(|manager| !manager.fields.is_empty());
    Ok((merged, Arc::new(all)))
}

/// A manager as conflicts name it.
fn quoted(manager: &Manager) -> String {
    let name = format!("\"{}\"", manager.name);
    let with = if manager.subresource.is_empty() {
        String::new()
    } else {
        format!(" with subresource \"{}\"", manager.subresource)
    };
    if manager.applies { format!("{name}{with}") } else { format!("{name}{with} using {{version}}") }
}

/// What is live with what is applied on top of it.
fn merge(live: &Value, applied: &Value, schema: &Schema) -> Value {
    match (&schema.shape, live, applied) {
        (Shape::Map { .. } | Shape::Open, Value::Object(live), Value::Object(applied)) => {
            let mut merged: Map<String, Value> = live.clone();
            for (name, value) in applied {
                let schema = schema.field(name).unwrap_or(OPEN);
                let value = live.get(name).map_or_else(|| value.clone(), |live| merge(live, value, schema));
                merged.insert(name.clone(), value);
            }
            Value::Object(merged)
        }
        (Shape::Keyed { keys, item }, Value::Array(live), Value::Array(applied)) => {
            merge_lists(live, applied, &|value| keyed_edge(keys, value), &|live, applied| merge(live, applied, item))
        }
        (Shape::Set, Value::Array(live), Value::Array(applied)) => {
            merge_lists(live, applied, &ToString::to_string, &|_, applied| applied.clone())
        }
        _ => applied.clone(),
    }
}

/// What is applied keeps its order; what only is live keeps its place.
fn merge_lists(
    live: &[Value],
    applied: &[Value],
    edge: &dyn Fn(&Value) -> String,
    merge: &dyn Fn(&Value, &Value) -> Value,
) -> Value {
    let places: Vec<String> = live.iter().map(edge).collect();
    let wanted: Vec<String> = applied.iter().map(edge).collect();
    let mut merged = Vec::new();
    let mut done = BTreeSet::new();
    let (mut left, mut right) = (0, 0);
    while left < live.len() || right < applied.len() {
        if left < live.len() && (done.contains(&places[left]) || right == applied.len()) {
            if !done.contains(&places[left]) {
                merged.push(live[left].clone());
            }
            left += 1;
        } else if left < live.len() && !wanted.contains(&places[left]) {
            merged.push(live[left].clone());
            left += 1;
        } else {
            let known = places.iter().position(|place| *place == wanted[right]);
            merged.push(known.map_or_else(|| applied[right].clone(), |at| merge(&live[at], &applied[right])));
            done.insert(wanted[right].clone());
            right += 1;
        }
    }
    Value::Array(merged)
}

/// Takes fields out of a value, but for what somebody owns.
fn remove(value: &mut Value, gone: &Fields, owned: &Fields, schema: &Schema) {
    if gone.is_empty() {
        return;
    }
    let nothing = Fields::default();
    let kept = |edge: &str| owned.inner.get(edge).is_some_and(|owned| !owned.is_empty());
    let below = |edge: &str| owned.inner.get(edge).cloned().unwrap_or_else(|| nothing.clone());
    match (&schema.shape, value) {
        (Shape::Map { .. } | Shape::Open, Value::Object(map)) => {
            for (edge, gone) in &gone.inner {
                let name = &edge[2..];
                let Some(inner) = map.get_mut(name) else { continue };
                let schema = schema.field(name).unwrap_or(OPEN);
                let leaf = children(inner, schema).is_none_or(|children| children.is_empty());
                remove(inner, gone, &below(edge), schema);
                let emptied = children(inner, schema).is_some_and(|children| children.is_empty());
                if !kept(edge) && (gone.own || leaf || emptied) {
                    map.remove(name);
                }
            }
        }
        (Shape::Keyed { keys, item }, Value::Array(items)) => {
            items.retain_mut(|value| {
                let edge = keyed_edge(keys, value);
                let Some(gone) = gone.inner.get(&edge) else { return true };
                remove(value, gone, &below(&edge), item);
                kept(&edge) || !gone.own
            });
        }
        (Shape::Set, Value::Array(items)) => {
            items.retain(|value| !gone.inner.contains_key(&format!("v:{value}")));
        }
        _ => {}
    }
}
