//! A server that answers in every way that a backend must not. The first part of the path says in which.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// Ways to answer when it is asked for the project.
pub const VIEWS: &[&str] = &[
    "huge",
    "endless",
    "slow",
    "malformed",
    "types",
    "deep",
    "length",
    "redirect",
    "gzip",
    "html",
    "echo",
    "echo-error",
    "retry",
    "long-id",
    "empty",
];
/// Ways to answer when it is asked for the feed.
pub const FEEDS: &[&str] =
    &["feed-line", "feed-half", "feed-unknown", "feed-full", "feed-ids", "feed-cursor", "feed-echo", "feed-silent"];
/// Ways to answer when an object is created.
pub const OBJECTS: &[&str] =
    &["call-garbage", "call-reality", "call-internal", "call-conflict", "call-invalid", "call-throttled"];

/// The server.
pub struct Hostile {
    /// Its URL.
    pub url: String,
    state: Arc<State>,
    serving: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    url: Mutex<String>,
    /// Way and `Authorization` of each request.
    heard: Mutex<Vec<(String, String)>>,
}

impl Hostile {
    /// Starts it.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let state = Arc::new(State { url: Mutex::new(url.clone()), ..State::default() });
        let inner = state.clone();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, inner.clone()));
            }
        });
        Self { url, state, serving }
    }

    /// Way and `Authorization` of each request, but for those that a redirect led here.
    pub fn heard(&self) -> Vec<(String, String)> {
        let heard = self.state.heard.lock().unwrap();
        heard.iter().filter(|(way, _)| way != "stolen").cloned().collect()
    }

    /// The ways that were taken.
    pub fn ways(&self) -> Vec<String> {
        let mut ways: Vec<String> = self.heard().into_iter().map(|(way, _)| way).collect();
        ways.sort();
        ways.dedup();
        ways
    }

    /// Requests that followed a redirect.
    pub fn stolen(&self) -> Vec<String> {
        let heard = self.state.heard.lock().unwrap();
        heard.iter().filter(|(way, _)| way == "stolen").map(|(_, authorization)| authorization.clone()).collect()
    }

    /// How often one way was taken.
    pub fn calls(&self, way: &str) -> usize {
        self.heard().iter().filter(|(heard, _)| heard == way).count()
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// What was asked.
struct Asked {
    method: String,
    path: String,
    way: String,
    authorization: String,
    body: Value,
}

async fn serve(mut stream: TcpStream, state: Arc<State>) {
    let Some(asked) = read(&mut stream).await else { return };
    state.heard.lock().unwrap().push((asked.way.clone(), asked.authorization.clone()));
    let url = state.url.lock().unwrap().clone();
    // the operator may hang up at any time
    drop(answer(&mut stream, &asked, &url).await);
    drop(stream.shutdown().await);
}

async fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    let end = loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let field = |name: &str| {
        let line = head.lines().find(|line| line.to_lowercase().starts_with(name))?;
        line.split_once(':').map(|(_, value)| value.trim().to_owned())
    };
    let length: usize = field("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    while bytes.len() < end + 4 + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let mut words = head.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let way = path.split('/').nth(1)?.to_owned();
    let body = serde_json::from_slice(&bytes[end + 4..]).unwrap_or_default();
    Some(Asked { method, path, way, authorization: field("authorization").unwrap_or_default(), body })
}

async fn answer(stream: &mut TcpStream, asked: &Asked, url: &str) -> std::io::Result<()> {
    let feed = asked.path.split('?').next().is_some_and(|path| path.ends_with("/changes"));
    let later = FEEDS.contains(&&*asked.way) || OBJECTS.contains(&&*asked.way);
    match (feed, later) {
        (false, false) => view(stream, asked, url).await,
        (true, _) => changes(stream, asked).await,
        (false, true) if asked.method == "GET" && !asked.path.contains("load-balancers") => {
            whole(stream, "200 OK", project("store-1").as_bytes()).await
        }
        (false, true) => object(stream, asked).await,
    }
}

fn project(store: &str) -> String {
    json!({"id": "p-1", "name": "p", "organization": "acme", "store": store, "permissions": []}).to_string()
}

async fn whole(stream: &mut TcpStream, status: &str, body: &[u8]) -> std::io::Result<()> {
    head(stream, status, &format!("content-length: {}", body.len())).await?;
    stream.write_all(body).await
}

async fn head(stream: &mut TcpStream, status: &str, more: &str) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\n{more}\r\n\r\n");
    stream.write_all(head.as_bytes()).await
}

fn problem(status: u16, code: &str, detail: &str) -> Vec<u8> {
    json!({"type": "about:blank", "title": "x", "status": status, "code": code, "detail": detail})
        .to_string()
        .into_bytes()
}

