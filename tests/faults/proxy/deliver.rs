//! One call on its way: what the plan, or the planted bug, makes of it.

use std::{sync::Arc, time::Duration};

use axum::body::{Body, Bytes};
use http::{HeaderMap, Method, header};
use loopback_operator::protocol::RawObject;
use serde_json::{Value, json};

use super::{Front, Run, Upstream, streams};
use crate::{
    journal,
    plan::{Fault, Later, Side},
    planted, status,
};

/// How late a late call is.
const LATE: Duration = Duration::from_millis(1_500);
/// Longer than any client waits.
const SLOW: Duration = Duration::from_secs(16);
/// How much later than the operator the journal's reader may hear of something.
const HEARD: Duration = Duration::from_secs(2);
const BODY_LIMIT: usize = 16 << 20;
const HOP: [header::HeaderName; 4] =
    [header::HOST, header::CONTENT_LENGTH, header::CONNECTION, header::TRANSFER_ENCODING];

/// A call as it goes on.
#[derive(Clone)]
pub struct Request {
    /// Whom.
    pub side: Side,
    /// Its method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// Headers that mean something to the server.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Request {
    /// The body, if it is JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Another body.
    pub fn set(&mut self, body: &Value) {
        self.body = body.to_string().into();
    }

    /// Path without the query.
    pub fn plain_path(&self) -> &str {
        self.path.split('?').next().unwrap_or_default()
    }
}

/// A whole answer.
#[derive(Clone)]
pub struct Answer {
    /// Its status code.
    pub code: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Answer {
    /// An answer of JSON.
    pub fn json(code: u16, body: &Value) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        Self { code, headers, body: body.to_string().into() }
    }

    fn response(self) -> http::Response<Body> {
        let mut response = http::Response::new(Body::from(self.body));
        *response.status_mut() = http::StatusCode::from_u16(self.code).expect("a code");
        *response.headers_mut() = self.headers;
        response
    }
}

impl Upstream {
    async fn open(&self, request: &Request) -> Option<reqwest::Response> {
        let url = format!("{}{}", self.url, request.path);
        let call = self.http.request(request.method.clone(), url).headers(request.headers.clone());
        call.body(request.body.clone()).send().await.ok()
    }

    /// Has a call carried out. `None`: no answer came.
    pub async fn carry_out(&self, request: &Request) -> Option<Answer> {
        let answer = self.open(request).await?;
        let (code, headers) = (answer.status().as_u16(), meaningful(answer.headers()));
        let body = answer.bytes().await.ok()?;
        Some(Answer { code, headers, body })
    }
}

fn meaningful(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    HOP.iter().for_each(|name| drop(headers.remove(name)));
    headers
}

/// Serves one call. `None`: the connection ends without an answer.
pub(super) async fn handle(
    front: &Front,
    run: &Arc<Run>,
    request: http::Request<Body>,
) -> Option<http::Response<Body>> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, BODY_LIMIT).await.ok()?;
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let (number, stream, fault) = run.enter(front.side, parts.method.as_str(), &path, &body);
    let headers = meaningful(&parts.headers);
    let request = Request { side: front.side, method: parts.method, path, headers, body };
    let line = Line { upstream: front.upstream.clone(), run: Arc::clone(run), number, request };
    if fault == Some(Fault::KilledBefore) {
        run.restart().await;
        return None;
    }
    match stream {
        true => line.stream(fault).await,
        false => line.meet(fault).await.map(Answer::response),
    }
}

/// A call under way.
#[derive(Clone)]
struct Line {
    upstream: Upstream,
    run: Arc<Run>,
    number: usize,
    request: Request,
}

impl Line {
    async fn stream(self, fault: Option<Fault>) -> Option<http::Response<Body>> {
        let answer = self.upstream.open(&self.request).await?;
        self.run.answered(self.number, answer.status().as_u16(), b"");
        match fault {
            Some(Fault::KilledAfter) => {
                self.run.restart().await;
                return None;
            }
            Some(Fault::AnswerLost | Fault::Late) => return None,
            Some(fault) => {
                if let Some(answer) = instead(fault) {
                    return Some(answer.response());
                }
            }
            None => {}
        }
        let mut response = http::Response::new(());
        *response.status_mut() = answer.status();
        *response.headers_mut() = meaningful(answer.headers());
        let point = self.run.point(self.number);
        Some(response.map(|()| streams::body(self.run, point, answer)))
    }

