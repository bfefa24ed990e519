//! One call on its way: what the plan, or the planted bug, makes of it.

use std::{sync::Arc, time::Duration};

use axum::body::{Body, Bytes};
use http::{HeaderMap, Method, header};
use serde_json::Value;

use super::{Front, Run, Upstream, lies::instead, streams, witness};
use crate::{
    plan::{Fault, Side},
    planted,
};

/// How late a late call is.
const LATE: Duration = Duration::from_millis(1_500);
/// Longer than any client waits.
const SLOW: Duration = Duration::from_secs(16);
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
    if stream {
        return line.stream(fault).await;
    }
    let _pending = run.pend();
    line.meet(fault).await.map(Answer::response)
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
                if let Some(answer) = instead(self.request.side, fault) {
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
                let pending = self.run.pend();
                tokio::spawn(async move {
                    tokio::time::sleep(LATE).await;
                    self.go().await;
                    drop(pending);
                });
                None
            }
            Some(fault @ Fault::Code(..)) => instead(self.request.side, fault),
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
            Some(fault) => return instead(self.request.side, fault).or(Some(answer)),
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
        let held = witness::held(&self.run, &request).await;
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
