//! ObjectBucket: a bucket that S3 clients use.

use serde::Serialize;

use crate::{
    crd::{ObjectBucket, object_bucket::BucketUsage},
    operator::engine::kind::{Desired, Found, Kind, Report, Seen},
    protocol::object_storage::Bucket,
};

/// The kind.
pub struct ObjectBuckets;

/// The kind's part of the status.
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    #[serde(skip_serializing_if = "Option::is_none")]
    bucket_name: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    provider: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    region: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    endpoint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<BucketUsage>,
}

impl Kind for ObjectBuckets {
    type Resource = ObjectBucket;
    type Intent = Bucket;
    type Status = Status;

    fn desired(resource: &ObjectBucket, _: &Found<'_>, _: &Seen<Self>) -> Desired<Bucket> {
        let spec = &resource.spec;
        let own_name = || resource.metadata.name.clone().unwrap_or_default();
        let intent = Bucket {
            bucket_name: spec.bucket_name.clone().unwrap_or_else(own_name),
            provider: spec.provider.clone(),
            region: spec.region.clone(),
        };
        Desired::Want { intent, hold: vec![], problems: vec![] }
    }

    fn report(_: &ObjectBucket, seen: &Seen<Self>) -> Report<Status> {
        let status = seen.object.as_ref().map_or_else(Status::default, |object| {
            let state = &object.reality.state;
            let usage = BucketUsage { objects: state.usage.objects, bytes: state.usage.bytes };
            Status {
                bucket_name: Some(object.intent.bucket_name.clone()),
                provider: state.provider.clone(),
                region: state.region.clone(),
                endpoint: state.endpoint.clone(),
                usage: object.realised().then_some(usage),
            }
        });
        Report { status, unreal: None, degraded: None, tell: None }
    }
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

    fn resource(spec: &Value) -> ObjectBucket {
        serde_json::from_value(json!({
            "apiVersion": "loopback.cloud/v1alpha1", "kind": "ObjectBucket",
            "metadata": {"name": "assets", "namespace": "shop"}, "spec": spec,
        }))
        .unwrap()
    }

    #[test]
    fn desired_is_the_spec_and_a_name() {
        let (cache, key) = (Cache::default(), Key::new("ObjectBucket", "shop", "assets"));
        for (spec, right) in [
            (json!({"deletionPolicy": "Purge"}), json!({"bucketName": "assets"})),
            (
                json!({"bucketName": "shop-assets", "provider": "embedded", "region": "local-1"}),
                json!({"bucketName": "shop-assets", "provider": "embedded", "region": "local-1"}),
            ),
        ] {
            let desired =
                ObjectBuckets::desired(&resource(&spec), &Found::new(&cache, &key), &Seen::new(None).unwrap());
            let Desired::Want { intent, .. } = desired else { panic!("not wanted") };
            assert_eq!(serde_json::to_value(intent).unwrap(), right);
        }
    }

    #[test]
    fn the_status_tells_where_it_is_and_how_full() {
        let state = json!({"endpoint": "http://127.0.0.1:9000", "region": "local-1", "provider": "embedded",
            "usage": {"objects": 2, "bytes": 7}});
        for (state, of, right) in [
            (Value::Null, 0, json!({"bucketName": "shop-assets"})),
            (
                state,
                1,
                json!({"bucketName": "shop-assets", "endpoint": "http://127.0.0.1:9000", "region": "local-1",
                    "provider": "embedded", "usage": {"objects": 2, "bytes": 7}}),
            ),
        ] {
            let raw: RawObject = serde_json::from_value(json!({
                "id": "os-1", "etag": "e", "revision": 2, "intentRevision": 1, "phase": "Live",
                "intent": {"bucketName": "shop-assets"}, "reality": {"of": of, "state": state},
            }))
            .unwrap();
            let report = ObjectBuckets::report(&resource(&json!({})), &Seen::new(Some(&Arc::new(raw))).unwrap());
            assert_eq!(serde_json::to_value(report.status).unwrap(), right);
            assert_eq!((report.unreal, report.degraded), (None, None));
        }
    }
}
