//! Users and administrators: what they do, drawn from the run's seed.

use std::{sync::Arc, time::Duration};

use loopback_operator::backend::store::Kept;
use rand::{RngExt, rngs::StdRng};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    backend::{AWAY, Backend},
    faults::{millis, pick},
    kinds::{GROUP, KINDS, Named},
    server::{Kube, ask},
};

const USER: &str = "user";
const ADMIN: &str = "admin";
/// Where users' objects are.
const NAMESPACE: &str = "shop";
/// How long users are busy.
const BUSY: u64 = 40_000;

/// One deed.
#[derive(Clone, Debug)]
pub enum Deed {
    Namespace,
    Backend,
    Binding,
    TokenSecret,
    Create(usize, String, u64),
    Edit(usize, String, u64),
    Delete(usize, String),
    DeleteNamespace,
    /// Somebody changes, or deletes, an object past the operator.
    Drift(u64),
    DriftAway(u64),
    /// A new token in the Secret; the old one is revoked.
    Rotate,
    Revoke,
    Narrow(&'static str),
    DeleteSecret(u64),
    Restart,
    Older,
    Compact,
    HangUp,
}

/// What will be done, and when.
pub fn plan(random: &mut StdRng) -> Vec<(Duration, Deed)> {
    let mut deeds = Vec::new();
    for deed in [Deed::Namespace, Deed::Backend, Deed::TokenSecret, Deed::Binding] {
        // Mostly there first, now and then late; nothing is in a namespace before it is there.
        let late = random.random_bool(0.15) && !matches!(deed, Deed::Namespace);
        deeds.push((if late { millis(random, 10_000) } else { Duration::ZERO }, deed));
    }
    for _ in 0..1 + pick(random, 3) {
        life(random, &mut deeds);
    }
    let troubles = pick(random, 4);
    for _ in 0..troubles {
        let at = millis(random, BUSY);
        deeds.push((at, trouble(random)));
    }
    // Equal times keep their order.
    deeds.sort_by_key(|(at, _)| *at);
    deeds
}

/// The life of one object, with its parent where it needs one.
fn life(random: &mut StdRng, deeds: &mut Vec<(Duration, Deed)>) {
    let kind = pick(random, KINDS.len());
    let mut at = millis(random, 5_000);
    let name = if KINDS[kind].parent.is_some() { format!("c{}", pick(random, 2)) } else { "a".to_owned() };
    if let Some((plural, _)) = KINDS[kind].parent {
        let parent = KINDS.iter().position(|one| one.plural == plural).unwrap();
        let late = if random.random_bool(0.3) { millis(random, 20_000) } else { Duration::ZERO };
        deeds.push((late, Deed::Create(parent, "a".into(), 0)));
        if random.random_bool(0.2) {
            deeds.push((millis(random, BUSY), Deed::Delete(parent, "a".into())));
        }
    }
    deeds.push((at, Deed::Create(kind, name.clone(), 0)));
    for _ in 0..pick(random, 5) {
        // Some come in a rush, some when all is calm.
        let most = if random.random_bool(0.6) { 60 } else { 12_000 };
        at += millis(random, most);
        match pick(random, 8) {
            0 => deeds.push((at, Deed::Delete(kind, name.clone()))),
            1 => {
                deeds.push((at, Deed::Delete(kind, name.clone())));
                at += millis(random, 6_000);
                deeds.push((at, Deed::Create(kind, name.clone(), random.random_range(0..4))));
            }
            2 => {
                // There and back again.
                for variant in [1, 0] {
                    deeds.push((at, Deed::Edit(kind, name.clone(), variant)));
                    at += millis(random, 300);
                }
            }
            _ => deeds.push((at, Deed::Edit(kind, name.clone(), random.random_range(0..4)))),
        }
    }
}

fn trouble(random: &mut StdRng) -> Deed {
    match pick(random, 14) {
        0 | 1 => Deed::Drift(random.random()),
        2 => Deed::DriftAway(random.random()),
        3 => Deed::Rotate,
        4 => Deed::Revoke,
        5 => Deed::Narrow(
            ["project.load_balancer", "project.dns_zone", "project.object_store.credentials", "project.monitoring"]
                [pick(random, 4)],
        ),
        6 => Deed::DeleteSecret(random.random()),
        7 | 8 => Deed::Restart,
        9 => Deed::Older,
        10 => Deed::Compact,
        11 => Deed::DeleteNamespace,
        12 => Deed::Backend,
        _ => Deed::HangUp,
    }
}

/// Those who do it.
pub struct Users {
    pub kube: Arc<Kube>,
    pub backend: Arc<Backend>,
    /// Id and text of the token in the Secret, and an administrator's.
    pub token: (String, String),
    pub admin: String,
    /// An older copy of the store.
    pub copy: Kept,
}

impl Users {
    /// Does all of it, each at its time.
    pub async fn work(&mut self, deeds: Vec<(Duration, Deed)>) {
        let began = Instant::now();
        for (at, deed) in deeds {
            sleep_until(began + at).await;
            self.act(deed).await;
        }
    }

