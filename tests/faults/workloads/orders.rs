//! Things that come in an odd order, or all at once.

use serde_json::json;

use super::{
    credentials::made,
    lives::{BALANCER, BUCKET, RECORD, ZONE, balancer_spec, record_spec, zone_spec},
};
use crate::stage::{Done, OWN, Stage, is_ours};

const MANY: usize = 50;

/// A record before its zone; then the zone is asked to go first, and is there again.
pub async fn late(stage: &Stage) -> Done {
    stage.apply(RECORD, "api", record_spec("api", "192.0.2.10")).await?;
    stage.until_true(RECORD, "api", "Reconciling", "ReferenceMissing").await?;
    stage.apply(ZONE, "z", zone_spec()).await?;
    stage.until_ready(RECORD, "api").await?;
    stage.delete(ZONE, "z").await?;
    stage.until_true(ZONE, "z", "Reconciling", "InUse").await?;
    stage.delete(RECORD, "api").await?;
    stage.until_gone(RECORD, "api").await?;
    stage.until_gone(ZONE, "z").await?;
    stage.apply(ZONE, "z", zone_spec()).await?;
    stage.apply(RECORD, "api", record_spec("api", "192.0.2.12")).await?;
    stage.until_ready(RECORD, "api").await?;
    stage.until_ready(ZONE, "z").await
}

pub async fn there_and_back(stage: &Stage) -> Done {
    stage.apply(BALANCER, "web", balancer_spec(8080)).await?;
    stage.until_ready(BALANCER, "web").await?;
    let first = stage.held("web").ok_or("Ready, but not held")?.1;
    let mut other = balancer_spec(8081);
    other["algorithm"] = "LeastConnections".into();
    other["services"][0]["allowedOrigins"] = json!(["10.0.0.0/8"]);
    stage.apply(BALANCER, "web", other).await?;
    stage.until_ready(BALANCER, "web").await?;
    stage.apply(BALANCER, "web", balancer_spec(8080)).await?;
    stage.until_ready(BALANCER, "web").await?;
    let same = || stage.held("web").is_some_and(|(_, now)| now.intent == first.intent && now.id == first.id);
    stage.until("D3: there and back is as before", same).await
}

pub async fn rapid(stage: &Stage) -> Done {
    for step in 0..8_u16 {
        let port = 8100 + (step * 7 + u16::try_from(stage.seed % 5).unwrap_or(0)) % 10;
        stage.apply(BALANCER, "web", balancer_spec(port)).await?;
    }
    stage.until_ready(BALANCER, "web").await
}

pub async fn deleted_while_made(stage: &Stage) -> Done {
    stage.apply(BALANCER, "web", balancer_spec(8080)).await?;
    stage.apply(BUCKET, "assets", json!({"bucketName": "{scene}-assets"})).await?;
    // Not earlier: a delete that begins before a finalizer is stored may end after it, and takes the object all the same.
    for (kind, name) in [(BALANCER, "web"), (BUCKET, "assets")] {
        stage.until("it is being made", || stage.held(name).is_some()).await?;
        stage.delete(kind, name).await?;
    }
    stage.until_gone(BALANCER, "web").await?;
    stage.until_gone(BUCKET, "assets").await
}

/// The same name three times: another resource each time.
pub async fn again(stage: &Stage) -> Done {
    for port in [8080, 8081] {
        stage.apply(BALANCER, "web", balancer_spec(port)).await?;
        stage.until_ready(BALANCER, "web").await?;
        stage.delete(BALANCER, "web").await?;
        stage.until_gone(BALANCER, "web").await?;
    }
    stage.apply(BALANCER, "web", balancer_spec(8082)).await?;
    stage.until_ready(BALANCER, "web").await
}

pub async fn many(stage: &Stage) -> Done {
    stage.apply(ZONE, "z", zone_spec()).await?;
    for number in 0..MANY - 1 {
        stage.apply(RECORD, &format!("r{number}"), record_spec(&format!("r{number}"), "192.0.2.10")).await?;
    }
    for number in 0..MANY - 1 {
        stage.until_ready(RECORD, &format!("r{number}")).await?;
    }
    stage.until_ready(ZONE, "z").await
}

/// The namespace is deleted with all that is in it. That the namespace itself goes in the end is Kubernetes' own business, for
/// which it takes eight seconds more: it is waited for where nothing is wrong.
pub async fn namespace(stage: &Stage) -> Done {
    made(stage).await?;
    stage.apply(BALANCER, "web", balancer_spec(8080)).await?;
    stage.until_ready(BALANCER, "web").await?;
    stage.delete_namespace().await?;
    let left = || stage.run.objects().into_keys().any(|(kind, _)| is_ours(&kind));
    stage.until("all that is ours is gone", || !left()).await?;
    stage.poll("Secret", OWN, "the token's Secret is gone", |secret| secret.is_none()).await?;
    if stage.run.plan.is_some() {
        return Ok(());
    }
    stage.poll("Namespace", &stage.name, "the namespace is gone", |namespace| namespace.is_none()).await
}
