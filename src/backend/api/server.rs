//! The HTTP server: one task a connection.

use std::{sync::Arc, time::Duration};

use axum::{Router, body::Body};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tower::ServiceExt;

use crate::runtime::Drain;

/// Longest time that the head of a request may take, and that a connection may be idle.
const HEAD_TIME: Duration = Duration::from_secs(30);
/// Largest head of a request, in bytes.
const HEAD_LIMIT: usize = 64 << 10;
/// Open connections.
const CONNECTIONS: usize = 4096;
/// After an accept failed for want of file descriptors or memory.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until the drain starts; then each connection finishes the request that it is at.
pub async fn serve(listener: TcpListener, router: Router, drain: Drain) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            biased;
            () = drain.wait() => return,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Some((stream, place)) => {
                let (router, stop) = (router.clone(), drain.clone());
                drain.spawn(async move {
                    connection(stream, router, stop).await;
                    drop(place);
                });
            }
            None => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, place)),
        Err(problem) => {
            tracing::warn!(%problem, "a connection could not be accepted");
            None
        }
    }
}

async fn connection(stream: TcpStream, router: Router, drain: Drain) {
    // Answers are small and written whole; waiting for more to send only delays them.
    drop(stream.set_nodelay(true));
    let service = router.map_request(|request: http::Request<_>| request.map(Body::new));
    let service = TowerToHyperService::new(service);
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(HEAD_LIMIT);
    let mut serving = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        biased;
        ended = serving.as_mut() => ended,
        () = drain.wait() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(problem) = ended {
        tracing::debug!(problem, "a connection broke");
    }
}
