//! Users and administrators: those who do what was planned.

use std::{sync::Arc, time::Duration};

use loopback_operator::backend::store::Kept;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    backend::{AWAY, Backend},
    kinds::{self, GROUP, KINDS, Named},
    oracles::is,
    plan::{Deed, Import, OTHER, Wish},
    server::{Kube, ask},
};

const USER: &str = "user";
const ADMIN: &str = "admin";
/// Where users' objects are.
const NAMESPACE: &str = "shop";
/// Namespace and name of the token that administrators lend, and of the binding's own.
const SECRETS: [(&str, &str); 2] = [("loopback-system", "token"), (NAMESPACE, "own")];

/// Those who do it.
pub struct Users {
    kube: Arc<Kube>,
    backend: Arc<Backend>,
    /// Ids and texts of the tokens in [`SECRETS`].
    tokens: [(String, String); 2],
    /// Whether the binding has a token of its own.
    own: bool,
    admin: String,
    /// An older copy of the store.
    copy: Kept,
    /// What administrators made, by kind and id.
    made: Vec<(usize, String)>,
    /// Whether the operator may have lost a token that it needs.
    bereft: bool,
}

impl Users {
    pub async fn new(kube: Arc<Kube>, backend: Arc<Backend>) -> Self {
        let tokens = [backend.token("").await, backend.token("").await];
        tokens.iter().for_each(|(_, text)| backend.watchman.canary(text));
        let (_, admin) = backend.admin().await;
        let copy = backend.kept();
        Self { kube, backend, tokens, own: false, admin, copy, made: Vec::new(), bereft: false }
    }

    /// The token that is lent.
    pub fn token(&self) -> &str {
        &self.tokens[0].1
    }

    /// Does all of it, each at its time.
    pub async fn work(&mut self, deeds: Vec<(Duration, Deed)>) {
        let began = Instant::now();
        for (at, deed) in deeds {
            sleep_until(began + at).await;
            self.act(deed).await;
        }
    }

