//! The S3 listener: one task a connection.

use std::{sync::Arc, time::Duration};

use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use s3s::{
    config::{S3Config, StaticConfigProvider},
    service::S3ServiceBuilder,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};

use super::{
    access::{Directory, Gate},
    door::Door,
    service::Service,
    vault::Vault,
};
use crate::runtime::Drain;

/// Longest time that the head of a request may take, and that a connection may be idle.
const HEAD_TIME: Duration = Duration::from_secs(60);
/// Largest head of a request, in bytes.
const HEAD_LIMIT: usize = 64 << 10;
/// Open connections. Each may hold about two megabytes of a body.
const CONNECTIONS: usize = 512;
/// Most bytes of a body in XML, which is held whole: 10,000 parts with all that can be said about them have fewer.
const XML_MOST: usize = 4 << 20;
/// After an accept failed for want of file descriptors or memory.
const PAUSE: Duration = Duration::from_millis(100);

/// The service that answers requests.
pub(super) fn service(vault: Vault, directory: Directory) -> Door {
    let gate = Gate(directory.clone());
    let mut builder = S3ServiceBuilder::new(Service { vault });
    let mut config = S3Config::default();
    config.xml_max_body_size = XML_MOST;
    builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
    builder.set_auth(gate.clone());
    builder.set_access(gate);
    Door { service: builder.build(), directory }
}

/// Serves until the drain starts; then each connection finishes the request that it is at.
pub(super) async fn serve(listener: TcpListener, service: Door, drain: Drain) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            biased;
            () = drain.wait() => return,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Some((stream, place)) => {
                drop(drain.spawn(connection(stream, service.clone(), drain.clone(), place)));
            }
            None => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, place)),
        Err(problem) => {
            tracing::warn!(%problem, "an S3 connection could not be accepted");
            None
        }
    }
}

async fn connection(stream: TcpStream, service: Door, drain: Drain, place: OwnedSemaphorePermit) {
    let _place = place;
    drop(stream.set_nodelay(true));
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
        tracing::debug!(problem, "an S3 connection broke");
    }
}
