//! Clients that mean harm, on the sockets of a whole backend.

use std::{net::SocketAddr, time::Duration};

use loopback_operator::{
    backend::{Options, Running, start},
    runtime::{Drain, World},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

use crate::engine::cases;

const PATIENCE: Duration = Duration::from_secs(60);
/// Connections that are opened and dropped, so many at a time.
const DROPPED: usize = 10_000;
const AT_ONCE: usize = 100;
/// Memory that all of it may take for good.
const GROWTH: u64 = 192 << 20;

async fn backend() -> (Running, tempfile::TempDir) {
    drop(rustls::crypto::ring::default_provider().install_default());
    let folder = tempfile::tempdir().unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let options = Options { dns_listen: vec![any], s3_listen: any, ..Options::new(any, folder.path().join("state")) };
    (start(options, World::real(), &Drain::new()).await.unwrap(), folder)
}

/// Sends bytes and reads what comes, to the end or for a moment.
async fn send(to: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    exchange(to, bytes, true).await
}

async fn exchange(to: SocketAddr, bytes: &[u8], end: bool) -> Vec<u8> {
    let mut stream = TcpStream::connect(to).await.unwrap();
    // a server may close before all was sent
    let _ = timeout(PATIENCE, stream.write_all(bytes)).await;
    if end {
        let _ = stream.shutdown().await;
    }
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the connection stays open");
    answer
}

fn status(answer: &[u8]) -> u16 {
    let text = String::from_utf8_lossy(answer);
    text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok()).unwrap_or(0)
}

