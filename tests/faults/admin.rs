//! The wire API as its administrator: what happens behind the operator's back, and what the witnesses ask.

use std::{
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::rig::{DOMAIN, PATIENCE, until};

/// The organization of all tests.
pub const ORGANIZATION: &str = "acme";

/// A backend's administrator.
#[derive(Clone)]
pub struct Admin {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Admin {
    /// Waits for a backend, which writes its administrator's token at its first start.
    pub async fn of(url: String, token: &Path) -> Self {
        until("the backend has an administrator's token", async || token.exists()).await;
        let token = std::fs::read_to_string(token).expect("a token").trim().to_owned();
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let admin = Self { http, url, token };
        admin.wait().await;
        for path in ["".to_owned(), format!("/domains/{DOMAIN}")] {
            admin
                .ask(Method::PUT, &format!("/v3/organizations/{ORGANIZATION}{path}"), Some(json!({})))
                .await
                .expect("a tenant");
        }
        admin
    }

    /// Waits until the backend answers.
    pub async fn wait(&self) {
        let end = Instant::now() + PATIENCE;
        let url = format!("{}/readyz", self.url);
        while !self.http.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
            assert!(Instant::now() < end, "the backend does not become ready");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What a program shows to scrapers.
    pub async fn scrape(&self, program: SocketAddr) -> reqwest::Result<String> {
        self.http.get(format!("http://{program}/metrics")).send().await?.text().await
    }

    /// A request, with the administrator's token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url)).bearer_auth(&self.token)
    }

    /// A call that should succeed.
    pub async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, String> {
        self.change(method, path, None, body).await
    }

    /// A call that should succeed, of an object at an etag.
    pub async fn change(
        &self,
        method: Method,
        path: &str,
        etag: Option<&str>,
        body: Option<Value>,
    ) -> Result<Value, String> {
        let mut request = self.request(method, path);
        if let Some(etag) = etag {
            request = request.header("if-match", format!("\"{etag}\""));
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.map_err(|error| format!("{path}: {error}"))?;
        let (status, text) = (answer.status(), answer.text().await.map_err(|error| error.to_string())?);
        match status.is_success() {
            true => Ok(serde_json::from_str(&text).unwrap_or(Value::Null)),
            false => Err(format!("{path}: {status}: {text}")),
        }
    }

    /// Makes a project.
    pub async fn project(&self, name: &str) -> Result<(), String> {
        self.ask(Method::PUT, &format!("/v3/organizations/{ORGANIZATION}/projects/{name}"), Some(json!({})))
            .await
            .map(drop)
    }

    /// Mints a token with these permissions in one project; id and token.
    pub async fn token(&self, project: &str, permissions: &[String]) -> Result<(String, String), String> {
        let rule =
            |permission: &String| json!({"permission": permission, "organization": ORGANIZATION, "project": project});
        let rules: Vec<Value> = permissions.iter().map(rule).collect();
        let body = json!({"description": "faults", "rules": rules});
        let minted = self.ask(Method::POST, "/v3/tokens", Some(body)).await?;
        let text = |field: &str| minted[field].as_str().unwrap_or_default().to_owned();
        Ok((text("id"), text("secret")))
    }
}