    async fn meet(self, fault: Option<Fault>) -> Option<Answer> {
        match fault {
            Some(Fault::Late) => {
                self.run.pend(1);
                tokio::spawn(async move {
                    tokio::time::sleep(LATE).await;
                    self.go().await;
                    self.run.pend(-1);
                });
                None
            }
            Some(fault @ Fault::Code(..)) => instead(fault),
            fault => {
                let answer = self.go().await?;
                self.after(fault, answer).await
            }
        }
    }

    async fn after(&self, fault: Option<Fault>, mut answer: Answer) -> Option<Answer> {
        match fault {
            Some(Fault::KilledAfter) => {
                self.run.restart().await;
                return None;
            }
            Some(Fault::AnswerLost) => return None,
            Some(Fault::Twice) => {
                let request = &self.request;
                let (number, ..) = self.run.enter(request.side, request.method.as_str(), &request.path, &request.body);
                Self { number, ..self.clone() }.go().await;
            }
            Some(Fault::Slow) => tokio::time::sleep(SLOW).await,
            Some(Fault::Truncated) => answer.body.truncate(answer.body.len() / 2),
            Some(fault) => return instead(fault).or(Some(answer)),
            None => {}
        }
        Some(answer)
    }

    /// Carries the call out, as the planted bug would.
    async fn go(&self) -> Option<Answer> {
        let mut request = self.request.clone();
        let answered = match self.run.bug {
            Some(bug) => planted::before(bug, &self.run, &self.upstream, &mut request).await,
            None => None,
        };
        let held = holds(&self.run, &request).await;
        self.run.sent(self.number, &request, held);
        if answered.is_some() {
            // No server has heard of it.
            return answered;
        }
        let mut answer = self.upstream.carry_out(&request).await?;
        self.run.answered(self.number, answer.code, &answer.body);
        if let Some(bug) = self.run.bug {
            planted::after(bug, &self.run, &self.upstream, &request, &mut answer).await;
        }
        Some(answer)
    }
}

/// What the backend holds at the moment when somebody says that it holds it.
async fn holds(run: &Run, request: &Request) -> Option<RawObject> {
    if request.side != Side::Kubernetes || !request.plain_path().ends_with("/status") {
        return None;
    }
    let body = request.json();
    status::conditions(&body)?
        .iter()
        .find(|condition| condition["type"] == "Ready" && condition["status"] == "True")?;
    let uid = status::uid(&body)?;
    let of_uid = |object: &RawObject| object.owner.as_ref().is_some_and(|owner| owner.uid == uid);
    // The journal's reader may be a moment behind.
    let end = tokio::time::Instant::now() + HEARD;
    let (collection, object) = loop {
        match run.journal.inventory().into_values().find(|(_, object)| of_uid(object)) {
            Some(found) => break found,
            None if tokio::time::Instant::now() >= end => return None,
            None => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    let path = format!("/v3/projects/{}/{}", run.name, journal::path(&collection, &object));
    serde_json::from_value(run.admin.ask(Method::GET, &path, None).await.ok()?).ok()
}

/// What is answered instead of the truth.
fn instead(fault: Fault) -> Option<Answer> {
    let mut answer = match fault {
        Fault::Code(code, _) => Answer::json(code, &refusal(code)),
        Fault::WrongType => Answer::json(200, &json!([{"unexpected": true}])),
        Fault::Html => Answer::json(200, &Value::Null),
        Fault::Huge => Answer::json(200, &json!({"padding": "x".repeat(9 << 20)})),
        _ => return None,
    };
    let word = |text: &'static str| header::HeaderValue::from_static(text);
    if fault == Fault::Html {
        answer.body = "<html><body>It works!</body></html>".into();
        answer.headers.insert(header::CONTENT_TYPE, word("text/html"));
    }
    let later = match fault {
        Fault::Code(_, Later::Now) => "0",
        Fault::Code(_, Later::Second) => "1",
        Fault::Code(_, Later::Huge) => "31536000",
        Fault::Code(_, Later::Garbage) => "soon",
        _ => return Some(answer),
    };
    answer.headers.insert(header::RETRY_AFTER, word(later));
    Some(answer)
}

/// As an API server would say it; to the backend's clients it says nothing.
fn refusal(code: u16) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "a fault", "reason": "Fault", "code": code})
}
