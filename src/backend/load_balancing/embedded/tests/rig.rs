//! A plane with a hand-driven feed, and servers and clients to put around it.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    backend::{
        load_balancing::embedded::{EmbeddedPlane, Limits, Options},
        plane::{IntentChange, Plane, RealityChange, Reporter},
    },
    protocol::{
        Intent, Member, Phase, Project, RawObject, Reality,
        load_balancer::{LoadBalancer, State},
    },
    rules::outbound::Outbound,
    runtime::{Drain, World},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// What was reported of one balancer.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub of: u64,
    pub state: State,
    pub members: BTreeMap<String, Member>,
    pub reports: usize,
    pub released: usize,
}

impl Seen {
    pub fn is(&self, path: &str, state: &str) -> bool {
        self.members.get(path).is_some_and(|member| member.state == state)
    }

    pub fn reason(&self, path: &str) -> (&str, &str) {
        self.members.get(path).map_or(("", ""), |member| (&member.reason, &member.message))
    }
}

type Board = BTreeMap<String, Seen>;

/// A running plane.
pub struct Rig {
    /// An address that no other test has.
    pub front: IpAddr,
    /// A port that no other test has.
    pub port: u16,
    _reserved: std::net::TcpListener,
    intents: mpsc::Sender<IntentChange>,
    board: watch::Receiver<Board>,
    pub drain: Drain,
    pub plane: JoinHandle<()>,
    revision: u64,
}

pub fn open_options() -> Options {
    let outbound = Outbound { allow_loopback: true, ..Outbound::default() };
    let limits = Limits { connect_timeout: Duration::from_millis(500), ..Limits::default() };
    Options { outbound, limits, ..Options::default() }
}

impl Rig {
    pub fn start() -> Self {
        Self::start_with(open_options())
    }

    pub fn start_with(options: Options) -> Self {
        let reserved = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = reserved.local_addr().unwrap().port();
        let [high, low] = port.to_be_bytes();
        let (intents, followed) = mpsc::channel(16);
        let (writer, board) = watch::channel(Board::new());
        let writer = Arc::new(writer);
        let reporter = Reporter::new(move |change| {
            writer.send_modify(|board| note(board, change));
            std::future::ready(())
        });
        let drain = Drain::new();
        let plane = EmbeddedPlane::new(options, World::real());
        let running = plane.run(followed, reporter, drain.clone());
        let plane = tokio::spawn(async move { running.await.unwrap() });
        let front = Ipv4Addr::new(127, 10, high, low).into();
        Self { front, port, _reserved: reserved, intents, board, drain, plane, revision: 0 }
    }

    /// Stops the plane, as a process that ends would, and starts another that knows nothing.
    pub async fn restart(self) -> Self {
        self.drain.start();
        within(self.plane).await.unwrap();
        Self { front: self.front, port: self.port, ..Self::start() }
    }

    pub fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.front, port)
    }

    async fn send(&mut self, id: &str, phase: Phase, fronts: &[IpAddr], intent: Value) {
        self.revision += 1;
        let family = |front: &IpAddr| if front.is_ipv4() { "IPv4" } else { "IPv6" };
        let addresses: Vec<_> = fronts.iter().map(|front| json!({"family": family(front), "address": front})).collect();
        let object = RawObject {
            parent: None,
            deliveries: vec![],
            id: id.into(),
            owner: None,
            etag: self.revision.to_string(),
            revision: self.revision,
            intent_revision: self.revision,
            phase,
            intent,
            reality: Reality::default(),
        };
        let chosen = json!({"addresses": addresses});
        let project = Project { id: "prj-1".into(), name: "shop".into(), organization: "acme".into() };
        let change = IntentChange::Present {
            collection: LoadBalancer::COLLECTION.into(),
            project: Arc::new(project),
            object: Box::new(object),
            chosen,
            secret: None,
            purge: false,
        };
        self.intents.send(change).await.unwrap();
    }

    /// Gives the plane an intent without waiting for it.
    pub async fn offer(&mut self, id: &str, fronts: &[IpAddr], services: Value, targets: Value) {
        let intent = json!({"name": id, "services": services, "targets": targets});
        self.send(id, Phase::Live, fronts, intent).await;
    }

    /// Gives the plane an intent of the balancer `lb` and waits until it is realised.
    pub async fn apply(&mut self, services: Value, targets: Value) -> Seen {
        self.apply_intent(json!({"name": "lb", "services": services, "targets": targets})).await
    }

    pub async fn apply_intent(&mut self, intent: Value) -> Seen {
        let front = self.front;
        self.send("lb", Phase::Live, &[front], intent).await;
        let revision = self.revision;
        self.seen("lb", move |seen| seen.of == revision).await
    }

    pub async fn delete(&mut self, id: &str) {
        self.send(id, Phase::Deleting, &[], json!({"name": id, "services": {}})).await;
    }

    pub async fn gone(&self, id: &str) {
        self.intents
            .send(IntentChange::Gone { collection: LoadBalancer::COLLECTION.into(), id: id.into() })
            .await
            .unwrap();
    }

    /// Waits until what was reported of a balancer is as it should be.
    pub async fn seen(&self, id: &str, right: impl Fn(&Seen) -> bool) -> Seen {
        let mut board = self.board.clone();
        let wait = board.wait_for(|board| board.get(id).is_some_and(&right));
        match timeout(PATIENCE, wait).await {
            Ok(board) => board.unwrap()[id].clone(),
            Err(_) => panic!("never reported: {:#?}", self.board.borrow().get(id)),
        }
    }
}

