//! Calls of administrators: what `token` and `domain` have in common.

use std::path::PathBuf;

use reqwest::{Method, RequestBuilder};
use serde::de::DeserializeOwned;
use url::Url;

use super::Failure;
use crate::protocol::{
    Page, Problem,
    client::{self, CALL_TIMEOUT},
};

/// Which backend, and who calls.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Access {
    /// The backend's API.
    #[arg(long, env = "LOOPBACK_URL", default_value = "http://127.0.0.1:8480", global = true)]
    url: Url,
    /// File with a token that may do it.
    #[arg(long, env = "LOOPBACK_ADMIN_TOKEN_FILE", default_value = ".loopback/backend/admin-token", global = true)]
    admin_token_file: PathBuf,
}

/// A backend that administrators call.
pub(super) struct Backend {
    http: reqwest::Client,
    url: Url,
    token: String,
}

impl Backend {
    pub(super) fn of(args: &Access) -> Result<Self, Failure> {
        let file = &args.admin_token_file;
        let token = std::fs::read_to_string(file)
            .map_err(|problem| Failure::new(format!("--admin-token-file {}: {problem}", file.display())))?;
        let http = client::http().build().map_err(|problem| Failure::new(problem.to_string()))?;
        Ok(Self { http, url: args.url.clone(), token: token.trim().to_owned() })
    }

    /// Hands each item of a list to `show`.
    pub(super) async fn each<T: DeserializeOwned>(&self, path: &[&str], show: impl Fn(T)) -> Result<(), Failure> {
        let mut cursor: Option<String> = None;
        loop {
            let mut url = self.at(path)?;
            if let Some(cursor) = &cursor {
                url.query_pairs_mut().append_pair("page", cursor);
            }
            let page: Page<T> = self.call(self.to(Method::GET, url)).await?;
            page.items.into_iter().for_each(&show);
            cursor = match page.next {
                Some(next) => Some(next),
                None => return Ok(()),
            };
        }
    }

    pub(super) fn request(&self, method: Method, path: &[&str]) -> Result<RequestBuilder, Failure> {
        Ok(self.to(method, self.at(path)?))
    }

    fn to(&self, method: Method, url: Url) -> RequestBuilder {
        self.http.request(method, url).bearer_auth(&self.token).timeout(CALL_TIMEOUT)
    }

    fn at(&self, path: &[&str]) -> Result<Url, Failure> {
        let mut url = self.url.clone();
        let no_base = |()| Failure::new(format!("--url {}: not a URL that paths can be added to", self.url));
        url.path_segments_mut().map_err(no_base)?.pop_if_empty().extend(path);
        Ok(url)
    }

    pub(super) async fn call<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Failure> {
        let unreachable = |problem: reqwest::Error| Failure::new(format!("--url {}: {problem}", self.url));
        let answer = request.send().await.map_err(unreachable)?;
        let (status, body) = (answer.status(), answer.bytes().await.map_err(unreachable)?);
        if !status.is_success() {
            return Err(match serde_json::from_slice::<Problem>(&body) {
                Ok(problem) => Failure::new(problem.to_string()),
                Err(_) => Failure::new(format!("--url {}: HTTP {status}", self.url)),
            });
        }
        serde_json::from_slice(&body).map_err(|problem| Failure::new(format!("--url {}: {problem}", self.url)))
    }
}
