//! What is known of the shape of objects: which lists merge by key, what is pruned, what has a default.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value};

/// One part of a shape.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    pub shape: Shape,
    /// Written when absent.
    pub default: Option<Value>,
}

/// How a value is merged, owned and pruned.
#[derive(Clone, Debug, Default)]
pub enum Shape {
    /// Scalars, and all that is replaced as one.
    #[default]
    Atomic,
    /// Anything: nothing is pruned, objects merge, lists are replaced.
    Open,
    /// Named properties, and what others look like.
    Map { properties: BTreeMap<String, Arc<Schema>>, others: Option<Arc<Schema>>, open: bool },
    /// A set of scalars.
    Set,
    /// A list of objects, each known by these fields.
    Keyed { keys: Vec<String>, item: Arc<Schema> },
    /// A list replaced as one, whose items have a shape for pruning.
    List { item: Arc<Schema> },
    /// A map replaced as one.
    Whole { inner: Arc<Schema> },
}

impl Schema {
    fn new(shape: Shape) -> Arc<Self> {
        Arc::new(Self { shape, default: None })
    }

    /// Of which nothing is known.
    pub fn open() -> Arc<Self> {
        Self::new(Shape::Open)
    }

    fn leaf() -> Arc<Self> {
        Self::new(Shape::Atomic)
    }

    fn map(properties: impl IntoIterator<Item = (&'static str, Arc<Self>)>) -> Arc<Self> {
        let properties = properties.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
        Self::new(Shape::Map { properties, others: None, open: true })
    }

    fn keyed(keys: &[&str], item: Arc<Self>) -> Arc<Self> {
        Self::new(Shape::Keyed { keys: keys.iter().map(|key| (*key).to_owned()).collect(), item })
    }

    /// Metadata of every object.
    pub fn metadata() -> Arc<Self> {
        let owner = Self::new(Shape::Whole { inner: Self::open() });
        Self::map([("finalizers", Self::new(Shape::Set)), ("ownerReferences", Self::keyed(&["uid"], owner))])
    }

    /// A built-in kind: only its lists that merge are known.
    pub fn builtin(plural: &str, metadata: &Arc<Self>) -> Arc<Self> {
        let conditions = || Self::map([("conditions", Self::keyed(&["type"], Self::open()))]);
        let mut properties = vec![("metadata", metadata.clone())];
        match plural {
            "services" => {
                properties.push(("spec", Self::map([("ports", Self::keyed(&["port", "protocol"], Self::open()))])));
                properties.push(("status", conditions()));
            }
            "namespaces" => properties.push(("status", conditions())),
            "endpointslices" => properties.push(("endpoints", Self::leaf())),
            _ => {}
        }
        Self::map(properties)
    }

    /// A custom resource, from the OpenAPI schema of its definition.
    pub fn custom(document: &Value, metadata: &Arc<Self>) -> Arc<Self> {
        let mut root = Self::read(document);
        if let Shape::Map { properties, .. } = &mut root.shape {
            properties.insert("metadata".into(), metadata.clone());
            for name in ["apiVersion", "kind"] {
                properties.insert(name.into(), Self::leaf());
            }
        }
        Arc::new(root)
    }

    fn read(document: &Value) -> Self {
        let is = |field: &str| document.get(field).and_then(Value::as_bool).unwrap_or(false);
        let shape = if is("x-kubernetes-preserve-unknown-fields") && document.get("properties").is_none() {
            Shape::Open
        } else {
            match document.get("type").and_then(Value::as_str) {
                Some("object") => Self::read_map(document, is("x-kubernetes-preserve-unknown-fields")),
                Some("array") => Self::read_list(document),
                _ => Shape::Atomic,
            }
        };
        let atomic = document.get("x-kubernetes-map-type").and_then(Value::as_str) == Some("atomic");
        let shape = if atomic { Shape::Whole { inner: Self::new(shape) } } else { shape };
        Self { shape, default: document.get("default").cloned() }
    }

    fn read_map(document: &Value, open: bool) -> Shape {
        let read = |(name, inner): (&String, &Value)| (name.clone(), Arc::new(Self::read(inner)));
        let properties = document.get("properties").and_then(Value::as_object);
        let others = document.get("additionalProperties").filter(|others| others.is_object());
        Shape::Map {
            properties: properties.into_iter().flatten().map(read).collect(),
            others: others.map(|others| Arc::new(Self::read(others))),
            open,
        }
    }

    fn read_list(document: &Value) -> Shape {
        let item = Arc::new(document.get("items").map(Self::read).unwrap_or_default());
        match document.get("x-kubernetes-list-type").and_then(Value::as_str) {
            Some("set") => Shape::Set,
            Some("map") => {
                let keys = document.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
                let keys = keys.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
                Shape::Keyed { keys, item }
            }
            _ => Shape::List { item },
        }
    }

    /// The shape of a field of an object of this shape; `None` when there is no such field.
    pub fn field(&self, name: &str) -> Option<&Self> {
        match &self.shape {
            Shape::Map { properties, others, open } => match (properties.get(name), others) {
                (Some(schema), _) | (None, Some(schema)) => Some(schema),
                (None, None) => open.then_some(OPEN),
            },
            Shape::Open => Some(OPEN),
            _ => None,
        }
    }

    /// Drops what is unknown.
    pub fn prune(&self, value: &mut Value) {
        match (&self.shape, value) {
            (Shape::Map { .. }, Value::Object(map)) => {
                map.retain(|name, inner| match self.field(name) {
                    Some(schema) if !inner.is_null() => {
                        schema.prune(inner);
                        true
                    }
                    _ => false,
                });
            }
            (Shape::Keyed { item, .. } | Shape::List { item }, Value::Array(items)) => {
                items.iter_mut().for_each(|value| item.prune(value));
            }
            (Shape::Whole { inner }, value) => inner.prune(value),
            _ => {}
        }
    }

    /// Writes what is absent and has a default.
    pub fn fill(&self, value: &mut Value) {
        match (&self.shape, value) {
            (Shape::Map { properties, .. }, Value::Object(map)) => Self::fill_map(properties, map),
            (Shape::Keyed { item, .. } | Shape::List { item }, Value::Array(items)) => {
                items.iter_mut().for_each(|value| item.fill(value));
            }
            (Shape::Whole { inner }, value) => inner.fill(value),
            _ => {}
        }
    }

    fn fill_map(properties: &BTreeMap<String, Arc<Self>>, map: &mut Map<String, Value>) {
        for (name, schema) in properties {
            if let Some(default) = schema.default.as_ref().filter(|_| !map.contains_key(name)) {
                map.insert(name.clone(), default.clone());
            }
            if let Some(inner) = map.get_mut(name) {
                schema.fill(inner);
            }
        }
    }
}

/// Where nothing is known.
pub const OPEN: &Schema = &Schema { shape: Shape::Open, default: None };
