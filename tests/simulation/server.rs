//! What a line leads to: both servers look alike from here.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use serde_json::Value;
use tower::Service as _;

use crate::{
    apiserver::ApiServer,
    journal::{Entry, Journal, Side},
    oracles::Watchman,
};

/// A server of either side.
pub trait Server: Send + Sync + 'static {
    fn side(&self) -> Side;
    /// Answers; `None` while it is down.
    fn serve(&self, who: &'static str, request: Request<Bytes>) -> BoxFuture<'_, Option<Response<Body>>>;
}

/// The API server, watched.
pub struct Kube {
    pub api: ApiServer,
    pub journal: Journal,
    pub watchman: Arc<Watchman>,
}

impl Server for Kube {
    fn side(&self) -> Side {
        Side::Kube
    }

    fn serve(&self, who: &'static str, request: Request<Bytes>) -> BoxFuture<'_, Option<Response<Body>>> {
        Box::pin(async move {
            let entry = entry(&self.journal, Side::Kube, who, &request);
            let (head, body) = request.into_parts();
            let request = Request::from_parts(head, kube::client::Body::from(body));
            let Ok(answer) = self.api.service(who).call(request).await;
            if let Some(mut entry) = entry {
                entry.status = answer.status().as_u16();
                self.watchman.kube(&entry);
                self.journal.add(entry);
            }
            Some(answer)
        })
    }
}

/// What is noted before it is answered of a request that may change something.
pub fn entry(journal: &Journal, side: Side, who: &'static str, request: &Request<Bytes>) -> Option<Entry> {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok()).map(ToOwned::to_owned);
    (request.method() != http::Method::GET).then(|| Entry {
        at: journal.now(),
        side,
        who,
        verb: request.method().to_string(),
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        body: serde_json::from_slice(request.body()).unwrap_or_default(),
        sent: request.body().clone(),
        condition: header("if-match"),
        status: 0,
    })
}

/// Sends a request past all faults.
pub async fn ask(
    server: &dyn Server,
    who: &'static str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &Value,
) -> (u16, Value) {
    let bytes = if body.is_null() { Bytes::new() } else { body.to_string().into() };
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let Some(answer) = server.serve(who, request.body(bytes).unwrap()).await else { return (0, Value::Null) };
    let status = answer.status().as_u16();
    let bytes = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap_or_default();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}
