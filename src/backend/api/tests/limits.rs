//! Time and memory have bounds. Once all is set up the clock stands still, so that a minute takes no time.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use futures::StreamExt;
use http::{Request, Response, header};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::Instant,
};
use tower::ServiceExt;

use crate::{
    backend::{
        api::{Api, KnownTokens, collections::Registry, router, serve},
        checks::NoChecks,
        kept_token::keep_token,
        load_balancing,
        store::{RedbStore, Store},
    },
    protocol::{Code, Frame, Problem, RawObject, Rule},
    runtime::{Drain, World},
};

struct Quiet {
    api: Api,
    token: String,
    _folder: tempfile::TempDir,
}

async fn quiet() -> Quiet {
    let folder = tempfile::tempdir().unwrap();
    let world = World::seeded(1);
    let store: Arc<dyn Store> = Arc::new(RedbStore::open(&folder.path().join("store"), &world).unwrap());
    let rules = Registry::new(load_balancing::collections(Arc::new(NoChecks))).permissions().into_iter();
    let rules = rules.map(|permission| Rule { permission, organization: None, project: None }).collect();
    let file = folder.path().join("token");
    keep_token(&*store, &world, &file, "test", rules).await.unwrap();
    let collections = Arc::new(Registry::new(load_balancing::collections(Arc::new(NoChecks))));
    let token = super::rig::secret(&file);
    let quiet = Quiet {
        api: Api { store, world, collections, drain: Drain::new(), tokens: KnownTokens::default() },
        token,
        _folder: folder,
    };
    for path in ["/v3/organizations/acme", "/v3/organizations/acme/projects/shop"] {
        assert_eq!(quiet.call("PUT", path, Body::empty()).await.status(), 201);
    }
    tokio::time::pause();
    quiet
}

impl Quiet {
    async fn call(&self, method: &str, path: &str, body: Body) -> Response<Body> {
        let request = Request::builder().method(method).uri(path);
        let request = request.header(header::AUTHORIZATION, format!("Bearer {}", self.token)).body(body).unwrap();
        router(self.api.clone()).oneshot(request).await.unwrap()
    }
}

async fn problem(response: Response<Body>) -> Problem {
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let quiet = quiet().await;
    let begin = Instant::now();
    let body = Body::from_stream(futures::stream::pending::<Result<String, std::io::Error>>());
    let response = quiet.call("POST", "/v3/tokens", body).await;
    assert_eq!(problem(response).await.code, Code::BadRequest);
    assert!(begin.elapsed() < Duration::from_secs(60));
}

#[tokio::test]
async fn a_head_that_does_not_come_is_not_waited_for() {
    let quiet = quiet().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(serve(listener, router(quiet.api.clone()), quiet.api.drain.clone()));
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").await.unwrap();
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer).await);
    quiet.api.drain.start();
    server.await.unwrap();
}

#[tokio::test]
async fn a_quiet_feed_shows_that_it_lives() {
    let quiet = quiet().await;
    let response = quiet.call("GET", "/v3/projects/shop/changes", Body::empty()).await;
    let mut lines = response.into_body().into_data_stream();
    let mut last = Instant::now();
    let mut progress = 0;
    while progress < 5 {
        let line = lines.next().await.unwrap().unwrap();
        assert!(last.elapsed() <= Duration::from_secs(10));
        last = Instant::now();
        progress += u32::from(line.starts_with(b"{\"type\":\"progress\""));
    }
    quiet.api.drain.start();
    assert!(lines.next().await.is_none());
}

