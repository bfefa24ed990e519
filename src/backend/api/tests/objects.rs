//! Create, read, list, patch, delete.

use reqwest::Method;
use serde_json::json;

use super::rig::{ALL, LIST, Rig, owner};

#[tokio::test(flavor = "multi_thread")]
async fn life_of_an_object() {
    let rig = Rig::new().await;
    let token = rig.token(ALL).await;
    let intent = json!({"name": "web", "services": {"web": {"port": 8080}}, "targets": {"a": {"address": "10.0.0.1", "port": 80}}});
    let body = json!({"intent": intent, "owner": owner("u1")});
    let made = rig.call(&token, Method::POST, LIST, Some(body.clone()), None).await;
    assert_eq!(made.status, 201, "{made:?}");
    let etag = made.body["etag"].as_str().unwrap().to_owned();
    assert_eq!(made.etag, Some(format!("\"{etag}\"")));
    assert_eq!(made.body["intent"], intent);
    let again = rig.call(&token, Method::POST, LIST, Some(body), None).await;
    assert_eq!((again.status, again.code(), again.id()), (409, "exists", made.id()));
    let path = format!("{LIST}/{}", made.id());
    let got = rig.call(&token, Method::GET, &path, None, None).await;
    assert_eq!((got.status, got.etag.clone()), (200, made.etag.clone()));
    assert_eq!(got.media, "application/json");

    let patch = json!({"targets": {"a": null, "b": {"address": "::1", "port": 81}}});
    let without = rig.call(&token, Method::PATCH, &path, Some(patch.clone()), None).await;
    assert_eq!((without.status, without.code()), (428, "precondition_required"));
    let stale = rig.call(&token, Method::PATCH, &path, Some(patch.clone()), Some("0000")).await;
    assert_eq!((stale.status, stale.code()), (412, "stale"));
    let patched = rig.call(&token, Method::PATCH, &path, Some(patch), Some(&etag)).await;
    assert_eq!(patched.status, 200, "{patched:?}");
    assert_eq!(patched.body["intent"]["targets"], json!({"b": {"address": "::1", "port": 81}}));
    let etag = patched.body["etag"].as_str().unwrap().to_owned();
    let nothing = rig.call(&token, Method::PATCH, &path, Some(json!({})), Some(&etag)).await;
    assert_eq!((nothing.status, &nothing.body["etag"]), (200, &patched.body["etag"]));
    assert_eq!(nothing.body["intentRevision"], patched.body["intentRevision"]);

    let refused = rig.call(&token, Method::PATCH, &path, Some(json!({"name": "refused"})), Some(&etag)).await;
    assert_eq!((refused.status, refused.code(), &refused.body["field"]), (422, "invalid", &json!("/name")));

    rig.release.send(false).unwrap();
    assert_eq!(rig.call(&token, Method::DELETE, &path, None, None).await.status, 428);
    assert_eq!(rig.call(&token, Method::DELETE, &path, None, Some("0000")).await.status, 412);
    let deleted = rig.call(&token, Method::DELETE, &path, None, Some(&etag)).await;
    assert_eq!((deleted.status, &deleted.body["phase"]), (200, &json!("Deleting")));
    let late = rig.call(&token, Method::PATCH, &path, Some(json!({"name": "x"})), Some(&etag)).await;
    assert_eq!((late.status, late.code()), (409, "conflict"));
    assert_eq!(rig.call(&token, Method::GET, &path, None, None).await.body["phase"], "Deleting");
    rig.release.send(true).unwrap();
    rig.gone(&made.id()).await;
    assert_eq!(rig.call(&token, Method::DELETE, &path, None, Some(&etag)).await.code(), "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn reality_comes_and_does_not_move_the_tag() {
    let rig = Rig::new().await;
    let made = rig.create(&rig.admin, "web", None).await;
    let path = format!("{LIST}/{}", made.id());
    for attempt in 0.. {
        let seen = rig.admin(Method::GET, &path, None).await;
        if seen.body["reality"]["of"] == made.body["intentRevision"] {
            assert_eq!(seen.etag, made.etag);
            assert!(seen.body["revision"].as_u64() > made.body["revision"].as_u64());
            break;
        }
        assert!(attempt < 200, "{seen:?}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_have_pages_and_filters() {
    let rig = Rig::new().await;
    for n in 0..7 {
        assert_eq!(rig.create(&rig.admin, &format!("lb{}", n % 3), Some(&format!("u{n}"))).await.status, 201);
    }
    let (mut seen, mut next) = (Vec::new(), String::new());
    for page in 0.. {
        let reply = rig.admin(Method::GET, &format!("{LIST}?limit=3{next}"), None).await;
        assert_eq!(reply.status, 200);
        let items = reply.body["items"].as_array().unwrap();
        assert_eq!(items.len(), if page == 2 { 1 } else { 3 });
        seen.extend(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        match reply.body["next"].as_str() {
            Some(cursor) => next = format!("&page={cursor}"),
            None => break,
        }
    }
    let mut sorted = seen.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!((seen.len(), &seen), (7, &sorted));
    for (query, count) in [
        ("name=lb0", 3),
        ("name=none", 0),
        ("owner.cluster=c1", 7),
        ("owner.cluster=c1&owner.uid=u4", 1),
        ("owner.cluster=c1&owner.uid=u4&name=lb1", 1),
        ("owner.cluster=c1&owner.uid=u4&name=lb0", 0),
        ("owner.cluster=c2&owner.uid=u4", 0),
        ("owner.uid=u4", 1),
        ("owner.uid=a%20b%2Fc", 0),
    ] {
        let reply = rig.admin(Method::GET, &format!("{LIST}?{query}"), None).await;
        assert_eq!((reply.status, reply.body["items"].as_array().unwrap().len()), (200, count), "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_claims_one_winner() {
    let rig = Rig::new().await;
    let made = rig.create(&rig.admin, "web", Some("u0")).await;
    let path = format!("{LIST}/{}/owner", made.id());
    let claims = (1..=24).map(|n| {
        let body = json!({"from": owner("u0"), "to": owner(&format!("u{n}"))});
        rig.admin(Method::PUT, &path, Some(body))
    });
    let replies = futures::future::join_all(claims).await;
    let winners: Vec<_> = replies.iter().filter(|reply| reply.status == 200).collect();
    assert_eq!(winners.len(), 1);
    for loser in replies.iter().filter(|reply| reply.status != 200) {
        assert_eq!((loser.status, loser.code()), (409, "owned"));
        assert_eq!(loser.body["holder"], winners[0].body["owner"]);
    }
    assert_ne!(winners[0].etag, made.etag);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_creates_of_one_owner_make_one_object() {
    let rig = Rig::new().await;
    let replies = futures::future::join_all((0..24).map(|_| rig.create(&rig.admin, "web", Some("u1")))).await;
    let made: Vec<_> = replies.iter().filter(|reply| reply.status == 201).map(|reply| reply.id()).collect();
    assert_eq!(made.len(), 1);
    assert!(replies.iter().all(|reply| reply.id() == made[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_and_tokens_survive_a_restart() {
    let rig = Rig::new().await;
    let token = rig.token(ALL).await;
    let made = rig.create(&token, "web", Some("u1")).await;
    let admin = rig.admin.clone();
    let rig = rig.restart().await;
    assert_eq!(rig.admin, admin);
    let got = rig.call(&token, Method::GET, &format!("{LIST}/{}", made.id()), None, None).await;
    assert_eq!((got.status, got.etag), (200, made.etag));
}
