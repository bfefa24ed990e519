//! One listening socket. Its config can change without a rebind; dropping the listener closes the socket and its
//! connections.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use socket2::{Domain, SockRef, Socket, Type};
use tokio::{
    net::TcpListener,
    select,
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{sleep, timeout},
};
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};

use super::{
    connect::prepare,
    connection::{reset, serve},
    plane::Shared,
    pool::Pool,
};

/// Connections that wait to be accepted; the kernel's own bound may be lower.
const BACKLOG: i32 = 4096;
/// How long accepting pauses when the process has no descriptor or memory left.
const PAUSE: Duration = Duration::from_millis(50);
/// How long connections of a removed listener may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// Why an address cannot be listened on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindProblem {
    /// Somebody listens there.
    #[error("port {} of {} is in use: choose another port, or stop the program or load balancer that uses it", .0.port(), .0.ip())]
    PortInUse(SocketAddr),
    /// The machine has no such address.
    #[error(
        "this machine has no address {}: add it to an interface (on macOS: sudo ifconfig lo0 alias {}), or have an \
         administrator start the backend with another pool", .0.ip(), .0.ip()
    )]
    AddressNotAvailable(SocketAddr),
    /// The process may not.
    #[error(
        "this process may not listen on port {}: choose a port from 1024 up, or give the backend CAP_NET_BIND_SERVICE",
        .0.port()
    )]
    PermissionDenied(SocketAddr),
    /// Anything else.
    #[error("cannot listen on {0}: {1}; it is tried again")]
    Failed(SocketAddr, String),
}

impl BindProblem {
    fn new(address: SocketAddr, problem: &io::Error) -> Self {
        match problem.kind() {
            io::ErrorKind::AddrInUse => Self::PortInUse(address),
            io::ErrorKind::AddrNotAvailable => Self::AddressNotAvailable(address),
            io::ErrorKind::PermissionDenied => Self::PermissionDenied(address),
            _ => Self::Failed(address, problem.to_string()),
        }
    }

    /// One CamelCase word.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::PortInUse(_) => "PortInUse",
            Self::AddressNotAvailable(_) => "AddressNotAvailable",
            Self::PermissionDenied(_) => "PermissionDenied",
            Self::Failed(..) => "CannotListen",
        }
    }
}

/// A listening socket and its connections.
#[derive(Debug)]
pub struct Listener {
    address: SocketAddr,
    pools: watch::Sender<Arc<Pool>>,
    accepting: CancellationToken,
    accepter: AbortOnDropHandle<()>,
    connections: TaskTracker,
    shared: Arc<Shared>,
}

impl Listener {
    /// Listens.
    ///
    /// # Errors
    /// Why it cannot, and what to do.
    pub fn open(address: SocketAddr, pool: Arc<Pool>, shared: &Arc<Shared>) -> Result<Self, BindProblem> {
        let socket = bind(address).map_err(|problem| BindProblem::new(address, &problem))?;
        shared.own.add(address);
        let (pools, followed) = watch::channel(pool);
        let accepting = CancellationToken::new();
        let connections = TaskTracker::new();
        let accepter = Accepter {
            socket,
            pools: followed,
            slots: Arc::new(Semaphore::new(shared.limits.connections_per_listener)),
            connections: connections.clone(),
            shared: Arc::clone(shared),
        };
        let accepter = AbortOnDropHandle::new(tokio::spawn(accepter.run(accepting.clone())));
        Ok(Self { address, pools, accepting, accepter, connections, shared: Arc::clone(shared) })
    }

    /// Works with another pool from now on.
    pub fn follow(&self, pool: Arc<Pool>) {
        self.pools.send_replace(pool);
    }

    /// Stops accepting; connections go on. Returns when the socket is closed.
    pub async fn stop_accepting(&mut self) {
        self.accepting.cancel();
        if !self.accepter.is_finished() {
            let _ = (&mut self.accepter).await;
        }
        self.shared.own.remove(self.address);
        self.shared.freed.notify_waiters();
    }

