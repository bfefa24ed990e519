//! Between operator and API server, and between operator and backend: records every call, and does to one what the plan says.

mod deliver;
mod lies;
mod names;
mod rest;
mod run;
mod streams;
mod witness;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::body::Body;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

pub use self::{
    deliver::{Answer, Request},
    run::{Call, Run},
    witness::lets_go,
};
use crate::plan::Side;

/// Where a front passes calls on to.
#[derive(Clone)]
pub struct Upstream {
    /// Its base URL, without a slash at the end.
    pub url: String,
    /// For calls to it.
    pub http: reqwest::Client,
}

/// One side of a proxy.
pub struct Front {
    side: Side,
    upstream: Upstream,
    run: Arc<Mutex<Option<Arc<Run>>>>,
}

/// The two fronts of a lane.
pub struct Proxy {
    /// Where the operator finds Kubernetes, over TLS.
    pub kubernetes: SocketAddr,
    /// Where the operator finds the backend.
    pub backend: SocketAddr,
    /// The authority of the first, PEM.
    pub authority: String,
    run: Arc<Mutex<Option<Arc<Run>>>>,
}

impl Proxy {
    /// Listens on free ports until the runtime ends.
    pub async fn start(kubernetes: Upstream, backend: Upstream) -> Self {
        let run = Arc::default();
        let (authority, acceptor) = tls();
        let front = |side, upstream| Arc::new(Front { side, upstream, run: Arc::clone(&run) });
        let kubernetes = listen(front(Side::Kubernetes, kubernetes), Some(acceptor)).await;
        let backend = listen(front(Side::Backend, backend), None).await;
        Self { kubernetes, backend, authority, run }
    }

    /// What calls belong to from now on; connections that stand keep what they belong to.
    pub fn belong(&self, run: Option<Arc<Run>>) {
        *self.run.lock().unwrap() = run;
    }
}

fn tls() -> (String, TlsAcceptor) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).expect("an authority").pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().expect("a key");
    let names = vec!["127.0.0.1".to_owned()];
    let certificate = CertificateParams::new(names).expect("a name").signed_by(&key, &issuer).expect("a certificate");
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from(certificate.der().to_vec())],
            PrivateKeyDer::try_from(key.serialize_der()).expect("a key"),
        )
        .expect("a TLS configuration");
    (authority, TlsAcceptor::from(Arc::new(config)))
}

async fn listen(front: Arc<Front>, tls: Option<TlsAcceptor>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            drop(stream.set_nodelay(true));
            // Who connects while no run is on is the operator of one that has just ended.
            let Some(run) = front.run.lock().unwrap().clone() else { continue };
            let (front, tls) = (front.clone(), tls.clone());
            tokio::spawn(async move {
                match tls {
                    None => serve(front, run, stream).await,
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            serve(front, run, stream).await;
                        }
                    }
                }
            });
        }
    });
    address
}

async fn serve(front: Arc<Front>, run: Arc<Run>, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let (front, run) = (front.clone(), run.clone());
        async move {
            // A caller that dies takes its connection with it, not what is done about its call.
            let answer = tokio::spawn(async move { deliver::handle(&front, &run, request.map(Body::new)).await });
            answer.await.unwrap_or(None).ok_or(Reset)
        }
    });
    drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}

/// The connection ends without an answer.
#[derive(Debug, thiserror::Error)]
#[error("reset")]
struct Reset;
