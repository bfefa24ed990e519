//! Objects that belong to others, and deletion among them.

use std::time::Duration;

use futures::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};

use super::rig::{LIST, Reply, Rig};
use crate::protocol::{Create, Frame, client::Route};

const SHELVES: &str = "/v3/projects/shop/shelves";
const LABELS: &str = "/v3/projects/shop/signs/labels";
const RETIRE: &str = "/v3/projects/shop/owners/c1";

fn owner(cluster: &str, namespace: &str, uid: &str) -> Value {
    json!({"cluster": cluster, "kind": "Book", "namespace": namespace, "name": format!("name-{uid}"), "uid": uid})
}

async fn make(rig: &Rig, path: &str, owner: Option<Value>, parent: Option<&str>) -> Reply {
    let mut body = json!({"intent": {"name": "x"}});
    for (field, value) in [("owner", owner), ("parent", parent.map(Value::from))] {
        if let Some(value) = value {
            body[field] = value;
        }
    }
    rig.admin(Method::POST, path, Some(body)).await
}

async fn shelf(rig: &Rig, owner: Option<Value>) -> String {
    let made = make(rig, SHELVES, owner, None).await;
    assert_eq!(made.status, 201, "{made:?}");
    made.id()
}

fn books(shelf: &str) -> String {
    format!("{SHELVES}/{shelf}/books")
}

