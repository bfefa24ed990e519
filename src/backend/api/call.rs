//! One call: who, where, what.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::{FromRequestParts, Path, Request},
};
use futures::StreamExt;
use http::{HeaderMap, header, request::Parts};
use serde::de::DeserializeOwned;
use url::form_urlencoded;

use super::{Api, caller::Caller, shape};
use crate::{
    backend::records::IfMatch,
    protocol::{Code, Problem},
};

/// Largest body, in bytes.
const BODY_LIMIT: usize = 1 << 20;
/// Longest time that a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(30);
/// Longest name in a path or text in a query, in bytes.
const TEXT_LIMIT: usize = 1024;

/// One call of a known token.
pub(super) struct Call {
    pub(super) api: Api,
    pub(super) caller: Caller,
    path: BTreeMap<String, String>,
    query: BTreeMap<String, String>,
    headers: HeaderMap,
    body: Bytes,
}

impl Call {
    /// Reads a request. The token comes first: who is unknown learns nothing and sends nothing.
    pub(super) async fn read(api: Api, request: Request, queries: &[&str]) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let caller = Caller::of(&api, &parts.headers).await?;
        let path = path(&mut parts).await?;
        let query = query(parts.uri.query().unwrap_or_default(), queries)?;
        let body = tokio::time::timeout(BODY_TIME, read_body(body)).await.map_err(|_| {
            Problem::new(Code::BadRequest, format!("the body took longer than {} s", BODY_TIME.as_secs()))
        })??;
        Ok(Self { api, caller, path, query, headers: parts.headers, body })
    }

    /// A name in the path; empty when the route has none.
    pub(super) fn path(&self, name: &str) -> &str {
        self.path.get(name).map_or("", String::as_str)
    }

    /// A text of the query.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    /// The body.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        shape::json(&self.body)
    }

    /// The precondition, which the call needs.
    pub(super) fn if_match(&self) -> Result<IfMatch, Problem> {
        let mut values = self.headers.get_all(header::IF_MATCH).iter();
        let value = values.next().ok_or_else(|| {
            Problem::new(Code::PreconditionRequired, "send If-Match with the etag of the object that you saw")
        })?;
        match (value.to_str(), values.next()) {
            (Ok(text), None) => IfMatch::parse(text),
            _ => Err(Problem::new(Code::BadRequest, "If-Match cannot be read")),
        }
    }
}

async fn path(parts: &mut Parts) -> Result<BTreeMap<String, String>, Problem> {
    let wrong = |detail: &str| Problem::new(Code::BadRequest, format!("the path cannot be read: {detail}"));
    let Path(path) = Path::<BTreeMap<String, String>>::from_request_parts(parts, &())
        .await
        .map_err(|rejection| wrong(&rejection.body_text()))?;
    path.values().try_for_each(|text| plain(text).map_err(wrong))?;
    Ok(path)
}

fn query(text: &str, known: &[&str]) -> Result<BTreeMap<String, String>, Problem> {
    let mut query = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(text.as_bytes()) {
        let wrong =
            |detail: &str| Problem::new(Code::BadRequest, format!("query parameter {:?}: {detail}", cut(&name)));
        if !known.contains(&name.as_ref()) {
            return Err(wrong("not known here"));
        }
        plain(&value).map_err(wrong)?;
        if query.insert(name.clone().into_owned(), value.into_owned()).is_some() {
            return Err(wrong("given twice"));
        }
    }
    Ok(query)
}

/// Keys of the store are made of such texts: no NUL may get in.
fn plain(text: &str) -> Result<(), &'static str> {
    if text.len() > TEXT_LIMIT {
        return Err("a part is too long");
    }
    if text.chars().any(char::is_control) { Err("a part has control characters") } else { Ok(()) }
}

fn cut(text: &str) -> String {
    text.chars().take(64).collect()
}

async fn read_body(body: Body) -> Result<Bytes, Problem> {
    let mut read = Vec::new();
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Problem::new(Code::BadRequest, "the body broke off"))?;
        if read.len() + chunk.len() > BODY_LIMIT {
            return Err(Problem::new(Code::TooLarge, format!("the body has more than {BODY_LIMIT} bytes")));
        }
        read.extend_from_slice(&chunk);
    }
    Ok(read.into())
}
