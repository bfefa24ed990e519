//! Listens and answers: UDP and TCP, each on every address.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::Semaphore,
    time::timeout,
};

use super::{
    answer::Transport,
    datagrams::{self, Batch},
    served::Served,
};
use crate::runtime::Drain;

/// Where the server listens when nothing else is said.
pub const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5354);
/// Connections of one listener at a time; further ones wait in the kernel's queue.
pub(super) const CONNECTIONS: usize = 512;
/// How long a connection may rest, and a message may take (RFC 7766 section 6.2.3: a few seconds).
const IDLE: Duration = Duration::from_secs(10);
/// Longest request that is read from a datagram. Longer ones are read in part, and cannot be understood then.
const REQUEST_LIMIT: usize = 4096;
const BACKLOG: i32 = 1024;
/// Datagrams that may wait while an answer is made, in bytes. The kernel may give less.
const RECEIVE_BUFFER: usize = 1 << 20;
/// After a socket failed, so that one that fails for good does not keep the processor busy.
const PAUSE: Duration = Duration::from_millis(50);
/// When any port will do: how often one is looked for that is free for both.
const TRIES: usize = 16;

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for DNS on {address} over {transport}: {problem}; choose another address with --dns-listen")]
pub struct ListenProblem {
    /// The address.
    pub address: SocketAddr,
    /// UDP or TCP.
    pub transport: &'static str,
    /// Why.
    pub problem: io::Error,
}

/// Open sockets.
#[derive(Debug)]
pub struct Listeners {
    sockets: Vec<(SocketAddr, UdpSocket, TcpListener)>,
}

impl Listeners {
    /// Opens every address for UDP and TCP. Port 0 takes one that is free for both. Call inside a runtime.
    ///
    /// # Errors
    /// The first address that cannot be had.
    pub fn bind(addresses: &[SocketAddr]) -> Result<Self, ListenProblem> {
        let sockets = addresses.iter().map(|address| bind_both(*address)).collect::<Result<_, _>>()?;
        Ok(Self { sockets })
    }

    /// Where they listen.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.iter().map(|(address, ..)| *address).collect()
    }

    /// Answers until the drain starts.
    pub fn serve(self, served: &Served, drain: &Drain) {
        for (_, udp, tcp) in self.sockets {
            drain.spawn(until(drain.clone(), serve_udp(udp, served.clone())));
            drain.spawn(until(drain.clone(), accept(tcp, served.clone(), drain.clone())));
        }
    }
}

async fn until(drain: Drain, work: impl Future<Output = ()>) {
    tokio::select! {
        biased;
        () = drain.wait() => {}
        () = work => {}
    }
}

fn bind_both(address: SocketAddr) -> Result<(SocketAddr, UdpSocket, TcpListener), ListenProblem> {
    let mut tries = if address.port() == 0 { TRIES } else { 1 };
    loop {
        tries -= 1;
        let tcp = bind_tcp(address).map_err(|problem| ListenProblem { address, transport: "TCP", problem })?;
        let real = tcp.local_addr().map_err(|problem| ListenProblem { address, transport: "TCP", problem })?;
        match bind_udp(real) {
            Ok(udp) => return Ok((real, udp, tcp)),
            Err(_) if tries > 0 => {}
            Err(problem) => return Err(ListenProblem { address: real, transport: "UDP", problem }),
        }
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = open(address, Type::STREAM, Protocol::TCP)?;
    // a restart does not wait for the connections of the process before
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn bind_udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = open(address, Type::DGRAM, Protocol::UDP)?;
    // smaller is no reason not to serve
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

fn open(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        // [::] and 0.0.0.0 are two listeners
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Answers are made between two calls of the socket: that takes less time than handing them to a task.
async fn serve_udp(socket: UdpSocket, served: Served) {
    let mut requests = Batch::new(REQUEST_LIMIT);
    loop {
        if let Err(problem) = requests.receive(&socket).await {
            tracing::debug!(%problem, "a datagram could not be received");
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        let answer = |(request, from)| Some((served.answer(request, Transport::Udp)?, from));
        let answers: Vec<_> = requests.iter().filter_map(answer).collect();
        datagrams::send(&socket, &answers).await;
    }
}

async fn accept(listener: TcpListener, served: Served, drain: Drain) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let connection = connection(stream, served.clone());
                let stop = drain.clone();
                drain.spawn(async move {
                    until(stop, connection).await;
                    drop(slot);
                });
            }
            Err(problem) => {
                tracing::debug!(%problem, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Answers one message after the other, in the order in which they came (RFC 7766 section 6.2.1.1), until the client closes or
/// rests too long.
async fn connection(stream: TcpStream, served: Served) {
    let _ = stream.set_nodelay(true);
    let (reader, mut writer) = stream.into_split();
    let (mut reader, mut request) = (BufReader::new(reader), Vec::new());
    while let Ok(Ok(())) = timeout(IDLE, read_message(&mut reader, &mut request)).await {
        let Some(answer) = served.answer(&request, Transport::Tcp) else { return };
        let Ok(length) = u16::try_from(answer.len()) else { return };
        // one write: length and message belong into one segment (RFC 7766 section 8)
        let message = [&length.to_be_bytes()[..], &answer].concat();
        if !matches!(timeout(IDLE, writer.write_all(&message)).await, Ok(Ok(()))) {
            return;
        }
    }
}

/// Two bytes of length, then the message (RFC 1035 section 4.2.2).
async fn read_message(reader: &mut (impl AsyncReadExt + Unpin), message: &mut Vec<u8>) -> io::Result<()> {
    let length = reader.read_u16().await?;
    message.resize(length.into(), 0);
    reader.read_exact(message).await.map(drop)
}
