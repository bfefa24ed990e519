//! A backend that is far away: each answer comes late.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::State};

struct Way {
    to: String,
    delay: Duration,
    http: reqwest::Client,
}

/// Where the backend is met so many milliseconds late.
pub async fn late(to: SocketAddr, delay: u64) -> SocketAddr {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let way = Arc::new(Way { to: format!("http://{to}"), delay: Duration::from_millis(delay), http });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, Router::new().fallback(pass).with_state(way)).into_future());
    address
}

async fn pass(State(way): State<Arc<Way>>, request: http::Request<Body>) -> http::Response<Body> {
    let (parts, body) = request.into_parts();
    let url = format!("{}{}", way.to, parts.uri.path_and_query().unwrap());
    let mut headers = parts.headers;
    headers.remove(http::header::HOST);
    let body = axum::body::to_bytes(body, 16 << 20).await.unwrap();
    let answer = way.http.request(parts.method, url).headers(headers).body(body).send().await;
    tokio::time::sleep(way.delay).await;
    let Ok(answer) = answer else {
        return http::Response::builder().status(502).body(Body::empty()).unwrap();
    };
    let mut response = http::Response::builder().status(answer.status());
    *response.headers_mut().unwrap() = answer.headers().clone();
    response.body(Body::from_stream(answer.bytes_stream())).unwrap()
}
