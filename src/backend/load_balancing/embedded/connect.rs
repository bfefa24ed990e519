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

/// Opens a connection, within `limit`.
///
/// # Errors
/// Why it cannot be opened; `TimedOut` after `limit`, `InvalidInput` for a listener of this plane.
pub async fn connect(address: SocketAddr, limit: Duration, own: &OwnSockets) -> io::Result<TcpStream> {
    if own.has(address) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the target is a listener of this backend"));
    }
    let stream = timeout(limit, TcpStream::connect(address)).await.map_err(|_| io::ErrorKind::TimedOut)??;
    prepare(&stream);
    Ok(stream)
}

/// Small writes leave at once, and dead peers are noticed. Best effort: a socket that refuses an option still carries bytes.
pub fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(stream).set_tcp_keepalive(&KEEPALIVE);
}
