//! The client for the API server: no hidden retries, every request counted.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::{Request, Response};
use kube::{
    Client, Config,
    client::{Body, ClientBuilder},
};
use tower::{Layer, Service, util::MapRequestLayer};

use crate::runtime::Metrics;

/// A client that counts its requests as `rest_client_requests_total`.
///
/// # Errors
/// When the configuration cannot be used.
pub fn new(mut config: Config, metrics: Metrics) -> kube::Result<Client> {
    // The engine decides what is tried again and when; a retry inside a call would hide doubt from it.
    config.default_retry = false;
    let builder = ClientBuilder::try_from(config)?.with_layer(&Counted { metrics });
    Ok(builder.with_layer(&MapRequestLayer::new(newest as fn(Request<Body>) -> Request<Body>)).build())
}

/// The library begins a streamed list with `resourceVersion=0`, which the API server may answer from a cache that lags by any
/// time. Without it the list is as new as there is (Kubernetes: Get State and Start at Most Recent).
fn newest(mut request: Request<Body>) -> Request<Body> {
    let uri = request.uri().to_string();
    if uri.contains("sendInitialEvents=true")
        && let Some(uri) = uri.strip_suffix("&resourceVersion=0").and_then(|uri| uri.parse().ok())
    {
        *request.uri_mut() = uri;
    }
    request
}

#[derive(Clone)]
struct Counted {
    metrics: Metrics,
}

impl<S> Layer<S> for Counted {
    type Service = Counting<S>;
    fn layer(&self, inner: S) -> Counting<S> {
        Counting { inner, metrics: self.metrics.clone() }
    }
}

#[derive(Clone)]
struct Counting<S> {
    inner: S,
    metrics: Metrics,
}

impl<S, B> Service<Request<Body>> for Counting<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Send,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<B>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let method = request.method().to_string();
        let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        let (answer, metrics) = (self.inner.call(request), self.metrics.clone());
        Box::pin(async move {
            let answer = answer.await;
            let code = answer.as_ref().map_or("<error>".to_owned(), |answer| answer.status().as_u16().to_string());
            metrics.kubernetes_request(&code, &method, &host);
            answer
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_streamed_list_is_never_an_old_one() {
        let sent = |uri: &str| newest(Request::get(uri).body(Body::empty()).unwrap()).uri().to_string();
        let list = "https://k/api/v1/secrets?&watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
        assert_eq!(sent(&format!("{list}&resourceVersion=0")), list);
        for other in ["https://k/api/v1/secrets?&watch=true&resourceVersion=0", &format!("{list}&resourceVersion=7")] {
            assert_eq!(sent(other), other);
        }
    }
}
