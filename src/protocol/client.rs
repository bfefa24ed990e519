//! The one client of the wire API.

mod route;
mod transport;

use std::{fmt, sync::Arc, time::Duration};

use futures::{Stream, future::BoxFuture};
use reqwest::{
    Method, Request, Response,
    header::{self, HeaderName, HeaderValue},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use url::Url;

pub use self::route::Route;
use self::transport::{lines, read, send, silent, transport};
use super::{
    Claim, Code, Create, Cursor, Delivered, DeliveryRef, Frame, Owner, Page, Problem, ProjectView, RawObject,
    RetireOptions, Retired,
};

/// How long one call may take, connecting included.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the feed may be silent: the backend sends a line at least every 10 s.
pub const FEED_SILENCE: Duration = Duration::from_secs(25);
/// Idle connections are given up before the backend does it, or a call could meet a connection that is just being closed.
const IDLE: Duration = Duration::from_secs(20);
const JSON: &str = "application/json";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A bearer token. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Arc<str>);

impl Token {
    /// The token in `text`, without the white space around it. `None` when it is empty or cannot stand in a header.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let fits = !text.is_empty() && text.len() <= 4096 && text.bytes().all(|b| b.is_ascii_graphic());
        fits.then(|| Self(text.into()))
    }

    /// Gives the token's bytes to a hash, so that tokens can be told apart without being kept.
    pub fn hash_into(&self, hash: &mut dyn FnMut(&[u8])) {
        hash(self.0.as_bytes());
    }
}

impl Token {
    /// What was received, without the token where somebody quotes it back. `None`: it is not in there.
    fn struck_from(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        // one that is shorter would be found in any text; what is no text may stand beside it
        if self.0.len() < 16 || !bytes.utf8_chunks().any(|chunk| chunk.valid().contains(&*self.0)) {
            return None;
        }
        let struck = |chunk: std::str::Utf8Chunk<'_>| {
            [chunk.valid().replace(&*self.0, "(token)").as_bytes(), chunk.invalid()].concat()
        };
        Some(bytes.utf8_chunks().flat_map(struck).collect())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Why a call has no good answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CallError {
    /// The backend refused; nothing was done, but for a retirement: see [`Client::retire`].
    #[error("{0}")]
    Refused(Box<Problem>),
    /// The request never reached the backend; nothing was done.
    #[error("the backend cannot be reached: {0}")]
    Unreachable(String),
    /// No answer, or one that cannot be understood: it may have been done. Read before you try again.
    #[error("no usable answer from the backend: {0}")]
    Doubtful(String),
}

impl CallError {
    /// The problem's code, when the backend sent one.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Refused(problem) => Some(problem.code),
            _ => None,
        }
    }
}

/// What carries requests to a backend: the network, or something in its place.
pub trait Exchange: Send + Sync + 'static {
    /// Sends one request; the answer may be of any status.
    fn send(&self, request: Request) -> BoxFuture<'static, Result<Response, CallError>>;
}

impl Exchange for reqwest::Client {
    fn send(&self, request: Request) -> BoxFuture<'static, Result<Response, CallError>> {
        let sent = self.execute(request);
        Box::pin(async move { sent.await.map_err(transport) })
    }
}

/// One project of a backend, as one token sees it. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    exchange: Arc<dyn Exchange>,
    project: Url,
    token: Token,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("project", &self.project.as_str()).finish_non_exhaustive()
    }
}

/// The address cannot be used as a backend's.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct BadAddress(String);

impl From<String> for BadAddress {
    fn from(message: String) -> Self {
        Self(message)
    }
}

/// A builder of HTTP clients as the wire API needs them: no redirects (a token is for one host), no proxy of the environment.
pub fn http() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .user_agent(concat!("loopback-operator/", env!("CARGO_PKG_VERSION")))
}

impl Client {
    /// A client of `project` at the backend `base`.
    ///
    /// # Errors
    /// When `base` is no `http` or `https` URL that paths can be added to.
    pub fn new(exchange: Arc<dyn Exchange>, base: &Url, project: &str, token: Token) -> Result<Self, BadAddress> {
        if !matches!(base.scheme(), "http" | "https") {
            return Err(BadAddress(format!("{base} is no http or https URL")));
        }
        let project = joined(base, &["v3", "projects", project])?;
        Ok(Self { exchange, project, token })
    }

