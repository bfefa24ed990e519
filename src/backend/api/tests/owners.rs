//! Retiring.

use reqwest::Method;
use serde_json::json;

use super::rig::{LIST, Rig, owner};

const RETIRE: &str = "/v3/projects/shop/owners/c1";

#[tokio::test(flavor = "multi_thread")]
async fn retired_with_its_object() {
    let rig = Rig::new().await;
    let made = rig.create(&rig.admin, "web", Some("u1")).await;
    rig.release.send(false).unwrap();
    let retired = rig.admin(Method::DELETE, &format!("{RETIRE}/u1"), None).await;
    assert_eq!(retired.status, 200);
    assert_eq!(retired.body["object"]["id"], made.body["id"]);
    assert_eq!(retired.body["object"]["phase"], "Deleting");
    let again = rig.admin(Method::DELETE, &format!("{RETIRE}/u1?purge=true"), None).await;
    assert_eq!(again.body["object"]["id"], made.body["id"]);
    assert_eq!(rig.create(&rig.admin, "late", Some("u1")).await.code(), "owner_retired");
    rig.release.send(true).unwrap();
    rig.gone(&made.id()).await;
    let after = rig.admin(Method::DELETE, &format!("{RETIRE}/u1"), None).await;
    assert_eq!((after.status, after.body), (200, json!({})));
    assert_eq!(rig.create(&rig.admin, "late", Some("u1")).await.code(), "owner_retired");
}

#[tokio::test(flavor = "multi_thread")]
async fn retired_before_it_had_one() {
    let rig = Rig::new().await;
    let retired = rig.admin(Method::DELETE, &format!("{RETIRE}/u1"), None).await;
    assert_eq!((retired.status, retired.body), (200, json!({})));
    let late = rig.create(&rig.admin, "late", Some("u1")).await;
    assert_eq!((late.status, late.code()), (409, "owner_retired"));
    let other = rig.create(&rig.admin, "web", Some("u2")).await;
    let body = json!({"from": owner("u2"), "to": owner("u1")});
    let claim = rig.admin(Method::PUT, &format!("{LIST}/{}/owner", other.id()), Some(body)).await;
    assert_eq!((claim.status, claim.code()), (409, "owner_retired"));
    let rig = rig.restart().await;
    assert_eq!(rig.create(&rig.admin, "late", Some("u1")).await.code(), "owner_retired");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_that_races_with_its_retirement_is_deleted_or_refused() {
    let rig = Rig::new().await;
    for round in 0..20 {
        let uid = format!("u{round}");
        let path = format!("{RETIRE}/{uid}");
        let (made, retired) =
            tokio::join!(rig.create(&rig.admin, "web", Some(&uid)), rig.admin(Method::DELETE, &path, None));
        match made.status {
            201 => {
                assert_eq!(retired.body["object"]["id"], made.body["id"]);
                rig.gone(&made.id()).await;
            }
            _ => assert_eq!((made.code(), retired.body), ("owner_retired", json!({}))),
        }
    }
}
