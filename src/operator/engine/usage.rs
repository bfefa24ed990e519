//! Numbers in a status that move by themselves: how full a bucket is, how many records a zone serves. A status follows them at a
//! distance, so that many children do not make as many writes of their parent. Pure.

use std::time::Duration;

use serde_json::Value;

use super::outcome::{Before, Finding};

/// Fields of a status with such numbers, and the time between two writes of a status for them alone.
const FIELDS: [(&str, Duration); 2] = [("usage", Duration::from_secs(600)), ("records", Duration::from_secs(10))];
/// A move of usage by less than this part is none.
const PART: u64 = 100;

/// A number that moves by itself, as a status has it.
pub(super) type Held<'a> = (&'static str, &'a Value);

/// What a status has of this, and how long it rests.
fn of(status: &Value) -> Option<(Held<'_>, Duration)> {
    FIELDS.into_iter().find_map(|(field, rest)| Some(((field, status.get(field)?), rest)))
}

/// How long a status rests that is stored for such a number alone; `None` when it has none.
pub(super) fn rest(status: &Value) -> Option<Duration> {
    of(status).map(|(_, rest)| rest)
}

/// Whether a status says the same of this as another.
pub(super) fn same(status: &Value, other: &Value) -> bool {
    FIELDS.iter().all(|(field, _)| status.get(field) == other.get(field))
}

/// What the status keeps saying instead of what the pass found, and when a pass may say more.
pub(super) fn held<'a>(before: &Before<'a>, finding: &Finding) -> (Option<Held<'a>>, Option<Duration>) {
    let Some((said, _)) = of(before.status) else { return (None, None) };
    let Some(found) = finding.fields.as_ref().and_then(|fields| fields.get(said.0)) else { return (None, None) };
    let rest = before.usage_rest;
    match moved(said.1, found) {
        false => (Some(said), None),
        true if rest.is_zero() => (None, None),
        true => (Some(said), Some(rest)),
    }
}

/// Whether a number of usage moved by 1 %, another at all, or one came or went.
fn moved(from: &Value, to: &Value) -> bool {
    let (Some(from), Some(to)) = (from.as_object(), to.as_object()) else { return from != to };
    let far = |from: u64, to: u64| from != to && from.abs_diff(to).saturating_mul(PART) >= from;
    from.len() != to.len()
        || to.iter().any(|(name, to)| match (from.get(name).and_then(Value::as_u64), to.as_u64()) {
            (Some(from), Some(to)) => far(from, to),
            _ => true,
        })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::{
        super::outcome::{Outcome, conclude},
        *,
    };

    fn stored(objects: u64, bytes: u64) -> Value {
        json!({"usage": {"objects": objects, "bytes": bytes}})
    }

    fn finding(usage: &Value) -> Finding {
        let fields = usage.as_object().cloned();
        Finding { fields, synced: true, ..Outcome::Ready { degraded: None }.into() }
    }

    fn before(status: &Value, rest: u64) -> Before<'_> {
        let usage_rest = Duration::from_secs(rest);
        Before { generation: 1, status, requested_at: None, now: Timestamp::UNIX_EPOCH, usage_rest }
    }

    #[test]
    fn usage_is_said_seldom_and_only_when_it_moved() {
        for (said, found, rest, right) in [
            (stored(0, 0), stored(0, 0), 0, (true, None)),
            (stored(0, 0), stored(1, 5), 0, (false, None)),
            (stored(0, 0), stored(1, 5), 60, (true, Some(60))),
            (stored(1000, 1000), stored(1009, 1009), 0, (true, None)),
            (stored(1000, 1000), stored(1009, 1009), 60, (true, None)),
            (stored(1000, 1000), stored(1000, 1010), 0, (false, None)),
            (stored(1000, 1000), stored(990, 1000), 0, (false, None)),
            (stored(1000, u64::MAX), stored(1000, 0), 0, (false, None)),
            (json!({}), stored(7, 7), 60, (false, None)),
            (json!({"records": 1000}), json!({"records": 1001}), 0, (false, None)),
            (json!({"records": 1000}), json!({"records": 1001}), 5, (true, Some(5))),
            (json!({"records": 1000}), json!({"records": 1000}), 5, (true, None)),
        ] {
            let (kept, again) = held(&before(&said, rest), &finding(&found));
            assert_eq!((kept.is_some(), again.map(|rest| rest.as_secs())), right, "{said} {found} {rest}");
        }
    }

    #[test]
    fn a_status_that_is_stored_for_another_reason_keeps_its_usage_too() {
        let first = conclude(&before(&Value::Null, 0), &finding(&stored(1, 1))).status.unwrap();
        let told = conclude(&before(&first, 60), &finding(&stored(9, 9)));
        assert_eq!((told.status, told.usage_in), (None, Some(Duration::from_secs(60))));
        let mut other = finding(&stored(9, 9));
        other.fields.as_mut().unwrap().insert("id".into(), "os-1".into());
        let status = conclude(&before(&first, 60), &other).status.unwrap();
        assert_eq!((&status["id"], &status["usage"]), (&json!("os-1"), &json!({"objects": 1, "bytes": 1})));
        let later = conclude(&before(&status, 0), &other);
        assert_eq!((&later.status.unwrap()["usage"], later.usage_in), (&json!({"objects": 9, "bytes": 9}), None));
    }
}
