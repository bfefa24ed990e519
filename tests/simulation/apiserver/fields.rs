//! Sets of fields of an object, as managers own them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::schema::{OPEN, Schema, Shape};

/// A set of fields: a tree whose edges are written as in `fieldsV1` (`f:name`, `k:{"name":"a"}`, `v:"x"`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields {
    /// Whether this place itself belongs to the set.
    pub own: bool,
    pub inner: BTreeMap<String, Fields>,
}

impl Fields {
    fn leaf() -> Self {
        Self { own: true, inner: BTreeMap::new() }
    }

    pub fn is_empty(&self) -> bool {
        !self.own && self.inner.values().all(Self::is_empty)
    }

    fn tidy(mut self) -> Self {
        self.inner.retain(|_, inner| !inner.is_empty());
        self
    }

    pub fn union(mut self, other: &Self) -> Self {
        self.own |= other.own;
        for (edge, inner) in &other.inner {
            let mine = self.inner.remove(edge).unwrap_or_default();
            self.inner.insert(edge.clone(), mine.union(inner));
        }
        self
    }

    pub fn intersection(&self, other: &Self) -> Self {
        let both = |(edge, inner): (&String, &Self)| Some((edge.clone(), inner.intersection(other.inner.get(edge)?)));
        Self { own: self.own && other.own, inner: self.inner.iter().filter_map(both).collect() }.tidy()
    }

    pub fn difference(&self, other: &Self) -> Self {
        let left = |(edge, inner): (&String, &Self)| {
            (edge.clone(), other.inner.get(edge).map_or_else(|| inner.clone(), |other| inner.difference(other)))
        };
        Self { own: self.own && !other.own, inner: self.inner.iter().map(left).collect() }.tidy()
    }

    /// What no manager owns: identity, and what the server itself writes.
    pub fn without_identity(mut self) -> Self {
        self.own = false;
        for edge in ["f:apiVersion", "f:kind"] {
            self.inner.remove(edge);
        }
        if let Some(metadata) = self.inner.get_mut("f:metadata") {
            metadata.own = false;
            for field in
                ["name", "namespace", "creationTimestamp", "uid", "generation", "managedFields", "resourceVersion"]
            {
                metadata.inner.remove(&format!("f:{field}"));
            }
        }
        self.tidy()
    }

    /// Without all below this top-level field.
    pub fn without(mut self, field: &str) -> Self {
        self.inner.remove(&format!("f:{field}"));
        self
    }

    /// As `fieldsV1`.
    pub fn document(&self) -> Value {
        let mut map = Map::new();
        if self.own && !self.inner.is_empty() {
            map.insert(".".into(), Value::Object(Map::new()));
        }
        for (edge, inner) in &self.inner {
            map.insert(edge.clone(), inner.document());
        }
        Value::Object(map)
    }

    /// All paths, as messages name them.
    pub fn paths(&self, at: &str, found: &mut Vec<String>) {
        if self.own {
            found.push(at.to_owned());
        }
        for (edge, inner) in &self.inner {
            inner.paths(&format!("{at}{}", spoken(edge)), found);
        }
    }
}

/// An edge as messages name it: `.name`, `[name="a"]`.
fn spoken(edge: &str) -> String {
    match edge.split_once(':') {
        Some(("k", keys)) => {
            let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
            let keys: Vec<String> = keys.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("[{}]", keys.join(","))
        }
        Some(("v", value)) => format!("[={value}]"),
        _ => format!(".{}", &edge[2..]),
    }
}

/// The edge to an item of a list known by keys.
pub fn keyed_edge(keys: &[String], item: &Value) -> String {
    let mut names: Vec<&String> = keys.iter().collect();
    names.sort();
    let keys: Map<String, Value> =
        names.into_iter().filter_map(|key| Some((key.clone(), item.get(key)?.clone()))).collect();
    format!("k:{}", Value::Object(keys))
}

/// Children of a value by edge, with their shapes; `None` for a leaf.
pub fn children<'a>(value: &'a Value, schema: &'a Schema) -> Option<Vec<(String, &'a Value, &'a Schema)>> {
    match (&schema.shape, value) {
        (Shape::Map { .. } | Shape::Open, Value::Object(map)) => Some(
            map.iter().map(|(name, inner)| (format!("f:{name}"), inner, schema.field(name).unwrap_or(OPEN))).collect(),
        ),
        (Shape::Keyed { keys, item }, Value::Array(items)) => {
            Some(items.iter().map(|value| (keyed_edge(keys, value), value, &**item)).collect())
        }
        (Shape::Set, Value::Array(items)) => {
            Some(items.iter().map(|value| (format!("v:{value}"), value, LEAF)).collect())
        }
        _ => None,
    }
}

const LEAF: &Schema = &Schema { shape: Shape::Atomic, default: None };

/// All fields that a configuration names.
pub fn named(value: &Value, schema: &Schema) -> Fields {
    let Some(children) = children(value, schema).filter(|children| !children.is_empty()) else { return Fields::leaf() };
    let item = matches!(schema.shape, Shape::Keyed { .. } | Shape::Set);
    let inner = children.into_iter().map(|(edge, value, schema)| {
        let mut fields = named(value, schema);
        fields.own |= item;
        (edge, fields)
    });
    Fields { own: false, inner: inner.collect() }
}

/// What differs between two versions of an object.
#[derive(Debug, Default)]
pub struct Differences {
    pub added: Fields,
    pub removed: Fields,
    pub modified: Fields,
}

impl Differences {
    pub fn written(&self) -> Fields {
        self.added.clone().union(&self.modified)
    }
}

/// Compares two versions.
pub fn compare(old: Option<&Value>, new: Option<&Value>, schema: &Schema) -> Differences {
    let mut found = Differences::default();
    if old == new {
        return found;
    }
    let (before, after) =
        (old.and_then(|value| children(value, schema)), new.and_then(|value| children(value, schema)));
    let empty = |children: &Option<Vec<_>>| children.as_ref().is_none_or(Vec::is_empty);
    let both_empty = empty(&before) && empty(&after);
    match (old, new) {
        (None, Some(_)) => found.added.own = true,
        (Some(_), None) => found.removed.own = true,
        _ if both_empty => found.modified.own = true,
        _ => {}
    }
    if both_empty {
        return found;
    }
    let mut edges: BTreeMap<String, (Option<&Value>, Option<&Value>, &Schema)> = BTreeMap::new();
    for (edge, value, schema) in before.into_iter().flatten() {
        edges.insert(edge, (Some(value), None, schema));
    }
    for (edge, value, schema) in after.into_iter().flatten() {
        edges.entry(edge).or_insert((None, None, schema)).1 = Some(value);
    }
    for (edge, (old, new, schema)) in edges {
        let inner = compare(old, new, schema);
        for (all, one) in [
            (&mut found.added, inner.added),
            (&mut found.removed, inner.removed),
            (&mut found.modified, inner.modified),
        ] {
            if !one.is_empty() {
                all.inner.insert(edge.clone(), one);
            }
        }
    }
    found
}
