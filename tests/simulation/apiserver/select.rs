//! Selectors.

use serde_json::Value;

use super::{
    call::{Call, text_at},
    kinds::Kind,
    status::Refusal,
    store::Object,
};

/// What a list or a watch is about.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Begin of the keys on the shelf.
    pub prefix: String,
    name: Option<String>,
    labels: Vec<Requirement>,
    fields: Vec<Requirement>,
}

/// One requirement of a selector.
#[derive(Clone, Debug)]
enum Requirement {
    Equal(String, String),
    Unequal(String, String),
    Among(String, Vec<String>, bool),
    Present(String, bool),
}

impl Filter {
    /// Of a call.
    pub fn of(call: &Call, kind: &Kind) -> Result<Self, Refusal> {
        let prefix = if call.namespace.is_empty() { String::new() } else { format!("{}/", call.namespace) };
        let fields = terms(&call.query.fields)?;
        for requirement in &fields {
            let field = requirement.subject();
            let known = matches!(field, "metadata.name" | "metadata.namespace");
            let selectable = kind.selectable.as_ref();
            if !known && selectable.is_some_and(|fields| !fields.iter().any(|one| one == field)) {
                return Err(Refusal::bad(&format!("field label not supported: {field}")));
            }
        }
        let name = Some(call.name.clone()).filter(|name| !name.is_empty());
        Ok(Self { prefix, name, labels: terms(&call.query.labels)?, fields })
    }

    /// Whether nothing is left out within the namespace.
    pub fn all(&self) -> bool {
        self.name.is_none() && self.labels.is_empty() && self.fields.is_empty()
    }

    pub fn takes(&self, key: &str, object: &Object) -> bool {
        key.starts_with(&self.prefix)
            && self.name.as_deref().is_none_or(|name| name == object.meta("name"))
            && self.labels.iter().all(|requirement| requirement.label(&object.value))
            && self.fields.iter().all(|requirement| requirement.field(&object.value))
    }
}

impl Requirement {
    fn subject(&self) -> &str {
        match self {
            Self::Equal(name, _) | Self::Unequal(name, _) | Self::Among(name, ..) | Self::Present(name, _) => name,
        }
    }

    fn label(&self, object: &Value) -> bool {
        let found = object["metadata"]["labels"].get(self.subject()).and_then(Value::as_str);
        self.holds(found)
    }

    fn field(&self, object: &Value) -> bool {
        self.holds(Some(&text_at(object, self.subject())))
    }

    fn holds(&self, found: Option<&str>) -> bool {
        match self {
            Self::Equal(_, value) => found == Some(value),
            Self::Unequal(_, value) => found != Some(value),
            Self::Among(_, values, among) => {
                found.is_some_and(|found| values.iter().any(|value| value == found)) == *among
            }
            Self::Present(_, present) => found.is_some() == *present,
        }
    }
}

/// The requirements of a selector.
fn terms(selector: &str) -> Result<Vec<Requirement>, Refusal> {
    split(selector).into_iter().map(term).collect()
}

/// At commas outside of brackets.
fn split(selector: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, letter) in selector.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&selector[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&selector[start..]);
    parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).collect()
}

fn term(part: &str) -> Result<Requirement, Refusal> {
    let text = |part: &str| part.trim().to_owned();
    for (word, among) in [(" notin ", false), (" in ", true)] {
        if let Some((name, values)) = part.split_once(word) {
            let values = values.trim().trim_start_matches('(').trim_end_matches(')');
            return Ok(Requirement::Among(text(name), values.split(',').map(text).collect(), among));
        }
    }
    if let Some((name, value)) = part.split_once("!=") {
        return Ok(Requirement::Unequal(text(name), text(value)));
    }
    if let Some((name, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return Ok(Requirement::Equal(text(name), text(value)));
    }
    match part.strip_prefix('!') {
        Some(name) => Ok(Requirement::Present(text(name), false)),
        None => Ok(Requirement::Present(text(part), true)),
    }
}
