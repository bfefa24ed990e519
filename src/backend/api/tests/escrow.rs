//! Minted secrets: delivered until acknowledged, and shown nowhere else.

use std::{os::unix::fs::PermissionsExt, time::Duration};

use futures::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};

use super::{rig::Rig, shelves::SECRET};
use crate::protocol::{
    Code, DeliveryRef, Frame, RawObject,
    client::{CallError, Route},
};

struct Book {
    shelf: String,
    object: RawObject,
}

impl Book {
    async fn new(rig: &Rig) -> Self {
        let create = |path: String| rig.admin(Method::POST, path.leak(), Some(json!({"intent": {"name": "x"}})));
        let shelf = create("/v3/projects/shop/shelves".into()).await.id();
        let made = create(format!("/v3/projects/shop/shelves/{shelf}/books")).await;
        Self { shelf, object: serde_json::from_value(made.body).unwrap() }
    }

    fn at(&self) -> Route<'_> {
        Route { collection: "shelves/books", parent: Some(&self.shelf) }
    }

    fn path(&self) -> String {
        format!("/v3/projects/shop/shelves/{}/books/{}", self.shelf, self.object.id)
    }

    fn delivery(&self) -> DeliveryRef {
        DeliveryRef { id: self.object.deliveries[0].id.clone() }
    }

    /// Waits until the plane has taken the present secret, and tells its access key.
    async fn key(&self, rig: &Rig) -> String {
        loop {
            let object = rig.client(&rig.admin).get(self.at(), &self.object.id).await.unwrap().unwrap();
            if object.realised() {
                return object.reality.state["accessKeyId"].as_str().unwrap().to_owned();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn code<T>(result: Result<T, CallError>) -> Option<Code> {
    result.err().and_then(|error| error.code())
}

#[tokio::test(flavor = "multi_thread")]
async fn fetched_again_until_acknowledged_and_then_never() {
    let rig = Rig::new().await;
    let book = Book::new(&rig).await;
    assert!(book.object.deliveries[0].pending);
    let first = rig.client(&rig.admin).fetch_secret(book.at(), &book.object.id).await.unwrap();
    assert_eq!(first.id, book.delivery().id);
    assert!(first.values.0["secretAccessKey"].starts_with(SECRET));
    // The answer may be lost, and the backend may end.
    let rig = rig.restart().await;
    let client = rig.client(&rig.admin);
    assert_eq!(client.fetch_secret(book.at(), &book.object.id).await.unwrap(), first);
    let other = DeliveryRef { id: "sec-other".into() };
    assert_eq!(code(client.acknowledge(book.at(), &book.object.id, &other).await), Some(Code::Stale));
    let done = client.acknowledge(book.at(), &book.object.id, &book.delivery()).await.unwrap();
    assert_eq!((done.deliveries[0].pending, &done.deliveries[0].id), (false, &first.id));
    assert_eq!((&done.etag, done.intent_revision), (&book.object.etag, book.object.intent_revision));
    assert_eq!(
        client.acknowledge(book.at(), &book.object.id, &book.delivery()).await.unwrap().deliveries,
        done.deliveries
    );
    assert_eq!(code(client.fetch_secret(book.at(), &book.object.id).await), Some(Code::NotFound));
    let rig = rig.restart().await;
    assert_eq!(code(rig.client(&rig.admin).fetch_secret(book.at(), &book.object.id).await), Some(Code::NotFound));
    assert_eq!(book.key(&rig).await, first.values.0["accessKeyId"], "the plane still knows it");
}

#[tokio::test(flavor = "multi_thread")]
async fn issued_anew_once_a_call() {
    let rig = Rig::new().await;
    let book = Book::new(&rig).await;
    let (client, id) = (rig.client(&rig.admin), &book.object.id);
    let first = client.fetch_secret(book.at(), id).await.unwrap();
    client.acknowledge(book.at(), id, &book.delivery()).await.unwrap();
    assert_eq!(book.key(&rig).await, first.values.0["accessKeyId"]);
    let issued = client.reissue(book.at(), id, &book.delivery()).await.unwrap();
    assert!(issued.deliveries[0].pending && issued.deliveries[0].id != first.id);
    assert_eq!(issued.etag, book.object.etag);
    assert!(!issued.realised(), "the plane has to take it first");
    // Its answer may be lost: the second call sees that it was done.
    assert_eq!(code(client.reissue(book.at(), id, &book.delivery()).await), Some(Code::Stale));
    assert_eq!(code(client.acknowledge(book.at(), id, &book.delivery()).await), Some(Code::Stale));
    let second = client.fetch_secret(book.at(), id).await.unwrap();
    assert_eq!(second.id, issued.deliveries[0].id);
    assert_ne!(second.values, first.values);
    assert_eq!(book.key(&rig).await, second.values.0["accessKeyId"], "the plane has the new one only");
    rig.release.send(false).unwrap();
    rig.call(&rig.admin, Method::DELETE, &book.path(), None, Some(&book.object.etag)).await;
    assert_eq!(code(client.reissue(book.at(), id, &DeliveryRef { id: second.id }).await), Some(Code::Conflict));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intent_that_changes_keeps_its_secret() {
    let rig = Rig::new().await;
    let book = Book::new(&rig).await;
    let client = rig.client(&rig.admin);
    let first = client.fetch_secret(book.at(), &book.object.id).await.unwrap();
    let patch = json!({"name": "y"});
    let patched = client.patch(book.at(), &book.object.id, &book.object.etag, &patch).await.unwrap();
    assert_eq!(patched.deliveries, book.object.deliveries);
    assert_eq!(client.fetch_secret(book.at(), &book.object.id).await.unwrap(), first);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_objects_reads_no_secrets() {
    let rig = Rig::new().await;
    let book = Book::new(&rig).await;
    let token = rig
        .token(
            &["read", "create", "update", "delete"]
                .map(|v| format!("project.shelf.book:{v}"))
                .each_ref()
                .map(String::as_str),
        )
        .await;
    let seen = Some(json!({"id": book.delivery().id}));
    for (method, suffix, body) in [
        (Method::GET, "secret", None),
        (Method::POST, "secret/acknowledge", seen.clone()),
        (Method::POST, "reissue", seen),
    ] {
        let reply = rig.call(&token, method, &format!("{}/{suffix}", book.path()), body, None).await;
        let told = (reply.status, reply.body["permission"].as_str());
        assert_eq!(told, (403, Some("project.shelf.book:execute")), "{suffix}");
    }
    let token = rig.token(&["project.shelf.book:execute"]).await;
    assert_eq!(rig.call(&token, Method::GET, &format!("{}/secret", book.path()), None, None).await.status, 200);
    assert_eq!(rig.call(&token, Method::GET, &book.path(), None, None).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_nowhere_else() {
    let rig = Rig::new().await;
    let book = Book::new(&rig).await;
    let mut seen = String::new();
    let list = book.path().rsplit_once('/').unwrap().0.to_owned();
    for path in [book.path(), list, "/openapi.json".to_owned(), "/v3/projects/shop".to_owned()] {
        let reply = rig.admin(Method::GET, &path, None).await;
        assert_eq!(reply.status, 200);
        seen.push_str(&reply.body.to_string());
    }
    let mut feed = Box::pin(rig.client(&rig.admin).changes(None).await.unwrap());
    rig.client(&rig.admin).reissue(book.at(), &book.object.id, &book.delivery()).await.unwrap();
    let (mut synced, mut changed) = (false, false);
    while !(synced && changed) {
        let frame = tokio::time::timeout(Duration::from_secs(20), feed.next()).await.unwrap().unwrap().unwrap();
        synced |= matches!(frame, Frame::Synced { .. });
        changed |= matches!(&frame, Frame::Change { object, .. }
            if object.id == book.object.id && object.deliveries != book.object.deliveries);
        seen.push_str(&serde_json::to_string(&frame).unwrap());
    }
    assert!(seen.contains("deliveries") && !seen.contains(SECRET), "{seen}");
    let delivered = rig.client(&rig.admin).fetch_secret(book.at(), &book.object.id).await.unwrap();
    assert!(!format!("{delivered:?}").contains(SECRET));
    let stored = crate::backend::store::read(&*rig.running.store, {
        let id = book.object.id.clone();
        move |view| {
            let project = crate::backend::tenants::project(view, "shop")?.unwrap();
            Ok(crate::backend::records::get(view, &project.id, "shelves/books", &id)?.unwrap())
        }
    });
    let shown = format!("{:?}", stored.await.unwrap());
    assert!(shown.contains("secretAccessKey") && !shown.contains(SECRET), "{shown}");
    let file = rig.folder.path().join("state/store.redb");
    assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(Value::Null, rig.admin(Method::GET, "/v3/projects/shop/shelves/x/secret", None).await.body["values"]);
}
