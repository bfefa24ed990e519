//! What happens when the intent changes, and at start and stop.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

use super::rig::{Rig, Server, echoes, eventually, greeted, is_refused, names, open_options, within};
use crate::backend::load_balancing::{Limits, Options};

fn web() -> Value {
    json!({"web": {"port": 80}})
}

#[tokio::test]
async fn a_change_keeps_the_connections_that_it_does_not_concern() {
    let (a, b) = (Server::named("a").await, Server::named("b").await);
    let mut rig = Rig::start();
    rig.apply(web(), json!({"a": a.target()})).await;
    let (mut held, name) = greeted(rig.at(80)).await.unwrap();
    assert_eq!(name, 'a');
    let mut heavy = a.target();
    heavy["weight"] = 7.into();
    let checked = json!({"web": {"port": 80, "healthCheck": {"interval": "100ms"}}, "api": {"port": 81}});
    rig.apply(checked, json!({"a": heavy, "b": b.target()})).await;
    assert!(echoes(&mut held, b"after weight, check, target and service").await);
    // another service takes the port over: the socket stays, and so does the connection
    let seen =
        rig.apply(json!({"www": {"port": 80, "targets": ["b"]}}), json!({"a": a.target(), "b": b.target()})).await;
    assert!(seen.is("www", "Listening") && !seen.members.contains_key("web"));
    assert!(echoes(&mut held, b"after the service got another name").await);
    assert_eq!(names(rig.at(80), 3).await, "bbb");
    assert!(is_refused(rig.at(81)).await);
}

#[tokio::test]
async fn a_removed_listener_closes_its_connections_and_no_others() {
    let a = Server::named("a").await;
    let mut rig = Rig::start();
    rig.apply(json!({"web": {"port": 80}, "api": {"port": 81}}), json!({"a": a.target()})).await;
    let (mut lost, mut kept) = (greeted(rig.at(80)).await.unwrap().0, greeted(rig.at(81)).await.unwrap().0);
    rig.apply(json!({"api": {"port": 81}}), json!({"a": a.target()})).await;
    assert!(is_refused(rig.at(80)).await);
    assert!(matches!(within(lost.read(&mut [0])).await, Ok(0) | Err(_)));
    assert!(echoes(&mut kept, b"untouched").await);
}

#[tokio::test]
async fn connections_to_a_removed_target_go_on_for_a_while() {
    let (a, b) = (Server::named("a").await, Server::named("b").await);
    let limits = Limits { target_drain: Duration::from_secs(2), ..open_options().limits };
    let mut rig = Rig::start_with(Options { limits, ..open_options() });
    rig.apply(web(), json!({"a": a.target()})).await;
    let (mut held, _) = greeted(rig.at(80)).await.unwrap();
    rig.apply(web(), json!({"b": b.target()})).await;
    assert!(echoes(&mut held, b"goes on").await);
    assert_eq!(names(rig.at(80), 3).await, "bbb");
    assert!(within(held.read_u8()).await.is_err(), "and ends");
}

#[tokio::test]
async fn no_request_fails_while_the_config_changes() {
    let (a, b) = (Server::named("a").await, Server::named("b").await);
    let mut rig = Rig::start();
    let intent = |turn: u32| {
        let mut targets = json!({"a": a.target()});
        targets["a"]["weight"] = (turn % 7 + 1).into();
        if turn.is_multiple_of(2) {
            targets["b"] = b.target();
        }
        let check = json!({"interval": format!("{}ms", 100 + turn)});
        let name = if turn.is_multiple_of(3) { "web" } else { "www" };
        (json!({name: {"port": 80, "healthCheck": check}}), targets)
    };
    let (services, targets) = intent(0);
    rig.apply(services, targets).await;
    let front = rig.at(80);
    let done = tokio_util::sync::CancellationToken::new();
    let clients: Vec<_> = (0..8).map(|_| tokio::spawn(requests(front, done.clone()))).collect();
    for turn in 1..=30 {
        let (services, targets) = intent(turn);
        rig.apply(services, targets).await;
    }
    done.cancel();
    let mut total = 0;
    for client in clients {
        total += client.await.unwrap();
    }
    assert!(total > 100, "{total}");
}