    async fn act(&mut self, deed: Deed) {
        match deed {
            Deed::Namespace => {
                for (name, team) in [("loopback-system", "none"), (NAMESPACE, "shop")] {
                    let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"team": team}}});
                    self.kube("POST", "/api/v1/namespaces", &body).await;
                }
            }
            Deed::Backend => self.lend().await,
            Deed::Binding => {
                let body = object("ProjectBinding", "default", json!({"organization": "acme", "project": "shop"}));
                self.kube("POST", &path("projectbindings", ""), &body).await;
            }
            Deed::TokenSecret => self.write_token().await,
            Deed::Create(kind, name, variant) => {
                let Named { kind, plural, spec, .. } = &KINDS[kind];
                self.kube("POST", &path(plural, ""), &object(kind, &name, spec(&name, variant))).await;
            }
            Deed::Edit(kind, name, variant) => {
                let Named { plural, spec, .. } = &KINDS[kind];
                self.kube("PATCH", &path(plural, &name), &json!({"spec": spec(&name, variant)})).await;
            }
            Deed::Delete(kind, name) => {
                self.kube("DELETE", &path(KINDS[kind].plural, &name), &Value::Null).await;
            }
            Deed::DeleteNamespace => {
                self.kube("DELETE", &format!("/api/v1/namespaces/{NAMESPACE}"), &Value::Null).await;
            }
            Deed::Drift(which) => self.drift(which, false).await,
            Deed::DriftAway(which) => self.drift(which, true).await,
            Deed::Rotate => {
                let old = self.token.0.clone();
                self.mint("").await;
                self.revoke(&old).await;
            }
            Deed::Revoke => {
                let old = self.token.0.clone();
                self.revoke(&old).await;
            }
            Deed::Narrow(without) => self.mint(without).await,
            Deed::DeleteSecret(which) => self.delete_secret(which).await,
            Deed::Restart => self.restart(false).await,
            Deed::Older => self.restart(true).await,
            Deed::Compact => {
                self.kube.api.compact();
                self.kube.api.close_watches();
            }
            Deed::HangUp => self.kube.api.close_watches(),
        }
    }

    async fn lend(&self) {
        let grants = json!([{"name": "g", "organization": "acme", "namespaces": {"from": "All"}}]);
        let token = json!({"namespace": "loopback-system", "name": "token", "key": "token"});
        let body = json!({"apiVersion": GROUP, "kind": "LoopbackBackend", "metadata": {"name": "default"},
            "spec": {"tokenSecretRef": token, "grants": grants}});
        self.kube("POST", &format!("/apis/{GROUP}/loopbackbackends"), &body).await;
    }

    async fn write_token(&self) {
        let data = json!({"token": data_encoding::BASE64.encode(self.token.1.as_bytes())});
        let body = json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": {"name": "token"}, "data": data});
        let at = "/api/v1/namespaces/loopback-system/secrets";
        if self.kube("POST", at, &body).await.0 == 409 {
            self.kube("PATCH", &format!("{at}/token"), &json!({"data": data})).await;
        }
    }

    async fn mint(&mut self, without: &'static str) {
        if self.backend.store().is_some() {
            self.token = self.backend.token(without).await;
            self.backend.watchman.canary(&self.token.1);
            self.write_token().await;
        }
    }

    async fn revoke(&self, id: &str) {
        self.wire("DELETE", &format!("/v3/tokens/{id}"), None, &Value::Null).await;
    }

    /// Somebody with rights of their own changes one object, or deletes it.
    async fn drift(&self, which: u64, delete: bool) {
        let objects = self.backend.watchman.inventory();
        let Some((collection, object)) = objects.get(which as usize % objects.len().max(1)) else { return };
        let id = &object.id;
        let at = match (collection.split_once('/'), &object.parent) {
            (Some(("monitoring", _)), _) | (None, _) | (_, None) => format!("/v3/projects/shop/{collection}/{id}"),
            (Some((parent, child)), Some(under)) => format!("/v3/projects/shop/{parent}/{under}/{child}/{id}"),
        };
        let etag = format!("\"{}\"", object.etag);
        if delete {
            self.wire("DELETE", &at, Some(&etag), &Value::Null).await;
            return;
        }
        let change = match collection.as_str() {
            "load-balancers" => json!({"targets": {"a": {"port": 99}}}),
            "dns-zones" => json!({"patterns": ["drift.example.dev"]}),
            "dns-zones/records" => json!({"values": ["192.0.2.99"]}),
            "monitoring/objects" => json!({"interval": "99s"}),
            "monitoring/conditions" => json!({"threshold": 99}),
            _ => json!({"access": "WriteOnly"}),
        };
        self.wire("PATCH", &at, Some(&etag), &change).await;
    }

    async fn delete_secret(&self, which: u64) {
        let secrets = self.kube.api.objects("v1", "secrets");
        let minted: Vec<&Arc<Value>> = secrets.iter().filter(|one| one["metadata"]["namespace"] == NAMESPACE).collect();
        let Some(secret) = minted.get(which as usize % minted.len().max(1)) else { return };
        let name = secret["metadata"]["name"].as_str().unwrap_or_default();
        self.kube("DELETE", &format!("/api/v1/namespaces/{NAMESPACE}/secrets/{name}"), &Value::Null).await;
    }

    async fn restart(&mut self, older: bool) {
        let kept = self.backend.crash();
        sleep(self.backend.world.up_to(AWAY)).await;
        if older {
            self.backend.watchman.went_back();
            self.backend.start(self.copy.clone());
        } else {
            self.backend.start(kept);
        }
        self.copy = self.backend.kept();
    }

    /// Whatever was taken from the operator is given back.
    pub async fn mend(&mut self) {
        for deed in [Deed::Namespace, Deed::Backend] {
            self.act(deed).await;
        }
        self.mint("").await;
        if self
            .kube
            .api
            .objects("v1", "namespaces")
            .iter()
            .any(|one| one["metadata"]["name"] == NAMESPACE && one["metadata"]["deletionTimestamp"].is_null())
        {
            self.act(Deed::Binding).await;
        }
    }

    /// Everything is deleted, one way or the other.
    pub async fn leave(&mut self, by_namespace: bool) {
        if by_namespace {
            return self.act(Deed::DeleteNamespace).await;
        }
        for (kind, resource) in self.backend.watchman.resources() {
            let name = resource["metadata"]["name"].as_str().unwrap_or_default();
            self.kube("DELETE", &path(kind.plural, name), &Value::Null).await;
        }
    }

    async fn kube(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let media = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        ask(&*self.kube, USER, method, path, &[("content-type", media)], body).await
    }

    async fn wire(&self, method: &str, path: &str, etag: Option<&str>, body: &Value) -> (u16, Value) {
        let bearer = format!("Bearer {}", self.admin);
        let media = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let mut headers = vec![("authorization", bearer.as_str()), ("content-type", media)];
        headers.extend(etag.map(|etag| ("if-match", etag)));
        ask(&*self.backend, ADMIN, method, path, &headers, body).await
    }
}

fn path(plural: &str, name: &str) -> String {
    let end = if name.is_empty() { String::new() } else { format!("/{name}") };
    format!("/apis/{GROUP}/namespaces/{NAMESPACE}/{plural}{end}")
}

fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": GROUP, "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec})
}
