//! Answers: JSON, entity tags, problems.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::protocol::{Code, Problem, RawObject};

/// Longest text about what is wrong, in characters: what was sent is not sent back.
const WORDS_LIMIT: usize = 1_000;

/// A good answer.
pub(super) enum Answer {
    /// JSON.
    Json { status: StatusCode, etag: Option<String>, body: Vec<u8> },
    /// JSON lines that go on.
    Lines(Body),
}

impl Answer {
    pub(super) fn ok<T: Serialize>(value: &T) -> Result<Self, Problem> {
        Self::json(StatusCode::OK, None, value)
    }

    pub(super) fn created<T: Serialize>(value: &T) -> Result<Self, Problem> {
        Self::json(StatusCode::CREATED, None, value)
    }

    pub(super) fn object(status: StatusCode, object: &RawObject) -> Result<Self, Problem> {
        Self::json(status, Some(format!("\"{}\"", object.etag)), object)
    }

    fn json<T: Serialize>(status: StatusCode, etag: Option<String>, value: &T) -> Result<Self, Problem> {
        let body = serde_json::to_vec(value).map_err(|problem| Problem::new(Code::Internal, problem.to_string()))?;
        Ok(Self::Json { status, etag, body })
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        match self {
            Self::Json { status, etag, body } => {
                let mut response = respond(status, "application/json", Body::from(body));
                if let Some(etag) = etag.and_then(|etag| HeaderValue::try_from(etag).ok()) {
                    response.headers_mut().insert(header::ETAG, etag);
                }
                response
            }
            Self::Lines(body) => respond(StatusCode::OK, "application/x-ndjson", body),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let (detail, field) = (cut(&self.detail), self.field.as_deref().map(cut));
        let told = Self { detail, field, ..self };
        let body = serde_json::to_vec(&told).unwrap_or_default();
        let mut response = respond(status, "application/problem+json", Body::from(body));
        if let Some(seconds) = told.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            // RFC 9110 section 11.6.1: a 401 names the scheme.
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// The beginning of a text that may quote what was sent.
fn cut(text: &str) -> String {
    match text.char_indices().nth(WORDS_LIMIT) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

fn respond(status: StatusCode, media: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