/// Makes requests until it is told to stop; fails when one fails.
async fn requests(front: std::net::SocketAddr, done: tokio_util::sync::CancellationToken) -> usize {
    let mut count = 0;
    while !done.is_cancelled() {
        let (mut stream, _) = greeted(front).await.unwrap();
        assert!(echoes(&mut stream, b"request").await);
        count += 1;
    }
    count
}

#[tokio::test]
async fn rounds_go_on_where_they_were_when_the_config_changes() {
    let (a, b) = (Server::named("a").await, Server::named("b").await);
    let mut rig = Rig::start();
    let mut shares = String::new();
    for turn in 0..4 {
        // each intent differs from the last
        let services = json!({"web": {"port": 80}, "x": {"port": 90 + turn}});
        rig.apply(services, json!({"a": a.target(), "b": b.target()})).await;
        shares.push_str(&names(rig.at(80), 1).await);
    }
    assert_eq!(shares, "abab");
}

#[tokio::test]
async fn deletion_releases_everything_and_says_so() {
    let a = Server::named("a").await;
    let mut rig = Rig::start();
    rig.apply(web(), json!({"a": a.target()})).await;
    let (mut held, _) = greeted(rig.at(80)).await.unwrap();
    rig.delete("lb").await;
    rig.seen("lb", |seen| seen.released == 1).await;
    assert!(is_refused(rig.at(80)).await);
    assert!(matches!(within(held.read(&mut [0])).await, Ok(0) | Err(_)));
    rig.gone("lb").await;
    // one that this process never held, for instance after a restart
    rig.delete("other").await;
    rig.seen("other", |seen| seen.released == 1).await;
}

#[tokio::test]
async fn an_object_that_is_gone_holds_nothing() {
    let a = Server::named("a").await;
    let mut rig = Rig::start();
    rig.apply(web(), json!({"a": a.target()})).await;
    rig.gone("lb").await;
    let front = rig.at(80);
    eventually(|| is_refused(front)).await;
}

#[tokio::test]
async fn after_a_restart_all_is_as_before() {
    let a = Server::named("a").await;
    let mut rig = Rig::start();
    rig.apply(web(), json!({"a": a.target()})).await;
    assert_eq!(names(rig.at(80), 1).await, "a");
    let mut rig = rig.restart().await;
    assert!(is_refused(rig.at(80)).await);
    let seen = rig.apply(web(), json!({"a": a.target()})).await;
    assert!(seen.is("web", "Listening") && seen.is("web/a", "Healthy"));
    assert_eq!(names(rig.at(80), 1).await, "a");
}

#[tokio::test]
async fn a_stop_lets_connections_end_by_themselves() {
    let a = Server::named("a").await;
    let mut rig = Rig::start();
    rig.apply(web(), json!({"a": a.target()})).await;
    let (mut held, _) = greeted(rig.at(80)).await.unwrap();
    rig.drain.start();
    let front = rig.at(80);
    eventually(|| is_refused(front)).await;
    assert!(echoes(&mut held, b"last words").await);
    assert!(!rig.plane.is_finished());
    drop(held);
    within(&mut rig.plane).await.unwrap();
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let a = Server::named("a").await;
    let limits = Limits { stop_drain: Duration::from_millis(50), ..open_options().limits };
    let mut rig = Rig::start_with(Options { limits, ..open_options() });
    rig.apply(web(), json!({"a": a.target()})).await;
    let (mut held, _) = greeted(rig.at(80)).await.unwrap();
    rig.drain.start();
    within(&mut rig.plane).await.unwrap();
    assert!(within(held.read_u8()).await.is_err());
}

#[tokio::test]
async fn a_new_balancer_is_reported_once() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let target = Server::new("127.0.0.1:0", move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
        std::future::ready(Ok(()))
    })
    .await;
    let mut rig = Rig::start();
    let services = json!({"web": {"port": 80, "healthCheck": {"interval": "100ms"}}});
    let seen = rig.apply(services.clone(), json!({"a": target.target()})).await;
    assert!(seen.is("web/a", "Healthy") && seen.reports == 1, "{seen:?}");
    // checks that find what they found before write nothing: the next report is that of the next intent
    eventually(|| async { asked.load(Ordering::SeqCst) > 4 }).await;
    let seen = rig.apply(services, json!({"a": target.target()})).await;
    assert_eq!(seen.reports, 2);
}
