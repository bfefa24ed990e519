//! Object storage over the wire API of the real services.

use reqwest::Method;
use serde_json::{Value, json};

use super::rig::{Reply, reply, secret};
use crate::{
    backend::{Options, Running, start},
    protocol::client::http,
    runtime::{Drain, World},
};

const BUCKETS: &str = "/v3/projects/shop/object-stores";

struct Real {
    running: Running,
    admin: String,
    drain: Drain,
    _folder: tempfile::TempDir,
}

impl Real {
    async fn start() -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let folder = tempfile::tempdir().unwrap();
        let any = ([127, 0, 0, 1], 0).into();
        let options = Options { s3_listen: any, ..Options::new(any, folder.path().join("state")) };
        let drain = Drain::new();
        let running = start(options, World::real(), &drain).await.unwrap();
        let admin = secret(&running.admin_token_file);
        let real = Self { running, admin, drain, _folder: folder };
        for path in ["/v3/organizations/acme", "/v3/organizations/acme/projects/shop"] {
            assert_eq!(real.call(Method::PUT, path, None).await.status, 201);
        }
        real
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Reply {
        self.call_as(&self.admin, method, path, body).await
    }

    async fn call_as(&self, token: &str, method: Method, path: &str, body: Option<Value>) -> Reply {
        let client = http().build().unwrap();
        let mut request = client.request(method, format!("http://{}{path}", self.running.api)).bearer_auth(token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        reply(request.send().await.unwrap()).await
    }

    async fn create(&self, path: &str, intent: Value) -> Reply {
        self.call(Method::POST, path, Some(json!({"intent": intent}))).await
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        self.drain.start();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_bodies_name_their_field_and_make_nothing() {
    let real = Real::start().await;
    let made = real.create(BUCKETS, json!({"bucketName": "shop-assets"})).await;
    assert_eq!(made.status, 201, "{made:?}");
    let credentials = format!("{BUCKETS}/{}/credentials", made.id());
    let named = |name: &str| json!({"bucketName": name});
    for (intent, field) in [
        (json!({}), ""),
        (json!(null), ""),
        (json!([]), ""),
        (named(""), "/bucketName"),
        (named("ab"), "/bucketName"),
        (named(&"a".repeat(64)), "/bucketName"),
        (named(&"a".repeat(400)), "/bucketName"),
        (named("Shop"), "/bucketName"),
        (named("shop_assets"), "/bucketName"),
        (named("shop assets"), "/bucketName"),
        (named("-shop"), "/bucketName"),
        (named("shop-"), "/bucketName"),
        (named("shop..assets"), "/bucketName"),
        (named("10.0.0.1"), "/bucketName"),
        (named("xn--shop"), "/bucketName"),
        (named("shop-s3alias"), "/bucketName"),
        (named("sh\u{f6}p"), "/bucketName"),
        (named("shop\n"), "/bucketName"),
        (json!({"bucketName": 7}), "/bucketName"),
        (json!({"bucketName": null}), "/bucketName"),
        (json!({"bucketName": "fresh", "provider": "aws"}), "/provider"),
        (json!({"bucketName": "fresh", "provider": ""}), "/provider"),
        (json!({"bucketName": "fresh", "provider": ["embedded"]}), "/provider"),
        (json!({"bucketName": "fresh", "region": "mars-1"}), "/region"),
        (json!({"bucketName": "fresh", "region": "LOCAL-1"}), "/region"),
        (json!({"bucketName": "fresh", "provider": "embedded", "region": ""}), "/region"),
        (json!({"bucketName": "fresh", "quota": {"maxSize": "1Gi"}}), "/quota"),
        (json!({"bucketName": "fresh", "versioning": "Enabled"}), "/versioning"),
    ] {
        let refused = real.create(BUCKETS, intent.clone()).await;
        assert_eq!((refused.status, refused.code()), (422, "invalid"), "{intent} {refused:?}");
        assert_eq!(refused.body["field"], field, "{intent} {refused:?}");
        assert!(refused.body["detail"].as_str().is_some_and(|detail| detail.len() > 10), "{refused:?}");
    }
    for (intent, field) in [
        (json!({}), ""),
        (json!({"name": "c"}), ""),
        (json!({"access": "ReadOnly"}), ""),
        (json!({"name": "", "access": "ReadOnly"}), "/name"),
        (json!({"name": "c\u{0}", "access": "ReadOnly"}), "/name"),
        (json!({"name": "c".repeat(254), "access": "ReadOnly"}), "/name"),
        (json!({"name": "c", "access": "Admin"}), "/access"),
        (json!({"name": "c", "access": "readonly"}), "/access"),
        (json!({"name": "c", "access": null}), "/access"),
        (json!({"name": "c", "access": "ReadOnly", "secretAccessKey": "mine"}), "/secretAccessKey"),
    ] {
        let refused = real.create(&credentials, intent.clone()).await;
        assert_eq!((refused.status, refused.code()), (422, "invalid"), "{intent} {refused:?}");
        assert_eq!(refused.body["field"], field, "{intent} {refused:?}");
    }
    let taken = real.create(BUCKETS, named("shop-assets")).await;
    assert_eq!((taken.status, taken.body["field"].as_str()), (409, Some("/bucketName")));
    assert_eq!(
        real.create(&format!("{BUCKETS}/os-none/credentials"), json!({"name": "c", "access": "ReadOnly"})).await.status,
        404
    );
    let listed = real.call(Method::GET, BUCKETS, None).await;
    assert_eq!(listed.body["items"].as_array().unwrap().len(), 1);
    assert_eq!(real.call(Method::GET, &credentials, None).await.body["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_there_is_to_choose_and_how_full_it_is() {
    let real = Real::start().await;
    let made = real.create(BUCKETS, json!({"bucketName": "shop-assets"})).await.id();
    let providers = real.call(Method::GET, "/v3/object-store-providers", None).await;
    assert_eq!(providers.body["items"], json!([{"name": "embedded", "regions": ["local-1"]}]));
    let regions = real.call(Method::GET, "/v3/object-store-regions", None).await;
    assert_eq!(regions.body["items"], json!([{"name": "local-1", "providers": ["embedded"]}]));
    let second = real.call(Method::GET, "/v2/projects/shop/object-stores", None).await;
    assert_eq!(second.body["items"][0]["id"], json!(made));
    let made_there =
        real.call(Method::POST, "/v2/projects/shop/object-stores", Some(json!({"intent": {"bucketName": "second"}})));
    let made_there = made_there.await;
    assert_eq!((made_there.status, &made_there.body["intent"]["bucketName"]), (201, &json!("second")));
    let usage = format!("{BUCKETS}/usage");
    let mut counted = real.call(Method::GET, &usage, None).await;
    for _ in 0..400 {
        if counted.body["items"].as_array().is_some_and(|items| items.len() == 2) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        counted = real.call(Method::GET, &usage, None).await;
    }
    let empty = |id: &str| json!({"id": id, "objects": 0, "bytes": 0});
    assert_eq!(counted.body["items"], json!([empty(&made), empty(&made_there.id())]), "{counted:?}");
    let mint = |permission: &str| {
        let rule = json!({"permission": permission, "organization": "acme", "project": "shop"});
        real.call(Method::POST, "/v3/tokens", Some(json!({"description": "t", "rules": [rule]})))
    };
    for (permission, status) in [
        ("project.object_store:read", 200),
        ("project.object_store:create", 403),
        ("project.object_store.credentials:read", 403),
        ("project.load_balancer:read", 403),
    ] {
        let token = mint(permission).await.body["secret"].as_str().unwrap().to_owned();
        for path in [usage.as_str(), "/v2/projects/shop/object-stores", BUCKETS] {
            let answer = real.call_as(&token, Method::GET, path, None).await;
            assert_eq!(answer.status, status, "{permission} {path} {answer:?}");
        }
        assert_eq!(real.call_as(&token, Method::GET, "/v3/object-store-regions", None).await.status, 200);
    }
    let document = real.call(Method::GET, "/openapi.json", None).await;
    let described = &document.body["paths"]["/v3/projects/{p}/object-stores/usage"]["get"];
    assert_eq!(described["operationId"], "object-stores.usage");
    assert!(described["responses"]["200"]["content"].to_string().contains("schema"), "{described}");
}
