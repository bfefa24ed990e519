//! Key pairs: issued, kept in Secrets, revoked.

use serde_json::{Value, json};

use super::lives::BUCKET;
use crate::stage::{Done, Stage};

pub const CREDENTIAL: &str = "ObjectBucketCredential";
const SECRET: &str = "keys";
const FIELD: &str = "/data/AWS_SECRET_ACCESS_KEY";

pub fn credential_spec(access: &str) -> Value {
    json!({"bucketRef": {"name": "assets"}, "access": access, "secretName": SECRET})
}

async fn delivered(stage: &Stage) -> Done<Value> {
    stage.until_ready(CREDENTIAL, "rw").await?;
    let secret = stage.get("Secret", SECRET).await?.ok_or("Ready, but there is no Secret")?;
    secret.pointer(FIELD).cloned().ok_or_else(|| "the Secret has no key".to_owned())
}

/// A bucket and keys for it.
pub async fn made(stage: &Stage) -> Done<Value> {
    stage.apply(BUCKET, "assets", json!({"bucketName": "{scene}-assets"})).await?;
    stage.apply(CREDENTIAL, "rw", credential_spec("ReadWrite")).await?;
    delivered(stage).await
}

pub async fn life(stage: &Stage) -> Done {
    let first = made(stage).await?;
    stage.apply(CREDENTIAL, "rw", credential_spec("ReadOnly")).await?;
    match delivered(stage).await? == first {
        true => Ok(()),
        false => Err("S6: another access revoked a key".into()),
    }
}

/// A Secret that is deleted means: revoke, and issue anew.
pub async fn revoked(stage: &Stage) -> Done {
    let first = made(stage).await?;
    stage.delete_secret(SECRET).await?;
    let another = |secret: Option<Value>| {
        secret.is_some_and(|secret| secret.pointer(FIELD).is_some_and(|second| *second != first))
    };
    stage.poll("Secret", SECRET, "another key", another).await?;
    stage.until_ready(CREDENTIAL, "rw").await
}

/// Somebody's Secret of that name is never touched.
pub async fn conflict(stage: &Stage) -> Done {
    stage.secret(SECRET, json!({"mine": "precious"})).await?;
    stage.apply(BUCKET, "assets", json!({"bucketName": "{scene}-assets"})).await?;
    stage.apply(CREDENTIAL, "rw", credential_spec("ReadWrite")).await?;
    stage.until_true(CREDENTIAL, "rw", "Stalled", "SecretConflict").await?;
    let secret = stage.get("Secret", SECRET).await?.ok_or("S3: somebody's Secret is gone")?;
    match secret["data"] == json!({"mine": "cHJlY2lvdXM="}) && secret["metadata"].get("ownerReferences").is_none() {
        true => Ok(()),
        false => Err("S3: somebody's Secret was written to".into()),
    }
}
