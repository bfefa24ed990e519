//! The wire API as its administrator, for what happens behind the operator's back.

use std::{net::SocketAddr, path::Path};

use loopback_operator::{
    operator::kinds,
    protocol::{Organization, Page, RawObject},
};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use super::until;

/// The organization of all tests.
pub const ORGANIZATION: &str = "acme";

/// A domain that it owns.
pub const DOMAIN: &str = "example.test";

/// A backend, as its administrator.
#[derive(Clone)]
pub struct Wire {
    api: SocketAddr,
    token: String,
}

impl Wire {
    /// Waits for the backend, which writes its administrator's token at its first start.
    pub async fn admin(api: SocketAddr, token: &Path) -> Self {
        until("the backend has an administrator's token", async || token.exists()).await;
        let token = std::fs::read_to_string(token).expect("a token").trim().to_owned();
        let wire = Self { api, token };
        wire.wait().await;
        wire.put(&format!("/v3/organizations/{ORGANIZATION}"), json!({})).await;
        wire.put(&format!("/v3/organizations/{ORGANIZATION}/domains/{DOMAIN}"), json!({})).await;
        wire
    }

    /// Where the API listens.
    pub fn address(&self) -> SocketAddr {
        self.api
    }

    /// The API's address.
    pub fn url(&self) -> String {
        format!("http://{}", self.api)
    }

    /// Waits until it answers.
    pub async fn wait(&self) {
        until("the backend answers", async || {
            let answer = reqwest::get(format!("{}/readyz", self.url())).await;
            answer.is_ok_and(|answer| answer.status() == StatusCode::OK)
        })
        .await;
    }

    /// A request that can be sent.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        client.request(method, format!("{}{path}", self.url())).bearer_auth(&self.token)
    }

    /// One request.
    pub async fn send(&self, method: Method, path: &str, if_match: Option<&str>, body: Option<Value>) -> Response {
        let mut request = self.request(method, path);
        if let Some(etag) = if_match {
            request = request.header("if-match", format!("\"{etag}\""));
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        request.send().await.expect("the backend answers")
    }

    /// A request that must succeed, and its answer.
    pub async fn ask(&self, method: Method, path: &str, if_match: Option<&str>, body: Option<Value>) -> Value {
        let answer = self.send(method, path, if_match, body).await;
        let (status, body) = (answer.status(), answer.text().await.expect("a body"));
        assert!(status.is_success(), "{path}: {status}: {body}");
        serde_json::from_str(&body).unwrap_or(Value::Null)
    }

    /// PUT.
    pub async fn put(&self, path: &str, body: Value) -> Value {
        self.ask(Method::PUT, path, None, Some(body)).await
    }

    /// Makes a project of the tests' organization.
    pub async fn project(&self, name: &str) {
        self.put(&format!("/v3/organizations/{ORGANIZATION}/projects/{name}"), json!({})).await;
        let organization: Organization = serde_json::from_value(
            self.ask(Method::GET, &format!("/v3/organizations/{ORGANIZATION}"), None, None).await,
        )
        .expect("an organization");
        assert_eq!(organization.name, ORGANIZATION);
    }

    /// Mints a token with these permissions in one project; id and secret.
    pub async fn token(&self, project: &str, permissions: &[String]) -> (String, String) {
        let rules: Vec<Value> = permissions
            .iter()
            .map(|permission| json!({"permission": permission, "organization": ORGANIZATION, "project": project}))
            .collect();
        let minted =
            self.ask(Method::POST, "/v3/tokens", None, Some(json!({"description": "suite", "rules": rules}))).await;
        (minted["id"].as_str().expect("an id").to_owned(), minted["secret"].as_str().expect("a secret").to_owned())
    }

    /// All objects of a collection.
    pub async fn list(&self, project: &str, collection: &str) -> Vec<RawObject> {
        let Some((above, _)) = nested(collection) else { return self.page(project, collection).await };
        let mut objects = Vec::new();
        for parent in self.page(project, above).await {
            objects.extend(self.page(project, &below(collection, Some(&parent.id))).await);
        }
        objects
    }

    /// All objects at a path; none when a parent in the path is not there any more.
    async fn page(&self, project: &str, path: &str) -> Vec<RawObject> {
        let answer = self.send(Method::GET, &format!("/v3/projects/{project}/{path}?limit=500"), None, None).await;
        let (status, body) = (answer.status(), answer.text().await.expect("a body"));
        if status == StatusCode::NOT_FOUND {
            return Vec::new();
        }
        assert!(status.is_success(), "{path}: {status}: {body}");
        serde_json::from_str::<Page<RawObject>>(&body).expect("a page").items
    }

    /// One object.
    pub async fn get(&self, project: &str, collection: &str, id: &str) -> RawObject {
        let object = self.ask(Method::GET, &format!("/v3/projects/{project}/{collection}/{id}"), None, None).await;
        serde_json::from_value(object).expect("an object")
    }

    /// Creates an object.
    pub async fn create(&self, project: &str, collection: &str, owner: Option<Value>, intent: Value) -> RawObject {
        let path = format!("/v3/projects/{project}/{collection}");
        let body = owner.map_or(json!({"intent": intent}), |owner| json!({"intent": intent, "owner": owner}));
        serde_json::from_value(self.ask(Method::POST, &path, None, Some(body)).await).expect("an object")
    }

    /// Changes an object, whoever owns it.
    pub async fn patch(&self, project: &str, collection: &str, object: &RawObject, patch: Value) -> RawObject {
        let path = path_of(project, collection, object);
        let answer = self.ask(Method::PATCH, &path, Some(&object.etag), Some(patch)).await;
        serde_json::from_value(answer).expect("an object")
    }

    /// Deletes an object, whoever owns it.
    pub async fn delete(&self, project: &str, collection: &str, object: &RawObject) {
        self.ask(Method::DELETE, &path_of(project, collection, object), Some(&object.etag), None).await;
    }
}

/// Collection of the parents, and the own part of a collection whose routes name the parent.
fn nested(collection: &str) -> Option<(&str, &str)> {
    let split = collection.rsplit_once('/')?;
    kinds::all().iter().any(|kind| kind.collection == split.0).then_some(split)
}

/// The route of a collection below a parent.
pub fn below(collection: &str, parent: Option<&str>) -> String {
    match (nested(collection), parent) {
        (Some((above, part)), Some(parent)) => format!("{above}/{parent}/{part}"),
        _ => collection.to_owned(),
    }
}

/// Path of an object.
pub fn path_of(project: &str, collection: &str, object: &RawObject) -> String {
    format!("/v3/projects/{project}/{}/{}", below(collection, object.parent.as_deref()), object.id)
}
