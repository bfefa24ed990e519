//! `token`: mint, list and revoke tokens of a backend.

use std::{path::PathBuf, str::FromStr};

use clap::Subcommand;
use reqwest::{Method, RequestBuilder};
use serde::de::DeserializeOwned;
use url::Url;

use super::Failure;
use crate::protocol::{
    MintedToken, NewToken, Page, Problem, Rule, TokenView,
    client::{self, CALL_TIMEOUT},
};

/// Manages the tokens of a backend.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The backend's API.
    #[arg(long, env = "LOOPBACK_URL", default_value = "http://127.0.0.1:8480", global = true)]
    url: Url,
    /// File with a token that may manage tokens.
    #[arg(long, env = "LOOPBACK_ADMIN_TOKEN_FILE", default_value = ".loopback/backend/admin-token", global = true)]
    admin_token_file: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Make a token and print it; it cannot be shown again.
    Mint {
        /// What it is for.
        #[arg(long)]
        description: String,
        /// What it may do: KEY:VERB@ORGANIZATION/PROJECT; without /PROJECT in all projects, without @ everywhere.
        #[arg(long = "rule", required = true)]
        rules: Vec<RuleText>,
    },
    /// List tokens, without their secrets.
    List,
    /// Revoke a token for good.
    Revoke {
        /// Id of the token.
        id: String,
    },
}

/// A rule as it is written on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct RuleText(Rule);

impl FromStr for RuleText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (permission, place) = match text.split_once('@') {
            Some((permission, place)) => (permission, Some(place)),
            None => (text, None),
        };
        let (organization, project) = match place.map(|place| place.split_once('/').ok_or(place)) {
            None => (None, None),
            Some(Ok((organization, project))) => (Some(organization), Some(project)),
            Some(Err(organization)) => (Some(organization), None),
        };
        if organization == Some("") || project == Some("") {
            return Err(format!("{text:?}: after @ comes ORGANIZATION or ORGANIZATION/PROJECT"));
        }
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let permission = permission.parse()?;
        Ok(Self(Rule { permission, organization: owned(organization), project: owned(project) }))
    }
}

impl From<&RuleText> for String {
    fn from(RuleText(rule): &RuleText) -> Self {
        match (&rule.organization, &rule.project) {
            (Some(organization), Some(project)) => format!("{}@{organization}/{project}", rule.permission),
            (Some(organization), None) => format!("{}@{organization}", rule.permission),
            _ => rule.permission.to_string(),
        }
    }
}

/// Does what was asked for and prints it.
///
/// # Errors
/// When the file cannot be read, or the backend does not answer or refuses.
pub async fn run(args: Args) -> Result<(), Failure> {
    let backend = Backend::of(&args)?;
    match args.command {
        Command::Mint { description, rules } => {
            let new = NewToken { description, rules: rules.into_iter().map(|RuleText(rule)| rule).collect() };
            let minted: MintedToken =
                backend.call(backend.request(Method::POST, &["v3", "tokens"])?.json(&new)).await?;
            println!("{}", minted.secret);
        }
        Command::List => list(&backend).await?,
        Command::Revoke { id } => {
            let revoked: TokenView = backend.call(backend.request(Method::DELETE, &["v3", "tokens", &id])?).await?;
            println!("{} revoked", revoked.id);
        }
    }
    Ok(())
}

async fn list(backend: &Backend) -> Result<(), Failure> {
    let mut next = None;
    loop {
        let page: Page<TokenView> = backend.call(backend.page(next.as_deref())?).await?;
        for token in page.items {
            let rules: Vec<String> = token.rules.iter().map(|rule| String::from(&RuleText(rule.clone()))).collect();
            println!("{}\t{}\t{}", token.id, token.description, rules.join(" "));
        }
        next = match page.next {
            Some(next) => Some(next),
            None => return Ok(()),
        };
    }
}

struct Backend {
    http: reqwest::Client,
    url: Url,
    token: String,
}

impl Backend {
    fn of(args: &Args) -> Result<Self, Failure> {
        let file = &args.admin_token_file;
        let token = std::fs::read_to_string(file)
            .map_err(|problem| Failure::new(format!("--admin-token-file {}: {problem}", file.display())))?;
        let http = client::http().build().map_err(|problem| Failure::new(problem.to_string()))?;
        Ok(Self { http, url: args.url.clone(), token: token.trim().to_owned() })
    }

    fn page(&self, cursor: Option<&str>) -> Result<RequestBuilder, Failure> {
        let Some(cursor) = cursor else { return self.request(Method::GET, &["v3", "tokens"]) };
        let mut url = self.at(&["v3", "tokens"])?;
        url.query_pairs_mut().append_pair("page", cursor);
        Ok(self.to(Method::GET, url))
    }

    fn request(&self, method: Method, path: &[&str]) -> Result<RequestBuilder, Failure> {
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

    async fn call<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Failure> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_round_trip() {
        for text in ["platform.token:create", "project.load_balancer:read@acme", "project.load_balancer:read@acme/shop"]
        {
            assert_eq!(String::from(&text.parse::<RuleText>().unwrap()), text);
        }
        for bad in ["", "x", "x:read@", "x:read@/p", "x:read@o/", "x:write@o/p"] {
            assert!(bad.parse::<RuleText>().is_err(), "{bad}");
        }
    }
}
