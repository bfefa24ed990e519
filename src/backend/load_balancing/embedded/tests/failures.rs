//! What happens when something does not work.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::rig::{Deaf, Rig, Server, counts, echoes, eventually, greeted, is_reset, members_in, names, open_options};
use crate::{backend::load_balancing::Options, rules::outbound::Outbound};

fn checked(check: Value) -> Value {
    json!({"web": {"port": 80, "healthCheck": check}})
}

#[tokio::test]
async fn a_killed_target_costs_no_request_and_comes_back() {
    let (a, b) = (Server::named("a").await, Server::named("b").await);
    let mut rig = Rig::start();
    let check = json!({"interval": "100ms", "healthyThreshold": 2, "unhealthyThreshold": 3});
    let targets = json!({"a": a.target(), "b": b.target()});
    rig.apply(checked(check), targets).await;
    let at = a.kill().await;
    let seen = tokio::select! {
        seen = rig.seen("lb", |seen| seen.is("web/a", "Unhealthy")) => seen,
        () = async { loop { assert_eq!(names(rig.at(80), 1).await, "b") } } => unreachable!(),
    };
    let (reason, message) = seen.reason("web/a");
    assert_eq!(reason, "ConnectionRefused");
    assert!(message.contains(&at.to_string()) && message.contains("2 checks in a row"), "{message}");
    assert_eq!(seen.state.services["web"].healthy_targets, 1);
    assert_eq!(names(rig.at(80), 6).await, "bbbbbb");
    let _a = Server::named_at(&at.to_string(), "a").await;
    rig.seen("lb", |seen| seen.is("web/a", "Healthy")).await;
    assert_eq!(counts(&names(rig.at(80), 6).await, ['a', 'b']), [3, 3]);
}

#[tokio::test]
async fn http_checks_look_at_the_status() {
    let status = Arc::new(AtomicU16::new(204));
    let server = Server::http(Arc::clone(&status)).await;
    let mut rig = Rig::start();
    let check = json!({"protocol": "HTTP", "path": "/healthz", "interval": "100ms", "healthyThreshold": 1, "unhealthyThreshold": 1});
    let seen = rig.apply(checked(check), json!({"a": server.target()})).await;
    assert!(seen.is("web/a", "Healthy"), "{seen:?}");
    status.store(503, Ordering::SeqCst);
    let seen = rig.seen("lb", |seen| seen.is("web/a", "Unhealthy")).await;
    let (reason, message) = seen.reason("web/a");
    assert_eq!(reason, "BadStatus");
    assert!(message.contains("GET /healthz was answered with 503, expected 200 to 399"), "{message}");
    assert!(is_reset(TcpStream::connect(rig.at(80)).await).await, "no healthy target: reset");
    status.store(302, Ordering::SeqCst);
    rig.seen("lb", |seen| seen.is("web/a", "Healthy")).await;
}

#[tokio::test]
async fn a_check_that_gets_no_answer_times_out() {
    let silent = Server::new("127.0.0.1:0", |stream| async move {
        let _held = stream;
        std::future::pending().await
    })
    .await;
    let ssh = Server::named("SSH-2.0-x\r\n").await;
    let mut rig = Rig::start();
    let check = json!({"protocol": "HTTP", "interval": "100ms", "timeout": "50ms"});
    let seen = rig.apply(checked(check), json!({"a": silent.target(), "b": ssh.target()})).await;
    assert_eq!((seen.reason("web/a").0, seen.reason("web/b").0), ("Timeout", "NotHTTP"), "{seen:?}");
    assert_eq!(members_in(&seen, "Unhealthy").len(), 2);
}

#[tokio::test]
async fn a_server_that_keeps_the_connection_is_healthy_all_the_same() {
    let keeps = Server::new("127.0.0.1:0", |mut stream| async move {
        stream.read_u8().await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n").await?;
        std::future::pending().await
    })
    .await;
    let mut rig = Rig::start();
    let check = json!({"protocol": "HTTP", "interval": "100ms", "timeout": "50ms"});
    let seen = rig.apply(checked(check), json!({"a": keeps.target()})).await;
    assert!(seen.is("web/a", "Healthy"), "{seen:?}");
}

