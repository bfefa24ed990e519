//! The subcommand `token`, as an administrator uses it.

use http::{Method, StatusCode};

use crate::{
    rig::{Rig, Scene, rig},
    tools::{Output, own},
};

async fn token(rig: &Rig, arguments: &[&str]) -> Output {
    let file = rig.audit_log.parent().expect("a folder").join("backend/admin-token");
    let (url, file) = (rig.wire.url(), file.to_string_lossy().into_owned());
    own(&[&["token", "--url", &url, "--admin-token-file", &file], arguments].concat()).await
}

async fn status(rig: &Rig, method: Method, path: &str, secret: &str) -> StatusCode {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let request = client.request(method, format!("{}{path}", rig.wire.url())).bearer_auth(secret);
    let body = serde_json::json!({"intent": {"name": "web", "services": {"web": {"port": 8080}}}});
    request.json(&body).send().await.expect("an answer").status()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_minted_used_listed_and_revoked() {
    let (rig, _peace) = rig().await;
    let scene = Scene::unbound(rig, "minted").await;
    let description = format!("reader of {}", scene.name);
    let rule = format!("project.load_balancer:read@acme/{}", scene.name);
    let minted = token(rig, &["mint", "--description", &description, "--rule", &rule]).await.good();
    let secret = minted.trim();
    assert_eq!(minted.lines().count(), 1, "it prints the secret alone, for scripts");

    let (mine, others) =
        (format!("/v3/projects/{}/load-balancers", scene.name), "/v3/projects/none-such/load-balancers");
    assert_eq!(status(rig, Method::GET, &mine, secret).await, StatusCode::OK);
    assert_eq!(status(rig, Method::POST, &mine, secret).await, StatusCode::FORBIDDEN);
    assert_ne!(status(rig, Method::GET, others, secret).await, StatusCode::OK);
    assert_eq!(status(rig, Method::GET, "/v3/tokens", secret).await, StatusCode::FORBIDDEN);

    let list = token(rig, &["list"]).await.good();
    let line = list.lines().find(|line| line.contains(&description)).expect("it is listed");
    assert!(line.ends_with(&rule), "{line}");
    let id = line.split('\t').next().expect("an id");
    // Its end is the secret proper; the rest may tell the id.
    let hidden = secret.rsplit('_').next().expect("a secret");
    assert!(hidden.len() >= 32 && !list.contains(hidden), "the list shows the secret");

    let revoked = token(rig, &["revoke", id]).await.good();
    assert_eq!(revoked.trim(), format!("{id} revoked"));
    assert_eq!(status(rig, Method::GET, &mine, secret).await, StatusCode::UNAUTHORIZED);
    assert!(!token(rig, &["list"]).await.good().contains(&description));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_done_is_said_in_a_line() {
    let (rig, _peace) = rig().await;
    let mint = ["mint", "--description", "x", "--rule"];
    for (arguments, says) in [
        (vec!["revoke", "tk-none"], "token"),
        ([&mint[..], &["project.no_such_thing:read"]].concat(), "project.no_such_thing:read is no permission"),
        ([&mint[..], &["project.load_balancer:fly"]].concat(), "project.load_balancer:fly"),
        ([&mint[..], &["project.load_balancer:read@acme/"]].concat(), "after @ comes"),
        (vec!["list", "--url", "http://127.0.0.1:1"], "--url http://127.0.0.1:1"),
        (vec!["list", "--admin-token-file", "/none"], "--admin-token-file /none"),
    ] {
        let output = token(rig, &arguments).await;
        assert!(!output.success && output.out.is_empty(), "{arguments:?}: {output:?}");
        assert!(output.err.starts_with("error: ") && output.err.contains(says), "{arguments:?}: {}", output.err);
    }
}
