use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::*;
use crate::{
    backend::{
        object_storage::{EmbeddedPlane, Options},
        plane::{IntentChange, Plane, RealityChange, Reporter},
    },
    protocol::{
        Intent, Phase, Project, RawObject, Reality, SecretValues,
        object_storage::{Bucket, Credential},
    },
};

struct Running {
    intents: mpsc::Sender<IntentChange>,
    reality: mpsc::UnboundedReceiver<RealityChange>,
    endpoint: String,
    drain: Drain,
    _folder: tempfile::TempDir,
}

fn start() -> Running {
    let folder = tempfile::tempdir().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let options = Options { folder: folder.path().to_owned(), listener, endpoint: endpoint.clone() };
    let plane = EmbeddedPlane::new(options, World::real());
    let (intents, receiver) = mpsc::channel(16);
    let (sender, reality) = mpsc::unbounded_channel();
    let reporter = Reporter::new(move |change| {
        drop(sender.send(change));
        std::future::ready(())
    });
    let drain = Drain::new();
    let stop = drain.clone();
    drop(drain.spawn(async move { plane.run(receiver, reporter, stop).await.unwrap() }));
    Running { intents, reality, endpoint, drain, _folder: folder }
}

impl Running {
    async fn tell(&self, collection: &str, id: &str, phase: Phase, purge: bool) {
        let credential = collection == Credential::COLLECTION;
        let object = RawObject {
            id: id.into(),
            parent: credential.then(|| "os-1".to_owned()),
            owner: None,
            etag: String::new(),
            revision: 5,
            intent_revision: 5,
            phase,
            intent: if credential {
                json!({"name": "c", "access": "ReadWrite"})
            } else {
                json!({"bucketName": "shop"})
            },
            reality: Reality::<Value>::default(),
            deliveries: Vec::new(),
        };
        let pair = [("accessKeyId", "AK"), ("secretAccessKey", "secret")];
        let pair = SecretValues(pair.map(|(name, value)| (name.into(), value.into())).into());
        let change = IntentChange::Present {
            collection: collection.into(),
            project: Arc::new(Project { id: "p".into(), name: "p".into(), organization: "o".into() }),
            object: Box::new(object),
            chosen: json!({"bucketName": "shop", "provider": "embedded", "region": "local-1"}),
            secret: credential.then_some(pair),
            purge,
        };
        self.intents.send(change).await.unwrap();
    }

    async fn heard(&mut self) -> RealityChange {
        tokio::time::timeout(Duration::from_secs(10), self.reality.recv()).await.unwrap().unwrap()
    }

    fn client(&self) -> Client {
        let http = http();
        Client { http, endpoint: self.endpoint.clone(), key: "AK".into(), secret: "secret".into() }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_lives_and_goes() {
    let mut plane = start();
    plane.tell(Bucket::COLLECTION, "os-1", Phase::Live, false).await;
    plane.tell(Credential::COLLECTION, "osc-1", Phase::Live, false).await;
    plane.intents.send(IntentChange::Synced).await.unwrap();
    let RealityChange::Report { id, of, state, .. } = plane.heard().await else { panic!() };
    assert_eq!((id.as_str(), of, &state["region"]), ("os-1", 5, &json!("local-1")));
    assert_eq!(state["usage"], json!({"objects": 0, "bytes": 0}));
    let RealityChange::Report { state, .. } = plane.heard().await else { panic!() };
    let right = json!({"accessKeyId": "AK", "endpoint": plane.endpoint, "region": "local-1", "bucketName": "shop"});
    assert_eq!(state, right);
    let s3 = plane.client();
    for n in 0..3 {
        ok(&s3.put(&format!("/shop/{n}"), "abc").await);
    }
    plane.tell(Bucket::COLLECTION, "os-1", Phase::Deleting, false).await;
    let RealityChange::Report { state, members, .. } = plane.heard().await else { panic!() };
    assert_eq!(state["usage"], json!({"objects": 3, "bytes": 9}));
    assert_eq!(members["content"].reason, "NotEmpty");
    assert!(members["content"].message.contains("3 objects") && members["content"].message.contains("Purge"));
    ok(&s3.delete("/shop/0").await);
    let RealityChange::Report { state, .. } = plane.heard().await else { panic!() };
    assert_eq!(state["usage"]["objects"], 2);
    plane.tell(Bucket::COLLECTION, "os-1", Phase::Deleting, true).await;
    while let RealityChange::Report { members, .. } = plane.heard().await {
        assert_eq!(members["content"].state, "Purging");
    }
    assert_eq!(s3.get("/shop/1").await.status, 403);
    plane.tell(Credential::COLLECTION, "osc-1", Phase::Deleting, false).await;
    assert_eq!(plane.heard().await, RealityChange::Released { id: "osc-1".into() });
    assert_eq!(s3.get("/shop/1").await.code(), "InvalidAccessKeyId");
    assert!(plane.drain.finish(Duration::from_secs(5)).await);
}