#[tokio::test]
async fn a_new_target_waits_until_it_has_proven_itself() {
    let a = Server::named("a").await;
    let deaf = Deaf::new().await;
    let mut rig = Rig::start();
    let check = checked(json!({"interval": "30s", "timeout": "30s"}));
    let seen = rig.apply(check.clone(), json!({"a": a.target()})).await;
    assert!(seen.is("web/a", "Healthy"), "{seen:?}");
    let unproven = json!({"address": deaf.address.ip(), "port": deaf.address.port(), "weight": 1000});
    let seen = rig.apply(check, json!({"a": a.target(), "d": unproven})).await;
    assert!(seen.is("web/a", "Healthy") && seen.is("web/d", "Checking"), "{seen:?}");
    let started = Instant::now();
    assert_eq!(names(rig.at(80), 4).await, "aaaa");
    assert!(started.elapsed() < Duration::from_millis(400), "it was not even tried");
}

#[tokio::test]
async fn a_new_balancer_serves_before_its_first_check_has_ended() {
    // leaves checks without an answer, echoes all else
    let slow = Server::new("127.0.0.1:0", |mut stream| async move {
        let mut bytes = vec![0; 4096];
        let length = stream.read(&mut bytes).await?;
        if bytes.starts_with(b"GET") {
            std::future::pending::<()>().await;
        }
        stream.write_all(&bytes[..length]).await
    })
    .await;
    let mut rig = Rig::start();
    let check = json!({"protocol": "HTTP", "interval": "30s", "timeout": "30s"});
    let seen = rig.apply(checked(check), json!({"a": slow.target()})).await;
    assert!(seen.is("web/a", "Checking"), "{seen:?}");
    assert!(echoes(&mut TcpStream::connect(rig.at(80)).await.unwrap(), b"served").await);
}

#[tokio::test]
async fn a_corrected_check_decides_at_once() {
    let a = Server::named("a").await;
    let mut rig = Rig::start();
    let wrong = json!({"protocol": "HTTP", "interval": "30s"});
    let seen = rig.apply(checked(wrong), json!({"a": a.target()})).await;
    assert_eq!(seen.reason("web/a").0, "NotHTTP", "{seen:?}");
    let seen = rig.apply(checked(json!({"interval": "30s"})), json!({"a": a.target()})).await;
    assert!(seen.is("web/a", "Healthy"), "{seen:?}");
    assert_eq!(names(rig.at(80), 1).await, "a");
}

#[tokio::test]
async fn a_target_that_cannot_be_reached_is_passed_over() {
    let (a, dead) = (Server::named("a").await, Server::named("d").await);
    let dead_target = dead.target();
    dead.kill().await;
    let mut rig = Rig::start();
    let seen = rig.apply(json!({"web": {"port": 80}}), json!({"a": a.target(), "d": dead_target})).await;
    assert!(seen.is("web/d", "Healthy"), "it is not checked");
    assert_eq!(names(rig.at(80), 8).await, "aaaaaaaa");
}

#[tokio::test]
async fn a_target_that_does_not_answer_is_passed_over_in_time() {
    let a = Server::named("a").await;
    let deaf = Deaf::new().await;
    let mut rig = Rig::start();
    let targets =
        json!({"a": a.target(), "d": {"address": deaf.address.ip(), "port": deaf.address.port(), "weight": 1000}});
    rig.apply(json!({"web": {"port": 80}}), targets).await;
    let started = Instant::now();
    assert_eq!(names(rig.at(80), 3).await, "aaa");
    assert!(started.elapsed() < Duration::from_secs(3), "it rests after the first failure");
}

#[tokio::test]
async fn a_port_in_use_is_a_state_of_that_service_and_heals() {
    let a = Server::named("a").await;
    let mut rig = Rig::start();
    let other = std::net::TcpListener::bind(rig.at(80)).unwrap();
    let services = json!({"web": {"port": 80}, "api": {"port": 81}});
    let seen = rig.apply(services, json!({"a": a.target()})).await;
    assert!(seen.is("web", "NotListening") && seen.is("api", "Listening"), "{seen:?}");
    let (reason, message) = seen.reason("web");
    assert_eq!(reason, "PortInUse");
    assert!(message.contains("choose another port"), "{message}");
    assert_eq!(names(rig.at(81), 1).await, "a");
    drop(other);
    rig.seen("lb", |seen| seen.is("web", "Listening")).await;
    assert_eq!(names(rig.at(80), 1).await, "a");
}

