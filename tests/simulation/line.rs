//! The operator's way to a server: what its requests and its streams meet there.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use futures::{Stream, StreamExt, future::BoxFuture, stream};
use http::{Request, Response, StatusCode};
use loopback_operator::protocol::client::{CallError, Exchange};
use serde_json::json;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    faults::{EventFate, Fate, Faults, Garble},
    journal::Side,
    oracles::Watchman,
    server::Server,
};

/// How long the client for the API server waits for anything to read.
const READ_TIMEOUT: Duration = Duration::from_secs(295);

/// Who sends over a line.
pub const OPERATOR: &str = "operator";

/// A line from one incarnation of the operator to one server.
#[derive(Clone)]
pub struct Line {
    pub server: Arc<dyn Server>,
    pub faults: Arc<Faults>,
    /// The incarnation has ended: nothing comes through any more, either way.
    pub cut: CancellationToken,
    pub bend: Option<Arc<dyn Bend>>,
    /// Who sends, where a Lease says who may.
    pub candidate: Option<Arc<Candidate>>,
}

/// What stands in the line and changes requests, or answers them itself, and changes answers.
pub trait Bend: Send + Sync {
    fn bend(&self, side: Side, request: Request<Bytes>) -> Result<Request<Bytes>, Response<Body>>;

    fn misread(&self, answer: Response<Body>) -> Response<Body> {
        answer
    }
}

/// One of several replicas.
pub struct Candidate {
    pub identity: String,
    pub watchman: Arc<Watchman>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    #[error("connection refused")]
    Refused,
    #[error("connection reset")]
    Reset,
}

impl Line {
    /// Sends a request; pends for ever once the line is cut.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<Body>, Lost> {
        let sent = tokio::select! {
            biased;
            () = self.cut.cancelled() => None,
            answer = self.carried(request) => Some(answer),
        };
        match sent {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }

    async fn carried(&self, request: Request<Bytes>) -> Result<Response<Body>, Lost> {
        let streams = streams(self.server.side(), &request);
        let request = match &self.bend {
            Some(bend) => match bend.bend(self.server.side(), request) {
                Ok(request) => request,
                Err(answer) => return Ok(answer),
            },
            None => request,
        };
        let writes = request.method() != http::Method::GET;
        let call = format!("{} {}", request.method(), request.uri().path_and_query().map_or("", |path| path.as_str()));
        if let Some(Candidate { identity, watchman }) = self.candidate.as_deref().filter(|_| writes) {
            watchman.acts(identity, &call);
        }
        match self.faults.request(writes, &call, request.body()) {
            Fate::Pass(there, back) => {
                pause(there).await;
                let answer = self.serve(request).await?;
                pause(back).await;
                Ok(if streams { self.stream(answer) } else { answer })
            }
            Fate::Refused => Err(Lost::Refused),
            Fate::Swallowed => self.silence().await,
            Fate::AnswerLost { silent } => {
                self.serve(request).await?;
                if silent { self.silence().await } else { Err(Lost::Reset) }
            }
            Fate::Twice => {
                let first = self.serve(copy(&request)).await?;
                let again = self.serve(request).await?;
                drop(again);
                Ok(if streams { self.stream(first) } else { first })
            }
            Fate::Late(after) => {
                let line = self.clone();
                tokio::spawn(async move {
                    sleep(after).await;
                    drop(line.serve(request).await);
                });
                Err(Lost::Reset)
            }
            Fate::Code(code, after) => Ok(instead(self.server.side(), code, after)),
            Fate::Garbled(how) => Ok(garbled(self.serve(request).await?, how).await),
            Fate::Crash { done } => {
                if done {
                    drop(self.serve(request).await);
                }
                self.cut.cancel();
                std::future::pending().await
            }
        }
    }

    /// No answer. The client for the API server gives up when it has read nothing for so long; ours for the backend earlier.
    async fn silence(&self) -> Result<Response<Body>, Lost> {
        sleep(READ_TIMEOUT).await;
        Err(Lost::Reset)
    }

    async fn serve(&self, request: Request<Bytes>) -> Result<Response<Body>, Lost> {
        let answer = self.server.serve(OPERATOR, request).await.ok_or(Lost::Refused)?;
        Ok(match &self.bend {
            Some(bend) => bend.misread(answer),
            None => answer,
        })
    }

    /// A watch or a feed, whose events have fates of their own.
    fn stream(&self, answer: Response<Body>) -> Response<Body> {
        if !answer.status().is_success() {
            return answer;
        }
        let (head, body) = answer.into_parts();
        let state = Some((self.clone(), body.into_data_stream(), Vec::new()));
        let events = stream::unfold(state, |state| async move {
            let (line, mut inner, mut ready) = state?;
            let next = tokio::select! {
                biased;
                () = line.cut.cancelled() => std::future::pending().await,
                next = line.event(&mut inner, &mut ready) => next,
            };
            match next {
                Ok(Some(bytes)) => Some((Ok(bytes), Some((line, inner, ready)))),
                Ok(None) => None,
                Err(lost) => Some((Err(lost), None)),
            }
        });
        Response::from_parts(head, Body::from_stream(events))
    }

