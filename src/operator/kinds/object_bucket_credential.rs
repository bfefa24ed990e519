//! ObjectBucketCredential: a key pair for a bucket, delivered in a Secret.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    crd::ObjectBucketCredential,
    operator::engine::kind::{Datum, Desired, Found, Kind, ParentOf, Report, SecretExport, Seen},
    protocol::object_storage::{
        Credential,
        key_pair::{ACCESS_KEY, SECRET_KEY},
    },
};

/// The kind.
pub struct ObjectBucketCredentials;

/// The kind's part of the status.
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    secret_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    access_key_id: String,
}

impl Kind for ObjectBucketCredentials {
    type Resource = ObjectBucketCredential;
    type Intent = Credential;
    type Status = Status;
    const PARENT: Option<ParentOf> = Some(ParentOf { kind: "ObjectBucket", field: "/spec/bucketRef/name" });

    fn desired(resource: &ObjectBucketCredential, _: &Found<'_>, _: &Seen<Self>) -> Desired<Credential> {
        let name = resource.metadata.name.clone().unwrap_or_default();
        let intent = Credential { name, access: resource.spec.access };
        Desired::Want { intent, hold: vec![], problems: vec![] }
    }

    /// Under the names that every AWS SDK reads from its environment, and the bucket's.
    fn exports(resource: &ObjectBucketCredential, seen: &Seen<Self>, _: &Found<'_>) -> Option<SecretExport> {
        // Until the backend has made it real nobody knows where it can be used.
        let state = &seen.object.as_ref().filter(|object| object.realised())?.reality.state;
        let plain = |text: &String| Datum::Plain(text.clone());
        let data = [
            ("AWS_ACCESS_KEY_ID", Datum::Minted(ACCESS_KEY)),
            ("AWS_SECRET_ACCESS_KEY", Datum::Minted(SECRET_KEY)),
            ("AWS_ENDPOINT_URL", plain(&state.endpoint)),
            ("AWS_REGION", plain(&state.region)),
            ("BUCKET_NAME", plain(&state.bucket_name)),
        ];
        let data: BTreeMap<_, _> = data.into_iter().map(|(key, datum)| (key.to_owned(), datum)).collect();
        Some(SecretExport { name: secret_name(resource), data })
    }

    fn report(resource: &ObjectBucketCredential, seen: &Seen<Self>) -> Report<Status> {
        let state = seen.object.as_ref().map(|object| object.reality.state.clone()).unwrap_or_default();
        let status = Status { secret_name: secret_name(resource), access_key_id: state.access_key_id };
        Report { status, unreal: None, degraded: None, tell: None }
    }
}

fn secret_name(resource: &ObjectBucketCredential) -> String {
    let own_name = || resource.metadata.name.clone().unwrap_or_default();
    resource.spec.secret_name.clone().unwrap_or_else(own_name)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::{
        operator::engine::{cache::Cache, key::Key},
        protocol::RawObject,
    };

    fn resource(more: &[(&str, &str)]) -> ObjectBucketCredential {
        let mut spec = json!({"bucketRef": {"name": "assets"}, "access": "ReadWrite"});
        for (field, value) in more {
            spec[*field] = json!(value);
        }
        serde_json::from_value(json!({
            "apiVersion": "loopback.cloud/v1alpha1", "kind": "ObjectBucketCredential",
            "metadata": {"name": "assets-rw", "namespace": "shop"}, "spec": spec,
        }))
        .unwrap()
    }

    fn seen(of: u64) -> Seen<ObjectBucketCredentials> {
        let state = match of {
            0 => Value::Null,
            _ => json!({"accessKeyId": "LPAK1", "endpoint": "http://s3", "region": "local-1", "bucketName": "b"}),
        };
        let raw: RawObject = serde_json::from_value(json!({
            "id": "osc-1", "parent": "os-1", "etag": "e", "revision": 3, "intentRevision": 2, "phase": "Live",
            "intent": {"name": "assets-rw", "access": "ReadWrite"}, "reality": {"of": of, "state": state},
            "deliveries": [{"id": "sec-1", "pending": true}],
        }))
        .unwrap();
        Seen::new(Some(&Arc::new(raw))).unwrap()
    }

    fn key() -> Key {
        Key::new("ObjectBucketCredential", "shop", "assets-rw")
    }

    #[test]
    fn desired_is_the_spec_and_nothing_added() {
        let (cache, key) = (Cache::default(), key());
        let resource = resource(&[("access", "WriteOnly"), ("secretName", "other")]);
        let desired = ObjectBucketCredentials::desired(&resource, &Found::new(&cache, &key), &Seen::new(None).unwrap());
        let Desired::Want { intent, .. } = desired else { panic!("not wanted") };
        assert_eq!(serde_json::to_value(intent).unwrap(), json!({"name": "assets-rw", "access": "WriteOnly"}));
    }

    #[test]
    fn the_secret_has_what_an_s3_client_needs() {
        let (cache, key) = (Cache::default(), key());
        let found = Found::new(&cache, &key);
        assert_eq!(ObjectBucketCredentials::exports(&resource(&[]), &seen(0), &found), None);
        let export = ObjectBucketCredentials::exports(&resource(&[]), &seen(2), &found).unwrap();
        let plain = |text: &str| Datum::Plain(text.to_owned());
        let right = [
            ("AWS_ACCESS_KEY_ID", Datum::Minted("accessKeyId")),
            ("AWS_ENDPOINT_URL", plain("http://s3")),
            ("AWS_REGION", plain("local-1")),
            ("AWS_SECRET_ACCESS_KEY", Datum::Minted("secretAccessKey")),
            ("BUCKET_NAME", plain("b")),
        ];
        assert_eq!(export.name, "assets-rw");
        assert_eq!(export.data, right.map(|(key, datum)| (key.to_owned(), datum)).into());
        let named = ObjectBucketCredentials::exports(&resource(&[("secretName", "s3")]), &seen(2), &found).unwrap();
        assert_eq!(named.name, "s3");
    }

    #[test]
    fn the_status_names_the_secret_and_the_public_half() {
        let report = ObjectBucketCredentials::report(&resource(&[]), &seen(2));
        let right = json!({"secretName": "assets-rw", "accessKeyId": "LPAK1"});
        assert_eq!(serde_json::to_value(report.status).unwrap(), right);
        let report = ObjectBucketCredentials::report(&resource(&[("secretName", "s3")]), &seen(0));
        assert_eq!(serde_json::to_value(report.status).unwrap(), json!({"secretName": "s3"}));
    }
}