#[tokio::test]
async fn a_shared_address_belongs_to_the_first_until_it_is_freed() {
    let (a, b) = (Server::named("a").await, Server::named("b").await);
    let mut rig = Rig::start();
    let (front, loopback, port) = (rig.front, "::1".parse::<IpAddr>().unwrap(), rig.port);
    let web = json!({"web": {"port": port}});
    rig.offer("one", &[loopback], web.clone(), json!({"a": a.target()})).await;
    rig.seen("one", |seen| seen.is("web", "Listening")).await;
    rig.offer("two", &[front, loopback], web, json!({"b": b.target()})).await;
    let seen = rig.seen("two", |seen| seen.is("web", "NotListening")).await;
    assert_eq!(seen.reason("web").0, "PortInUse");
    assert!(seen.reason("web").1.contains(&format!("{} is served", rig.at(port))), "{seen:?}");
    assert_eq!(names(rig.at(port), 1).await, "b");
    rig.delete("one").await;
    rig.seen("two", |seen| seen.is("web", "Listening")).await;
    assert_eq!(names((loopback, port).into(), 1).await, "b");
}

#[tokio::test]
async fn an_address_that_the_machine_lacks_is_a_state_that_says_what_to_do() {
    let mut rig = Rig::start();
    rig.offer("lb", &["192.0.2.77".parse().unwrap()], json!({"web": {"port": 80}}), json!({})).await;
    let seen = rig.seen("lb", |seen| seen.is("web", "NotListening")).await;
    let (reason, message) = seen.reason("web");
    assert_eq!(reason, "AddressNotAvailable");
    assert!(message.contains("192.0.2.77") && message.contains("ifconfig"), "{message}");
}

#[tokio::test]
async fn refused_targets_are_named_and_never_connected_to() {
    let a = Server::named("a").await;
    let mut rig = Rig::start_with(Options { outbound: Outbound::default(), ..open_options() });
    let targets = json!({"a": a.target(), "m": {"address": "169.254.169.254", "port": 80},
        "p": {"address": "127.10.0.1", "port": 80}});
    let seen = rig.apply(checked(json!({})), targets).await;
    assert_eq!(members_in(&seen, "Refused").len(), 3, "{seen:?}");
    assert_eq!(seen.reason("web/a").0, "Loopback");
    assert!(seen.reason("web/a").1.contains("--outbound-allow-loopback"));
    assert_eq!((seen.reason("web/m").0, seen.reason("web/p").0), ("LinkLocal", "OwnListener"));
    assert!(is_reset(TcpStream::connect(rig.at(80)).await).await);
}

#[tokio::test]
async fn balancers_do_not_feed_each_other() {
    let a = Server::named("a").await;
    let mut rig = Rig::start();
    let (loopback, port) = ("::1".parse::<IpAddr>().unwrap(), rig.port);
    rig.offer("one", &[loopback], json!({"web": {"port": port}}), json!({"a": a.target()})).await;
    rig.seen("one", |seen| seen.is("web", "Listening")).await;
    let seen = rig.apply(checked(json!({"interval": "100ms"})), json!({"one": {"address": "::1", "port": port}})).await;
    assert!(seen.is("web/one", "Unhealthy") && seen.reason("web/one").0 == "OwnListener", "{seen:?}");
    assert!(is_reset(TcpStream::connect(rig.at(80)).await).await);
}

#[tokio::test]
async fn unhealthy_targets_keep_the_connections_they_have() {
    let status = Arc::new(AtomicU16::new(200));
    let health = Arc::clone(&status);
    // speaks HTTP to checks, echoes to others
    let both = Server::new("127.0.0.1:0", move |mut stream| {
        let status = Arc::clone(&health);
        async move {
            loop {
                let mut bytes = vec![0; 4096];
                let length = stream.read(&mut bytes).await?;
                if length == 0 {
                    return Ok(());
                }
                let http = bytes.starts_with(b"GET");
                let answer = format!("HTTP/1.1 {} X\r\n\r\n", status.load(Ordering::SeqCst));
                stream.write_all(if http { answer.as_bytes() } else { &bytes[..length] }).await?;
                if http {
                    return Ok(());
                }
            }
        }
    })
    .await;
    let mut rig = Rig::start();
    let check = json!({"protocol": "HTTP", "interval": "100ms", "unhealthyThreshold": 1});
    rig.apply(checked(check), json!({"a": both.target()})).await;
    let mut held = TcpStream::connect(rig.at(80)).await.unwrap();
    assert!(echoes(&mut held, b"before").await);
    status.store(500, Ordering::SeqCst);
    rig.seen("lb", |seen| seen.is("web/a", "Unhealthy")).await;
    assert!(echoes(&mut held, b"after").await);
    let front = rig.at(80);
    eventually(|| async { greeted(front).await.is_err() }).await;
}
