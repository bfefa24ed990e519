//! Health checks over the network.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    connect::{ConnectProblem, connect},
    health::Failure,
    plane::Shared,
    pool::Target,
};
use crate::backend::load_balancing::settings::HealthSettings;

/// The first check of a target starts within this time, spread so that many targets are not asked at once.
const FIRST_WITHIN: Duration = Duration::from_millis(100);
/// A status line is not longer.
const MAX_HEAD: usize = 4 << 10;
/// What is read of an answer after its status.
const MAX_REST: u64 = 64 << 10;
const REST_WITHIN: Duration = Duration::from_millis(100);

/// Checks a target for ever, once an interval.
pub async fn probe(target: Arc<Target>, health: HealthSettings, shared: Arc<Shared>) {
    sleep(shared.world.up_to(FIRST_WITHIN.min(health.interval))).await;
    loop {
        let next = Instant::now() + health.interval;
        // the semaphore is never closed
        let Ok(turn) = shared.checks.acquire().await else { return };
        let result = check(target.address, &health, &shared).await;
        drop(turn);
        if let Some(result) = result {
            target.observe(result);
        }
        sleep_until(next).await;
    }
}

/// One check; no answer when the cause of a failure is on our side.
async fn check(address: SocketAddr, health: &HealthSettings, shared: &Shared) -> Option<Result<(), Failure>> {
    let ask = async {
        let mut stream = connect(address, health.timeout, &shared.own).await?;
        match &health.path {
            Some(path) => Ok((get(&mut stream, address, path).await?, Some(stream))),
            None => Ok((Ok(()), None)),
        }
    };
    let (result, stream) = match timeout(health.timeout, ask).await {
        Ok(asked) => match asked {
            Ok(answered) => answered,
            Err(problem) => return ConnectProblem::failure(&problem).map(Err),
        },
        Err(_) => (Err(Failure::timeout()), None),
    };
    if let Some(stream) = stream {
        // so that the target sees an ordinary end
        let _ = timeout(REST_WITHIN, tokio::io::copy(&mut stream.take(MAX_REST), &mut tokio::io::sink())).await;
    }
    Some(result)
}

/// One GET (RFC 9112), no redirect followed, the body not looked at.
async fn get(stream: &mut TcpStream, address: SocketAddr, path: &str) -> io::Result<Result<(), Failure>> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: loopback-health-check\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::with_capacity(512);
    loop {
        match read_status(&head) {
            Head::Status(status) => return Ok(judge(status, path)),
            Head::Partial if head.len() < MAX_HEAD => {}
            Head::Partial | Head::NotHttp => return Ok(Err(Failure::new("NotHTTP", "the answer is not HTTP/1"))),
        }
        if stream.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

fn judge(status: u16, path: &str) -> Result<(), Failure> {
    if (200..400).contains(&status) {
        return Ok(());
    }
    Err(Failure::new("BadStatus", format!("GET {path} was answered with {status}, expected 200 to 399")))
}

/// What the first bytes of an answer say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Head {
    /// More is needed.
    Partial,
    /// The status of the final response.
    Status(u16),
    /// Something else.
    NotHttp,
}

/// Reads the status of the first final response: interim ones (RFC 9110 section 15.2) are passed over.
fn read_status(bytes: &[u8]) -> Head {
    const START: &[u8] = b"HTTP/1.";
    let known = bytes.len().min(START.len());
    if bytes.get(..known) != START.get(..known) {
        return Head::NotHttp;
    }
    let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else { return Head::Partial };
    let line = bytes.get(..end).unwrap_or_default();
    let status = match line {
        [_, _, _, _, _, _, _, b'0' | b'1', b' ', a, b, c]
        | [_, _, _, _, _, _, _, b'0' | b'1', b' ', a, b, c, b' ', ..] => {
            std::str::from_utf8(&[*a, *b, *c]).ok().and_then(|digits| digits.parse::<u16>().ok())
        }
        _ => None,
    };
    match status {
        Some(100..=199) => match bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            Some(blank) => read_status(bytes.get(blank + 4..).unwrap_or_default()),
            None => Head::Partial,
        },
        Some(status @ 200..=599) => Head::Status(status),
        _ => Head::NotHttp,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_lines() {
        for (bytes, head) in [
            ("", Head::Partial),
            ("HTT", Head::Partial),
            ("HTTP/1.1 200", Head::Partial),
            ("HTTP/1.1 200 OK\r\n", Head::Status(200)),
            ("HTTP/1.0 404\r\nx", Head::Status(404)),
            ("HTTP/1.1 503 \r\n", Head::Status(503)),
            ("HTTP/1.1 103 Early Hints\r\nlink: x\r\n", Head::Partial),
            ("HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 204 No Content\r\n", Head::Status(204)),
            ("HTTP/2 200\r\n", Head::NotHttp),
            ("HTTP/1.1 2000\r\n", Head::NotHttp),
            ("HTTP/1.1 +20 OK\r\n", Head::NotHttp),
            ("HTTP/1.1 600 X\r\n", Head::NotHttp),
            ("SSH-2.0-x\r\n", Head::NotHttp),
        ] {
            assert_eq!(read_status(bytes.as_bytes()), head, "{bytes:?}");
        }
    }

    #[test]
    fn two_and_three_hundreds_are_healthy() {
        for (status, healthy) in [(199, false), (200, true), (302, true), (399, true), (400, false), (503, false)] {
            assert_eq!(judge(status, "/").is_ok(), healthy, "{status}");
        }
        assert_eq!(
            judge(503, "/healthz").unwrap_err().message,
            "GET /healthz was answered with 503, expected 200 to 399"
        );
    }
}
