//! A label selector whose parts are checked.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::rules;

/// A label's key: a name of at most 63 characters, with a DNS subdomain and a slash before it or without.
const LABEL_KEY: &str = "^([a-z0-9][-a-z0-9.]*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$";

/// A label selector that selects something.
pub(in crate::crd) fn label_selector(_: &mut SchemaGenerator) -> Schema {
    let key = json!({
        "type": "string",
        "maxLength": 317,
        "description": "Key of the label.",
        "x-kubernetes-validations": rules(&[(
            &format!("self.matches('{LABEL_KEY}')"),
            "must be a label key such as team or example.com/team",
        )]),
    });
    json_schema!({
        "type": "object",
        "minProperties": 1,
        "properties": {
            "matchLabels": match_labels(),
            "matchExpressions": {
                "description": "Conditions on labels; all must hold. An empty list is refused.",
                "type": "array",
                "minItems": 1,
                "maxItems": 8,
                "x-kubernetes-list-type": "atomic",
                "items": {
                    "type": "object",
                    "required": ["key", "operator"],
                    "properties": {
                        "key": key,
                        "operator": {
                            "description": "`In`, `NotIn`: the label's value is, or is not, one of `values`. `Exists`, `DoesNotExist`: the label is there, or is not.",
                            "type": "string",
                            "enum": ["In", "NotIn", "Exists", "DoesNotExist"],
                        },
                        "values": {
                            "description": "Values to compare with. Needed with `In` and `NotIn`, refused with the others.",
                            "type": "array",
                            "minItems": 1,
                            "maxItems": 16,
                            "x-kubernetes-list-type": "set",
                            "items": label_value(),
                        },
                    },
                    "x-kubernetes-validations": rules(&[(
                        "(self.operator in ['In', 'NotIn']) == has(self.values)",
                        "values go with the operators In and NotIn, and only with them",
                    )]),
                },
            },
        },
    })
}

/// Labels of an object, at least one.
pub(in crate::crd) fn labels(_: &mut SchemaGenerator) -> Schema {
    keyed("each key must be a label key such as team or example.com/team", label_value())
}

/// Annotations of an object, at least one.
pub(in crate::crd) fn annotations(_: &mut SchemaGenerator) -> Schema {
    let message = "each key must be an annotation key such as team or example.com/team";
    keyed(message, json!({"type": "string", "maxLength": 4096}))
}

fn keyed(message: &str, values: Value) -> Schema {
    json_schema!({
        "type": "object",
        "minProperties": 1,
        "maxProperties": 16,
        "additionalProperties": values,
        "x-kubernetes-validations": rules(&[
            (&format!("self.all(key, key.matches('{LABEL_KEY}'))"), message),
            ("!self.exists(key, key.startsWith('loopback.cloud/'))", "keys that begin with loopback.cloud/ are the operator's"),
        ]),
    })
}

fn match_labels() -> Value {
    json!({
        "description": "Labels with their values; a namespace must have all of them. An empty map is refused.",
        "type": "object",
        "minProperties": 1,
        "maxProperties": 16,
        "additionalProperties": label_value(),
        "x-kubernetes-validations": rules(&[(
            &format!("self.all(key, key.matches('{LABEL_KEY}'))"),
            "each key must be a label key such as team or example.com/team",
        )]),
    })
}

fn label_value() -> Value {
    json!({
        "type": "string",
        "maxLength": 63,
        "x-kubernetes-validations": rules(&[(
            "self.matches('^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$')",
            "must be a label value: at most 63 letters, digits, '-', '_' and '.'",
        )]),
    })
}
