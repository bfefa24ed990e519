//! One life of each kind: made, changed, deleted with the rest.

use serde_json::{Value, json};

use crate::{
    rig::DOMAIN,
    stage::{BINDING, Done, Stage},
};

pub const BALANCER: &str = "ProjectLoadBalancer";
pub const BUCKET: &str = "ObjectBucket";
pub const ZONE: &str = "ProjectDnsZone";
pub const RECORD: &str = "DnsRecord";
pub const PROBE: &str = "MonitoringObject";
pub const CONDITION: &str = "MonitoringCondition";

/// A listener and a target that nobody serves.
pub fn balancer_spec(port: u16) -> Value {
    json!({"services": [{"name": "web", "port": port}], "targets": [{"name": "a", "address": "192.0.2.1", "port": 9}]})
}

/// A zone of this project's own names.
pub fn zone_spec() -> Value {
    json!({"domain": DOMAIN, "patterns": [format!("{{scene}}.{DOMAIN}"), format!("*.{{scene}}.{DOMAIN}")]})
}

/// An A record below the zone `z`.
pub fn record_spec(label: &str, value: &str) -> Value {
    json!({"zoneRef": {"name": "z"}, "name": format!("{label}.{{scene}}.{DOMAIN}"), "type": "A", "values": [value]})
}

pub async fn binding(stage: &Stage) -> Done {
    stage.until_ready(BINDING, "default").await?;
    stage.apply(BALANCER, "web", balancer_spec(8080)).await?;
    stage.until_ready(BALANCER, "web").await
}

pub async fn balancer(stage: &Stage) -> Done {
    stage.apply(BALANCER, "web", balancer_spec(8080)).await?;
    stage.until_ready(BALANCER, "web").await?;
    let mut spec = balancer_spec(8081);
    spec["targets"] = json!([{"name": "b", "address": "192.0.2.2", "port": 9, "weight": 3}]);
    stage.apply(BALANCER, "web", spec).await?;
    stage.until_ready(BALANCER, "web").await
}

pub async fn bucket(stage: &Stage) -> Done {
    stage.apply(BUCKET, "assets", json!({"bucketName": "{scene}-assets"})).await?;
    stage.until_ready(BUCKET, "assets").await?;
    stage.erase_status(BUCKET, "assets").await?;
    stage.until_ready(BUCKET, "assets").await
}

pub async fn zone(stage: &Stage) -> Done {
    stage.apply(ZONE, "z", zone_spec()).await?;
    stage.apply(RECORD, "api", record_spec("api", "192.0.2.10")).await?;
    stage.until_ready(RECORD, "api").await?;
    stage.apply(RECORD, "api", record_spec("api", "192.0.2.11")).await?;
    stage.until_ready(RECORD, "api").await?;
    stage.until_ready(ZONE, "z").await
}

pub fn probe_spec(interval: &str) -> Value {
    json!({"type": "TCP", "tcp": {"host": "127.0.0.1", "port": 9}, "interval": interval, "timeout": "1s"})
}

pub fn condition_spec(threshold: &str) -> Value {
    json!({"objectRef": {"name": "checkout"}, "parameter": "timing.total", "operator": "GreaterThan", "threshold": threshold, "for": "1h"})
}

pub async fn probe(stage: &Stage) -> Done {
    stage.apply(PROBE, "checkout", probe_spec("1h")).await?;
    stage.apply(CONDITION, "slow", condition_spec("500ms")).await?;
    stage.until_ready(CONDITION, "slow").await?;
    stage.apply(CONDITION, "slow", condition_spec("700ms")).await?;
    stage.until_ready(CONDITION, "slow").await?;
    stage.until_ready(PROBE, "checkout").await
}
