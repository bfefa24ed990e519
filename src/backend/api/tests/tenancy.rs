//! Organizations, projects, tokens.

use std::os::unix::fs::PermissionsExt;

use reqwest::Method;
use serde_json::json;

use super::rig::{LIST, Rig, secret};

#[tokio::test(flavor = "multi_thread")]
async fn organizations_and_projects_are_made_once() {
    let rig = Rig::new().await;
    let again = rig.admin(Method::PUT, "/v3/organizations/acme", None).await;
    let shown = rig.admin(Method::GET, "/v3/organizations/acme", None).await;
    assert_eq!((again.status, again.body), (200, shown.body));
    let again = rig.admin(Method::PUT, "/v3/organizations/acme/projects/shop", None).await;
    let shown = rig.admin(Method::GET, "/v3/organizations/acme/projects/shop", None).await;
    assert_eq!((again.status, &again.body), (200, &shown.body));
    rig.admin(Method::PUT, "/v3/organizations/other", None).await;
    let taken = rig.admin(Method::PUT, "/v3/organizations/other/projects/shop", None).await;
    assert_eq!((taken.status, taken.code()), (409, "conflict"));
    let nowhere = rig.admin(Method::PUT, "/v3/organizations/none/projects/x", None).await;
    assert_eq!((nowhere.status, nowhere.code()), (404, "not_found"));
    assert_eq!(rig.admin(Method::GET, "/v3/organizations/other/projects/shop", None).await.status, 404);
    let all = rig.admin(Method::GET, "/v3/organizations?limit=1", None).await;
    assert_eq!(all.body["items"][0]["name"], "acme");
    let path = format!("/v3/organizations?page={}", all.body["next"].as_str().unwrap());
    assert_eq!(rig.admin(Method::GET, &path, None).await.body["items"][0]["name"], "other");
    let projects = rig.admin(Method::GET, "/v3/organizations/acme/projects", None).await;
    assert_eq!(projects.body["items"].as_array().unwrap().len(), 1);
    let token = rig.token(&["project.load_balancer:read"]).await;
    let none = rig.call(&token, Method::GET, "/v3/organizations", None, None).await;
    assert_eq!(none.body, json!({"items": []}));
    let refused = rig.call(&token, Method::PUT, "/v3/organizations/x", None, None).await;
    assert_eq!(refused.body["permission"], "platform.organization:create");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_give_no_more_than_their_maker_has() {
    let rig = Rig::new().await;
    let rules = json!([
        {"permission": "platform.token:create"},
        {"permission": "project.load_balancer:read", "organization": "acme"},
    ]);
    let minted = rig.admin(Method::POST, "/v3/tokens", Some(json!({"description": "maker", "rules": rules}))).await;
    let maker = minted.body["secret"].as_str().unwrap();
    let mint = |rule: serde_json::Value| {
        let body = json!({"description": "x", "rules": [rule]});
        rig.call(maker, Method::POST, "/v3/tokens", Some(body), None)
    };
    let narrower = json!({"permission": "project.load_balancer:read", "organization": "acme", "project": "shop"});
    assert_eq!(mint(narrower).await.status, 201);
    for wider in [
        json!({"permission": "project.load_balancer:read"}),
        json!({"permission": "project.load_balancer:read", "organization": "other"}),
        json!({"permission": "project.load_balancer:create", "organization": "acme"}),
        json!({"permission": "platform.token:delete"}),
    ] {
        let reply = mint(wider.clone()).await;
        assert_eq!((reply.status, reply.code()), (403, "forbidden"), "{wider}");
    }
    for (wrong, field) in [
        (json!({"permission": "project.unknown:read", "organization": "acme"}), "/rules/0/permission"),
        (json!({"permission": "nonsense", "organization": "acme"}), "/rules/0/permission"),
        (json!({"permission": "project.load_balancer:read", "project": "shop"}), "/rules/0/organization"),
        (json!({"permission": "project.load_balancer:read", "organization": "A!"}), "/rules/0/organization"),
        (json!({"permission": "project.load_balancer:read", "organization": "a", "x": 1}), "/rules/0/x"),
    ] {
        let reply = mint(wrong.clone()).await;
        assert_eq!((reply.status, reply.body["field"].as_str()), (422, Some(field)), "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_shown_once() {
    let rig = Rig::new().await;
    let token = rig.token(&["project.load_balancer:read"]).await;
    let secret_part = token.rsplit('_').next().unwrap().to_owned();
    let list = rig.admin(Method::GET, "/v3/tokens", None).await;
    let shown = list.body.to_string();
    assert!(shown.contains("administrator") && !shown.contains(&secret_part) && !shown.contains("hash"), "{shown}");
    let tampered = token.replace(&secret_part, &secret_part.chars().rev().collect::<String>());
    for wrong in [tampered.as_str(), "lbt_x_y", &token[..token.len() - 1], ""] {
        let reply = rig.call(wrong, Method::GET, LIST, None, None).await;
        assert_eq!((reply.status, reply.code()), (401, "unauthenticated"), "{reply:?}");
        assert!(!reply.body.to_string().contains(&secret_part));
    }
    let id = list.body["items"][1]["id"].as_str().unwrap().to_owned();
    assert!(token.contains(&id));
    let revoked = rig.admin(Method::DELETE, &format!("/v3/tokens/{id}"), None).await;
    assert_eq!((revoked.status, revoked.body["id"].as_str()), (200, Some(id.as_str())));
    assert_eq!(rig.admin(Method::DELETE, &format!("/v3/tokens/{id}"), None).await.status, 404);
    assert_eq!(rig.call(&token, Method::GET, LIST, None, None).await.status, 401);
    let stored = std::fs::read(rig.folder.path().join("state/store.redb")).unwrap();
    let found = stored.windows(secret_part.len()).any(|window| window == secret_part.as_bytes());
    assert!(!found, "the secret is on the disk");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_token_file_is_made_anew_and_the_old_token_revoked() {
    let rig = Rig::new().await;
    let (old, file) = (rig.admin.clone(), rig.running.admin_token_file.clone());
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::remove_file(&file).unwrap();
    let rig = rig.restart().await;
    assert_ne!(rig.admin, old);
    assert_eq!(rig.call(&old, Method::GET, "/v3/tokens", None, None).await.status, 401);
    assert_eq!(rig.admin(Method::GET, "/v3/tokens", None).await.body["items"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn seeding_twice_changes_nothing() {
    let rig = Rig::new().await;
    let file = rig.folder.path().join("operator-token");
    let rules = serde_json::from_value::<Vec<crate::protocol::Rule>>(json!([
        {"permission": "project.load_balancer:read", "organization": "acme", "project": "seeded"},
    ]))
    .unwrap();
    let first = rig.running.seed("acme", "seeded", &["example.dev"], &file, rules.clone()).await.unwrap();
    let token = secret(&file);
    let revision = rig.running.store.log().newest();
    assert_eq!(rig.running.seed("acme", "seeded", &["example.dev"], &file, rules).await.unwrap(), first);
    assert_eq!((secret(&file), rig.running.store.log().newest()), (token.clone(), revision));
    let seen = rig.call(&token, Method::GET, "/v3/projects/seeded/load-balancers", None, None).await;
    assert_eq!(seen.status, 200);
    assert!(rig.running.seed("acme", "No Label", &[], &file, vec![]).await.is_err());
}