    /// The project and what the token may do in it.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn view(&self) -> Result<ProjectView, CallError> {
        let view: ProjectView = self.read(self.request(Method::GET, &[])?).await?;
        match view.overlong() {
            None => Ok(view),
            Some(what) => Err(CallError::Doubtful(format!("the project has {what} that is too long to be one"))),
        }
    }

    /// One object. `None` when it does not exist.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn get<'a>(&self, at: impl Into<Route<'a>>, id: &'a str) -> Result<Option<RawObject>, CallError> {
        match self.read(self.request(Method::GET, &at.into().path(&[id]))?).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.code() == Some(Code::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The object of an owner, wherever the mirror stands.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn owned_by<'a>(&self, at: impl Into<Route<'a>>, owner: &Owner) -> Result<Option<RawObject>, CallError> {
        let query = [("owner.cluster", owner.cluster.as_str()), ("owner.uid", &owner.uid)];
        let page: Page<RawObject> = self.read(self.query(Method::GET, &at.into().path(&[]), &query)?).await?;
        Ok(page.items.into_iter().next())
    }

    /// Creates an object.
    ///
    /// # Errors
    /// See [`CallError`]; [`Code::Exists`] with the id when the owner has one, [`Code::OwnerRetired`] when it never may again.
    pub async fn create<'a>(&self, at: impl Into<Route<'a>>, create: &Create) -> Result<RawObject, CallError> {
        self.read(json(self.request(Method::POST, &at.into().path(&[]))?, JSON, create)?).await
    }

    /// Changes an intent by a merge patch (RFC 7396), if it is still at `etag`.
    ///
    /// # Errors
    /// See [`CallError`]; [`Code::Stale`] when it is not.
    pub async fn patch<'a>(
        &self,
        at: impl Into<Route<'a>>,
        id: &'a str,
        etag: &str,
        patch: &Value,
    ) -> Result<RawObject, CallError> {
        let request = self.request(Method::PATCH, &at.into().path(&[id]))?;
        let request = with(request, header::IF_MATCH, &quoted(etag))?;
        self.read(json(request, "application/merge-patch+json", patch)?).await
    }

    /// Deletes an object, if it is still at `etag`; the answer is the object on its way out. Its owner may have another.
    ///
    /// # Errors
    /// See [`CallError`]; [`Code::Stale`] when it is not.
    pub async fn delete<'a>(&self, at: impl Into<Route<'a>>, id: &'a str, etag: &str) -> Result<RawObject, CallError> {
        let request = self.request(Method::DELETE, &at.into().path(&[id]))?;
        self.read(with(request, header::IF_MATCH, &quoted(etag))?).await
    }

    /// Sets the owner of an object if it is the one that the caller saw.
    ///
    /// # Errors
    /// See [`CallError`]; [`Code::Owned`] with the holder when it is not.
    pub async fn claim<'a>(
        &self,
        at: impl Into<Route<'a>>,
        id: &'a str,
        claim: &Claim,
    ) -> Result<RawObject, CallError> {
        self.read(json(self.request(Method::PUT, &at.into().path(&[id, "owner"]))?, JSON, claim)?).await
    }

    /// The secret that was minted for an object and is not acknowledged yet. May be repeated.
    ///
    /// # Errors
    /// See [`CallError`]; [`Code::NotFound`] when no delivery is pending (any more).
    pub async fn fetch_secret<'a>(&self, at: impl Into<Route<'a>>, id: &'a str) -> Result<Delivered, CallError> {
        self.read(self.request(Method::GET, &at.into().path(&[id, "secret"]))?).await
    }

    /// Says that the secret is safe with its holder: it can never be fetched again. May be repeated.
    ///
    /// # Errors
    /// See [`CallError`]; [`Code::Stale`] when `delivery` is not the present one.
    pub async fn acknowledge<'a>(
        &self,
        at: impl Into<Route<'a>>,
        id: &'a str,
        delivery: &DeliveryRef,
    ) -> Result<RawObject, CallError> {
        self.read(json(self.request(Method::POST, &at.into().path(&[id, "secret", "acknowledge"]))?, JSON, delivery)?)
            .await
    }

    /// Revokes the present secret and mints another, whose delivery is then pending.
    ///
    /// # Errors
    /// See [`CallError`]; [`Code::Stale`] when `delivery` is not the present one, for instance because this call was done
    /// before and its answer was lost.
    pub async fn reissue<'a>(
        &self,
        at: impl Into<Route<'a>>,
        id: &'a str,
        delivery: &DeliveryRef,
    ) -> Result<RawObject, CallError> {
        self.read(json(self.request(Method::POST, &at.into().path(&[id, "reissue"]))?, JSON, delivery)?).await
    }

    /// Retires an owner for good and deletes its object. May be repeated.
    ///
    /// # Errors
    /// See [`CallError`]; [`Code::InUse`] while the object has children of the owner's namespace: the owner is retired all the
    /// same, and the object goes when the call is repeated after them.
    pub async fn retire(&self, owner: &Owner, options: &RetireOptions) -> Result<Retired, CallError> {
        let query: &[(&str, &str)] = if options.purge { &[("purge", "true")] } else { &[] };
        self.read(self.query(Method::DELETE, &["owners", &owner.cluster, &owner.uid], query)?).await
    }

    /// Follows the feed, from `after` or from a snapshot. The stream ends after an error or when the backend ends it.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn changes(
        &self,
        after: Option<&Cursor>,
    ) -> Result<impl Stream<Item = Result<Frame, CallError>> + Send + use<>, CallError> {
        let after = after.map(|cursor| ("after", cursor.0.as_str()));
        let request = self.query(Method::GET, &["changes"], after.as_slice())?;
        let answer = tokio::time::timeout(CALL_TIMEOUT, send(&*self.exchange, request, &self.token))
            .await
            .map_err(|_| silent("the feed"))??;
        Ok(lines(answer, self.token.clone()))
    }

    async fn read<T: DeserializeOwned>(&self, request: Request) -> Result<T, CallError> {
        read(&*self.exchange, request, &self.token).await
    }

    fn request(&self, method: Method, path: &[&str]) -> Result<Request, CallError> {
        self.query(method, path, &[])
    }

    fn query(&self, method: Method, path: &[&str], query: &[(&str, &str)]) -> Result<Request, CallError> {
        let mut url = joined(&self.project, path).map_err(|error| CallError::Unreachable(error.to_string()))?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        with(Request::new(method, url), header::AUTHORIZATION, &format!("Bearer {}", self.token.0))
    }
}

