//! Datagrams, many with one call to the kernel where it has such calls: a call costs more than an answer.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use nix::sys::socket::SockaddrStorage;
use tokio::{io::Interest, net::UdpSocket};

#[cfg(target_os = "linux")]
use many as calls;
#[cfg(not(target_os = "linux"))]
use one as calls;

/// Most that are taken at a time.
const BATCH: usize = 32;

/// Where there is nobody to answer.
const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// Where one came from, and how long it is.
type Head = (SocketAddr, usize);

/// Datagrams that were received together.
#[derive(Debug)]
pub struct Batch {
    room: Vec<Vec<u8>>,
    heads: Vec<Head>,
}

impl Batch {
    /// Room for datagrams of so many bytes each; longer ones are received in part.
    pub fn new(limit: usize) -> Self {
        Self { room: vec![vec![0; limit]; BATCH], heads: Vec::with_capacity(BATCH) }
    }

    /// Waits for a datagram, and takes those too that are there with it. What was received before is gone.
    ///
    /// # Errors
    /// What the socket says.
    pub async fn receive(&mut self, socket: &UdpSocket) -> io::Result<()> {
        self.heads.clear();
        socket.async_io(Interest::READABLE, || calls::receive(socket, &mut self.room, &mut self.heads)).await
    }

    /// What was received, and from where; nobody can be at port 0.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], SocketAddr)> {
        let all = self.room.iter().zip(&self.heads).filter(|(_, (from, _))| from.port() != 0);
        all.map(|(room, (from, length))| (room.get(..*length).unwrap_or_default(), *from))
    }
}

/// Sends all of them. One that cannot be sent is left out: who asked asks again.
pub async fn send(socket: &UdpSocket, mut messages: &[(Vec<u8>, SocketAddr)]) {
    while let Some((_, to)) = messages.first() {
        let sent = match socket.async_io(Interest::WRITABLE, || calls::send(socket, messages)).await {
            Ok(sent) => sent,
            Err(problem) => {
                tracing::debug!(%problem, %to, "an answer could not be sent");
                1
            }
        };
        messages = messages.get(sent..).unwrap_or_default();
    }
}

fn address(address: Option<SockaddrStorage>) -> SocketAddr {
    let v4 = address.as_ref().and_then(SockaddrStorage::as_sockaddr_in).map(|v4| (*v4).into());
    let v6 = || address.as_ref().and_then(SockaddrStorage::as_sockaddr_in6).map(|v6| (*v6).into());
    v4.or_else(v6).unwrap_or(NOBODY)
}

#[cfg(target_os = "linux")]
mod many {
    use std::{
        io::{self, IoSlice, IoSliceMut},
        net::SocketAddr,
        os::fd::AsRawFd,
    };

    use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg};
    use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, sendmmsg};
    use tokio::net::UdpSocket;

    use super::{BATCH, Head, address};

    pub fn receive(socket: &UdpSocket, room: &mut [Vec<u8>], heads: &mut Vec<Head>) -> io::Result<()> {
        let mut slices: Vec<_> = room.iter_mut().map(|one| [IoSliceMut::new(one)]).collect();
        let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(slices.len(), None);
        let received = recvmmsg(socket.as_raw_fd(), &mut headers, &mut slices, MsgFlags::empty(), None)?;
        heads.extend(received.map(|one| (address(one.address), one.bytes)));
        Ok(())
    }

    /// How many were sent: at least one.
    pub fn send(socket: &UdpSocket, messages: &[(Vec<u8>, SocketAddr)]) -> io::Result<usize> {
        let messages = messages.get(..BATCH).unwrap_or(messages);
        let nothing_else = SendAncillaryBuffer::default;
        let parts =
            messages.iter().map(|(bytes, to)| (SocketAddrAny::from(*to), [IoSlice::new(bytes)], nothing_else()));
        let mut parts: Vec<_> = parts.collect();
        let headers = parts.iter_mut().map(|(to, bytes, control)| MMsgHdr::new_with_addr(to, bytes, control));
        let mut headers: Vec<_> = headers.collect();
        Ok(sendmmsg(socket, &mut headers, SendFlags::empty())?)
    }
}

