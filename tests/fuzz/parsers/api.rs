//! Requests to the wire API, each to a backend of its own that holds one object of each collection.

use std::{collections::BTreeMap, sync::Arc};

use axum::body::Body;
use http::{HeaderMap, Request, Response, header};
use loopback_operator::{
    backend::{
        api::{
            self, Api, KnownTokens,
            collections::{Collection, Registry},
        },
        dns, domains, load_balancing, monitoring, object_storage,
        store::{Kept, MemoryStore, Store, write},
        tenants,
    },
    protocol::{Problem, RawObject, Rule, TokenView},
    rules::outbound::Outbound,
    runtime::{Drain, World},
};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::replaced;
use crate::engine::Fuzz;

/// Longest problem, in bytes: what was sent is not sent back.
const PROBLEM: usize = 16 << 10;

/// Objects that are there: what stands for their id in a case, their collection, their parent, their intent.
const PRESENT: [(&str, &str, Option<&str>, &str); 7] = [
    (
        "{lb}",
        "load-balancers",
        None,
        r#"{"name":"web","services":{"http":{"port":80}},"targets":{"a":{"address":"198.41.0.4","port":80}}}"#,
    ),
    ("{bucket}", "object-stores", None, r#"{"bucketName":"first-bucket"}"#),
    ("{credential}", "object-stores/{bucket}/credentials", None, r#"{"name":"app","access":"ReadOnly"}"#),
    ("{zone}", "dns-zones", None, r#"{"name":"zone","domain":"example.dev","patterns":["*.example.dev"]}"#),
    ("{record}", "dns-zones/{zone}/records", None, r#"{"name":"www.example.dev","type":"A","values":["192.0.2.1"]}"#),
    (
        "{object}",
        "monitoring/objects",
        None,
        r#"{"name":"shop","type":"TCP","tcp":{"host":"shop.example.dev","port":443},"interval":"30s","timeout":"5s"}"#,
    ),
    (
        "{condition}",
        "monitoring/conditions",
        Some("{object}"),
        r#"{"name":"slow","parameter":"timing.total","operator":"GreaterThan","threshold":"1s"}"#,
    ),
];

const WORDS: &[&str] = &[
    "GET ",
    "POST ",
    "PUT ",
    "PATCH ",
    "DELETE ",
    "HEAD ",
    "/v3/projects/shop/",
    "/v2/projects/shop/",
    "/owners/c1/u1",
    "/changes?after=",
    "?limit=",
    "&page=",
    "?name=",
    "owner.cluster=",
    "owner.uid=",
    "purge=true",
    "/secret",
    "/secret/acknowledge",
    "/reissue",
    "/owner",
    "if-match: *\n",
    "if-match: \"x\"\n",
    "authorization: Bearer x\n",
    "content-type: text/plain\n",
    "\n\n",
    "%2f",
    "%00",
    "%",
    "..",
    "//",
    "{lb}",
    "{bucket}",
    "{credential}",
    "{zone}",
    "{record}",
    "{object}",
    "{condition}",
    "{\"intent\":{",
    "\"owner\":{",
    "\"parent\":",
    "null",
    "\"\"",
    "[]",
    "1e400",
    "\"192.0.2.1\"",
    "\"::1\"",
    "65535",
    "\"1h\"",
    "\"*.example.dev\"",
    "\"type\":\"TXT\"",
    "\"values\":[",
];

fn collections(world: &World) -> Vec<Collection> {
    let balancing = load_balancing::LoadBalancingChecks::new(load_balancing::POOL, load_balancing::IPV6);
    let owner_of: dns::OwnerOf =
        |view, name| Ok(domains::owner_of_domain(view, name)?.map(|domain| domain.organization));
    let storage = object_storage::collections(
        object_storage::Providers::default(),
        world.clone(),
        object_storage::Meter::default(),
    );
    load_balancing::collections(Arc::new(balancing))
        .into_iter()
        .chain(storage)
        .chain(dns::collections(owner_of))
        .chain(monitoring::collections(Outbound::default()))
        .collect()
}

/// What every input begins with.
struct Stage {
    world: World,
    kept: Kept,
    token: String,
    /// What stands for what in cases.
    names: BTreeMap<&'static str, String>,
}

impl Stage {
    async fn new() -> Self {
        let mut stage =
            Self { world: World::seeded(5), kept: Kept::default(), token: String::new(), names: BTreeMap::new() };
        let store = Arc::new(MemoryStore::open(Kept::default(), &stage.world).unwrap());
        stage.seed(&*store).await;
        for (stands_for, collection, parent, intent) in PRESENT {
            let mut body = json!({"intent": serde_json::from_str::<Value>(intent).unwrap()});
            if let Some(parent) = parent {
                body["parent"] = stage.names[parent].clone().into();
            }
            let case = format!("POST /v3/projects/shop/{collection}\n\n{body}");
            let request = stage.request(case.as_bytes()).unwrap();
            let (status, _, body) = stage.send(store.clone(), request).await;
            let object: RawObject =
                serde_json::from_slice(&body).unwrap_or_else(|_| panic!("{status} {}", String::from_utf8_lossy(&body)));
            stage.names.insert(stands_for, object.id);
        }
        stage.kept = store.kept();
        stage
    }

    async fn seed(&mut self, store: &dyn Store) {
        let registry = Registry::new(collections(&self.world));
        let rule = |permission| Rule { permission, organization: None, project: None };
        let rules = registry.permissions().into_iter().map(rule).collect();
        let view = TokenView { id: self.world.id("tk"), description: "all".into(), rules };
        let (text, stored) = tenants::new_token(view, self.world.secret());
        self.token = text;
        write(store, true, move |tx| {
            tenants::ensure_organization(tx, "org-1", "acme")?;
            domains::ensure(tx, "dom-1", "acme", "example.dev")?;
            tenants::ensure_project(tx, "prj-1", "acme", "shop")?;
            Ok(tenants::put_token(tx, &stored)?)
        })
        .await
        .unwrap();
    }

    /// A request line, headers, an empty line and a body.
    fn request(&self, case: &[u8]) -> Option<Request<Body>> {
        let case = self.names.iter().fold(case.to_vec(), |case, (name, id)| replaced(&case, name.as_bytes(), id));
        let end = case.windows(2).position(|two| two == b"\n\n")?;
        let mut lines = case[..end].split(|byte| *byte == b'\n');
        let line = lines.next()?;
        let space = line.iter().position(|byte| *byte == b' ')?;
        let mut request = Request::builder().method(&line[..space]).uri(&line[space + 1..]);
        let mut known = false;
        for header in lines {
            let at = header.iter().position(|byte| *byte == b':')?;
            known |= header[..at].eq_ignore_ascii_case(b"authorization");
            request = request.header(&header[..at], header[at + 1..].trim_ascii());
        }
        if !known {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", self.token));
        }
        request.body(Body::from(case[end + 2..].to_vec())).ok()
    }

    async fn send(&self, store: Arc<MemoryStore>, request: Request<Body>) -> (u16, HeaderMap, Vec<u8>) {
        let collections = Arc::new(Registry::new(collections(&self.world)));
        let api =
            Api { store, world: self.world.clone(), collections, drain: Drain::new(), tokens: KnownTokens::default() };
        let answer: Response<Body> = api::router(api).oneshot(request).await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        if headers.get(header::CONTENT_TYPE).is_some_and(|media| media == "application/x-ndjson") {
            return (status, headers, Vec::new());
        }
        let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap().to_vec();
        (status, headers, body)
    }

    /// One input, and what must hold after it.
    async fn run(&self, input: &[u8]) -> String {
        let Some(request) = self.request(input) else { return "no request".into() };
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let store = Arc::new(MemoryStore::open(self.kept.clone(), &self.world).unwrap());
        let (status, headers, body) = self.send(store.clone(), request).await;
        assert!(status < 500, "{status} {}", String::from_utf8_lossy(&body));
        let kind = path.split('/').filter(|part| !part.is_empty()).nth(3).unwrap_or_default().to_owned();
        if status >= 400 {
            return format!("{method} {}", refused(status, &headers, &body, &method));
        }
        if let Ok(object) = serde_json::from_slice::<RawObject>(&body) {
            self.same_again(store, &path, &object).await;
        }
        let known = ["load-balancers", "object-stores", "object-stores", "dns-zones", "monitoring"];
        format!("{method} {status} {}", if known.contains(&&*kind) { &*kind } else { "" })
    }

    /// What was taken is taken again, and is then no other.
    async fn same_again(&self, store: Arc<MemoryStore>, path: &str, object: &RawObject) {
        let place = match path.split_once(&format!("/{}", object.id)) {
            Some((above, _)) => format!("{above}/{}", object.id),
            None => format!("{}/{}", path.trim_end_matches('/'), object.id),
        };
        let get = format!("GET {place}\n\n");
        let (status, _, body) = self.send(store.clone(), self.request(get.as_bytes()).unwrap()).await;
        if status == 404 {
            return;
        }
        let found: RawObject = serde_json::from_slice(&body).unwrap();
        assert_eq!((&found.intent, &found.etag), (&object.intent, &object.etag));
        if found.phase != loopback_operator::protocol::Phase::Live || path.starts_with("/v2/") {
            return;
        }
        let patch = format!("PATCH {place}\nif-match: \"{}\"\n\n{}", found.etag, found.intent);
        let (status, _, body) = self.send(store, self.request(patch.as_bytes()).unwrap()).await;
        assert_eq!(status, 200, "{} {}", found.intent, String::from_utf8_lossy(&body));
        let after: RawObject = serde_json::from_slice(&body).unwrap();
        assert_eq!((after.intent, after.etag, after.revision), (found.intent, found.etag, found.revision));
    }
}

fn refused(status: u16, headers: &HeaderMap, body: &[u8], method: &http::Method) -> String {
    assert_eq!(headers[header::CONTENT_TYPE], "application/problem+json");
    if method == http::Method::HEAD {
        return status.to_string();
    }
    assert!(body.len() <= PROBLEM, "a problem of {} bytes", body.len());
    let problem: Problem = serde_json::from_slice(body).unwrap();
    assert_eq!((problem.status, problem.code.status()), (status, status));
    assert!(!problem.detail.is_empty());
    let field: String = problem.field.unwrap_or_default().chars().filter(char::is_ascii_alphabetic).take(12).collect();
    format!("{} {field}", problem.code)
}

#[test]
fn api() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stage = runtime.block_on(Stage::new());
    let fuzz = Fuzz { name: "api", words: WORDS, inputs: 1_500, memory: 24 << 20 };
    fuzz.run(|input| runtime.block_on(stage.run(input)));
}
