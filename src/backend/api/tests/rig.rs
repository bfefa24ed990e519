//! A backend with a plane that does what the test says, and calls to it.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::watch;
use url::Url;

use super::shelves::{self, Told};
use crate::{
    backend::{
        Options, Running, Service,
        checks::Checks,
        load_balancing,
        plane::{BoxedPlane, IntentChange, Intents, Plane, PlaneProblem, Reporter},
        start_with,
        store::Transaction,
    },
    protocol::{
        MintedToken, Phase, Problem, Project,
        client::{Client, Token, http},
    },
    runtime::{Drain, World},
};

/// Refuses the name `refused`, panics at `panic`, and otherwise leases the object's id to itself.
struct Leasing;

impl Checks for Leasing {
    fn accept(
        &self,
        tx: &mut dyn Transaction,
        id: &str,
        _: &Project,
        intent: &Value,
        _: Option<&Value>,
    ) -> Result<Value, Problem> {
        assert_ne!(intent["name"], "panic", "a defect that a test asked for");
        if intent["name"] == "refused" {
            return Err(Problem::invalid("/name", "refused by the checks"));
        }
        tx.put(crate::backend::store::Table::Leases, id.as_bytes(), vec![])?;
        Ok(json!({"leased": id}))
    }

    fn release(&self, tx: &mut dyn Transaction, id: &str, _: &Value) -> Result<(), Problem> {
        Ok(tx.delete(crate::backend::store::Table::Leases, id.as_bytes())?)
    }
}

/// Says of each intent at once that it is real; lets go of deleted objects only while `release` says so.
struct Obedient {
    release: watch::Receiver<bool>,
}

impl Plane for Obedient {
    async fn run(mut self, mut intents: Intents, reality: Reporter, drain: Drain) -> Result<(), PlaneProblem> {
        let mut deleting = Vec::new();
        loop {
            tokio::select! {
                biased;
                () = drain.wait() => return Ok(()),
                Ok(()) = self.release.changed() => {}
                Some(change) = intents.recv() => {
                    if let IntentChange::Present { object, chosen, .. } = change {
                        assert_eq!(chosen["leased"], object.id);
                        match object.phase {
                            Phase::Live => {
                                let state = json!({"addresses": [], "services": {}});
                                reality.report(&object.id, object.intent_revision, state, BTreeMap::new()).await;
                            }
                            Phase::Deleting => deleting.push(object.id),
                        }
                    }
                }
            }
            if *self.release.borrow() {
                for id in deleting.drain(..) {
                    reality.released(&id).await;
                }
            }
        }
    }
}

/// What a call answered.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) etag: Option<String>,
    pub(super) media: String,
    pub(super) body: Value,
}

impl Reply {
    pub(super) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    pub(super) fn id(&self) -> String {
        self.body["id"].as_str().unwrap().to_owned()
    }
}

pub(super) struct Rig {
    pub(super) folder: Arc<tempfile::TempDir>,
    pub(super) running: Running,
    pub(super) release: watch::Sender<bool>,
    /// What the plane of the shelves was told.
    pub(super) told: Told,
    pub(super) admin: String,
    http: reqwest::Client,
}

/// All that a token may have in the project.
pub(super) const ALL: &[&str] = &[
    "project.load_balancer:read",
    "project.load_balancer:create",
    "project.load_balancer:update",
    "project.load_balancer:delete",
    "project.load_balancer.service:create",
    "project.load_balancer.service:update",
    "project.load_balancer.service:delete",
    "project.load_balancer.target:create",
    "project.load_balancer.target:update",
    "project.load_balancer.target:delete",
];

pub(super) const LIST: &str = "/v3/projects/shop/load-balancers";

impl Rig {
    /// A fresh backend with organization acme and project shop.
    pub(super) async fn new() -> Self {
        let rig = Self::open(Arc::new(tempfile::tempdir().unwrap())).await;
        for path in ["/v3/organizations/acme", "/v3/organizations/acme/projects/shop"] {
            assert_eq!(rig.admin(Method::PUT, path, None).await.status, 201);
        }
        rig
    }

    async fn open(folder: Arc<tempfile::TempDir>) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let (release, released) = watch::channel(true);
        let told = Told::default();
        let heard = Arc::clone(&told);
        let options = Options::new(([127, 0, 0, 1], 0).into(), folder.path().join("state"));
        let services = |_| {
            let shelves = shelves::service(released.clone(), Arc::clone(&heard));
            let balancing = Service {
                collections: load_balancing::collections(Arc::new(Leasing)),
                facts: Vec::new(),
                plane: BoxedPlane::new(Obedient { release: released }),
            };
            vec![balancing, shelves]
        };
        let running = start_with(options, services, World::real(), &Drain::new()).await.unwrap();
        let admin = secret(&running.admin_token_file);
        Self { folder, running, release, told, admin, http: http().build().unwrap() }
    }

    /// The same state, another process so to speak.
    pub(super) async fn restart(self) -> Self {
        let folder = Arc::clone(&self.folder);
        assert!(self.running.stop().await);
        Self::open(folder).await
    }

    pub(super) fn url(&self, path: &str) -> Url {
        format!("http://{}{path}", self.running.api).parse().unwrap()
    }

    /// A token with these permissions in acme/shop.
    pub(super) async fn token(&self, permissions: &[&str]) -> String {
        let rules: Vec<_> = permissions
            .iter()
            .map(|permission| json!({"permission": permission, "organization": "acme", "project": "shop"}))
            .collect();
        let body = json!({"description": "test", "rules": rules});
        let reply = self.admin(Method::POST, "/v3/tokens", Some(body)).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        serde_json::from_value::<MintedToken>(reply.body).unwrap().secret
    }

    pub(super) async fn admin(&self, method: Method, path: &str, body: Option<Value>) -> Reply {
        self.call(&self.admin, method, path, body, None).await
    }

    pub(super) async fn call(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
        etag: Option<&str>,
    ) -> Reply {
        let mut request = self.http.request(method, self.url(path)).bearer_auth(token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        if let Some(etag) = etag {
            request = request.header("If-Match", format!("\"{etag}\""));
        }
        reply(request.send().await.unwrap()).await
    }

    pub(super) async fn create(&self, token: &str, name: &str, uid: Option<&str>) -> Reply {
        let mut body = json!({"intent": {"name": name}});
        if let Some(uid) = uid {
            body["owner"] = owner(uid);
        }
        self.call(token, Method::POST, LIST, Some(body), None).await
    }

    /// The client that operators use.
    pub(super) fn client(&self, token: &str) -> Client {
        Client::new(Arc::new(self.http.clone()), &self.url("/"), "shop", Token::new(token).unwrap()).unwrap()
    }

    /// Waits until the object is gone.
    pub(super) async fn gone(&self, id: &str) {
        for _ in 0..200 {
            if self.admin(Method::GET, &format!("{LIST}/{id}"), None).await.status == 404 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("{id} is still there");
    }
}

pub(super) async fn reply(answer: reqwest::Response) -> Reply {
    let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (status, etag, media) = (answer.status().as_u16(), header("etag"), header("content-type").unwrap_or_default());
    let bytes = answer.bytes().await.unwrap();
    Reply { status, etag, media, body: serde_json::from_slice(&bytes).unwrap_or_default() }
}

pub(super) fn secret(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap().trim().to_owned()
}

pub(super) fn owner(uid: &str) -> Value {
    json!({"cluster": "c1", "kind": "ProjectLoadBalancer", "namespace": "ns", "name": "web", "uid": uid})
}