async fn ids(rig: &Rig, path: &str) -> Vec<String> {
    let list = rig.admin(Method::GET, path, None).await;
    assert_eq!(list.status, 200, "{list:?}");
    list.body["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

async fn delete(rig: &Rig, path: &str) -> Reply {
    let etag = rig.admin(Method::GET, path, None).await.body["etag"].as_str().unwrap_or_default().to_owned();
    rig.call(&rig.admin, Method::DELETE, path, None, Some(&etag)).await
}

async fn phase(rig: &Rig, path: &str) -> String {
    rig.admin(Method::GET, path, None).await.body["phase"].as_str().unwrap_or("gone").to_owned()
}

async fn until_gone(rig: &Rig, path: &str) {
    for _ in 0..400 {
        if phase(rig, path).await == "gone" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{path} is still there");
}

#[tokio::test(flavor = "multi_thread")]
async fn nested_objects_are_below_their_parent_only() {
    let rig = Rig::new().await;
    let (one, two) = (shelf(&rig, None).await, shelf(&rig, None).await);
    let mut made = Vec::new();
    for _ in 0..3 {
        made.push(make(&rig, &books(&one), None, None).await);
    }
    made.push(make(&rig, &books(&two), None, Some(&two)).await);
    assert!(made.iter().all(|made| made.status == 201), "{made:?}");
    assert_eq!(made[0].body["parent"], json!(one));
    let of_one: Vec<String> = made[..3].iter().map(Reply::id).collect();
    assert_eq!(ids(&rig, &books(&one)).await, of_one);
    assert_eq!(ids(&rig, &books(&two)).await, [made[3].id()]);
    let page = rig.admin(Method::GET, &format!("{}?limit=2", books(&one)), None).await;
    let next = page.body["next"].as_str().unwrap();
    assert_eq!(ids(&rig, &format!("{}?limit=2&page={next}", books(&one))).await, of_one[2..]);
    // Through another parent it does not exist, whatever is asked of it.
    let (id, etag) = (&of_one[0], made[0].body["etag"].as_str().unwrap());
    let claim = json!({"to": owner("c1", "ns", "u1")});
    for (method, path, body) in [
        (Method::GET, format!("{}/{id}", books(&two)), None),
        (Method::PATCH, format!("{}/{id}", books(&two)), Some(json!({"name": "y"}))),
        (Method::DELETE, format!("{}/{id}", books(&two)), None),
        (Method::PUT, format!("{}/{id}/owner", books(&two)), Some(claim)),
        (Method::GET, format!("{}/{id}/secret", books(&two)), None),
        (Method::GET, books("shelf-none"), None),
    ] {
        let reply = rig.call(&rig.admin, method.clone(), &path, body, Some(etag)).await;
        assert_eq!((reply.status, reply.code()), (404, "not_found"), "{method} {path}");
    }
    let patched = rig
        .call(&rig.admin, Method::PATCH, &format!("{}/{id}", books(&one)), Some(json!({"name": "y"})), Some(etag))
        .await;
    assert_eq!((patched.status, &patched.body["parent"]), (200, &json!(one)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_must_be_there_and_fit() {
    let rig = Rig::new().await;
    let (one, two) = (shelf(&rig, None).await, shelf(&rig, None).await);
    for (path, parent, status, code) in [
        (books("shelf-none"), None, 404, "not_found"),
        (books(&one), Some(two.as_str()), 422, "invalid"),
        (LABELS.to_owned(), None, 422, "invalid"),
        (LABELS.to_owned(), Some("shelf-none"), 404, "not_found"),
        (SHELVES.to_owned(), Some(one.as_str()), 422, "invalid"),
        (LIST.to_owned(), Some(one.as_str()), 422, "invalid"),
    ] {
        let reply = make(&rig, &path, None, parent).await;
        assert_eq!((reply.status, reply.code()), (status, code), "{path} {reply:?}");
        assert_eq!(reply.body["field"], "/parent", "{path}");
    }
    let label = make(&rig, LABELS, None, Some(&one)).await;
    assert_eq!((label.status, &label.body["parent"]), (201, &json!(one)));
    assert_eq!(ids(&rig, LABELS).await, [label.id()]);
    assert_eq!(phase(&rig, &format!("{LABELS}/{}", label.id())).await, "Live");
    rig.release.send(false).unwrap();
    assert_eq!(delete(&rig, &format!("{SHELVES}/{one}")).await.status, 200);
    for (path, parent) in [(books(&one), None), (LABELS.to_owned(), Some(one.as_str()))] {
        let late = make(&rig, &path, None, parent).await;
        assert_eq!((late.status, late.code()), (409, "conflict"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn users_in_the_owners_namespace_hold_a_parent_but_not_its_retirement() {
    let rig = Rig::new().await;
    let one = shelf(&rig, Some(owner("c1", "ns", "shelf"))).await;
    let path = format!("{SHELVES}/{one}");
    for n in 0..4 {
        make(&rig, &books(&one), Some(owner("c1", "ns", &format!("b{n}"))), None).await;
    }
    let stranger = make(&rig, &books(&one), Some(owner("c1", "other", "s1")), None).await.id();
    let refused = delete(&rig, &path).await;
    assert_eq!((refused.status, refused.code()), (409, "in_use"));
    let detail = refused.body["detail"].as_str().unwrap();
    assert!(detail.contains("Book ns/name-b0") && detail.contains("and 1 more") && !detail.contains("s1"), "{detail}");
    let retired = rig.admin(Method::DELETE, &format!("{RETIRE}/shelf"), None).await;
    assert_eq!((retired.status, retired.code()), (409, "in_use"));
    assert_eq!(
        (phase(&rig, &path).await, phase(&rig, &format!("{}/{stranger}", books(&one))).await),
        ("Live".into(), "Live".into())
    );
    let late = make(&rig, SHELVES, Some(owner("c1", "ns", "shelf")), None).await;
    assert_eq!(late.code(), "owner_retired", "the retirement holds although it was refused");
    rig.release.send(false).unwrap();
    for n in 0..4 {
        assert_eq!(rig.admin(Method::DELETE, &format!("{RETIRE}/b{n}"), None).await.status, 200);
    }
    let busy = rig.admin(Method::DELETE, &format!("{RETIRE}/shelf"), None).await;
    assert_eq!(busy.code(), "in_use", "also those on their way out are users");
    rig.release.send(true).unwrap();
    for _ in 0..400 {
        if ids(&rig, &books(&one)).await == [stranger.clone()] {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let retired = rig.admin(Method::DELETE, &format!("{RETIRE}/shelf"), None).await;
    assert_eq!((retired.status, &retired.body["object"]["phase"]), (200, &json!("Deleting")));
    until_gone(&rig, &path).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_children_go_along_and_first() {
    let rig = Rig::new().await;
    let one = shelf(&rig, Some(owner("c1", "ns", "shelf"))).await;
    let mut made = Vec::new();
    for by in [Some(owner("c1", "other", "s1")), Some(owner("c2", "ns", "s2")), None] {
        made.push(make(&rig, &books(&one), by, None).await.id());
    }
    let label = make(&rig, LABELS, Some(owner("c1", "other", "s3")), Some(&one)).await.id();
    let mut feed = Box::pin(rig.client(&rig.admin).changes(None).await.unwrap());
    rig.release.send(false).unwrap();
    assert_eq!(rig.admin(Method::DELETE, &format!("{RETIRE}/shelf"), None).await.status, 200);
    for id in &made {
        assert_eq!(phase(&rig, &format!("{}/{id}", books(&one))).await, "Deleting");
    }
    assert_eq!(phase(&rig, &format!("{LABELS}/{label}")).await, "Deleting");
    rig.release.send(true).unwrap();
    until_gone(&rig, &format!("{SHELVES}/{one}")).await;
    let mut gone = Vec::new();
    while gone.len() < 5 {
        let frame = tokio::time::timeout(Duration::from_secs(20), feed.next()).await.unwrap().unwrap().unwrap();
        if let Frame::Gone { collection, id, .. } = frame {
            gone.push((collection, id));
        }
    }
    assert!(
        gone.contains(&("signs/labels".into(), label)) && gone.contains(&("shelves/books".into(), made[0].clone()))
    );
    assert!(gone.contains(&("shelves".into(), one.clone())));
    let told = rig.told.lock().unwrap().clone();
    let gone: Vec<_> = told.iter().filter(|told| told.starts_with('-')).collect();
    assert_eq!(*gone[gone.len() - 1], format!("-shelves {one}"), "the plane hears of the parent last: {told:?}");
    // The owners of what went along were not retired.
    let again = shelf(&rig, None).await;
    assert_eq!(make(&rig, &books(&again), Some(owner("c1", "other", "s1")), None).await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_owns_is_held_by_every_owned_child() {
    let rig = Rig::new().await;
    let one = shelf(&rig, None).await;
    make(&rig, &books(&one), None, None).await;
    let held = make(&rig, &books(&one), Some(owner("c1", "ns", "u1")), None).await.id();
    assert_eq!(delete(&rig, &format!("{SHELVES}/{one}")).await.code(), "in_use");
    assert_eq!(delete(&rig, &format!("{}/{held}", books(&one))).await.status, 200);
    until_gone(&rig, &format!("{}/{held}", books(&one))).await;
    assert_eq!(delete(&rig, &format!("{SHELVES}/{one}")).await.status, 200);
    until_gone(&rig, &format!("{SHELVES}/{one}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn purge_may_be_given_later() {
    let rig = Rig::new().await;
    let body = json!({"owner": owner("c1", "ns", "u1"), "intent": {"name": "x", "full": true}});
    let one = rig.admin(Method::POST, SHELVES, Some(body)).await.id();
    rig.admin(Method::DELETE, &format!("{RETIRE}/u1"), None).await;
    let told = |text: String| rig.told.lock().unwrap().contains(&text);
    while !told(format!("~{one}")) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(phase(&rig, &format!("{SHELVES}/{one}")).await, "Deleting");
    rig.admin(Method::DELETE, &format!("{RETIRE}/u1?purge=true"), None).await;
    until_gone(&rig, &format!("{SHELVES}/{one}")).await;
    assert!(told(format!("~!{one}")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plane_hears_of_parents_first_and_once_that_it_has_all() {
    let rig = Rig::new().await;
    let one = shelf(&rig, None).await;
    let book = make(&rig, &books(&one), None, None).await.id();
    let label = make(&rig, LABELS, None, Some(&one)).await.id();
    let rig = rig.restart().await;
    for _ in 0..400 {
        if rig.told.lock().unwrap().len() >= 4 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(*rig.told.lock().unwrap(), [format!("+{one}"), format!("+{book}"), format!("+{label}"), ".".to_owned()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_reaches_nested_collections() {
    let rig = Rig::new().await;
    let client = rig.client(&rig.admin);
    let one = shelf(&rig, None).await;
    let at = Route { collection: "shelves/books", parent: Some(&one) };
    let by: crate::protocol::Owner = serde_json::from_value(owner("c1", "ns", "u1")).unwrap();
    let create = Create { owner: Some(by.clone()), parent: None, intent: json!({"name": "x"}) };
    let made = client.create(at, &create).await.unwrap();
    assert_eq!(client.owned_by(at, &by).await.unwrap().unwrap().id, made.id);
    let patched = client.patch(at, &made.id, &made.etag, &json!({"name": "y"})).await.unwrap();
    assert_eq!((patched.parent.as_deref(), &patched.intent), (Some(one.as_str()), &json!({"name": "y"})));
    let create = Create { owner: None, parent: Some(one.clone()), intent: json!({"name": "l"}) };
    let label = client.create("signs/labels", &create).await.unwrap();
    assert_eq!(client.get("signs/labels", &label.id).await.unwrap().unwrap().parent, Some(one));
}

#[tokio::test(flavor = "multi_thread")]
async fn v2_hides_what_is_superseded() {
    const V2: &str = "/v2/projects/shop/shelves";
    let rig = Rig::new().await;
    let create = async |name: &str| {
        let body = json!({"intent": {"name": name}});
        rig.admin(Method::POST, V2, Some(body)).await.id()
    };
    let (old, other, new) = (create("a").await, create("b").await, create("a").await);
    assert_eq!(ids(&rig, V2).await, [other.clone(), new.clone()]);
    assert_eq!(ids(&rig, SHELVES).await, [old.clone(), other, new.clone()]);
    assert_eq!(phase(&rig, &format!("{V2}/{old}")).await, "Live", "by id it is there");
    rig.release.send(false).unwrap();
    assert_eq!(delete(&rig, &format!("{V2}/{new}")).await.status, 200);
    assert!(ids(&rig, V2).await.contains(&old), "what is on its way out supersedes nothing");
    let none = rig.token(&["project.shelf:create"]).await;
    assert_eq!(rig.call(&none, Method::GET, V2, None, None).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn facts_are_for_every_known_token() {
    let rig = Rig::new().await;
    let token = rig.token(&["project.shelf:read"]).await;
    let fact = rig.call(&token, Method::GET, "/v3/shelf-sizes", None, None).await;
    assert_eq!((fact.status, fact.body), (200, json!({"sizes": ["small", "large"]})));
    assert_eq!(rig.call("none", Method::GET, "/v3/shelf-sizes", None, None).await.status, 401);
}
