//! Opening connections to targets, for clients and for checks.

use std::{
    collections::BTreeSet,
    io,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::{net::TcpStream, time::timeout};

use super::health::Failure;

/// A peer that vanished without a word is noticed after two minutes of silence.
const KEEPALIVE: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(15)).with_retries(4);

/// Where this plane listens. No connection goes there: balancers that feed each other in a circle would fill the machine.
#[derive(Debug, Default)]
pub struct OwnSockets(Mutex<BTreeSet<SocketAddr>>);

impl OwnSockets {
    /// A listener opened.
    pub fn add(&self, address: SocketAddr) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(address);
    }

    /// A listener closed.
    pub fn remove(&self, address: SocketAddr) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&address);
    }

    fn has(&self, address: SocketAddr) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&address)
    }
}

/// Why there is no connection to a target.
#[derive(Debug, thiserror::Error)]
pub enum ConnectProblem {
    /// The target is a listener of this plane.
    #[error("it is a listener of this backend")]
    OwnListener,
    /// It did not answer within the limit.
    #[error("no answer in time")]
    Timeout,
    /// The system says why.
    #[error(transparent)]
    Failed(#[from] io::Error),
}

impl ConnectProblem {
    /// What it says about the target; nothing when the cause is on our side.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        match self {
            Self::OwnListener => Some(Failure::new("OwnListener", "the target is a listener of this backend")),
            Self::Timeout => Some(Failure::timeout()),
            Self::Failed(problem) => Failure::of_connection(problem),
        }
    }
}

/// Opens a connection, within `limit`.
///
/// # Errors
/// Why it cannot be opened.
pub async fn connect(address: SocketAddr, limit: Duration, own: &OwnSockets) -> Result<TcpStream, ConnectProblem> {
    if own.has(address) {
        return Err(ConnectProblem::OwnListener);
    }
    let connecting = timeout(limit, TcpStream::connect(address));
    let stream = connecting.await.map_err(|_| ConnectProblem::Timeout)??;
    prepare(SockRef::from(&stream));
    Ok(stream)
}

/// Small writes leave at once, and dead peers are noticed. What a listener accepts has what the listener has. Best effort: a
/// socket that refuses an option still carries bytes.
pub fn prepare(socket: SockRef<'_>) {
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_tcp_keepalive(&KEEPALIVE);
}
