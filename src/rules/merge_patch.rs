//! JSON merge patch (RFC 7396).

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// `target` with `patch` applied: objects are merged key by key, `null` removes, everything else replaces.
#[must_use]
pub fn merge_patch(target: &Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let mut merged = target.as_object().cloned().unwrap_or_default();
    for (name, change) in patch {
        if change.is_null() {
            merged.remove(name);
        } else {
            let next = merge_patch(merged.get(name).unwrap_or(&Value::Null), change);
            merged.insert(name.clone(), next);
        }
    }
    Value::Object(Map::from_iter(merged))
}

/// The merge patch (RFC 7396) that makes `from` into `to`; `None` when they are equal.
#[must_use]
pub fn patch_between(from: &Value, to: &Value) -> Option<Value> {
    if from == to {
        return None;
    }
    let (Value::Object(from), Value::Object(to)) = (from, to) else { return Some(to.clone()) };
    let mut patch = Map::new();
    for field in from.keys().chain(to.keys()).collect::<BTreeSet<_>>() {
        let change = match (from.get(field), to.get(field)) {
            (Some(_), None) => Some(Value::Null),
            (None, Some(value)) => Some(value.clone()),
            (Some(old), Some(new)) => patch_between(old, new),
            (None, None) => None,
        };
        if let Some(change) = change {
            patch.insert(field.clone(), change);
        }
    }
    Some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn examples_of_the_rfc() {
        for (target, patch, result) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a": "b"}), json!(["c"]), json!(["c"])),
            (json!({"a": "foo"}), json!(null), json!(null)),
            (json!({"a": "foo"}), json!("bar"), json!("bar")),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            assert_eq!(merge_patch(&target, &patch), result, "{target} + {patch}");
        }
    }

    fn tree() -> impl Strategy<Value = Value> {
        let leaf =
            prop_oneof![any::<bool>().prop_map(Value::from), (0..9i32).prop_map(Value::from), Just(json!([1, 2]))];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop::collection::btree_map("[a-d]", inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect()))
        })
    }

    proptest! {
        #[test]
        fn a_patch_reaches_what_is_wanted_and_then_there_is_none(from in tree(), to in tree()) {
            let reached = patch_between(&from, &to).map_or(from.clone(), |patch| merge_patch(&from, &patch));
            prop_assert_eq!(&reached, &to);
            prop_assert_eq!(patch_between(&reached, &to), None);
        }
    }
}
