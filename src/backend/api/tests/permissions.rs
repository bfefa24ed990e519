//! Each key is needed, and none is enough for another.

use reqwest::Method;
use serde_json::{Value, json};

use super::rig::{ALL, LIST, Rig, owner};

fn full() -> Value {
    json!({
        "name": "web",
        "services": {"web": {"port": 8080}},
        "targets": {"a": {"address": "10.0.0.1", "port": 80}},
    })
}

/// A call that succeeds with all permissions and is refused without this one.
struct Needs {
    permission: &'static str,
    method: Method,
    path: String,
    body: Option<Value>,
}

#[tokio::test(flavor = "multi_thread")]
async fn each_call_needs_its_key() {
    let rig = Rig::new().await;
    let made = rig.admin(Method::POST, LIST, Some(json!({"intent": full(), "owner": owner("u1")}))).await;
    let one = format!("{LIST}/{}", made.id());
    let etag = made.body["etag"].as_str().unwrap().to_owned();
    let create = || Some(json!({"intent": full()}));
    let needs = |permission, method, path: &str, body| Needs { permission, method, path: path.to_owned(), body };
    let cases = [
        needs("project.load_balancer:read", Method::GET, LIST, None),
        needs("project.load_balancer:read", Method::GET, &one, None),
        needs("project.load_balancer:read", Method::GET, "/v3/projects/shop/changes", None),
        needs("project.load_balancer:read", Method::PATCH, &one, Some(json!({}))),
        needs("project.load_balancer:create", Method::POST, LIST, create()),
        needs("project.load_balancer.service:create", Method::POST, LIST, create()),
        needs("project.load_balancer.target:create", Method::POST, LIST, create()),
        needs("project.load_balancer:update", Method::PATCH, &one, Some(json!({"name": "x"}))),
        needs("project.load_balancer:update", Method::PATCH, &one, Some(json!({"algorithm": "LeastConnections"}))),
        needs("project.load_balancer:update", Method::PUT, &format!("{one}/owner"), Some(json!({"to": owner("u2")}))),
        needs(
            "project.load_balancer.service:create",
            Method::PATCH,
            &one,
            Some(json!({"services": {"b": {"port": 1}}})),
        ),
        needs(
            "project.load_balancer.service:update",
            Method::PATCH,
            &one,
            Some(json!({"services": {"web": {"port": 9}}})),
        ),
        needs("project.load_balancer.service:delete", Method::PATCH, &one, Some(json!({"services": {"web": null}}))),
        needs(
            "project.load_balancer.target:create",
            Method::PATCH,
            &one,
            Some(json!({"targets": {"b": {"address": "::1", "port": 1}}})),
        ),
        needs("project.load_balancer.target:update", Method::PATCH, &one, Some(json!({"targets": {"a": {"port": 1}}}))),
        needs("project.load_balancer.target:delete", Method::PATCH, &one, Some(json!({"targets": {"a": null}}))),
        needs("project.load_balancer:delete", Method::DELETE, &one, None),
        needs("project.load_balancer:delete", Method::DELETE, "/v3/projects/shop/owners/c1/u1", None),
        needs("project.load_balancer:delete", Method::DELETE, "/v3/projects/shop/owners/c1/u77", None),
    ];
    for Needs { permission, method, path, body } in cases {
        let others: Vec<&str> = ALL.iter().copied().filter(|other| *other != permission).collect();
        let token = rig.token(&others).await;
        let reply = rig.call(&token, method.clone(), &path, body, Some(&etag)).await;
        let told = reply.body["permission"].as_str().unwrap_or_default();
        assert_eq!((reply.status, reply.code(), told), (403, "forbidden", permission), "{method} {path} {reply:?}");
        assert_eq!(reply.media, "application/problem+json");
    }
    let unchanged = rig.admin(Method::GET, &one, None).await;
    assert_eq!(unchanged.etag, made.etag);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_members_is_enough_for_members() {
    let rig = Rig::new().await;
    let made = rig.admin(Method::POST, LIST, Some(json!({"intent": full()}))).await;
    let one = format!("{LIST}/{}", made.id());
    let token = rig.token(&["project.load_balancer.target:create", "project.load_balancer.target:delete"]).await;
    let patch = json!({"targets": {"a": null, "b": {"address": "10.0.0.2", "port": 80}}});
    let patched = rig.call(&token, Method::PATCH, &one, Some(patch), made.body["etag"].as_str()).await;
    assert_eq!(patched.status, 200, "{patched:?}");
    assert_eq!(rig.call(&token, Method::GET, &one, None, None).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_projects_do_not_leak() {
    let rig = Rig::new().await;
    let token = rig.token(&["project.load_balancer:read"]).await;
    rig.admin(Method::PUT, "/v3/organizations/acme/projects/secret", None).await;
    for suffix in ["", "/changes", "/load-balancers", "/load-balancers/lb-1"] {
        let there = rig.call(&token, Method::GET, &format!("/v3/projects/secret{suffix}"), None, None).await;
        let absent = rig.call(&token, Method::GET, &format!("/v3/projects/absent{suffix}"), None, None).await;
        assert_eq!(there.status, 403);
        assert_eq!((there.status, there.body), (absent.status, absent.body), "{suffix}");
        assert_eq!(rig.admin(Method::GET, &format!("/v3/projects/absent{suffix}"), None).await.status, 404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_project_shows_what_the_token_may_do() {
    let rig = Rig::new().await;
    let token = rig.token(&["project.load_balancer:update", "project.load_balancer:read"]).await;
    let view = rig.client(&token).view().await.unwrap();
    assert_eq!((view.project.name.as_str(), view.project.organization.as_str()), ("shop", "acme"));
    assert_eq!(view.store, rig.running.store.identity().store);
    let permissions: Vec<String> = view.permissions.iter().map(ToString::to_string).collect();
    assert_eq!(permissions, ["project.load_balancer:read", "project.load_balancer:update"]);
}
