//! Ports of 127.0.0.1.

use std::{
    io,
    net::{Ipv4Addr, TcpListener},
    time::Duration,
};

use tokio::time::Instant;

/// How long a port may stay taken: children of a process that was killed a moment ago are on their way out.
const GRACE: Duration = Duration::from_secs(2);

/// A port to listen on, and how the user chose it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// 0: any that is free.
    pub number: u16,
    /// The flag that sets it, for instance `--kubernetes-port`.
    pub flag: &'static str,
}

/// A port that nobody listens on at this moment.
///
/// # Errors
/// When the system has none.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// The port's number: a free one, or the one that was asked for once nobody listens on it.
pub(super) async fn settle(port: Port) -> io::Result<u16> {
    if port.number == 0 {
        return free_port();
    }
    let deadline = Instant::now() + GRACE;
    loop {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port.number)) {
            Ok(_) => return Ok(port.number),
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn taken_ports_are_told_and_zero_is_any() {
        assert_ne!(settle(Port { number: 0, flag: "--x" }).await.unwrap(), 0);
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let number = taken.local_addr().unwrap().port();
        let error = settle(Port { number, flag: "--x" }).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
