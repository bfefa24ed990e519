//! Servers behind load balancers, and clients in front of them.

use std::{
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicU8, Ordering},
    time::Duration,
};

use kube::api::DynamicObject;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    task::{JoinHandle, JoinSet},
    time::timeout,
};

use crate::rig::{Scene, status_of};

const PATIENCE: Duration = Duration::from_secs(20);

/// A server that ends with its handle.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    async fn start<F>(address: SocketAddr, serve: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let socket = TcpListener::bind(address).await.expect("an address");
        let address = socket.local_addr().expect("an address");
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = socket.accept().await {
                connections.spawn(serve(stream));
            }
        });
        Self { address, task }
    }

    /// Answers every HTTP request with its name.
    pub async fn http(address: SocketAddr, name: &'static str) -> Self {
        Self::start(address, move |mut stream| async move {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                if stream.read_buf(&mut request).await? == 0 {
                    return Ok(());
                }
            }
            let length = name.len();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{name}");
            stream.write_all(answer.as_bytes()).await
        })
        .await
    }

    /// Says its name of one letter, then echoes.
    pub async fn echo(address: SocketAddr, name: char) -> Self {
        Self::start(address, move |mut stream| async move {
            stream.write_all(&[name as u8]).await?;
            let (mut read, mut write) = stream.split();
            tokio::io::copy(&mut read, &mut write).await.map(drop)
        })
        .await
    }

    /// As an entry of `spec.targets`.
    pub fn target(&self, name: &str) -> Value {
        json!({"name": name, "address": self.address.ip(), "port": self.address.port()})
    }

    /// Kills it: its socket and its connections are closed.
    pub async fn kill(mut self) {
        self.task.abort();
        drop((&mut self.task).await);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An address of this machine that no other test has, so that a server that was killed can come back.
pub fn own_address() -> SocketAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    SocketAddr::from((Ipv4Addr::new(127, 31, 0, NEXT.fetch_add(1, Ordering::Relaxed)), 8000))
}

/// A port that is free on `::1`, which all balancers share.
pub fn free_port_v6() -> u16 {
    let socket = std::net::TcpListener::bind("[::1]:0").expect("a port");
    socket.local_addr().expect("a port").port()
}

/// A balancer's address of a family.
pub fn front(balancer: &DynamicObject, family: &str) -> IpAddr {
    let addresses = status_of(balancer)["addresses"].as_array().cloned().unwrap_or_default();
    let found = addresses.iter().find(|address| address["family"] == family);
    let found = found.unwrap_or_else(|| panic!("no {family}: {addresses:?}"));
    found["address"].as_str().expect("a text").parse().expect("an address")
}

/// Applies a balancer and waits until it is Ready; its IPv4 address, if it has one.
pub async fn ready_balancer(scene: &Scene, name: &str, spec: Value) -> DynamicObject {
    scene.apply(scene.manifest("ProjectLoadBalancer", name, spec)).await;
    scene.until_ready("ProjectLoadBalancer", name).await
}

/// Fails the test when something takes for ever.
pub async fn bounded<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("it takes for ever")
}

/// A connection on which the server's letter has been read.
pub async fn greeted(front: SocketAddr) -> io::Result<(TcpStream, char)> {
    let stream = bounded(TcpStream::connect(front)).await?;
    greeting(stream).await
}

async fn greeting(mut stream: TcpStream) -> io::Result<(TcpStream, char)> {
    let letter = bounded(stream.read_u8()).await?;
    Ok((stream, char::from(letter)))
}

/// As [`greeted`], from an address of this machine.
pub async fn greeted_from(from: &str, front: SocketAddr) -> io::Result<char> {
    let socket = if front.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.bind(SocketAddr::new(from.parse().expect("an address"), 0))?;
    Ok(greeting(bounded(socket.connect(front)).await?).await?.1)
}

/// Letters of the servers that answered `count` connections, one after the other.
pub async fn letters(front: SocketAddr, count: usize) -> String {
    let mut letters = String::new();
    for _ in 0..count {
        letters.push(greeted(front).await.map_or('!', |(_, letter)| letter));
    }
    letters
}

/// How often `letter` is in `letters`.
pub fn count(letters: &str, letter: char) -> usize {
    letters.chars().filter(|other| *other == letter).count()
}

/// Sends bytes and reads as many back.
pub async fn echoes(stream: &mut TcpStream, bytes: &[u8]) -> bool {
    let mut back = vec![0; bytes.len()];
    stream.write_all(bytes).await.is_ok() && bounded(stream.read_exact(&mut back)).await.is_ok() && back == bytes
}

/// Whether nothing listens there.
pub async fn is_closed(front: SocketAddr) -> bool {
    TcpStream::connect(front).await.is_err_and(|problem| problem.kind() == io::ErrorKind::ConnectionRefused)
}

/// What a real curl gets, or what it complains about.
pub async fn curl(front: SocketAddr) -> Result<String, String> {
    let url = format!("http://{front}/");
    let arguments = ["--silent", "--show-error", "--noproxy", "*", "--max-time", "10", &url];
    let output = tokio::process::Command::new("curl").args(arguments).output().await.expect("curl runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}
