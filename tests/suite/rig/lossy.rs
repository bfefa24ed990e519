//! What stands between operator and backend and loses answers, or holds them: the backend did what it was asked, and nobody hears
//! of it.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use futures::stream;
use reqwest::Url;
use tokio::{net::TcpListener, sync::Notify, task::JoinHandle};

/// How an answer is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The connection breaks in its middle.
    Broken,
    /// It never comes.
    Silent,
    /// It comes when [`Lossy::release`] says so.
    Held,
}

/// A proxy in front of the backend.
pub struct Lossy {
    /// Its URL.
    pub url: String,
    state: Arc<Inner>,
    serving: JoinHandle<()>,
}

struct Inner {
    backend: SocketAddr,
    http: reqwest::Client,
    /// End of the path whose next answer is lost, and how.
    next: Mutex<Option<(&'static str, Loss)>>,
    lost: Notify,
    released: Notify,
}

impl Lossy {
    /// In front of this backend; it loses nothing yet.
    pub async fn start(backend: SocketAddr) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let state =
            Arc::new(Inner { backend, http, next: Mutex::new(None), lost: Notify::new(), released: Notify::new() });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let router = Router::new().fallback(pass).with_state(state.clone());
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { url, state, serving }
    }

    /// The next answer to a request whose path ends so is lost.
    pub fn lose(&self, end_of_path: &'static str, loss: Loss) {
        *self.state.next.lock().unwrap() = Some((end_of_path, loss));
    }

    /// What is held comes.
    pub fn release(&self) {
        self.state.released.notify_one();
    }

    /// Waits until it was.
    pub async fn lost(&self) {
        tokio::time::timeout(super::PATIENCE, self.state.lost.notified()).await.expect("an answer to lose");
    }
}

impl Drop for Lossy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn pass(State(inner): State<Arc<Inner>>, request: Request) -> Response {
    let loss = {
        let mut next = inner.next.lock().unwrap();
        let fits = next.is_some_and(|(end, _)| request.uri().path().ends_with(end));
        if fits { next.take().map(|(_, loss)| loss) } else { None }
    };
    let Some(answer) = forward(&inner, request).await else {
        return Response::builder().status(StatusCode::BAD_GATEWAY).body(Body::empty()).expect("an answer");
    };
    match loss {
        None => answer,
        Some(loss) => {
            inner.lost.notify_one();
            match loss {
                Loss::Broken => {}
                Loss::Silent => std::future::pending::<()>().await,
                Loss::Held => {
                    inner.released.notified().await;
                    return answer;
                }
            }
            answer.map(|_| Body::from_stream(stream::iter([Err::<Vec<u8>, _>(io::Error::other("lost"))])))
        }
    }
}

/// `None` while the backend does not answer.
async fn forward(inner: &Inner, request: Request) -> Option<Response> {
    let (mut parts, body) = request.into_parts();
    parts.headers.remove("host");
    let url: Url = format!("http://{}{}", inner.backend, parts.uri).parse().expect("a URL");
    let body = axum::body::to_bytes(body, usize::MAX).await.ok()?;
    let answer = inner.http.request(parts.method, url).headers(parts.headers).body(body).send().await.ok()?;
    let mut response = Response::builder().status(answer.status());
    *response.headers_mut()? = answer.headers().clone();
    response.body(Body::from_stream(answer.bytes_stream())).ok()
}