#[cfg(any(not(target_os = "linux"), test))]
mod one {
    use std::{io, net::SocketAddr, os::fd::AsRawFd};

    use nix::sys::socket::{MsgFlags, SockaddrStorage, recvfrom, sendto};
    use tokio::net::UdpSocket;

    use super::{Head, address};

    pub fn receive(socket: &UdpSocket, room: &mut [Vec<u8>], heads: &mut Vec<Head>) -> io::Result<()> {
        let Some(room) = room.first_mut() else { return Ok(()) };
        let (length, from) = recvfrom::<SockaddrStorage>(socket.as_raw_fd(), room)?;
        heads.push((address(from), length));
        Ok(())
    }

    pub fn send(socket: &UdpSocket, messages: &[(Vec<u8>, SocketAddr)]) -> io::Result<usize> {
        let Some((bytes, to)) = messages.first() else { return Ok(0) };
        sendto(socket.as_raw_fd(), bytes, &SockaddrStorage::from(*to), MsgFlags::empty())?;
        Ok(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Receive = fn(&UdpSocket, &mut [Vec<u8>], &mut Vec<Head>) -> io::Result<()>;
    type Send = fn(&UdpSocket, &[(Vec<u8>, SocketAddr)]) -> io::Result<usize>;

    async fn pair(address: &str) -> (UdpSocket, UdpSocket) {
        (UdpSocket::bind(address).await.unwrap(), UdpSocket::bind(address).await.unwrap())
    }

    async fn each_arrives_as_it_was_sent(send: Send, receive: Receive) {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let (a, b) = pair(address).await;
            let (here, there) = (a.local_addr().unwrap(), b.local_addr().unwrap());
            let messages: Vec<_> = (0..70_u8).map(|number| (vec![number; usize::from(number)], there)).collect();
            let mut left = &messages[..];
            while !left.is_empty() {
                left = &left[a.async_io(Interest::WRITABLE, || send(&a, left)).await.unwrap()..];
            }
            let (mut batch, mut arrived) = (Batch::new(64), Vec::new());
            while arrived.len() < messages.len() {
                batch.heads.clear();
                let (room, heads) = (&mut batch.room, &mut batch.heads);
                b.async_io(Interest::READABLE, || receive(&b, room, heads)).await.unwrap();
                arrived.extend(batch.iter().map(|(bytes, from)| (bytes.to_vec(), from)));
            }
            let cut = |(bytes, _): &(Vec<u8>, SocketAddr)| (bytes[..bytes.len().min(64)].to_vec(), here);
            assert_eq!(arrived, messages.iter().map(cut).collect::<Vec<_>>());
        }
    }

    #[tokio::test]
    async fn many_with_one_call_arrive_as_they_were_sent() {
        each_arrives_as_it_was_sent(calls::send, calls::receive).await;
    }

    #[tokio::test]
    async fn one_with_each_call_arrives_as_it_was_sent() {
        each_arrives_as_it_was_sent(one::send, one::receive).await;
    }

    #[tokio::test]
    async fn what_cannot_be_sent_holds_nothing_up() {
        let (a, b) = pair("127.0.0.1:0").await;
        let (there, other_family) = (b.local_addr().unwrap(), "[::1]:9".parse().unwrap());
        let to = [other_family, there, other_family, other_family, there];
        let messages: Vec<_> = (0..).zip(to).map(|(number, to)| (vec![number], to)).collect();
        send(&a, &messages).await;
        let mut buffer = [0];
        for number in [1, 4] {
            b.recv(&mut buffer).await.unwrap();
            assert_eq!(buffer, [number]);
        }
    }
}
