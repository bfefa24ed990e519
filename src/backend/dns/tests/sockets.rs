//! Real sockets.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

use super::*;
use crate::{
    backend::dns::{
        served::Served,
        server::{CONNECTIONS, Listeners},
    },
    runtime::Drain,
};

const SOON: Duration = Duration::from_secs(5);

fn served() -> Served {
    let served = Served::default();
    served.change(|served| *served = catalog());
    served
}

fn start(drain: &Drain) -> Vec<SocketAddr> {
    let any = ["127.0.0.1:0", "[::1]:0"].map(|address| address.parse().unwrap());
    let listeners = Listeners::bind(&any).unwrap();
    let addresses = listeners.addresses();
    listeners.serve(&served(), drain);
    addresses
}

async fn over_udp(server: SocketAddr, message: &Message) -> Message {
    let any: SocketAddr = if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" }.parse().unwrap();
    let socket = UdpSocket::bind(any).await.unwrap();
    socket.send_to(&message.to_vec().unwrap(), server).await.unwrap();
    let mut buffer = [0; 2048];
    let (length, from) = timeout(SOON, socket.recv_from(&mut buffer)).await.unwrap().unwrap();
    assert_eq!(from, server);
    Message::from_vec(&buffer[..length]).unwrap()
}

async fn send(stream: &mut TcpStream, message: &Message) {
    let bytes = message.to_vec().unwrap();
    stream.write_all(&[&(bytes.len() as u16).to_be_bytes()[..], &bytes].concat()).await.unwrap();
}

async fn receive(stream: &mut TcpStream) -> Message {
    let length = timeout(SOON, stream.read_u16()).await.unwrap().unwrap();
    let mut bytes = vec![0; length.into()];
    stream.read_exact(&mut bytes).await.unwrap();
    Message::from_vec(&bytes).unwrap()
}

#[tokio::test]
async fn a_large_set_is_truncated_and_comes_over_tcp() {
    let drain = Drain::new();
    for server in start(&drain) {
        let asked = question("sixty.example.dev.", 1);
        let short = over_udp(server, &asked).await;
        assert!(short.metadata.truncation && short.answers.is_empty());
        assert_eq!(over_udp(server, &with_edns(asked.clone(), 1232)).await.answers.len(), 60);
        let mut stream = TcpStream::connect(server).await.unwrap();
        send(&mut stream, &asked).await;
        assert_eq!(receive(&mut stream).await.answers.len(), 60);
    }
    assert!(drain.finish(SOON).await);
}

#[tokio::test]
async fn questions_on_one_connection_are_answered_in_order() {
    let drain = Drain::new();
    let server = start(&drain)[0];
    let mut stream = TcpStream::connect(server).await.unwrap();
    for id in 0..50 {
        let mut asked = question("long.example.dev.", 16);
        asked.metadata.id = id;
        send(&mut stream, &asked).await;
    }
    for id in 0..50 {
        assert_eq!(receive(&mut stream).await.metadata.id, id);
    }
    // in pieces
    let bytes = question("host1.example.dev.", 1).to_vec().unwrap();
    for byte in [&(bytes.len() as u16).to_be_bytes()[..], &bytes].concat() {
        stream.write_all(&[byte]).await.unwrap();
        stream.flush().await.unwrap();
    }
    assert_eq!(receive(&mut stream).await.answers.len(), 1);
    // what is no request ends the connection
    stream.write_all(&[0, 0]).await.unwrap();
    assert!(timeout(SOON, stream.read_u16()).await.unwrap().is_err());
}

#[tokio::test]
async fn a_taken_port_names_the_flag() {
    let drain = Drain::new();
    let server = start(&drain)[0];
    let problem = Listeners::bind(&[server]).unwrap_err().to_string();
    assert!(problem.contains(&server.to_string()) && problem.contains("--dns-listen"), "{problem}");
    // a port that only UDP has taken, unless another test took it for TCP in between
    let problem = loop {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let problem = Listeners::bind(&[udp.local_addr().unwrap()]).unwrap_err();
        if problem.transport == "UDP" {
            break problem.to_string();
        }
    };
    assert!(problem.contains("over UDP") && problem.contains("--dns-listen"), "{problem}");
}

#[tokio::test]
async fn noise_gets_nothing_and_does_no_harm() {
    let drain = Drain::new();
    let server = start(&drain)[0];
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for noise in [&b""[..], b"x", &[0xff; 12], &[0xff; 4000]] {
        socket.send_to(noise, server).await.unwrap();
    }
    assert_eq!(over_udp(server, &question("host1.example.dev.", 1)).await.answers.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_resting_connection_is_closed() {
    let drain = Drain::new();
    let server = start(&drain)[0];
    let mut stream = TcpStream::connect(server).await.unwrap();
    stream.write_all(&[0, 40, 1, 2]).await.unwrap();
    assert!(timeout(Duration::from_secs(15), stream.read_u16()).await.unwrap().is_err());
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_a_place() {
    let drain = Drain::new();
    let server = start(&drain)[0];
    let asked = question("host1.example.dev.", 1);
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(server).await.unwrap();
        send(&mut stream, &asked).await;
        receive(&mut stream).await;
        open.push(stream);
    }
    let mut late = TcpStream::connect(server).await.unwrap();
    send(&mut late, &asked).await;
    assert!(timeout(Duration::from_millis(200), late.readable()).await.is_err(), "all places are taken");
    assert_eq!(over_udp(server, &asked).await.answers.len(), 1, "datagrams do not mind");
    open.pop();
    assert_eq!(receive(&mut late).await.answers.len(), 1);
}
