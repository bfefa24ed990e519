//! Whether JSON has the shape that is wanted, and where it does not.

use serde::de::DeserializeOwned;
use serde_json::{Value, error::Category};

use crate::protocol::{Code, Intent, Problem};

/// Longest name, and longest key of a map, in bytes.
const NAME_LIMIT: usize = 253;
/// Longest text in an intent, in bytes.
const TEXT_LIMIT: usize = 65_536;
/// Deepest nesting of an intent.
const DEPTH_LIMIT: usize = 32;

/// Refuses JSON that is not an `I`.
pub(super) fn typed<I: Intent>(intent: &Value) -> Result<(), Problem> {
    let parsed: Result<I, _> = serde_path_to_error::deserialize(intent);
    match parsed {
        Ok(parsed) => match serde_json::to_value(parsed) {
            Ok(understood) => no_list_for_an_object(intent, &understood, &mut String::new()),
            Err(problem) => Err(Problem::invalid("", problem.to_string())),
        },
        Err(problem) => Err(Problem::invalid(pointer(problem.path()), problem.inner().to_string())),
    }
}

/// Refuses a list of values where an object with named fields belongs: serde takes one for the other.
fn no_list_for_an_object(given: &Value, understood: &Value, at: &mut String) -> Result<(), Problem> {
    let length = at.len();
    match (given, understood) {
        (Value::Array(_), Value::Object(_)) => {
            return Err(Problem::invalid(at.as_str(), "invalid type: sequence, expected an object with named fields"));
        }
        (Value::Array(given), Value::Array(understood)) => {
            for (index, (given, understood)) in given.iter().zip(understood).enumerate() {
                at.push_str(&format!("/{index}"));
                no_list_for_an_object(given, understood, at)?;
                at.truncate(length);
            }
        }
        (Value::Object(given), Value::Object(understood)) => {
            for (key, given) in given {
                let Some(understood) = understood.get(key) else { continue };
                at.push_str(&format!("/{}", escaped(key)));
                no_list_for_an_object(given, understood, at)?;
                at.truncate(length);
            }
        }
        _ => {}
    }
    Ok(())
}

/// Reads a request's body.
pub(super) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|problem| {
        let detail = problem.inner().to_string();
        match problem.inner().classify() {
            Category::Data => Problem::invalid(pointer(problem.path()), detail),
            _ => Problem::new(Code::BadRequest, format!("the body is not JSON: {detail}")),
        }
    })?;
    reader.end().map_err(|problem| Problem::new(Code::BadRequest, format!("after the JSON: {problem}")))?;
    Ok(value)
}

/// A path as a JSON pointer (RFC 6901 section 3).
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter()
        .map(|segment| match segment {
            Segment::Seq { index } => format!("/{index}"),
            Segment::Map { key } | Segment::Enum { variant: key } => format!("/{}", escaped(key)),
            Segment::Unknown => "/?".to_owned(),
        })
        .collect()
}

fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// Refuses texts, keys and nesting without end.
pub(super) fn bounded(intent: &Value) -> Result<(), Problem> {
    walk(intent, &mut String::new(), 0)
}

fn walk(value: &Value, at: &mut String, depth: usize) -> Result<(), Problem> {
    let refuse = |at: &str, detail: String| Err(Problem::invalid(at, detail));
    if depth > DEPTH_LIMIT {
        return refuse(at, format!("nested deeper than {DEPTH_LIMIT}"));
    }
    let length = at.len();
    match value {
        Value::String(text) if text.len() > TEXT_LIMIT => {
            return refuse(at, format!("longer than {TEXT_LIMIT} bytes"));
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                at.push_str(&format!("/{index}"));
                walk(item, at, depth + 1)?;
                at.truncate(length);
            }
        }
        Value::Object(fields) => {
            for (key, item) in fields {
                name(key, at)?;
                at.push('/');
                at.push_str(&escaped(key));
                walk(item, at, depth + 1)?;
                at.truncate(length);
            }
        }
        _ => {}
    }
    Ok(())
}

/// Refuses what cannot be a name.
pub(super) fn name(text: &str, pointer: &str) -> Result<(), Problem> {
    if text.is_empty() || text.len() > NAME_LIMIT || text.chars().any(char::is_control) {
        let detail = format!("names have 1 to {NAME_LIMIT} bytes and no control characters");
        return Err(Problem::invalid(pointer, detail));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::protocol::load_balancer::LoadBalancer;

    fn field(intent: &Value) -> Option<String> {
        typed::<LoadBalancer>(intent).and_then(|()| bounded(intent)).err().and_then(|problem| problem.field)
    }

    #[test]
    fn the_field_that_is_wrong_is_named() {
        for (intent, at) in [
            (json!({"name": "a"}), None),
            (json!({}), Some("")),
            (json!({"name": 1}), Some("/name")),
            (json!({"name": "a", "bogus": 1}), Some("/bogus")),
            (json!({"name": "a", "services": {"web": {"port": 70_000}}}), Some("/services/web/port")),
            (json!({"name": "a", "services": {"a/b~c": {"port": "x"}}}), Some("/services/a~1b~0c/port")),
            (json!({"name": "a", "services": {"web": {"port": 1, "x": 1}}}), Some("/services/web/x")),
            (json!({"name": "a", "targets": {"t": {"address": "host", "port": 1}}}), Some("/targets/t/address")),
            (json!({"name": "a", "algorithm": "Best"}), Some("/algorithm")),
            (json!(["a"]), Some("")),
            (json!({"name": "a", "targets": {"t": ["127.0.0.1", 1]}}), Some("/targets/t")),
            (json!({"name": "a".repeat(70_000)}), Some("/name")),
            (json!({"name": "a", "targets": {"": {"address": "::1", "port": 1}}}), Some("/targets")),
        ] {
            assert_eq!(field(&intent).as_deref(), at, "{}", intent.to_string().chars().take(90).collect::<String>());
        }
    }

    #[test]
    fn bodies() {
        for body in [&b"{"[..], b"", b"{} x", b"\"\xff\"", "[".repeat(100_000).as_bytes()] {
            assert_eq!(json::<Value>(body).map_err(|p| p.code), Err(Code::BadRequest));
        }
        let problem = json::<std::collections::BTreeMap<String, u8>>(b"{\"a\":{}}").unwrap_err();
        assert_eq!((problem.code, problem.field.as_deref()), (Code::Invalid, Some("/a")));
    }
}