async fn alive(running: &Running) {
    let api = exchange(running.api, b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", false).await;
    assert_eq!(status(&api), 200, "{}", String::from_utf8_lossy(&api));
    let s3 = exchange(running.s3.unwrap(), b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", false).await;
    assert_eq!(status(&s3), 403, "{}", String::from_utf8_lossy(&s3));
    let question = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x07example\x03dev\0\0\x01\0\x01";
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(question, running.dns[0]).await.unwrap();
    let mut buffer = [0; 512];
    let (length, _) = timeout(PATIENCE, socket.recv_from(&mut buffer)).await.unwrap().unwrap();
    assert!(length >= 12 && buffer[..2] == question[..2]);
}

/// Memory of this process, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// Ways to say two lengths, or one that is none. What stands behind the head is the body to some and a request to others.
const AMBIGUOUS: [&str; 15] = [
    "Content-Length: 3\r\nContent-Length: {whole}",
    "Content-Length: {whole}\r\nContent-Length: 3",
    "Content-Length: 3, {whole}",
    "Content-Length: +3",
    "Content-Length: -1",
    "Content-Length : 3",
    " Content-Length: 3",
    "Content-Length: 0x3",
    "Content-Length: 99999999999999999999",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: identity",
    "Transfer-Encoding : chunked",
    "Content-Length: {whole}\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nContent-Length: {whole}",
];
/// Chunks that some read in another way: the second request is data of a chunk, or stands behind the last one.
const CHUNKS: [&str; 6] = [
    "0\r\n\r\n{inner}",
    "+0\r\n\r\n{inner}",
    "0x0\r\n\r\n{inner}",
    "0\n\n{inner}",
    "10000000000000000\r\n\r\n{inner}",
    "0;a\nb\r\n\r\n{inner}",
];

/// Names of the projects, as the administrator sees them.
async fn projects(running: &Running, token: &str) -> Vec<u8> {
    let list = format!(
        "GET /v3/organizations/acme/projects HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    );
    let answer = exchange(running.api, list.as_bytes(), false).await;
    assert_eq!(status(&answer), 200, "{}", String::from_utf8_lossy(&answer));
    answer
}

/// Each outer request has a valid token or none; what could be taken for a second one has none of its own, or has one where a
/// proxy in front would have refused it. Nothing of what it asks for is ever done.
#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_two() {
    let (running, folder) = backend().await;
    running.seed("acme", "shop", &[], &folder.path().join("token"), Vec::new()).await.unwrap();
    let token = std::fs::read_to_string(&running.admin_token_file).unwrap().trim().to_owned();
    let right = format!("Authorization: Bearer {token}\r\n");
    // It does what it says when it comes alone: what follows proves something.
    let put = |name: &str, right: &str| {
        format!("PUT /v3/organizations/acme/projects/{name} HTTP/1.1\r\nHost: x\r\n{right}Content-Length: 0\r\n\r\n")
    };
    let alone = exchange(running.api, put("alone", &format!("{right}Connection: close\r\n")).as_bytes(), false).await;
    assert!((200..300).contains(&status(&alone)), "{}", String::from_utf8_lossy(&alone));
    assert!(contains(&projects(&running, &token).await, "\"alone\""));
    let bodies = AMBIGUOUS.iter().map(|lengths| (*lengths, "{inner}"));
    let bodies = bodies.chain(CHUNKS.iter().map(|chunks| ("Transfer-Encoding: chunked\r\nContent-Length: 5", *chunks)));
    let bodies: Vec<_> =
        bodies.chain(CHUNKS[1..].iter().map(|chunks| ("Transfer-Encoding: chunked", *chunks))).collect();
    for (number, (lengths, body)) in bodies.iter().enumerate() {
        for (outer, own) in [(right.as_str(), ""), ("", right.as_str()), (&right, &right)] {
            let inner = put(&format!("smuggled-{number}"), own);
            let body = body.replace("{inner}", &inner);
            let lengths = lengths.replace("{whole}", &body.len().to_string());
            let request = format!("POST /v3/tokens HTTP/1.1\r\nHost: x\r\n{outer}{lengths}\r\n\r\n{body}");
            for server in [running.api, running.s3.unwrap()] {
                let answer = send(server, request.as_bytes()).await;
                let text = String::from_utf8_lossy(&answer);
                assert!((400..500).contains(&status(&answer)), "{lengths:?} {body:?}: {text}");
                assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{lengths:?} {body:?}: two answers: {text}");
            }
        }
    }
    assert!(!contains(&projects(&running, &token).await, "smuggled"), "a smuggled request was done");
    alive(&running).await;
    assert!(running.stop().await);
}

fn contains(answer: &[u8], text: &str) -> bool {
    String::from_utf8_lossy(answer).contains(text)
}

#[tokio::test(flavor = "multi_thread")]
async fn noise_and_halves() {
    let (running, _folder) = backend().await;
    let before = resident();
    let huge = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(20_000));
    let pipeline = "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n".repeat(500);
    let stored = ["api", "dns_message", "wire_json"].into_iter().flat_map(cases);
    let noise = stored.map(|path| std::fs::read(path).unwrap()).chain([huge.into(), many.into(), pipeline.into()]);
    for bytes in noise {
        for server in [running.api, running.s3.unwrap(), running.dns[0]] {
            assert!(status(&send(server, &bytes).await) < 500, "{}", String::from_utf8_lossy(&bytes));
        }
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.send_to(&bytes[..bytes.len().min(60_000)], running.dns[0]).await.unwrap();
    }
    alive(&running).await;
    assert!(resident() < before + GROWTH, "{before} bytes, then {}", resident());
    assert!(running.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_come_and_go() {
    let (running, _folder) = backend().await;
    let before = resident();
    let servers = [running.api, running.s3.unwrap(), running.dns[0]];
    for round in 0..DROPPED / AT_ONCE {
        let open = (0..AT_ONCE).map(|number| async move {
            let mut stream = TcpStream::connect(servers[(round + number) % 3]).await.unwrap();
            // a request that stops, or a length whose message never comes
            let _ = stream.write_all([&b"GET / HTTP/1.1\r\nHo"[..], b"\xff\xff\x12", b""][number % 3]).await;
            stream
        });
        drop(futures::future::join_all(open).await);
    }
    alive(&running).await;
    assert!(resident() < before + GROWTH, "{before} bytes, then {}", resident());
    assert!(running.stop().await);
}
