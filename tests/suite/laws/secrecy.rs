//! Tokens appear nowhere but in their Secrets.

use data_encoding::{BASE64, HEXLOWER};
use serde_json::json;

use super::{id, kinds};
use crate::rig::{Scene, rig, until};

/// How many characters of a token give it away.
const TELLING: usize = 12;

/// A token in all the forms that it could be found in.
fn forms(token: &str) -> Vec<String> {
    // Its first letters say what it is, not which.
    let secret = token.rsplit(['_', '-', '.']).next().unwrap();
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
async fn tokens_are_told_to_nobody() {
    let (rig, _peace) = rig().await;
    let scene = Scene::new(rig, "secrecy").await;
    scene.bind_own("own").await;
    scene.until_ready("ProjectBinding", "own").await;
    for law in kinds() {
        assert_ne!(id(&law.make(&scene, "x").await), "");
    }
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
    for name in ["default", "own", "x"] {
        told.push(("events", scene.events(name).await.join("\n")));
    }
    for kind in ["ProjectBinding", "LoopbackBackend"].into_iter().chain(kinds().iter().map(|law| law.kind)) {
        let objects = scene.api(kind).list(&Default::default()).await.unwrap();
        told.push((kind, json!(objects.items).to_string()));
    }
    for (place, text) in told {
        assert!(!text.is_empty() || place == "events", "{place} is empty");
        for form in forms(&scene.token.0) {
            assert!(!text.contains(&form), "the token is in the {place}");
        }
    }
}