#[tokio::test]
async fn a_reader_that_fell_off_the_log_starts_over() {
    let quiet = quiet().await;
    let response = quiet.call("GET", "/v3/projects/shop/changes", Body::empty()).await;
    let mut lines = response.into_body().into_data_stream();
    assert!(lines.next().await.unwrap().unwrap().starts_with(b"{\"type\":\"hello\""));
    let synced = lines.next().await.unwrap().unwrap();
    assert!(synced.starts_with(b"{\"type\":\"synced\""));
    let log = quiet.api.store.log();
    let start = log.newest();
    for n in 1..=70_000 {
        let commit = crate::backend::store::Commit { revision: start + n, changes: vec![] };
        log.publish(Arc::new(commit));
    }
    assert!(lines.next().await.unwrap().unwrap().starts_with(b"{\"type\":\"reset\""));
    assert!(lines.next().await.is_none());
    let text = String::from_utf8(synced.to_vec()).unwrap();
    let cursor = text.split('"').nth(7).unwrap();
    let response = quiet.call("GET", &format!("/v3/projects/shop/changes?after={cursor}"), Body::empty()).await;
    let all: Vec<_> = response.into_body().into_data_stream().map(Result::unwrap).collect().await;
    assert!(String::from_utf8(all.concat()).unwrap().contains("{\"type\":\"reset\""));
}

#[tokio::test]
async fn what_happens_during_a_snapshot_is_not_lost() {
    const LIST: &str = "/v3/projects/shop/load-balancers";
    let quiet = quiet().await;
    tokio::time::resume();
    let mut made = Vec::new();
    for n in 0..200 {
        let body = format!("{{\"intent\":{{\"name\":\"lb{n}\"}},\"owner\":{}}}", super::rig::owner(&format!("u{n}")));
        let response = quiet.call("POST", LIST, Body::from(body)).await;
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        made.push(serde_json::from_slice::<RawObject>(&bytes).unwrap());
    }
    let response = quiet.call("GET", "/v3/projects/shop/changes", Body::empty()).await;
    let mut lines = response.into_body().into_data_stream();
    let mut text = String::new();
    for _ in 0..2 {
        text += std::str::from_utf8(&lines.next().await.unwrap().unwrap()).unwrap();
    }
    // The first objects were sent, the last were not.
    let (first, last) = (&made[0].id, &made[199].id);
    assert!(text.contains(first) && !text.contains(last));
    let mut patches = std::collections::BTreeMap::new();
    for object in [first, last] {
        let request = Request::builder().method("PATCH").uri(format!("{LIST}/{object}"));
        let request = request.header(header::AUTHORIZATION, format!("Bearer {}", quiet.token));
        let request = request.header(header::IF_MATCH, "*").body(Body::from("{\"name\":\"changed\"}")).unwrap();
        assert_eq!(router(quiet.api.clone()).oneshot(request).await.unwrap().status(), 200);
    }
    let (project, gone) = (made[100].clone(), made[199].id.clone());
    quiet.call("DELETE", "/v3/projects/shop/owners/c1/u199", Body::empty()).await;
    let id = gone.clone();
    let project_id = crate::backend::store::read(&*quiet.api.store, |view| {
        Ok(crate::backend::tenants::project(view, "shop")?.unwrap().id)
    });
    let project_id = project_id.await.unwrap();
    let families: crate::backend::hub::Collections =
        load_balancing::collections(Arc::new(NoChecks)).into_iter().map(Arc::new).collect();
    crate::backend::store::write(&*quiet.api.store, true, move |tx| {
        crate::backend::records::released(tx, &project_id, &families, "load-balancers", &id)
    })
    .await
    .unwrap();
    let mut synced = false;
    while !(synced && text.contains("\"gone\"")) {
        for line in std::str::from_utf8(&lines.next().await.unwrap().unwrap()).unwrap().lines() {
            match serde_json::from_str::<Frame>(line).unwrap() {
                Frame::Change { object, .. } => drop(patches.insert(object.id.clone(), *object)),
                Frame::Gone { id, .. } => drop(patches.remove(&id)),
                Frame::Synced { .. } => synced = true,
                _ => {}
            }
            text += line;
        }
    }
    assert_eq!(patches[first].intent["name"], "changed");
    assert!(!patches.contains_key(&gone) && patches.contains_key(&project.id));
}
