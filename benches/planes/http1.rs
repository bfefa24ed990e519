//! HTTP/1.1 in as few instructions as possible, on both sides: what is measured shall be what stands between them.

use std::{
    borrow::Cow,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// The answer of a responder: a body of 64 bytes.
pub const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n\
    ................................................................";
/// The same where the connection ends behind it.
pub const LAST_ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 64\r\nConnection: close\r\n\r\n\
    ................................................................";
const CLOSE: &[u8] = b"connection: close";
const END: &[u8] = b"\r\n\r\n";
const LINE_END: &[u8] = b"\r\n";

/// Answers everything in the same way, and counts.
#[derive(Clone)]
pub struct Responder {
    pub at: SocketAddr,
    asked: Arc<AtomicU64>,
}

impl Responder {
    /// Starts one; it goes on until the runtime ends.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let responder = Self { at: listener.local_addr().unwrap(), asked: Arc::default() };
        let asked = responder.asked.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let asked = asked.clone();
                // What breaks off is seen, and counted, at the other end.
                tokio::spawn(async move { drop(answer(stream, &asked).await) });
            }
        });
        responder
    }

    /// Requests until now.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

async fn answer(mut stream: TcpStream, asked: &AtomicU64) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut request, mut length) = ([0; 4096], 0);
    loop {
        match stream.read(&mut request[length..]).await? {
            0 => return Ok(()),
            more => length += more,
        }
        // Clients wait for the answer before they ask again, and nothing that is asked here has a body.
        if request[..length].ends_with(END) {
            asked.fetch_add(1, Ordering::Relaxed);
            if has(&request[..length], CLOSE) {
                stream.write_all(LAST_ANSWER).await?;
                return stream.shutdown().await;
            }
            stream.write_all(ANSWER).await?;
            length = 0;
        }
    }
}

/// A client's connection, kept alive.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer that was read to its end.
pub struct Answer<'a> {
    pub status: u16,
    /// Empty where it is too large to be kept.
    pub body: Cow<'a, [u8]>,
}

impl Connection {
    /// Connects.
    pub async fn open(at: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(at).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; 256 << 10] })
    }

    /// Sends a request and reads the answer.
    pub async fn ask(&mut self, request: &[u8]) -> io::Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        let mut length = 0;
        let head = loop {
            length += self.more(length).await?;
            if let Some(at) = find(&self.buffer[..length], END) {
                break at + END.len();
            }
        };
        let text = &self.buffer[..head];
        let status = text.get(9..12).and_then(|status| std::str::from_utf8(status).ok()?.parse().ok());
        let status = status.ok_or_else(|| bad("no HTTP answer"))?;
        let body = match body_length(text) {
            Some(body) if head + body > self.buffer.len() => {
                self.skip(head + body - length).await?;
                Cow::default()
            }
            Some(body) => {
                while length < head + body {
                    length += self.more(length).await?;
                }
                self.buffer[head..length].into()
            }
            None => loop {
                if let Some(body) = joined(&self.buffer[head..length]) {
                    break body.into();
                }
                length += self.more(length).await?;
            },
        };
        Ok(Answer { status, body })
    }

    async fn more(&mut self, from: usize) -> io::Result<usize> {
        match self.stream.read(&mut self.buffer[from..]).await? {
            0 => Err(bad("the answer does not end, or not here")),
            more => Ok(more),
        }
    }

    /// Reads what is kept by nobody.
    async fn skip(&mut self, mut left: usize) -> io::Result<()> {
        while left > 0 {
            left = left.checked_sub(self.more(0).await?).ok_or_else(|| bad("more than was announced"))?;
        }
        Ok(())
    }
}

/// How long a body is; `None` when it comes in chunks.
fn body_length(head: &[u8]) -> Option<usize> {
    let head = std::str::from_utf8(head).ok()?;
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    let length = fields.clone().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let chunks = fields.clone().any(|(name, _)| name.eq_ignore_ascii_case("transfer-encoding"));
    if chunks { None } else { length.map_or(Some(0), |(_, length)| length.trim().parse().ok()) }
}

/// The body that came in chunks (RFC 9112 section 7.1), once all of them are there.
fn joined(mut chunks: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let start = find(chunks, LINE_END)? + LINE_END.len();
        let size = std::str::from_utf8(&chunks[..start]).ok()?.trim_end();
        let end = start + usize::from_str_radix(size, 16).ok()?;
        let rest = chunks.get(end + LINE_END.len()..)?;
        if end == start {
            return Some(body);
        }
        body.extend(&chunks[start..end]);
        chunks = rest;
    }
}

/// Whether a text has these words, in letters of any size.
fn has(text: &[u8], words: &[u8]) -> bool {
    text.windows(words.len()).any(|window| window.eq_ignore_ascii_case(words))
}

fn find(text: &[u8], words: &[u8]) -> Option<usize> {
    text.windows(words.len()).position(|window| window == words)
}

fn bad(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
