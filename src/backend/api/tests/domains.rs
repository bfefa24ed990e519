//! Domains of organizations.

use reqwest::Method;
use serde_json::json;

use super::rig::Rig;

const DOMAINS: &str = "/v3/organizations/acme/domains";

#[tokio::test(flavor = "multi_thread")]
async fn given_shown_listed_and_taken() {
    let rig = Rig::new().await;
    rig.admin(Method::PUT, "/v3/organizations/other", None).await;
    let one = format!("{DOMAINS}/example.dev");
    let made = rig.admin(Method::PUT, &one, None).await;
    assert_eq!((made.status, &made.body["organization"]), (201, &json!("acme")), "{made:?}");
    assert_eq!(rig.admin(Method::PUT, &one, None).await.status, 200);
    for (path, status, code) in [
        ("/v3/organizations/other/domains/a.example.dev", 409, "conflict"),
        ("/v3/organizations/none/domains/example.org", 404, "not_found"),
        ("/v3/organizations/acme/domains/Example.org", 422, "invalid"),
    ] {
        let refused = rig.admin(Method::PUT, path, None).await;
        assert_eq!((refused.status, refused.code()), (status, code), "{path}");
    }
    let rig = rig.restart().await;
    assert_eq!(rig.admin(Method::GET, &one, None).await.body, made.body);
    assert_eq!(rig.admin(Method::GET, DOMAINS, None).await.body, json!({"items": [made.body]}));
    assert_eq!(rig.admin(Method::GET, "/v3/organizations/other/domains", None).await.body, json!({"items": []}));
    assert_eq!(rig.admin(Method::DELETE, "/v3/organizations/other/domains/example.dev", None).await.status, 404);
    assert_eq!(rig.admin(Method::DELETE, &one, None).await.status, 200);
    assert_eq!(rig.admin(Method::GET, &one, None).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_call_needs_its_key_in_that_organization() {
    let rig = Rig::new().await;
    rig.admin(Method::PUT, "/v3/organizations/other", None).await;
    let one = format!("{DOMAINS}/example.dev");
    let keys = ["read", "create", "delete"].map(|verb| format!("organization.domain:{verb}"));
    for (verb, method, path) in [
        ("create", Method::PUT, one.as_str()),
        ("read", Method::GET, one.as_str()),
        ("read", Method::GET, DOMAINS),
        ("delete", Method::DELETE, one.as_str()),
    ] {
        let needed = format!("organization.domain:{verb}");
        for (organization, left_out) in [("acme", needed.as_str()), ("other", "")] {
            let rule = |key: &String| json!({"permission": key, "organization": organization});
            let rules: Vec<_> = keys.iter().filter(|key| *key != left_out).map(rule).collect();
            let body = json!({"description": "test", "rules": rules});
            let minted = rig.admin(Method::POST, "/v3/tokens", Some(body)).await;
            let token = minted.body["secret"].as_str().unwrap();
            let reply = rig.call(token, method.clone(), path, None, None).await;
            assert_eq!(
                (reply.status, reply.body["permission"].as_str()),
                (403, Some(needed.as_str())),
                "{method} {path}"
            );
        }
    }
}
