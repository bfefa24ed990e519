//! Buckets and the Secrets that open them: delivered once, repaired, issued anew, revoked, and never over somebody else's.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use loopback_operator::protocol::RawObject;
use serde_json::{Value, json};

use crate::{
    rig::{Loss, Lossy, Rig, Scene, alone, condition, message_of, reason_of, rig, status_of, until},
    s3,
};

const BUCKET: &str = "ObjectBucket";
const CREDENTIAL: &str = "ObjectBucketCredential";
const KEYS: [&str; 5] = ["AWS_ACCESS_KEY_ID", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_SECRET_ACCESS_KEY", "BUCKET_NAME"];

fn secrets(scene: &Scene) -> Api<Secret> {
    Api::namespaced(scene.client.clone(), &scene.name)
}

/// What a Secret holds, if it is there.
async fn values(scene: &Scene, name: &str) -> Option<BTreeMap<String, String>> {
    let secret = secrets(scene).get_opt(name).await.unwrap()?;
    let text = |(key, value): (String, k8s_openapi::ByteString)| (key, String::from_utf8(value.0).unwrap());
    Some(secret.data.unwrap_or_default().into_iter().map(text).collect())
}

async fn patch_secret(scene: &Scene, name: &str, patch: Value) {
    secrets(scene).patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.expect("the patch is taken");
}

async fn bucket(scene: &Scene, name: &str, more: Value) {
    let mut spec = json!({"bucketName": "{scene}-{name}"});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    scene.apply(scene.manifest(BUCKET, name, spec)).await;
}

async fn credential(scene: &Scene, name: &str, access: &str) {
    let spec = json!({"bucketRef": {"name": "b"}, "access": access});
    scene.apply(scene.manifest(CREDENTIAL, name, spec)).await;
}

/// A bucket `b` with a credential `rw`, both Ready.
async fn furnished(rig: &'static Rig, what: &str) -> Scene {
    let scene = Scene::new(rig, what).await;
    bucket(&scene, "b", json!({})).await;
    credential(&scene, "rw", "ReadWrite").await;
    scene.until_ready(CREDENTIAL, "rw").await;
    scene
}

/// The credentials of the scene's only bucket, as the backend has them.
async fn held(scene: &Scene) -> Vec<RawObject> {
    let buckets = scene.held("object-stores").await;
    scene.held(&format!("object-stores/{}/credentials", buckets[0].id)).await
}

/// What an S3 client answers to a put with these values: a status and S3's code.
async fn put(scene: &Scene, values: &BTreeMap<String, String>, key: &str) -> (u16, String) {
    let answer = s3::client(values).put(&format!("/{}-b/{key}", scene.name), "abc").await;
    (answer.status, answer.code())
}

async fn works(scene: &Scene, values: &BTreeMap<String, String>) {
    assert_eq!(put(scene, values, "works").await.0, 200);
}

async fn is_revoked(scene: &Scene, values: &BTreeMap<String, String>) {
    assert_eq!(put(scene, values, "revoked").await, (403, "InvalidAccessKeyId".to_owned()));
}

/// The secret halves of two key pairs for that bucket: one that was delivered, and the one that was issued after its Secret had
/// been deleted and another was in the way.
pub async fn minted_twice(scene: &Scene, bucket: &str) -> [String; 2] {
    let spec = json!({"bucketRef": {"name": bucket}, "access": "ReadOnly", "secretName": "minted"});
    scene.apply(scene.manifest(CREDENTIAL, "minted", spec)).await;
    scene.until_ready(CREDENTIAL, "minted").await;
    let secret = async || values(scene, "minted").await.and_then(|values| values.get("AWS_SECRET_ACCESS_KEY").cloned());
    let first = secret().await.unwrap();
    secrets(scene).delete("minted", &Default::default()).await.unwrap();
    until("it is issued anew", async || secret().await.is_some_and(|now| now != first)).await;
    let second = secret().await.unwrap();
    // Somebody else's now: its owner is taken off, which is told.
    patch_secret(scene, "minted", json!({"metadata": {"ownerReferences": null}})).await;
    scene.until_stalled(CREDENTIAL, "minted", "SecretConflict").await;
    scene.until_event("minted", "SecretConflict", Duration::from_secs(30)).await;
    [first, second]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_pair_is_delivered_and_does_what_it_may_and_no_more() {
    let (rig, _peace) = rig().await;
    let scene = Scene::new(rig, "keys").await;
    // The child comes first, and waits for its parent.
    credential(&scene, "rw", "ReadWrite").await;
    scene.until_reason(CREDENTIAL, "rw", "Reconciling", "ReferenceMissing").await;
    bucket(&scene, "b", json!({})).await;
    let ready = scene.until_ready(CREDENTIAL, "rw").await;
    let secret = secrets(&scene).get("rw").await.unwrap();
    let owner = &secret.metadata.owner_references.as_ref().unwrap()[0];
    assert_eq!((owner.controller, Some(&owner.uid)), (Some(true), ready.metadata.uid.as_ref()));
    assert_eq!(secret.type_.as_deref(), Some("Opaque"));
    let rw = values(&scene, "rw").await.unwrap();
    assert_eq!(rw.keys().collect::<Vec<_>>(), KEYS);
    assert_eq!(rw["BUCKET_NAME"], format!("{}-b", scene.name));
    assert_eq!(status_of(&ready)["accessKeyId"], rw["AWS_ACCESS_KEY_ID"].as_str());
    assert_eq!(status_of(&ready)["secretName"], "rw");
    let bucket_status = scene.until_ready(BUCKET, "b").await.data["status"].clone();
    assert_eq!(bucket_status["endpoint"], rw["AWS_ENDPOINT_URL"].as_str());
    assert_eq!(bucket_status["bucketName"], rw["BUCKET_NAME"].as_str());
    assert_eq!((&bucket_status["provider"], &bucket_status["region"]), (&json!("embedded"), &json!("local-1")));

    works(&scene, &rw).await;
    credential(&scene, "ro", "ReadOnly").await;
    scene.until_ready(CREDENTIAL, "ro").await;
    let ro = values(&scene, "ro").await.unwrap();
    let path = format!("/{}-b/works", scene.name);
    assert_eq!(s3::client(&ro).get(&path).await.text(), "abc");
    assert_eq!(put(&scene, &ro, "works").await, (403, "AccessDenied".to_owned()));
    // Another access is no other key pair.
    credential(&scene, "rw", "WriteOnly").await;
    scene.until_ready(CREDENTIAL, "rw").await;
    assert_eq!(s3::client(&rw).get(&path).await.status, 403);
    works(&scene, &rw).await;
    assert_eq!(values(&scene, "rw").await.unwrap(), rw);
    assert_eq!(scene.writes_in("", "rw").iter().filter(|write| write.starts_with("create")).count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_one_key_pair_and_one_secret() {
    let (rig, _alone) = alone().await;
    let lossy = Lossy::start(rig.wire.address()).await;
    for step in ["/secret", "/secret/acknowledge"] {
        for loss in [Loss::Broken, Loss::Silent] {
            let scene = Scene::bare(rig, rig.client(), "lost-answer").await;
            scene.secret(&scene.name, "own", &scene.token.0).await;
            scene.bind("default", json!({"url": lossy.url, "tokenSecretRef": {"name": "own", "key": "token"}})).await;
            bucket(&scene, "b", json!({})).await;
            scene.until_ready(BUCKET, "b").await;
            lossy.lose(step, loss);
            credential(&scene, "rw", "ReadWrite").await;
            lossy.lost().await;
            if loss == Loss::Silent {
                rig.restart_operator().await;
            }
            let ready = scene.until_ready(CREDENTIAL, "rw").await;
            let values = values(&scene, "rw").await.unwrap();
            works(&scene, &values).await;
            let held = held(&scene).await;
            assert_eq!(held.len(), 1, "{step} {loss:?}");
            assert!(held[0].deliveries.iter().all(|delivery| !delivery.pending), "{step} {loss:?}");
            assert_eq!(status_of(&ready)["accessKeyId"], values["AWS_ACCESS_KEY_ID"].as_str());
            assert_eq!(held[0].reality.state["accessKeyId"], values["AWS_ACCESS_KEY_ID"].as_str());
            let all = secrets(&scene).list(&Default::default()).await.unwrap().items;
            assert_eq!(all.len(), 2, "the token's and ours");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_secret_is_revoked_and_issued_anew() {
    let (rig, _peace) = rig().await;
    let lossy = Lossy::start(rig.wire.address()).await;
    let scene = Scene::bare(rig, rig.client(), "anew").await;
    scene.secret(&scene.name, "own", &scene.token.0).await;
    scene.bind("default", json!({"url": lossy.url, "tokenSecretRef": {"name": "own", "key": "token"}})).await;
    bucket(&scene, "b", json!({})).await;
    credential(&scene, "rw", "ReadWrite").await;
    scene.until_ready(CREDENTIAL, "rw").await;
    for lost in [false, true] {
        let old = values(&scene, "rw").await.unwrap();
        works(&scene, &old).await;
        if lost {
            lossy.lose("/reissue", Loss::Broken);
        }
        secrets(&scene).delete("rw", &Default::default()).await.unwrap();
        let mut new = BTreeMap::new();
        until("there is a new Secret", async || {
            new = values(&scene, "rw").await.unwrap_or_default();
            !new.is_empty() && new != old
        })
        .await;
        until("the new key pair works", async || put(&scene, &new, "new").await.0 == 200).await;
        is_revoked(&scene, &old).await;
        until("the status names the new one", async || {
            let now = scene.until_ready(CREDENTIAL, "rw").await;
            status_of(&now)["accessKeyId"] == new["AWS_ACCESS_KEY_ID"].as_str()
        })
        .await;
        assert_eq!(held(&scene).await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_secret_is_repaired() {
    let (rig, _peace) = rig().await;
    let scene = furnished(rig, "repaired").await;
    let right = values(&scene, "rw").await.unwrap();
    // What is no secret is set right under the same key pair, and what others add is theirs.
    patch_secret(&scene, "rw", json!({"stringData": {"AWS_ENDPOINT_URL": "http://evil.test", "mine": "kept"}})).await;
    patch_secret(&scene, "rw", json!({"data": {"BUCKET_NAME": null}})).await;
    let mut with_more = right.clone();
    with_more.insert("mine".into(), "kept".into());
    until("it is repaired", async || values(&scene, "rw").await.unwrap() == with_more).await;
    works(&scene, &right).await;
    let template = json!({"labels": {"team": "shop"}, "annotations": {"example.com/for": "the shop"}});
    scene.merge(CREDENTIAL, "rw", json!({"spec": {"secretTemplate": template}})).await;
    for change in [json!({}), json!({"labels": {"team": "other"}}), json!({"annotations": {"example.com/for": null}})] {
        patch_secret(&scene, "rw", json!({"metadata": change})).await;
        until("it carries what it shall", async || {
            let metadata = secrets(&scene).get("rw").await.unwrap().metadata;
            metadata.labels.unwrap_or_default().get("team").is_some_and(|team| team == "shop")
                && metadata.annotations.unwrap_or_default().contains_key("example.com/for")
        })
        .await;
    }
    works(&scene, &right).await;
    // A key pair of which a half is lost is none.
    patch_secret(&scene, "rw", json!({"data": {"AWS_SECRET_ACCESS_KEY": null}})).await;
    let mut new = BTreeMap::new();
    until("it is issued anew", async || {
        new = values(&scene, "rw").await.unwrap_or_default();
        new.contains_key("AWS_SECRET_ACCESS_KEY") && new["AWS_ACCESS_KEY_ID"] != right["AWS_ACCESS_KEY_ID"]
    })
    .await;
    until("the new key pair works", async || put(&scene, &new, "new").await.0 == 200).await;
    is_revoked(&scene, &right).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_elses_secret_is_never_overwritten() {
    let (rig, _peace) = rig().await;
    let scene = Scene::new(rig, "foreign-secret").await;
    scene.secret(&scene.name, "rw", "theirs").await;
    let theirs = secrets(&scene).get("rw").await.unwrap();
    bucket(&scene, "b", json!({})).await;
    credential(&scene, "rw", "ReadWrite").await;
    let stalled = scene.until_stalled(CREDENTIAL, "rw", "SecretConflict").await;
    let message = message_of(&stalled, "Stalled");
    assert!(message.contains(&format!("{}/rw", scene.name)) && message.contains("spec.secretName"), "{message}");
    assert_eq!(secrets(&scene).get("rw").await.unwrap(), theirs);
    // One that is taken by another credential of ours is somebody else's, too.
    let spec = json!({"bucketRef": {"name": "b"}, "access": "ReadOnly", "secretName": "shared"});
    scene.apply(scene.manifest(CREDENTIAL, "first", spec.clone())).await;
    scene.until_ready(CREDENTIAL, "first").await;
    scene.apply(scene.manifest(CREDENTIAL, "second", spec)).await;
    scene.until_stalled(CREDENTIAL, "second", "SecretConflict").await;
    // Neither is deleted with the credential that wanted it.
    scene.delete(CREDENTIAL, "second").await;
    scene.until_gone(CREDENTIAL, "second").await;
    works_for_reading(&scene, "shared").await;

    secrets(&scene).delete("rw", &Default::default()).await.unwrap();
    scene.until_ready(CREDENTIAL, "rw").await;
    let ours = values(&scene, "rw").await.unwrap();
    works(&scene, &ours).await;
    // It may be ours and then somebody else's.
    scene.merge(CREDENTIAL, "rw", json!({"metadata": {"annotations": {"loopback.cloud/paused": "true"}}})).await;
    scene.until_condition(CREDENTIAL, "rw", "Paused", "True").await;
    secrets(&scene).delete("rw", &Default::default()).await.unwrap();
    scene.secret(&scene.name, "rw", "theirs again").await;
    scene.merge(CREDENTIAL, "rw", json!({"metadata": {"annotations": {"loopback.cloud/paused": null}}})).await;
    scene.until_stalled(CREDENTIAL, "rw", "SecretConflict").await;
    assert_eq!(values(&scene, "rw").await.unwrap()["token"], "theirs again");
}

async fn works_for_reading(scene: &Scene, secret: &str) {
    let values = values(scene, secret).await.expect("the Secret is there");
    let answer = s3::client(&values).get(&format!("/{}-b/nothing", scene.name)).await;
    assert_eq!((answer.status, answer.code()), (404, "NoSuchKey".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletion_revokes_at_once_and_the_secret_goes() {
    let (rig, _peace) = rig().await;
    let scene = furnished(rig, "revoked").await;
    let rw = values(&scene, "rw").await.unwrap();
    works(&scene, &rw).await;
    // The bucket waits for who uses it, and says who that is; until then all goes on.
    scene.delete(BUCKET, "b").await;
    let waiting = scene.until_reason(BUCKET, "b", "Reconciling", "InUse").await;
    let message = message_of(&waiting, "Ready");
    assert!(message.contains(&format!("{CREDENTIAL} {}/rw", scene.name)), "{message}");
    works(&scene, &rw).await;
    let path = format!("/{}-b/works", scene.name);
    assert_eq!(s3::client(&rw).delete(&path).await.status, 204);

    scene.delete(CREDENTIAL, "rw").await;
    scene.until_gone(CREDENTIAL, "rw").await;
    is_revoked(&scene, &rw).await;
    until("the Secret is gone", async || values(&scene, "rw").await.is_none()).await;
    scene.until_gone(BUCKET, "b").await;
    scene.until_empty("object-stores").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_is_not_empty_waits_until_it_may_be_purged() {
    let (rig, _peace) = rig().await;
    let scene = furnished(rig, "purged").await;
    let rw = values(&scene, "rw").await.unwrap();
    for n in 0..3 {
        assert_eq!(put(&scene, &rw, &format!("{n}")).await.0, 200);
    }
    scene.delete(CREDENTIAL, "rw").await;
    scene.until_gone(CREDENTIAL, "rw").await;
    scene.delete(BUCKET, "b").await;
    let stalled = scene.until_stalled(BUCKET, "b", "NotEmpty").await;
    let message = message_of(&stalled, "Ready");
    assert!(message.contains("3 objects") && message.contains("deletionPolicy: Purge"), "{message}");
    assert_eq!(condition(&stalled, "Ready").unwrap()["status"], "False");
    scene.until_event("b", "NotEmpty", Duration::from_secs(30)).await;
    // It is asked for while the deletion waits.
    scene.merge(BUCKET, "b", json!({"spec": {"deletionPolicy": "Purge"}})).await;
    scene.until_gone(BUCKET, "b").await;
    scene.until_empty("object-stores").await;
    let told = scene.events("b").await.into_iter().filter(|event| event.starts_with("NotEmpty")).count();
    assert_eq!(told, 1);

    // Said before, it is done at once; and the name is free again.
    bucket(&scene, "b", json!({"deletionPolicy": "Purge"})).await;
    credential(&scene, "rw", "ReadWrite").await;
    scene.until_ready(CREDENTIAL, "rw").await;
    works(&scene, &values(&scene, "rw").await.unwrap()).await;
    scene.delete(BUCKET, "b").await;
    scene.delete(CREDENTIAL, "rw").await;
    scene.until_gone(BUCKET, "b").await;
    scene.until_empty("object-stores").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_the_backend_knows_is_refused_with_what_is_right() {
    let (rig, _peace) = rig().await;
    let scene = Scene::new(rig, "nowhere-to-keep").await;
    for (name, more, says) in [
        ("provider", json!({"provider": "elsewhere"}), ["spec.provider", "embedded"]),
        ("region", json!({"region": "mars-1"}), ["spec.region", "local-1"]),
    ] {
        bucket(&scene, name, more).await;
        let stalled = scene.until_stalled(BUCKET, name, "Refused").await;
        let message = message_of(&stalled, "Stalled");
        assert!(says.iter().all(|text| message.contains(text)), "{message}");
        assert!(scene.held("object-stores").await.is_empty());
        scene.delete(BUCKET, name).await;
        scene.until_gone(BUCKET, name).await;
    }
    // A name that another project has.
    let other = Scene::new(rig, "name-taken").await;
    bucket(&other, "b", json!({})).await;
    other.until_ready(BUCKET, "b").await;
    bucket(&scene, "b", json!({"bucketName": format!("{}-b", other.name)})).await;
    let stalled = scene.until_stalled(BUCKET, "b", "Refused").await;
    assert!(message_of(&stalled, "Stalled").contains("is taken"), "{}", message_of(&stalled, "Stalled"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usage_moves_in_the_backend_and_rests_in_the_status() {
    let (rig, _alone) = alone().await;
    let scene = furnished(rig, "usage").await;
    let rw = values(&scene, "rw").await.unwrap();
    for n in 0..4 {
        assert_eq!(put(&scene, &rw, &format!("{n}")).await.0, 200);
    }
    let before = scene.until_ready(BUCKET, "b").await;
    assert_eq!(status_of(&before)["usage"], json!({"objects": 0, "bytes": 0}));
    let passes = scene.passes("b");
    // A backend that starts counts anew.
    rig.restart_backend().await;
    until("the backend tells how full it is", async || {
        scene.held("object-stores").await[0].reality.state["usage"] == json!({"objects": 4, "bytes": 12})
    })
    .await;
    until("the operator has seen it", async || scene.passes("b") > passes).await;
    let after = scene.get(BUCKET, "b").await.unwrap();
    assert_eq!(after.metadata.resource_version, before.metadata.resource_version, "{}", after.data["status"]);
    // What has to be written anyway is written as it is.
    scene.erase_status(BUCKET, "b").await;
    let again = scene.until_ready(BUCKET, "b").await;
    assert_eq!(status_of(&again)["usage"], json!({"objects": 4, "bytes": 12}));
    assert_eq!(reason_of(&again, "Ready"), "Ready");
    works(&scene, &rw).await;
}