fn note(board: &mut Board, change: RealityChange) {
    match change {
        RealityChange::Report { id, of, state, members, .. } => {
            let seen = board.entry(id).or_default();
            let state = serde_json::from_value(state).unwrap();
            *seen = Seen { of, state, members, reports: seen.reports + 1, released: seen.released };
        }
        RealityChange::Released { id } => board.entry(id).or_default().released += 1,
    }
}

/// Fails the test when something takes for ever.
pub async fn within<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("it takes for ever")
}

/// Tries again until it is so.
pub async fn eventually<F: Future<Output = bool>>(mut so: impl FnMut() -> F) {
    within(async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// A server that ends with its handle.
pub struct Server {
    pub address: SocketAddr,
    task: AbortOnDropHandle<()>,
}

impl Server {
    /// Runs `serve` for each connection. All end with the server.
    pub async fn new<F>(at: &str, serve: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let socket = TcpListener::bind(at).await.unwrap();
        let address = socket.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = socket.accept().await.unwrap();
                connections.spawn(serve(stream));
            }
        });
        Self { address, task: AbortOnDropHandle::new(task) }
    }

    /// Says its name, then echoes.
    pub async fn named(name: &'static str) -> Self {
        Self::named_at("127.0.0.1:0", name).await
    }

    pub async fn named_at(at: &str, name: &'static str) -> Self {
        Self::new(at, move |mut stream| async move {
            stream.write_all(name.as_bytes()).await?;
            let (mut read, mut write) = stream.split();
            tokio::io::copy(&mut read, &mut write).await?;
            Ok(())
        })
        .await
    }

    pub async fn echo() -> Self {
        Self::named("").await
    }

    /// Answers HTTP with a status that can be changed.
    pub async fn http(status: Arc<AtomicU16>) -> Self {
        Self::new("127.0.0.1:0", move |mut stream| {
            let status = Arc::clone(&status);
            async move {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    if stream.read_buf(&mut request).await? == 0 {
                        return Ok(());
                    }
                }
                let status = status.load(Ordering::SeqCst);
                let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).await
            }
        })
        .await
    }

    pub fn target(&self) -> Value {
        json!({"address": self.address.ip(), "port": self.address.port()})
    }

    /// Kills it: its socket and its connections are closed. Returns where it was.
    pub async fn kill(self) -> SocketAddr {
        self.task.abort();
        let _ = self.task.await;
        self.address
    }
}

/// An address that answers no knock, as a machine that is gone does not.
pub struct Deaf {
    pub address: SocketAddr,
    _socket: socket2::Socket,
    _queued: Vec<TcpStream>,
}

impl Deaf {
    pub async fn new() -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let mut queued = vec![];
        // a queue that is full drops what comes
        while let Ok(Ok(stream)) = timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
            queued.push(stream);
        }
        Self { address, _socket: socket, _queued: queued }
    }
}

/// Connects and reads one letter: the name of a server that has such a name.
pub async fn greeted(front: SocketAddr) -> io::Result<(TcpStream, char)> {
    let mut stream = within(TcpStream::connect(front)).await?;
    let mut name = [0];
    within(stream.read_exact(&mut name)).await?;
    Ok((stream, char::from(name[0])))
}

/// Names of the servers that answered `count` connections, one after the other; `!` for one that failed.
pub async fn names(front: SocketAddr, count: usize) -> String {
    let mut names = String::new();
    for _ in 0..count {
        names.push(greeted(front).await.map_or('!', |(_, name)| name));
    }
    names
}

/// How often each of `of` is in `names`.
pub fn counts<const N: usize>(names: &str, of: [char; N]) -> [usize; N] {
    of.map(|name| names.chars().filter(|other| *other == name).count())
}

/// Sends bytes and reads as many back.
pub async fn echoes(stream: &mut TcpStream, bytes: &[u8]) -> bool {
    let mut back = vec![0; bytes.len()];
    stream.write_all(bytes).await.is_ok() && within(stream.read_exact(&mut back)).await.is_ok() && back == bytes
}

/// Connects from an address of this machine.
pub async fn connect_from(from: &str, front: SocketAddr) -> io::Result<TcpStream> {
    let socket = if front.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.bind(SocketAddr::new(from.parse().unwrap(), 0))?;
    within(socket.connect(front)).await
}

/// Whether the other side breaks off or ends without a byte.
pub async fn is_reset(connected: io::Result<TcpStream>) -> bool {
    let Ok(mut stream) = connected else { return false };
    within(stream.read_u8()).await.is_err_and(|problem| problem.kind() == io::ErrorKind::ConnectionReset)
}

/// Names of members that are in a state.
pub fn members_in(seen: &Seen, state: &str) -> BTreeSet<String> {
    seen.members.iter().filter(|(_, member)| member.state == state).map(|(path, _)| path.clone()).collect()
}

pub async fn is_refused(front: SocketAddr) -> bool {
    within(TcpStream::connect(front)).await.is_err_and(|problem| problem.kind() == io::ErrorKind::ConnectionRefused)
}
