//! The one client of the wire API.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use reqwest::{Method, RequestBuilder, Response, header};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use url::Url;

use super::{Claim, Code, Create, Cursor, Frame, Owner, Page, Problem, ProjectView, RawObject, RetireOptions, Retired};

/// How long one call may take, connecting included.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the feed may be silent: the backend sends a line at least every 10 s.
pub const FEED_SILENCE: Duration = Duration::from_secs(25);
/// Idle connections are given up before the backend does it, or a call could meet a connection that is just being closed.
const IDLE: Duration = Duration::from_secs(20);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest answer to a call, in bytes; what is larger is not from a backend of ours.
const ANSWER_LIMIT: usize = 8 << 20;
/// Largest line of the feed, in bytes.
const LINE_LIMIT: usize = 4 << 20;

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

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Why a call has no good answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CallError {
    /// The backend refused; nothing was done.
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

/// One project of a backend, as one token sees it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    project: Url,
    token: Token,
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
    pub fn new(http: reqwest::Client, base: &Url, project: &str, token: Token) -> Result<Self, BadAddress> {
        if !matches!(base.scheme(), "http" | "https") {
            return Err(BadAddress(format!("{base} is no http or https URL")));
        }
        let project = joined(base, &["v3", "projects", project])?;
        Ok(Self { http, project, token })
    }

    /// The project and what the token may do in it.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn view(&self) -> Result<ProjectView, CallError> {
        read(self.request(Method::GET, &[])?).await
    }

    /// One object. `None` when it does not exist.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn get(&self, collection: &str, id: &str) -> Result<Option<RawObject>, CallError> {
        match read(self.request(Method::GET, &[collection, id])?).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.code() == Some(Code::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The object of an owner, wherever the mirror stands.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn owned_by(&self, collection: &str, owner: &Owner) -> Result<Option<RawObject>, CallError> {
        let query = [("owner.cluster", owner.cluster.as_str()), ("owner.uid", &owner.uid)];
        let page: Page<RawObject> = read(self.query(Method::GET, &[collection], &query)?).await?;
        Ok(page.items.into_iter().next())
    }

    /// Creates an object.
    ///
    /// # Errors
    /// See [`CallError`]; [`Code::Exists`] with the id when the owner has one, [`Code::OwnerRetired`] when it never may again.
    pub async fn create(&self, collection: &str, create: &Create) -> Result<RawObject, CallError> {
        read(self.request(Method::POST, &[collection])?.json(create)).await
    }

    /// Changes an intent by a merge patch (RFC 7396), if it is still at `etag`.
    ///
    /// # Errors
    /// See [`CallError`]; [`Code::Stale`] when it is not.
    pub async fn patch(&self, collection: &str, id: &str, etag: &str, patch: &Value) -> Result<RawObject, CallError> {
        let request = self.request(Method::PATCH, &[collection, id])?.header(header::IF_MATCH, quoted(etag));
        read(body(request, "application/merge-patch+json", patch)?).await
    }

    /// Sets the owner of an object if it is the one that the caller saw.
    ///
    /// # Errors
    /// See [`CallError`]; [`Code::Owned`] with the holder when it is not.
    pub async fn claim(&self, collection: &str, id: &str, claim: &Claim) -> Result<RawObject, CallError> {
        read(self.request(Method::PUT, &[collection, id, "owner"])?.json(claim)).await
    }

    /// Retires an owner for good and deletes its object. May be repeated.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn retire(&self, owner: &Owner, options: &RetireOptions) -> Result<Retired, CallError> {
        let query: &[(&str, &str)] = if options.purge { &[("purge", "true")] } else { &[] };
        read(self.query(Method::DELETE, &["owners", &owner.cluster, &owner.uid], query)?).await
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
        let answer = tokio::time::timeout(CALL_TIMEOUT, send(request)).await.map_err(|_| silent("the feed"))??;
        Ok(lines(answer))
    }

    fn request(&self, method: Method, path: &[&str]) -> Result<RequestBuilder, CallError> {
        self.query(method, path, &[])
    }

    fn query(&self, method: Method, path: &[&str], query: &[(&str, &str)]) -> Result<RequestBuilder, CallError> {
        let mut url = joined(&self.project, path).map_err(|error| CallError::Unreachable(error.to_string()))?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(self.http.request(method, url).bearer_auth(&self.token.0))
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

fn body(request: RequestBuilder, media: &str, value: &impl Serialize) -> Result<RequestBuilder, CallError> {
    let bytes = serde_json::to_vec(value).map_err(|error| CallError::Unreachable(error.to_string()))?;
    Ok(request.header(header::CONTENT_TYPE, media).body(bytes))
}

async fn read<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, CallError> {
    tokio::time::timeout(CALL_TIMEOUT, async {
        let bytes = whole(send(request).await?).await?;
        serde_json::from_slice(&bytes)
            .map_err(|error| CallError::Doubtful(format!("not the JSON that was expected: {error}")))
    })
    .await
    .map_err(|_| silent("the call"))?
}

fn silent(what: &str) -> CallError {
    CallError::Doubtful(format!("{what} was not answered within {} s", CALL_TIMEOUT.as_secs()))
}

/// Sends, and turns what is not a success into an error.
async fn send(request: RequestBuilder) -> Result<Response, CallError> {
    let answer = request.send().await.map_err(transport)?;
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let retry_after = retry_after(&answer);
    let bytes = whole(answer).await?;
    match serde_json::from_slice::<Problem>(&bytes) {
        // The backend gave up on it, but may have done it: a call that took too long answers so, too.
        Ok(problem) if problem.code == Code::Internal => Err(CallError::Doubtful(problem.to_string())),
        Ok(problem) => {
            let retry_after = problem.retry_after.or(retry_after);
            Err(CallError::Refused(Box::new(Problem { retry_after, ..problem })))
        }
        // Somebody between us and the backend answered. Only what says "later" is safe to understand.
        Err(_) if status.as_u16() == 429 || status.as_u16() == 503 => {
            let code = if status.as_u16() == 429 { Code::Throttled } else { Code::Unavailable };
            let problem = Problem { retry_after, ..Problem::new(code, format!("HTTP {status}")) };
            Err(CallError::Refused(Box::new(problem)))
        }
        Err(_) => Err(CallError::Doubtful(format!("HTTP {status} without problem details"))),
    }
}

fn retry_after(answer: &Response) -> Option<u64> {
    answer.headers().get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()
}

/// Errors of the HTTP client without the URL, whose query or path might one day hold what should not be printed.
fn transport(error: reqwest::Error) -> CallError {
    let connecting = error.is_connect() || error.is_builder();
    let text = chain(&error.without_url());
    if connecting { CallError::Unreachable(text) } else { CallError::Doubtful(text) }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

async fn whole(mut answer: Response) -> Result<Vec<u8>, CallError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(broken)? {
        if bytes.len() + chunk.len() > ANSWER_LIMIT {
            return Err(CallError::Doubtful(format!("the answer is larger than {ANSWER_LIMIT} bytes")));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn broken(error: reqwest::Error) -> CallError {
    CallError::Doubtful(chain(&error.without_url()))
}

/// Cuts the feed into frames.
fn lines(answer: Response) -> impl Stream<Item = Result<Frame, CallError>> + Send {
    let state = Some((answer, Lines::default()));
    stream::unfold(state, |state| async move {
        let (mut answer, mut lines) = state?;
        match next_frame(&mut answer, &mut lines).await {
            Ok(Some(frame)) => Some((Ok(frame), Some((answer, lines)))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    })
    .boxed()
}

async fn next_frame(answer: &mut Response, lines: &mut Lines) -> Result<Option<Frame>, CallError> {
    loop {
        if let Some(line) = lines.take()? {
            return serde_json::from_slice(&line)
                .map(Some)
                .map_err(|error| CallError::Doubtful(format!("a line of the feed cannot be read: {error}")));
        }
        let chunk = tokio::time::timeout(FEED_SILENCE, answer.chunk())
            .await
            .map_err(|_| CallError::Doubtful(format!("the feed was silent for {} s", FEED_SILENCE.as_secs())))?;
        match chunk.map_err(broken)? {
            Some(chunk) => lines.push(&chunk),
            None => return Ok(None),
        }
    }
}

/// Bytes of the feed that are not a whole line yet.
#[derive(Default)]
struct Lines {
    buffer: bytes::BytesMut,
    searched: usize,
}

impl Lines {
    fn push(&mut self, chunk: &Bytes) {
        self.buffer.extend_from_slice(chunk);
    }

    fn take(&mut self) -> Result<Option<Bytes>, CallError> {
        let found = self.buffer[self.searched..].iter().position(|b| *b == b'\n');
        match found {
            Some(at) => {
                let line = self.buffer.split_to(self.searched + at + 1).freeze();
                self.searched = 0;
                Ok(Some(line))
            }
            None if self.buffer.len() > LINE_LIMIT => {
                Err(CallError::Doubtful(format!("a line of the feed is longer than {LINE_LIMIT} bytes")))
            }
            None => {
                self.searched = self.buffer.len();
                Ok(None)
            }
        }
    }
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

    #[test]
    fn lines_are_cut_wherever_chunks_end() {
        let mut lines = Lines::default();
        lines.push(&Bytes::from_static(b"ab"));
        assert!(lines.take().unwrap().is_none());
        lines.push(&Bytes::from_static(b"c\nd\ne"));
        assert_eq!(lines.take().unwrap().unwrap(), "abc\n");
        assert_eq!(lines.take().unwrap().unwrap(), "d\n");
        assert!(lines.take().unwrap().is_none());
        lines.push(&Bytes::from(vec![b'x'; LINE_LIMIT]));
        assert!(lines.take().is_err());
    }
}
