//! Tokens and minted keys appear nowhere but in their Secrets.

use data_encoding::{BASE64, HEXLOWER};
use serde_json::json;

use super::{id, kinds};
use crate::{
    exports,
    rig::{Scene, rig, until},
};

/// How many characters of a token give it away.
const TELLING: usize = 12;

/// The part of a token that is secret: its first letters say what it is, not which.
fn secret_part(token: &str) -> &str {
    token.rsplit(['_', '-', '.']).next().unwrap()
}

/// A text in all the forms that its secret part could be found in.
fn forms(token: &str, secret: &str) -> Vec<String> {
    assert!(secret.len() > 2 * TELLING, "{} characters are secret", secret.len());
    let bytes = token.as_bytes();
    vec![
        secret[..TELLING].to_owned(),
        secret[secret.len() - TELLING..].to_owned(),
        BASE64.encode(bytes).trim_end_matches('=').to_owned(),
        BASE64.encode(secret.as_bytes()).trim_end_matches('=').to_owned(),
        HEXLOWER.encode(secret.as_bytes()),
        bytes.iter().map(|byte| format!("%{byte:02X}")).collect(),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_told_to_nobody() {
    let (rig, _peace) = rig().await;
    let scene = Scene::new(rig, "secrecy").await;
    scene.bind_own("own").await;
    scene.until_ready("ProjectBinding", "own").await;
    for law in kinds() {
        assert_ne!(id(&law.make(&scene, "x").await), "");
    }
    let minted = exports::minted_twice(&scene, "x").await;
    // What goes wrong talks most.
    let mangled = format!("{}x", scene.token.0);
    scene.secret(&scene.name, "own", &mangled).await;
    scene.until_stalled("ProjectBinding", "own", "TokenInvalid").await;
    scene.secret(&scene.name, "own", "no\ntoken at all").await;
    scene.until_stalled("ProjectBinding", "own", "TokenMissing").await;
    scene.wire().ask(reqwest::Method::DELETE, &format!("/v3/tokens/{}", scene.token.1), None, None).await;
    scene.until_stalled("ProjectBinding", "default", "TokenInvalid").await;

    let mut told = vec![
        ("operator's log", rig.operator.log()),
        ("backend's log", rig.backend.log()),
        ("audit log", std::fs::read_to_string(&rig.audit_log).unwrap()),
        ("metrics", reqwest::get(format!("http://{}/metrics", rig.metrics)).await.unwrap().text().await.unwrap()),
    ];
    until("there is an event", async || !scene.events("default").await.is_empty()).await;
    let credentials = scene.held("object-stores/credentials").await;
    told.push(("wire API", serde_json::to_string(&credentials).unwrap()));
    for name in ["default", "own", "x", "minted"] {
        told.push(("events", scene.events(name).await.join("\n")));
    }
    for kind in ["ProjectBinding", "LoopbackBackend"].into_iter().chain(kinds().iter().map(|law| law.kind)) {
        let objects = scene.api(kind).list(&Default::default()).await.unwrap();
        told.push((kind, json!(objects.items).to_string()));
    }
    let secrets = minted.iter().map(|key| (key.as_str(), key.as_str()));
    for (whole, secret) in secrets.chain([(scene.token.0.as_str(), secret_part(&scene.token.0))]) {
        for ((place, text), form) in
            told.iter().flat_map(|told| forms(whole, secret).into_iter().map(move |f| (told, f)))
        {
            assert!(!text.is_empty() || *place == "events", "{place} is empty");
            assert!(!text.contains(&form), "a secret is in the {place}");
        }
    }
}
