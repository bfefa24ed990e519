//! What a request asks for.

use std::borrow::Cow;

use http::{Method, request::Parts};
use serde_json::Value;

/// A request, read.
#[derive(Debug, Default)]
pub struct Call {
    pub verb: Verb,
    /// `v1` or `group/version`.
    pub api_version: String,
    pub plural: String,
    pub namespace: String,
    pub name: String,
    pub subresource: String,
    pub query: Query,
    /// Only metadata is asked for.
    pub partial: bool,
    /// Of the body.
    pub content: String,
    /// Who asks, by its own word.
    pub agent: String,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verb {
    #[default]
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Apply,
    Delete,
    DeleteCollection,
}

impl Verb {
    /// As the journal names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Apply => "apply",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }
}

/// Parameters.
#[derive(Debug, Default)]
pub struct Query {
    pub labels: String,
    pub fields: String,
    pub version: String,
    pub matching: String,
    pub limit: usize,
    pub from: String,
    pub bookmarks: bool,
    pub initial: bool,
    pub timeout: u64,
    pub manager: String,
    pub force: bool,
    pub propagation: String,
    watch: bool,
}

impl Query {
    fn read(text: &str) -> Self {
        let mut query = Self::default();
        for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
            let yes = || value == "true" || value == "1";
            let text = || Cow::into_owned(value.clone());
            match &*name {
                "labelSelector" => query.labels = text(),
                "fieldSelector" => query.fields = text(),
                "resourceVersion" => query.version = text(),
                "resourceVersionMatch" => query.matching = text(),
                "limit" => query.limit = value.parse().unwrap_or(0),
                "continue" => query.from = text(),
                "allowWatchBookmarks" => query.bookmarks = yes(),
                "sendInitialEvents" => query.initial = yes(),
                "timeoutSeconds" => query.timeout = value.parse().unwrap_or(0),
                "fieldManager" => query.manager = text(),
                "force" => query.force = yes(),
                "propagationPolicy" => query.propagation = text(),
                "watch" => query.watch = yes(),
                _ => {}
            }
        }
        query
    }
}

impl Call {
    /// Reads the head of a request; `None` for a path that leads nowhere.
    pub fn read(head: &Parts) -> Option<Self> {
        let path = head.uri.path().trim_matches('/');
        let mut parts = path.split('/').map(|part| part.to_owned());
        let api_version = match parts.next()?.as_str() {
            "api" => parts.next()?,
            "apis" => format!("{}/{}", parts.next()?, parts.next()?),
            _ => return None,
        };
        let mut call = Self { api_version, query: Query::read(head.uri.query().unwrap_or("")), ..Self::default() };
        let rest: Vec<String> = parts.collect();
        call.place(&rest)?;
        let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
        call.partial = header(http::header::ACCEPT).contains("as=PartialObjectMetadata");
        call.content = header(http::header::CONTENT_TYPE).split(';').next().unwrap_or("").to_owned();
        call.agent = header(http::header::USER_AGENT).split('/').next().unwrap_or("").to_owned();
        call.verb = call.verb(&head.method)?;
        Some(call)
    }

    fn place(&mut self, rest: &[String]) -> Option<()> {
        let rest = match rest {
            // A namespace and its own subresources, not what is in it.
            [first, _, third] if first == "namespaces" && (third == "status" || third == "finalize") => rest,
            [first, namespace, inside @ ..] if first == "namespaces" && !inside.is_empty() => {
                self.namespace.clone_from(namespace);
                inside
            }
            _ => rest,
        };
        let mut rest = rest.iter().cloned();
        self.plural = rest.next()?;
        self.name = rest.next().unwrap_or_default();
        self.subresource = rest.next().unwrap_or_default();
        rest.next().is_none().then_some(())
    }

    fn verb(&self, method: &Method) -> Option<Verb> {
        let one = !self.name.is_empty();
        Some(match *method {
            Method::GET if self.query.watch => Verb::Watch,
            Method::GET if one => Verb::Get,
            Method::GET => Verb::List,
            Method::POST => Verb::Create,
            Method::PUT => Verb::Update,
            Method::PATCH if self.content == "application/apply-patch+yaml" => Verb::Apply,
            Method::PATCH => Verb::Patch,
            Method::DELETE if one => Verb::Delete,
            Method::DELETE => Verb::DeleteCollection,
            _ => return None,
        })
    }

    /// Who writes, for `managedFields`.
    pub fn manager(&self) -> &str {
        match (self.query.manager.as_str(), self.agent.as_str()) {
            ("", "") => "unknown",
            ("", agent) => agent,
            (manager, _) => manager,
        }
    }

    /// How long a watch may last, in seconds.
    pub fn patience(&self) -> u64 {
        if self.query.timeout == 0 { 1_800 } else { self.query.timeout }
    }
}

/// A field of an object by a dotted path, as text.
pub fn text_at(value: &Value, path: &str) -> String {
    let pointer = format!("/{}", path.replace('.', "/"));
    match value.pointer(&pointer) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}