    async fn act(&mut self, deed: Deed) {
        self.bereft |= deed.bereaves();
        match deed {
            Deed::Namespace => {
                for (name, team) in [("loopback-system", "none"), (NAMESPACE, "shop")] {
                    let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"team": team}}});
                    self.kube("POST", "/api/v1/namespaces", &body).await;
                }
            }
            Deed::Backend => self.lend().await,
            Deed::Binding { own } => self.bind(own).await,
            Deed::TokenSecrets => self.write_tokens().await,
            Deed::Create(wish) => self.create(&wish).await,
            Deed::Edit(wish) => {
                let at = path(KINDS[wish.kind].plural, &wish.name);
                self.kube("PATCH", &at, &json!({"spec": wish.spec(None)})).await;
            }
            Deed::Delete(kind, name) => self.delete(&path(KINDS[kind].plural, &name)).await,
            Deed::Force(kind, name) => self.force(&KINDS[kind], &name).await,
            Deed::DeleteBinding => self.delete(&path("projectbindings", "default")).await,
            Deed::DeleteNamespace => self.delete(&format!("/api/v1/namespaces/{NAMESPACE}")).await,
            Deed::Make(wish, foreign) => self.make(&wish, foreign).await,
            Deed::Drift(which) => self.drift(which, false).await,
            Deed::DriftAway(which) => self.drift(which, true).await,
            Deed::Rotate => {
                let old = self.tokens[usize::from(self.own)].0.clone();
                self.mint("").await;
                self.revoke(&old).await;
            }
            Deed::Revoke => self.revoke(&self.tokens[usize::from(self.own)].0.clone()).await,
            Deed::Narrow(without) => self.mint(without).await,
            Deed::DeleteSecret(which) => self.delete_secret(which).await,
            Deed::Restart => self.restart(false).await,
            Deed::Copy => self.copy = self.backend.kept(),
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
        let token = json!({"namespace": SECRETS[0].0, "name": SECRETS[0].1, "key": "token"});
        let body = json!({"apiVersion": GROUP, "kind": "LoopbackBackend", "metadata": {"name": "default"},
            "spec": {"tokenSecretRef": token, "grants": grants}});
        self.kube("POST", &format!("/apis/{GROUP}/loopbackbackends"), &body).await;
    }

    /// What a binding leads to cannot be changed while it is there.
    async fn bind(&mut self, own: bool) {
        let mut spec = json!({"organization": "acme", "project": "shop"});
        if own {
            spec["url"] = json!("http://127.0.0.1:8480");
            spec["tokenSecretRef"] = json!({"name": SECRETS[1].1, "key": "token"});
        }
        let body = object("ProjectBinding", "default", spec);
        if self.kube("POST", &path("projectbindings", ""), &body).await.0 == 201 {
            self.own = own;
        }
    }

    async fn write_tokens(&self) {
        for ((namespace, name), (_, text)) in SECRETS.into_iter().zip(&self.tokens) {
            let data = json!({"token": data_encoding::BASE64.encode(text.as_bytes())});
            let body = json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": {"name": name}, "data": data});
            let at = format!("/api/v1/namespaces/{namespace}/secrets");
            // In a namespace that is being deleted there may be one that can be changed, but none can be made.
            if self.kube("PATCH", &format!("{at}/{name}"), &json!({"data": data})).await.0 == 404 {
                self.kube("POST", &at, &body).await;
            }
        }
    }

    async fn create(&self, wish: &Wish) {
        let Named { kind, plural, .. } = &KINDS[wish.kind];
        let made = || self.made.iter().rev().find(|(kind, _)| *kind == wish.kind).map(|(_, id)| id.as_str());
        let id = match wish.policy.import {
            None => None,
            Some(Import::Missing) => Some("missing-1"),
            Some(Import::Made | Import::FromCluster) => made().or(Some("missing-2")),
        };
        let mut spec = wish.spec(id);
        if let Some(fields) = spec.as_object_mut() {
            fields.retain(|_, value| !value.is_null());
        }
        self.kube("POST", &path(plural, ""), &object(kind, &wish.name, spec)).await;
    }

    async fn delete(&self, path: &str) {
        self.kube("DELETE", path, &Value::Null).await;
    }

    /// Somebody is tired of waiting.
    async fn force(&self, kind: &Named, name: &str) {
        let found = self.kube.api.objects(GROUP, kind.plural);
        let Some(resource) = found.iter().find(|one| one["metadata"]["name"] == *name) else { return };
        self.backend.watchman.forced(resource["metadata"]["uid"].as_str().unwrap_or_default());
        self.kube("PATCH", &path(kind.plural, name), &json!({"metadata": {"finalizers": null}})).await;
    }

    async fn make(&mut self, wish: &Wish, foreign: bool) {
        let kind = &KINDS[wish.kind];
        let mut body = json!({"intent": kinds::intent(kind, &wish.name, wish.variant)});
        if foreign {
            body["owner"] = json!({"cluster": OTHER, "kind": kind.kind, "namespace": NAMESPACE, "name": wish.name,
                "uid": format!("foreign-{}", self.made.len())});
        }
        let (_, answer) = self.wire("POST", &format!("/v3/projects/shop/{}", kind.collection), None, &body).await;
        self.made.extend(answer["id"].as_str().map(|id| (wish.kind, id.to_owned())));
    }

    async fn mint(&mut self, without: &'static str) {
        if self.backend.store().is_some() {
            self.tokens[usize::from(self.own)] = self.backend.token(without).await;
            self.backend.watchman.canary(&self.tokens[usize::from(self.own)].1);
            self.write_tokens().await;
        }
    }

    async fn revoke(&self, id: &str) {
        self.wire("DELETE", &format!("/v3/tokens/{id}"), None, &Value::Null).await;
    }

    /// Somebody with rights of their own changes one object, or deletes it.
    pub async fn drift(&self, which: u64, delete: bool) {
        let objects = self.backend.watchman.inventory();
        let Some((collection, object)) = objects.get(which as usize % objects.len().max(1)) else { return };
        let at = self.address(collection, &object.id, object.parent.as_deref());
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

    fn address(&self, collection: &str, id: &str, parent: Option<&str>) -> String {
        match (collection.split_once('/'), parent) {
            (Some(("monitoring", _)), _) | (None, _) | (_, None) => format!("/v3/projects/shop/{collection}/{id}"),
            (Some((above, child)), Some(under)) => format!("/v3/projects/shop/{above}/{under}/{child}/{id}"),
        }
    }

    async fn delete_secret(&self, which: u64) {
        let secrets = self.kube.api.objects("v1", "secrets");
        let minted: Vec<&Arc<Value>> = secrets.iter().filter(|one| one["metadata"]["namespace"] == NAMESPACE).collect();
        let Some(secret) = minted.get(which as usize % minted.len().max(1)) else { return };
        let name = secret["metadata"]["name"].as_str().unwrap_or_default();
        self.delete(&format!("/api/v1/namespaces/{NAMESPACE}/secrets/{name}")).await;
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
        if self.bereft {
            self.tokens = [self.backend.token("").await, self.backend.token("").await];
            self.tokens.iter().for_each(|(_, text)| self.backend.watchman.canary(text));
            self.write_tokens().await;
        }
        self.attend().await;
    }

    /// What takes a person while the world settles.
    pub async fn attend(&mut self) {
        let is_there = |plural: &str, group: &str, name: &str, live: bool| {
            let found = self.kube.api.objects(group, plural);
            found.iter().any(|one| {
                one["metadata"]["name"] == *name && (!live || one["metadata"]["deletionTimestamp"].is_null())
            })
        };
        let open = is_there("namespaces", "v1", NAMESPACE, true);
        if open && !is_there("projectbindings", GROUP, "default", false) {
            self.write_tokens().await;
            self.bind(self.own).await;
        }
        // Nobody else may say what becomes of what has lost its resource and is in the way.
        for (collection, object) in self.backend.watchman.in_the_way() {
            let at = self.address(&collection, &object.id, object.parent.as_deref());
            self.wire("DELETE", &at, Some(&format!("\"{}\"", object.etag)), &Value::Null).await;
        }
    }

    /// Everything is deleted, one way or the other.
    pub async fn leave(&mut self, by_namespace: bool) {
        if by_namespace {
            return self.act(Deed::DeleteNamespace).await;
        }
        for (kind, resource) in self.backend.watchman.resources() {
            let name = resource["metadata"]["name"].as_str().unwrap_or_default();
            self.delete(&path(kind.plural, name)).await;
        }
    }

    /// Buckets that are not empty are given up with all that they hold.
    pub async fn purge(&self) {
        for bucket in self.kube.api.objects(GROUP, "objectbuckets") {
            if is(&bucket, "Stalled", Some("NotEmpty")) && bucket["spec"]["deletionPolicy"] != "Purge" {
                let name = bucket["metadata"]["name"].as_str().unwrap_or_default();
                let body = json!({"spec": {"deletionPolicy": "Purge"}});
                self.kube("PATCH", &path("objectbuckets", name), &body).await;
            }
        }
    }

    async fn kube(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let media = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let (code, answer) = ask(&*self.kube, USER, method, path, &[("content-type", media)], body).await;
        if (200..300).contains(&code) {
            self.backend.watchman.wrote(&answer);
        }
        (code, answer)
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
