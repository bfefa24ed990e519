//! What the operator writes into a status.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use crate::crd::conditions::{MESSAGE_LIMIT, TEXT_LIMIT};

/// How many there are.
pub(in crate::crd) fn count(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "integer", "format": "int32", "minimum": 0})
}

/// How many there are, of what there may be very many.
pub(in crate::crd) fn large_count(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "integer", "format": "int64", "minimum": 0})
}

/// A short text that the operator writes.
pub(in crate::crd) fn text(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "maxLength": TEXT_LIMIT})
}

/// A long text that the operator writes.
pub(in crate::crd) fn message(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "maxLength": MESSAGE_LIMIT})
}

/// Short texts that the operator writes.
pub(in crate::crd) fn text_set(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "maxItems": 256, "x-kubernetes-list-type": "set", "items": text(generator)})
}

/// `status.observedGeneration`.
pub(in crate::crd) fn observed_generation(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "integer", "format": "int64", "minimum": -1})
}

/// `status.conditions`.
pub(in crate::crd) fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status", "reason", "message", "lastTransitionTime"],
            "properties": Map::from_iter([
                described("type", "What the condition is about.", json!({"type": "string", "maxLength": 316})),
                described("status", "`True`, `False` or `Unknown`.",
                    json!({"type": "string", "enum": ["True", "False", "Unknown"]})),
                described("reason", "Why, one stable word.",
                    json!({"type": "string", "minLength": 1, "maxLength": TEXT_LIMIT})),
                described("message", "Why, where, and what to do, for people.",
                    json!({"type": "string", "maxLength": MESSAGE_LIMIT})),
                described("lastTransitionTime", "When the status changed last.",
                    json!({"type": "string", "format": "date-time"})),
                described("observedGeneration", "The generation of the spec that the condition speaks about.",
                    json!({"type": "integer", "format": "int64", "minimum": 0})),
            ]),
        },
    })
}

fn described(name: &str, description: &str, mut schema: Value) -> (String, Value) {
    schema["description"] = description.into();
    (name.to_owned(), schema)
}
