//! Answers that no server gave.

use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use loopback_operator::protocol::{Code, Problem};
use serde_json::{Value, json};

use super::Answer;
use crate::plan::{Fault, Later, Side};

/// What is answered instead of the truth.
pub(super) fn instead(side: Side, fault: Fault) -> Option<Answer> {
    let mut answer = match fault {
        Fault::Code(code, later) => refusal(side, code, later),
        Fault::WrongType => Answer::json(200, &json!([{"unexpected": true}])),
        Fault::Html => page(200),
        Fault::Huge => Answer::json(200, &json!({"padding": "x".repeat(9 << 20)})),
        _ => return None,
    };
    if let Fault::Code(_, later) = fault
        && let Some(text) = header(later)
    {
        answer.headers.insert(RETRY_AFTER, HeaderValue::from_static(text));
    }
    Some(answer)
}

fn header(later: Later) -> Option<&'static str> {
    match later {
        Later::Silent => None,
        Later::Now => Some("0"),
        Later::Second => Some("1"),
        Later::Huge => Some("31536000"),
        Later::Garbage => Some("soon"),
    }
}

/// As the server would say it; what only something in between says is a page for people.
fn refusal(side: Side, code: u16, later: Later) -> Answer {
    match (side, reason(code), problem(code)) {
        (Side::Kubernetes, Some(reason), _) => Answer::json(code, &status(code, reason)),
        (Side::Backend, _, Some(of)) => {
            let seconds = header(later).and_then(|text| text.parse().ok());
            let mut answer =
                Answer::json(code, &json!(Problem { retry_after: seconds, ..Problem::new(of, "a fault") }));
            answer.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
            answer
        }
        _ => page(code),
    }
}

fn page(code: u16) -> Answer {
    let mut answer = Answer::json(code, &Value::Null);
    answer.body = "<html><body>It works!</body></html>".into();
    answer.headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
    answer
}

fn status(code: u16, reason: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "a fault", "reason": reason, "code": code})
}

/// What an API server calls it.
fn reason(code: u16) -> Option<&'static str> {
    Some(match code {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        410 => "Expired",
        413 => "RequestEntityTooLarge",
        422 => "Invalid",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => return None,
    })
}

/// What the backend calls it.
fn problem(code: u16) -> Option<Code> {
    Some(match code {
        400 => Code::BadRequest,
        401 => Code::Unauthenticated,
        403 => Code::Forbidden,
        404 => Code::NotFound,
        409 => Code::Conflict,
        412 => Code::Stale,
        413 => Code::TooLarge,
        422 => Code::Invalid,
        429 => Code::Throttled,
        500 => Code::Internal,
        503 => Code::Unavailable,
        _ => return None,
    })
}
