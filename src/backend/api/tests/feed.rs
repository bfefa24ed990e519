//! The feed, read with the client that operators use.

use std::{pin::Pin, time::Duration};

use futures::{Stream, StreamExt};
use reqwest::Method;
use serde_json::json;

use super::rig::{ALL, LIST, Rig};
use crate::protocol::{Cursor, Frame, RawObject, client::CallError};

struct Feed(Pin<Box<dyn Stream<Item = Result<Frame, CallError>> + Send>>);

impl Feed {
    async fn open(rig: &Rig, token: &str, after: Option<&Cursor>) -> Self {
        Self(Box::pin(rig.client(token).changes(after).await.unwrap()))
    }

    async fn next(&mut self) -> Option<Frame> {
        let next = tokio::time::timeout(Duration::from_secs(20), self.0.next());
        next.await.expect("the feed is silent").map(|frame| frame.unwrap())
    }

    /// Reads until the snapshot is complete.
    async fn synced(&mut self) -> (Vec<RawObject>, Cursor) {
        assert!(matches!(self.next().await, Some(Frame::Hello { .. })));
        let mut objects = Vec::new();
        loop {
            match self.next().await.unwrap() {
                Frame::Change { object, cursor: None, .. } => objects.push(*object),
                Frame::Synced { cursor } => return (objects, cursor),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Reads until there is a change of that object with reality.
    async fn realised(&mut self, id: &str) -> Cursor {
        loop {
            if let Frame::Change { object, cursor: Some(cursor), collection } = self.next().await.unwrap()
                && object.id == id
                && object.realised()
            {
                assert_eq!(collection, "load-balancers");
                return cursor;
            }
        }
    }

    async fn reset(&mut self) -> String {
        loop {
            if let Frame::Reset { reason } = self.next().await.expect("ended without a reset") {
                assert_eq!(self.next().await, None);
                return reason;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshot_then_what_happens_then_resume() {
    let rig = Rig::new().await;
    let token = rig.token(ALL).await;
    let mut made = Vec::new();
    for n in 0..150 {
        made.push(rig.create(&token, &format!("lb{n}"), Some(&format!("u{n}"))).await.id());
    }
    let mut feed = Feed::open(&rig, &token, None).await;
    let (objects, start) = feed.synced().await;
    made.sort();
    assert_eq!(objects.iter().map(|object| object.id.clone()).collect::<Vec<_>>(), made);
    let new = rig.create(&token, "new", Some("new")).await;
    let cursor = feed.realised(&new.id()).await;
    drop(feed);

    rig.admin(Method::DELETE, "/v3/projects/shop/owners/c1/new", None).await;
    rig.gone(&new.id()).await;
    let mut feed = Feed::open(&rig, &token, Some(&cursor)).await;
    let (objects, _) = feed.synced().await;
    assert!(objects.is_empty(), "what was seen is not sent again");
    let gone = loop {
        match feed.next().await.unwrap() {
            Frame::Gone { id, owner, collection, .. } => break (id, owner.unwrap().uid, collection),
            Frame::Change { object, .. } => assert_eq!(object.id, new.id()),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(gone, (new.id(), "new".to_owned(), "load-balancers".to_owned()));

    let mut feed = Feed::open(&rig, &token, Some(&start)).await;
    feed.synced().await;
    let mut seen = Vec::new();
    while !matches!(seen.last(), Some(Frame::Gone { .. })) {
        seen.push(feed.next().await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_run_of_the_backend_resets() {
    let rig = Rig::new().await;
    let token = rig.token(ALL).await;
    let mut feed = Feed::open(&rig, &token, None).await;
    let Some(Frame::Hello { store, epoch, project_id }) = feed.next().await else { panic!() };
    drop(feed);
    let (_, cursor) = Feed::open(&rig, &token, None).await.synced().await;
    let rig = rig.restart().await;
    let mut feed = Feed::open(&rig, &token, Some(&cursor)).await;
    let Some(Frame::Hello { store: same, epoch: other, project_id: project }) = feed.next().await else { panic!() };
    assert_eq!((&same, &project), (&store, &project_id));
    assert_ne!(other, epoch);
    assert!(feed.reset().await.contains("started again"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_feeds_in_time() {
    let rig = Rig::new().await;
    let token = rig.token(ALL).await;
    let mut feed = Feed::open(&rig, &token, None).await;
    feed.synced().await;
    let begin = std::time::Instant::now();
    assert!(rig.running.stop().await);
    assert!(begin.elapsed() < Duration::from_secs(4));
    while feed.next().await.is_some() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_hears_no_more() {
    let rig = Rig::new().await;
    let token = rig.token(ALL).await;
    let mut feed = Feed::open(&rig, &token, None).await;
    feed.synced().await;
    let id = token.split('_').nth(1).unwrap();
    let other = rig.token(ALL).await;
    rig.create(&other, "seen", None).await;
    assert_eq!(rig.admin(Method::DELETE, &format!("/v3/tokens/{id}"), None).await.status, 200);
    rig.create(&other, "unseen", None).await;
    assert!(feed.reset().await.contains("token"));
    assert!(matches!(rig.client(&token).changes(None).await, Err(CallError::Refused(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn other_projects_are_not_heard_and_cursors_are_bound() {
    let rig = Rig::new().await;
    let token = rig.token(ALL).await;
    rig.admin(Method::PUT, "/v3/organizations/acme/projects/other", None).await;
    let mut feed = Feed::open(&rig, &token, None).await;
    let (_, cursor) = feed.synced().await;
    let body = json!({"intent": {"name": "x"}});
    let elsewhere = rig.admin(Method::POST, "/v3/projects/other/load-balancers", Some(body)).await;
    assert_eq!(elsewhere.status, 201);
    let here = rig.create(&token, "here", None).await;
    loop {
        match feed.next().await.unwrap() {
            Frame::Change { object, .. } => {
                assert_eq!(object.id, here.id());
                break;
            }
            Frame::Progress { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    let path = format!("/v3/projects/other/changes?after={}", cursor.0);
    let answer = rig.client(&rig.admin).changes(None).await;
    drop(answer);
    let text = reqwest::Client::new().get(rig.url(&path)).bearer_auth(&rig.admin).send().await.unwrap().text();
    let text = tokio::time::timeout(Duration::from_secs(5), text).await.unwrap().unwrap();
    assert!(text.lines().last().unwrap().contains("\"reset\""), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_writers_one_ordered_feed() {
    let rig = Rig::new().await;
    let token = rig.token(ALL).await;
    let mut feed = Feed::open(&rig, &token, None).await;
    feed.synced().await;
    let ids: Vec<String> = futures::future::join_all((0..40).map(|n| {
        let (rig, token) = (&rig, &token);
        async move {
            let made = rig.create(token, &format!("lb{n}"), None).await;
            let path = format!("{LIST}/{}", made.id());
            let etag = made.body["etag"].as_str();
            rig.call(token, Method::PATCH, &path, Some(json!({"algorithm": "LeastConnections"})), etag).await.id()
        }
    }))
    .await;
    let mut last = std::collections::BTreeMap::new();
    let done = |last: &std::collections::BTreeMap<String, RawObject>| {
        ids.iter().all(|id| last.get(id).is_some_and(|o| o.realised() && o.intent.get("algorithm").is_some()))
    };
    let mut newest = 0;
    while !done(&last) {
        if let Frame::Change { object, .. } = feed.next().await.unwrap() {
            assert!(object.revision >= newest, "revisions only grow");
            newest = object.revision;
            last.insert(object.id.clone(), *object);
        }
    }
}