    async fn event(
        &self,
        inner: &mut (impl Stream<Item = Result<Bytes, axum::Error>> + Unpin),
        ready: &mut Vec<Bytes>,
    ) -> Result<Option<Bytes>, Lost> {
        if let Some(bytes) = ready.pop() {
            return Ok(Some(bytes));
        }
        let Some(Ok(bytes)) = inner.next().await else { return Ok(None) };
        match self.faults.event() {
            EventFate::Pass => {}
            EventFate::Delay(time) => sleep(time).await,
            EventFate::Close => return Ok(None),
            EventFate::Break => return Err(Lost::Reset),
            EventFate::Double => ready.push(bytes.clone()),
            EventFate::Reset => return Ok(Some(start_over(self.server.side()))),
        }
        Ok(Some(bytes))
    }
}

async fn pause(time: Duration) {
    if !time.is_zero() {
        sleep(time).await;
    }
}

fn copy(request: &Request<Bytes>) -> Request<Bytes> {
    request.clone()
}

/// Whether the answer is a stream of events.
fn streams(side: Side, request: &Request<Bytes>) -> bool {
    match side {
        Side::Kube => request.uri().query().is_some_and(|query| query.contains("watch=")),
        Side::Wire => request.uri().path().ends_with("/changes"),
    }
}

fn start_over(side: Side) -> Bytes {
    let text = match side {
        Side::Kube => json!({"type": "ERROR", "object": status(410, "Expired")}),
        Side::Wire => json!({"type": "reset", "reason": "simulated"}),
    };
    format!("{text}\n").into()
}

fn status(code: u16, reason: &str) -> serde_json::Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "simulated",
        "reason": reason, "code": code})
}

/// What a proxy, or a server that cannot do it, answers.
fn instead(side: Side, code: u16, after: Option<u64>) -> Response<Body> {
    let body = match side {
        Side::Kube => status(code, "Simulated").to_string(),
        Side::Wire => "<html>simulated</html>".to_owned(),
    };
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = StatusCode::from_u16(code).unwrap();
    if let Some(after) = after {
        answer.headers_mut().insert(http::header::RETRY_AFTER, after.into());
    }
    answer
}

async fn garbled(answer: Response<Body>, how: Garble) -> Response<Body> {
    let (head, body) = answer.into_parts();
    let body = match how {
        Garble::Html => Bytes::from_static(b"<html>simulated</html>"),
        Garble::Empty => Bytes::new(),
        // A stream has no end to be cut before.
        Garble::Cut if head.headers.get("content-type").is_some_and(|media| media == "application/x-ndjson") => {
            Bytes::new()
        }
        Garble::Cut => {
            let cut = tokio::time::timeout(Duration::from_millis(1), axum::body::to_bytes(body, usize::MAX)).await;
            let bytes = cut.ok().and_then(Result::ok).unwrap_or_default();
            bytes.slice(..bytes.len() / 2)
        }
    };
    Response::from_parts(head, Body::from(body))
}

impl tower::Service<Request<kube::client::Body>> for Line {
    type Response = Response<Body>;
    type Error = Lost;
    type Future = BoxFuture<'static, Result<Response<Body>, Lost>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<kube::client::Body>) -> Self::Future {
        let line = self.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect_bytes().await.unwrap_or_default();
            line.send(Request::from_parts(head, body)).await
        })
    }
}

impl Exchange for Line {
    fn send(&self, request: reqwest::Request) -> BoxFuture<'static, Result<reqwest::Response, CallError>> {
        let line = self.clone();
        Box::pin(async move {
            let body = request.body().and_then(reqwest::Body::as_bytes).map(Bytes::copy_from_slice).unwrap_or_default();
            let mut sent = Request::builder().method(request.method()).uri(request.url().as_str());
            if let Some(headers) = sent.headers_mut() {
                headers.clone_from(request.headers());
            }
            let sent = sent.body(body).map_err(|error| CallError::Unreachable(error.to_string()))?;
            match Line::send(&line, sent).await {
                Ok(answer) => Ok(answer.map(|body| reqwest::Body::wrap_stream(body.into_data_stream())).into()),
                Err(lost @ Lost::Refused) => Err(CallError::Unreachable(lost.to_string())),
                Err(lost @ Lost::Reset) => Err(CallError::Doubtful(lost.to_string())),
            }
        })
    }
}