async fn view(stream: &mut TcpStream, asked: &Asked, url: &str) -> std::io::Result<()> {
    let ok = "200 OK";
    let token = asked.authorization.trim_start_matches("Bearer ");
    match &*asked.way {
        "huge" => whole(stream, ok, &vec![b' '; 9 << 20]).await,
        "endless" => {
            head(stream, ok, "x-endless: 1").await?;
            loop {
                stream.write_all(&[b' '; 65_536]).await?;
            }
        }
        "slow" => {
            head(stream, ok, "content-length: 1000").await?;
            loop {
                stream.write_all(b" ").await?;
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            }
        }
        "malformed" => whole(stream, ok, br#"{"id": "#).await,
        "types" => {
            whole(stream, ok, br#"{"id": 7, "name": [], "organization": {}, "store": null, "permissions": 1}"#).await
        }
        "deep" => whole(stream, ok, &vec![b'['; 1 << 20]).await,
        "length" => {
            head(stream, ok, "content-length: 1000").await?;
            stream.write_all(br#"{"id": "x"}"#).await
        }
        "redirect" => {
            head(stream, "307 Temporary Redirect", &format!("location: {url}/stolen\r\ncontent-length: 0")).await
        }
        "gzip" => {
            let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            for _ in 0..64 {
                std::io::Write::write_all(&mut packed, &[b' '; 1 << 20])?;
            }
            let packed = packed.finish()?;
            head(stream, ok, &format!("content-encoding: gzip\r\ncontent-length: {}", packed.len())).await?;
            stream.write_all(&packed).await
        }
        "html" => whole(stream, "502 Bad Gateway", "<html>".repeat(100_000).as_bytes()).await,
        "echo" => whole(stream, "403 Forbidden", &problem(403, "forbidden", &format!("you sent {token}"))).await,
        "echo-error" => {
            let detail = format!("{token} {}", "x".repeat(1_000_000));
            whole(stream, "500 Oops", &problem(500, "internal", &detail)).await
        }
        "retry" => head(stream, "503 Later", "retry-after: 18446744073709551615\r\ncontent-length: 0").await,
        "long-id" => whole(stream, ok, project(&"s".repeat(100_000)).as_bytes()).await,
        _ => whole(stream, ok, b"").await,
    }
}

fn line(frame: &Value) -> Vec<u8> {
    let mut line = frame.to_string().into_bytes();
    line.push(b'\n');
    line
}

async fn changes(stream: &mut TcpStream, asked: &Asked) -> std::io::Result<()> {
    head(stream, "200 OK", "x-feed: 1").await?;
    let hello = json!({"type": "hello", "store": "store-1", "epoch": "e", "projectId": "p-1"});
    stream.write_all(&line(&hello)).await?;
    match &*asked.way {
        "feed-line" => stream.write_all(&vec![b'x'; 5 << 20]).await,
        "feed-half" => stream.write_all(br#"{"type": "synced", "cur"#).await,
        "feed-unknown" => stream.write_all(&line(&json!({"type": "surprise", "x": "y".repeat(1_000)}))).await,
        "feed-ids" => {
            let gone =
                json!({"type": "gone", "collection": "k", "id": "i".repeat(1 << 20), "revision": 1, "cursor": "c"});
            stream.write_all(&line(&gone)).await
        }
        "feed-cursor" => stream.write_all(&line(&json!({"type": "synced", "cursor": "c".repeat(1 << 20)}))).await,
        "feed-echo" => stream.write_all(&line(&json!({"type": asked.authorization}))).await,
        "feed-full" => {
            for number in 0.. {
                let filling = "x".repeat(1 << 20);
                let object = json!({"id": format!("lb-{number}"), "etag": "e", "revision": 1, "intentRevision": 1,
                    "phase": "Live", "intent": {"name": filling}, "reality": {"of": 0, "state": null}});
                let change = json!({"type": "change", "collection": "load-balancers", "object": object});
                stream.write_all(&line(&change)).await?;
            }
            Ok(())
        }
        "feed-silent" => std::future::pending().await,
        _ => {
            let synced = line(&json!({"type": "synced", "cursor": "c"}));
            stream.write_all(&synced).await?;
            // again, and from before: a reader does not mind
            stream.write_all(&synced).await?;
            stream.write_all(&line(&json!({"type": "progress", "cursor": "b"}))).await?;
            std::future::pending().await
        }
    }
}

async fn object(stream: &mut TcpStream, asked: &Asked) -> std::io::Result<()> {
    let page = json!({"items": []}).to_string();
    match (&*asked.way, &*asked.method) {
        (_, "GET") => whole(stream, "200 OK", page.as_bytes()).await,
        ("call-reality", _) => {
            let long = "x".repeat(100_000);
            let reality = json!({"of": 1, "state": {
                "addresses": [{"family": "IPv4", "address": "127.0.0.1"}],
                "services": {"web": {"healthyTargets": u32::MAX, "targets": u32::MAX}}},
                "members": {"web": {"state": long, "reason": long, "message": long}}});
            let made = json!({"id": "lb-1", "owner": asked.body["owner"], "etag": "e", "revision": 2, "intentRevision": 1,
                "phase": "Live", "intent": asked.body["intent"], "reality": reality});
            whole(stream, "200 OK", made.to_string().as_bytes()).await
        }
        ("call-internal", _) => whole(stream, "500 Oops", &problem(500, "internal", "no")).await,
        ("call-conflict", _) => whole(stream, "409 No", &problem(409, "conflict", "no")).await,
        ("call-invalid", _) => whole(stream, "422 No", &problem(422, "invalid", "no")).await,
        ("call-throttled", _) => whole(stream, "429 No", &problem(429, "throttled", "no")).await,
        _ => whole(stream, "200 OK", br#"{"id": ["#).await,
    }
}