    /// Waits for the connections, at most `limit`.
    pub async fn drained(&self, limit: Duration) {
        self.connections.close();
        let _ = timeout(limit, self.connections.wait()).await;
    }

    /// Closes the socket and its connections.
    pub async fn close(mut self) {
        self.stop_accepting().await;
        let Self { pools, connections, .. } = self;
        drop(pools);
        connections.close();
        let _ = timeout(GOODBYE, connections.wait()).await;
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // connections of an earlier process that are still saying goodbye must not keep the port; on Linux and macOS two
    // listeners exclude each other all the same
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    prepare(SockRef::from(&socket));
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

struct Accepter {
    socket: TcpListener,
    pools: watch::Receiver<Arc<Pool>>,
    slots: Arc<Semaphore>,
    connections: TaskTracker,
    shared: Arc<Shared>,
}

type Slot = (OwnedSemaphorePermit, OwnedSemaphorePermit);

impl Accepter {
    async fn run(self, stop: CancellationToken) {
        select! {
            biased;
            () = stop.cancelled() => {}
            () = self.accept_all() => {}
        }
    }

    async fn accept_all(&self) {
        // semaphores are never closed, so the loop ends only with the task
        while let Some(slot) = self.slot().await {
            match self.socket.accept().await {
                Ok((stream, peer)) => self.admit(stream, peer.ip().to_canonical(), slot),
                Err(problem) if concerns_one_connection(&problem) => {}
                Err(problem) => {
                    tracing::warn!(%problem, "cannot accept connections for the moment");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    async fn slot(&self) -> Option<Slot> {
        let own = Arc::clone(&self.slots).acquire_owned().await.ok()?;
        let all = Arc::clone(&self.shared.slots).acquire_owned().await.ok()?;
        Some((own, all))
    }

    fn admit(&self, stream: tokio::net::TcpStream, peer: IpAddr, slot: Slot) {
        if !self.pools.borrow().origins().admits(peer) {
            return reset(&stream);
        }
        let serving = serve(stream, peer, self.pools.clone(), Arc::clone(&self.shared));
        self.connections.spawn(async move {
            serving.await;
            drop(slot);
        });
    }
}

/// Errors of `accept` that say something about one connection and not about the listener (accept(2)).
fn concerns_one_connection(problem: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        problem.kind(),
        Kind::ConnectionAborted
            | Kind::ConnectionReset
            | Kind::ConnectionRefused
            | Kind::Interrupted
            | Kind::TimedOut
            | Kind::HostUnreachable
            | Kind::NetworkUnreachable
            | Kind::NetworkDown
    )
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn what_is_accepted_has_the_options_of_its_listener() {
        for any in ["127.0.0.1:0", "[::1]:0"] {
            let listener = bind(any.parse().unwrap()).unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (accepted, _) = listener.accept().await.unwrap();
            let [ours, theirs] = [&accepted, &client].map(|stream| {
                let socket = SockRef::from(stream);
                (socket.tcp_nodelay().unwrap(), socket.keepalive().unwrap())
            });
            assert_eq!((ours, theirs), ((true, true), (false, false)));
        }
    }

    #[test]
    fn each_problem_says_what_to_do() {
        let address: SocketAddr = "127.10.0.1:80".parse().unwrap();
        for (kind, reason, advice) in [
            (io::ErrorKind::AddrInUse, "PortInUse", "choose another port"),
            (io::ErrorKind::AddrNotAvailable, "AddressNotAvailable", "lo0 alias 127.10.0.1"),
            (io::ErrorKind::PermissionDenied, "PermissionDenied", "from 1024 up"),
            (io::ErrorKind::OutOfMemory, "CannotListen", "tried again"),
        ] {
            let problem = BindProblem::new(address, &kind.into());
            assert_eq!(problem.reason(), reason);
            assert!(problem.to_string().contains(advice), "{problem}");
        }
    }
}
