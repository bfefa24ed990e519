//! What happens to connections.

use std::{net::IpAddr, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::rig::{
    Rig, Server, connect_from, counts, echoes, eventually, greeted, is_reset, names, open_options, within,
};
use crate::backend::load_balancing::embedded::Limits;

fn web() -> Value {
    json!({"web": {"port": 80}})
}

#[tokio::test]
async fn connections_are_shared_by_weight() {
    let (a, b, c) = (Server::named("a").await, Server::named("b").await, Server::named("c").await);
    let mut rig = Rig::start();
    let weighed = |server: &Server, weight: u32| {
        let mut target = server.target();
        target["weight"] = weight.into();
        target
    };
    let targets = json!({"a": weighed(&a, 3), "b": weighed(&b, 1), "c": weighed(&c, 0)});
    let seen = rig.apply(web(), targets).await;
    assert!(seen.is("web", "Listening") && seen.is("web/a", "Healthy"), "{seen:?}");
    assert_eq!((seen.state.services["web"].healthy_targets, seen.state.services["web"].targets), (3, 3));
    assert_eq!(seen.state.addresses[0].address, rig.front);
    assert_eq!(counts(&names(rig.at(80), 16).await, ['a', 'b', 'c']), [12, 4, 0]);
}

#[tokio::test]
async fn the_target_with_the_fewest_connections_is_next() {
    let (a, b) = (Server::named("a").await, Server::named("b").await);
    let mut rig = Rig::start();
    let targets = json!({"a": a.target(), "b": b.target()});
    rig.apply_intent(json!({"name": "lb", "algorithm": "LeastConnections", "services": web(), "targets": targets}))
        .await;
    let mut held = vec![];
    for _ in 0..6 {
        held.push(greeted(rig.at(80)).await.unwrap());
    }
    let of = |held: &[(TcpStream, char)], name| held.iter().filter(|(_, other)| *other == name).count();
    assert_eq!((of(&held, 'a'), of(&held, 'b')), (3, 3));
    held.retain(|(_, name)| *name == 'b');
    let front = rig.at(80);
    for _ in 0..3 {
        // the plane learns of the closed connections a moment later
        eventually(|| async { greeted(front).await.unwrap().1 == 'a' }).await;
    }
}

#[tokio::test]
async fn both_families_are_served() {
    let echo = Server::named_at("[::1]:0", "e").await;
    let mut rig = Rig::start();
    let (front, loopback, port) = (rig.front, "::1".parse::<IpAddr>().unwrap(), rig.port);
    rig.offer("lb", &[front, loopback], json!({"web": {"port": port}}), json!({"e": echo.target()})).await;
    let seen = rig.seen("lb", |seen| seen.is("web", "Listening")).await;
    assert_eq!(seen.state.addresses.len(), 2);
    assert_eq!(names(rig.at(port), 1).await, "e");
    assert_eq!(names((loopback, port).into(), 1).await, "e");
}

#[tokio::test]
async fn origins_that_are_not_admitted_are_reset_before_any_byte() {
    let echo = Server::named("e").await;
    let mut rig = Rig::start();
    let services = json!({"web": {"port": 80, "allowedOrigins": ["127.0.0.0/24"], "blockedOrigins": ["127.0.0.3/32"]}});
    rig.apply(services, json!({"e": echo.target()})).await;
    let mut admitted = connect_from("127.0.0.2", rig.at(80)).await.unwrap();
    assert_eq!(within(admitted.read_u8()).await.unwrap(), b'e');
    for refused in ["127.0.0.3", "127.9.9.9"] {
        assert!(is_reset(connect_from(refused, rig.at(80)).await).await, "{refused}");
    }
    // an origin that is blocked later loses the connections that it has, others keep theirs
    let mut other = connect_from("127.0.0.4", rig.at(80)).await.unwrap();
    let _ = within(other.read_u8()).await.unwrap();
    rig.apply(json!({"web": {"port": 80, "blockedOrigins": ["127.0.0.2/31"]}}), json!({"e": echo.target()})).await;
    assert!(within(admitted.read_u8()).await.is_err());
    assert!(echoes(&mut other, b"still here").await);
}

#[tokio::test]
async fn each_way_ends_for_itself() {
    let counter = Server::new("127.0.0.1:0", |mut stream| async move {
        let mut all = vec![];
        stream.read_to_end(&mut all).await?;
        stream.write_all(all.len().to_string().as_bytes()).await
    })
    .await;
    let talker = Server::new("127.0.0.1:0", |mut stream| async move {
        stream.write_all(b"bye").await?;
        stream.shutdown().await?;
        let mut all = vec![];
        stream.read_to_end(&mut all).await?;
        assert_eq!(all, b"late words");
        Ok(())
    })
    .await;
    let mut rig = Rig::start();
    let services = json!({"count": {"port": 80, "targets": ["c"]}, "talk": {"port": 81, "targets": ["t"]}});
    rig.apply(services, json!({"c": counter.target(), "t": talker.target()})).await;

    let mut client = TcpStream::connect(rig.at(80)).await.unwrap();
    client.write_all(&[7; 1000]).await.unwrap();
    client.shutdown().await.unwrap();
    let mut answer = String::new();
    within(client.read_to_string(&mut answer)).await.unwrap();
    assert_eq!(answer, "1000");

    let mut client = TcpStream::connect(rig.at(81)).await.unwrap();
    let mut words = String::new();
    within(client.read_to_string(&mut words)).await.unwrap();
    assert_eq!(words, "bye");
    client.write_all(b"late words").await.unwrap();
    client.shutdown().await.unwrap();
}

#[tokio::test]
async fn large_transfers_arrive_unchanged() {
    let echo = Server::echo().await;
    let mut rig = Rig::start();
    rig.apply(web(), json!({"e": echo.target()})).await;
    let bytes: Vec<u8> = (0..12_u32 << 20).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let (mut read, mut write) = TcpStream::connect(rig.at(80)).await.unwrap().into_split();
    let sent = bytes.clone();
    let sending = tokio::spawn(async move {
        write.write_all(&sent).await.unwrap();
        write.shutdown().await.unwrap();
    });
    let mut back = Vec::new();
    within(read.read_to_end(&mut back)).await.unwrap();
    sending.await.unwrap();
    assert!(back == bytes);
}

#[tokio::test]
async fn a_reset_stays_a_reset() {
    let rude = Server::new("127.0.0.1:0", |mut stream| async move {
        stream.write_all(b"r").await?;
        stream.read_u8().await?;
        stream.set_zero_linger()
    })
    .await;
    let mut rig = Rig::start();
    rig.apply(web(), json!({"r": rude.target()})).await;
    let (mut client, _) = greeted(rig.at(80)).await.unwrap();
    client.write_all(b"x").await.unwrap();
    assert!(is_reset(Ok(client)).await);
}

#[tokio::test]
async fn without_a_target_connections_are_reset() {
    let mut rig = Rig::start();
    rig.apply(web(), json!({})).await;
    assert!(is_reset(TcpStream::connect(rig.at(80)).await).await);
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_for_a_place() {
    let echo = Server::named("e").await;
    let limits = Limits { connections: 2, ..open_options().limits };
    let mut rig = Rig::start_with(crate::backend::load_balancing::Options { limits, ..open_options() });
    rig.apply(web(), json!({"e": echo.target()})).await;
    let (first, second) = (greeted(rig.at(80)).await.unwrap(), greeted(rig.at(80)).await.unwrap());
    let mut third = TcpStream::connect(rig.at(80)).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(100), third.read_u8()).await;
    assert!(early.is_err(), "it was served beyond the bound");
    drop(first);
    assert_eq!(within(third.read_u8()).await.unwrap(), b'e');
    drop(second);
}