fn joined(base: &Url, path: &[&str]) -> Result<Url, BadAddress> {
    let mut url = base.clone();
    url.path_segments_mut()
        .map_err(|()| BadAddress(format!("{base} cannot be a base address")))?
        .pop_if_empty()
        .extend(path);
    Ok(url)
}

fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}

fn with(mut request: Request, name: HeaderName, value: &str) -> Result<Request, CallError> {
    let mut value = HeaderValue::from_str(value).map_err(|error| CallError::Unreachable(error.to_string()))?;
    value.set_sensitive(name == header::AUTHORIZATION);
    request.headers_mut().insert(name, value);
    Ok(request)
}

fn json(request: Request, media: &str, value: &impl Serialize) -> Result<Request, CallError> {
    let bytes = serde_json::to_vec(value).map_err(|error| CallError::Unreachable(error.to_string()))?;
    let mut request = with(request, header::CONTENT_TYPE, media)?;
    *request.body_mut() = Some(bytes.into());
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_not_printed_and_nonsense_is_none() {
        let token = Token::new(" lbt_a_b\n").unwrap();
        assert_eq!(format!("{token:?}"), "Token(..)");
        for bad in ["", "  ", "a b", "a\nb", "ä"] {
            assert!(Token::new(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn path_segments_cannot_escape_the_project() {
        let base = Url::parse("https://api.example.com/loopback/").unwrap();
        let url = joined(&base, &["v3", "projects", "a/../b"]).unwrap();
        assert_eq!(url.as_str(), "https://api.example.com/loopback/v3/projects/a%2F..%2Fb");
    }
}
