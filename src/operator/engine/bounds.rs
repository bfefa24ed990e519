//! How large a status may become: what the backend says of very many parts must neither fill the cluster's store nor be refused by
//! the API server as a whole. Pure.

use serde_json::{Map, Value};

/// Bytes of JSON of the kind's part of a status. With the conditions a status stays below [`WHOLE`].
const PART: usize = 44 << 10;
/// Bytes of JSON of a whole status.
#[cfg(test)]
pub(super) const WHOLE: usize = 64 << 10;
/// Characters of each message where there is not enough room for all of them.
const SHORT: usize = 160;

/// The kind's part of a status, cut until it fits: first its messages, then its longest list, again and again.
pub(super) fn fitted(mut fields: Map<String, Value>) -> Map<String, Value> {
    if size(&fields) <= PART {
        return fields;
    }
    fields.iter_mut().for_each(|(name, value)| shorten(name, value));
    while size(&fields) > PART {
        let lists = fields.values_mut().filter_map(Value::as_array_mut).filter(|list| !list.is_empty());
        let Some(longest) = lists.max_by_key(|list| size(&**list)) else { break };
        longest.truncate(longest.len() / 2);
    }
    fields
}

fn size(value: &impl serde::Serialize) -> usize {
    serde_json::to_vec(value).map_or(0, |text| text.len())
}

fn shorten(name: &str, value: &mut Value) {
    match value {
        Value::String(text) if name == "message" => *text = cut(text, SHORT),
        Value::Object(fields) => fields.iter_mut().for_each(|(name, value)| shorten(name, value)),
        Value::Array(items) => items.iter_mut().for_each(|item| shorten(name, item)),
        _ => {}
    }
}

/// A text of at most so many characters; one that was longer ends in dots.
pub(super) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 3).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn members(count: usize, message: usize) -> Value {
        let member =
            |n: usize| json!({"name": format!("web/t{n}"), "state": "Unhealthy", "message": "x".repeat(message)});
        (0..count).map(member).collect()
    }

    fn part(services: Value, unhealthy: Value) -> Map<String, Value> {
        let Value::Object(part) = json!({"id": "lb-1", "services": services, "unhealthyTargets": unhealthy}) else {
            panic!("an object")
        };
        part
    }

    #[test]
    fn what_fits_stays_as_it_is() {
        let part = part(members(64, 200), members(50, 200));
        assert_eq!(fitted(part.clone()), part);
    }

    #[test]
    fn long_messages_are_cut_before_any_member_is_left_out() {
        let fitted = fitted(part(members(64, 1_000), members(50, 1_000)));
        assert!(size(&fitted) <= PART);
        let lengths = ["services", "unhealthyTargets"].map(|list| fitted[list].as_array().unwrap().len());
        assert_eq!(lengths, [64, 50]);
        let message = fitted["services"][0]["message"].as_str().unwrap();
        assert!(message.len() == SHORT && message.ends_with("x..."));
    }

    #[test]
    fn the_longest_list_gives_way() {
        let overlaps: Value = (0..50).map(|n| json!({"id": n, "patterns": vec!["y".repeat(250); 100]})).collect();
        let fitted = fitted(part(members(3, 10), overlaps));
        assert!(size(&fitted) <= PART);
        assert_eq!(fitted["services"].as_array().unwrap().len(), 3);
        assert!(!fitted["unhealthyTargets"].as_array().unwrap().is_empty());
    }
}
