//! What stands between an operator and the API server and can stop what its watches tell: calls go through, and the operator
//! goes on with an old view.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use futures::StreamExt;
use kube::config::Kubeconfig;
use reqwest::{Certificate, Client, Url};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

/// A proxy in front of the API server.
pub struct View {
    /// Its URL.
    pub url: String,
    frozen: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

struct Inner {
    server: Url,
    http: Client,
    frozen: watch::Receiver<bool>,
}

impl View {
    /// In front of the API server of this kubeconfig; all goes through.
    pub async fn start(kubeconfig: &Kubeconfig) -> Self {
        let cluster = kubeconfig.clusters.first().and_then(|named| named.cluster.clone()).expect("a cluster");
        let authority = cluster.certificate_authority_data.expect("an authority");
        let authority = data_encoding::BASE64.decode(authority.as_bytes()).expect("base64");
        let authority = Certificate::from_pem(&authority).expect("a certificate");
        let http = Client::builder().no_proxy().tls_certs_only([authority]).build().expect("a client");
        let server = cluster.server.expect("a server").parse().expect("a URL");
        let (sender, frozen) = watch::channel(false);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let router = Router::new().fallback(pass).with_state(Arc::new(Inner { server, http, frozen }));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { url, frozen: sender, serving }
    }

    /// From now on watches tell nothing, until they tell all of it.
    pub fn freeze(&self, frozen: bool) {
        self.frozen.send_replace(frozen);
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn pass(State(inner): State<Arc<Inner>>, request: Request) -> Response {
    let watches = request.uri().query().is_some_and(|query| query.contains("watch=true"));
    let Some(answer) = forward(&inner, request).await else {
        return Response::builder().status(StatusCode::BAD_GATEWAY).body(Body::empty()).expect("an answer");
    };
    let mut response = Response::builder().status(answer.status());
    *response.headers_mut().expect("a good status") = answer.headers().clone();
    let frozen = inner.frozen.clone();
    let chunks = answer.bytes_stream().then(move |chunk| {
        let mut frozen = frozen.clone();
        async move {
            if watches {
                drop(frozen.wait_for(|frozen| !frozen).await);
            }
            chunk
        }
    });
    response.body(Body::from_stream(chunks)).expect("an answer")
}

async fn forward(inner: &Inner, request: Request) -> Option<reqwest::Response> {
    let (mut parts, body) = request.into_parts();
    parts.headers.remove("host");
    let url = inner.server.join(&parts.uri.to_string()).expect("a URL");
    let body = axum::body::to_bytes(body, usize::MAX).await.ok()?;
    inner.http.request(parts.method, url).headers(parts.headers).body(body).send().await.ok()
}
