//! What happens to the backend, or between it and the operator.

use reqwest::Method;
use serde_json::json;

use super::lives::{BALANCER, BUCKET, RECORD, ZONE, balancer_spec, record_spec, zone_spec};
use crate::stage::{BINDING, Done, OTHER, OWN, Stage, permissions};

/// The token is replaced, the old one revoked; then it may do less; then all again.
pub async fn token(stage: &Stage) -> Done {
    let admin = &stage.lane.admin;
    stage.apply(BALANCER, "web", balancer_spec(8080)).await?;
    stage.until_ready(BALANCER, "web").await?;
    let (narrow, few) = {
        let few: Vec<String> = permissions().into_iter().filter(|one| !one.ends_with(":update")).collect();
        admin.token(&stage.name, &few).await?
    };
    stage.token_secret(&few).await?;
    admin.ask(Method::DELETE, &format!("/v3/tokens/{}", stage.token.0), None).await?;
    stage.until_true(BINDING, "default", "Degraded", "PermissionsMissing").await?;
    stage.apply(BALANCER, "web", balancer_spec(8081)).await?;
    stage.until_true(BALANCER, "web", "Stalled", "Denied").await?;
    let (_, whole) = admin.token(&stage.name, &permissions()).await?;
    stage.token_secret(&whole).await?;
    admin.ask(Method::DELETE, &format!("/v3/tokens/{narrow}"), None).await?;
    stage.until_ready(BALANCER, "web").await?;
    stage.until_ready(BINDING, "default").await
}

/// The binding names another Secret, which comes late; the one that it named before goes.
pub async fn reference(stage: &Stage) -> Done {
    stage.apply(BALANCER, "web", balancer_spec(8080)).await?;
    stage.until_ready(BALANCER, "web").await?;
    stage.bind(OTHER).await?;
    stage.until_true(BINDING, "default", "Reconciling", "TokenMissing").await?;
    stage.apply(BALANCER, "web", balancer_spec(8081)).await?;
    stage.secret(OTHER, json!({"token": stage.token.1})).await?;
    stage.until_ready(BALANCER, "web").await?;
    stage.delete_secret(OWN).await?;
    stage.poll("Secret", OWN, "the Secret that nobody names is gone", |secret| secret.is_none()).await?;
    stage.until_ready(BINDING, "default").await
}

/// Somebody changes what is ours, and deletes it; what is not ours is left alone.
pub async fn drift(stage: &Stage) -> Done {
    let path = format!("/v3/projects/{}/load-balancers", stage.name);
    let foreign = json!({"intent": {"name": "foreign", "services": {"web": {"port": 7}}, "targets": {}}});
    let foreign = stage.lane.admin.ask(Method::POST, &path, Some(foreign)).await?;
    stage.apply(BALANCER, "web", balancer_spec(8080)).await?;
    stage.until_ready(BALANCER, "web").await?;
    let port =
        |port: u16| move || stage.held("web").is_some_and(|(_, held)| held.intent["services"]["web"]["port"] == port);
    stage.drift("web", json!({"services": {"web": {"port": 9999}}})).await?;
    stage
        .until("the change is told", port(9999))
        .await
        .or_else(|error| if port(8080)() { Ok(()) } else { Err(error) })?;
    stage.until("the change is undone", port(8080)).await?;
    stage.until_ready(BALANCER, "web").await?;
    let first = stage.held("web").ok_or("not held")?.1.id;
    stage.snatch("web").await?;
    stage.until("it is made anew", || stage.held("web").is_some_and(|(_, held)| held.id != first)).await?;
    let object = || stage.run.object(BALANCER, "web").unwrap_or_default();
    let anew = || stage.held("web").is_some_and(|(_, held)| object()["status"]["id"] == held.id.as_str());
    stage.until("the status names the new one", anew).await?;
    stage.until_ready(BALANCER, "web").await?;
    let id = foreign["id"].as_str().unwrap_or_default();
    let left = stage.lane.admin.ask(Method::GET, &format!("{path}/{id}"), None).await?;
    if left["etag"] != foreign["etag"] {
        return Err("S3: what nobody gave us was changed".into());
    }
    stage.lane.admin.change(Method::DELETE, &format!("{path}/{id}"), left["etag"].as_str(), None).await.map(drop)
}

/// The backend dies and comes back while things are made.
pub async fn restart(stage: &Stage) -> Done {
    stage.apply(BUCKET, "assets", json!({"bucketName": "{scene}-assets"})).await?;
    stage.until_ready(BUCKET, "assets").await?;
    stage.lane.backend.kill();
    stage.apply(BALANCER, "web", balancer_spec(8080)).await?;
    stage.lane.backend.again();
    stage.lane.admin.wait().await;
    stage.until_ready(BALANCER, "web").await?;
    stage.until_ready(BUCKET, "assets").await
}

/// The backend comes back on an older copy of its store: what is missing is made again, what has no resource any more is left.
pub async fn put_back(stage: &Stage) -> Done {
    let lane = &stage.lane;
    stage.apply(ZONE, "z", zone_spec()).await?;
    stage.apply(RECORD, "old", record_spec("old", "192.0.2.1")).await?;
    stage.until_ready(RECORD, "old").await?;
    let copy = lane.state.with_extension("copy");
    lane.backend.kill();
    copy_folder(&lane.state, &copy);
    lane.backend.again();
    lane.admin.wait().await;
    stage.delete(RECORD, "old").await?;
    stage.until_gone(RECORD, "old").await?;
    stage.apply(BALANCER, "web", balancer_spec(8080)).await?;
    stage.until_ready(BALANCER, "web").await?;
    let first = stage.held("web").ok_or("Ready, but not held")?.1.id;
    // A call dies with the server that it was sent to: one that is late must not meet the older store.
    stage.until("no call is under way", || stage.run.idle()).await?;
    lane.backend.kill();
    std::fs::remove_dir_all(&lane.state).map_err(|error| error.to_string())?;
    copy_folder(&copy, &lane.state);
    lane.backend.again();
    lane.admin.wait().await;
    stage.until("what had gone is there again", || stage.held("old").is_some()).await?;
    let anew = || stage.held("web").is_some_and(|(_, held)| held.id != first);
    stage.until("what was missing is made again", anew).await?;
    let named = || {
        stage.held("web").is_some_and(|(_, held)| {
            stage.run.object(BALANCER, "web").unwrap_or_default()["status"]["id"] == held.id.as_str()
        })
    };
    stage.until("the status names the new one", named).await?;
    stage.until_ready(BALANCER, "web").await?;
    stage.until_ready(ZONE, "z").await?;
    let old = stage.held("old").ok_or("S3: what has no resource was deleted")?;
    drop(old);
    stage.snatch("old").await
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    drop(std::fs::remove_dir_all(to));
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        match entry.file_type().expect("a type").is_dir() {
            true => copy_folder(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).expect("a copy")),
        }
    }
}
