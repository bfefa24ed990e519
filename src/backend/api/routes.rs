//! The table of all endpoints.

use std::{
    future::Future,
    sync::{Arc, OnceLock},
};

use http::Method;
use schemars::{SchemaGenerator, json_schema};
use serde_json::Value;

use super::{
    Api,
    answer::Answer,
    call::Call,
    collections::{Collection, Fact, Registry, Schemas},
    domains,
    endpoint::{Endpoint, Handler, SchemaOf, Serve, handler, schema},
    objects, projects, secrets, tenants, tokens,
};
use crate::{
    backend::store::{self, BoxFuture},
    protocol::{
        Claim, Delivered, DeliveryRef, Domain, Frame, MintedToken, NewToken, Organization, Owner, Page, Problem,
        Project, ProjectView, Retired, TokenView,
    },
};

const PAGING: &[&str] = &["limit", "page"];
const FILTERS: &[&str] = &["limit", "page", "owner.cluster", "owner.uid", "name"];

/// All endpoints, in the order of the documentation.
pub(super) fn endpoints(registry: &Registry) -> Vec<Endpoint> {
    let mut endpoints = of_platform();
    endpoints.extend(of_tenants());
    endpoints.extend(of_domains());
    endpoints.extend(of_projects());
    endpoints.extend(registry.facts.iter().map(of_fact));
    for collection in &registry.collections {
        endpoints.extend(of_collection(collection));
        endpoints.extend(of_secrets(collection).into_iter().flatten());
        endpoints.extend(of_meter(collection));
        endpoints.extend(of_v2(collection).into_iter().flatten());
    }
    endpoints
}

fn of_platform() -> Vec<Endpoint> {
    vec![
        open("/healthz", "alive", "Whether the process answers", |_, _| Box::pin(async { Answer::ok(&"ok") })),
        open("/readyz", "ready", "Whether calls can be served", |api, _| Box::pin(ready(api))),
        open("/openapi.json", "openapi", "This document", |api, document| {
            Box::pin(async move { Answer::ok(document.get_or_init(|| super::document(&api.collections))) })
        }),
        Endpoint::known::<MintedToken>(
            Method::POST,
            "/v3/tokens",
            "mintToken",
            "Make a token; the only time its secret is shown",
            handler(tokens::mint),
        )
        .body(schema::<NewToken>())
        .answers(201, schema::<MintedToken>()),
        Endpoint::known::<Page<TokenView>>(
            Method::GET,
            "/v3/tokens",
            "listTokens",
            "All tokens, without their secrets",
            handler(tokens::list),
        )
        .queries(PAGING),
        Endpoint::known::<TokenView>(
            Method::DELETE,
            "/v3/tokens/{id}",
            "revokeToken",
            "Revoke a token for good",
            handler(tokens::revoke),
        ),
    ]
}

type Open = fn(Api, Arc<OnceLock<Value>>) -> BoxFuture<'static, Result<Answer, Problem>>;

fn open(path: &str, name: &str, summary: &'static str, serve: Open) -> Endpoint {
    let unused = handler(|_| async { Answer::ok(&()) });
    let endpoint = Endpoint::known::<Value>(Method::GET, path, name, summary, unused);
    Endpoint { serve: Serve::Open(serve), ..endpoint }
}

/// A write that writes nothing asks reader and writer.
async fn ready(api: Api) -> Result<Answer, Problem> {
    store::write(&*api.store, false, |_| Ok(())).await?;
    Answer::ok(&"ok")
}

fn of_tenants() -> Vec<Endpoint> {
    const ORGANIZATION: &str = "/v3/organizations/{o}";
    const PROJECT: &str = "/v3/organizations/{o}/projects/{p}";
    let organizations = handler(tenants::list_organizations);
    let all = "Organizations that the token may read";
    vec![
        Endpoint::known::<Page<Organization>>(
            Method::GET,
            "/v3/organizations",
            "listOrganizations",
            all,
            organizations,
        )
        .queries(PAGING),
        Endpoint::known::<Organization>(
            Method::PUT,
            ORGANIZATION,
            "ensureOrganization",
            "Make an organization, unless it exists",
            handler(tenants::put_organization),
        ),
        Endpoint::known::<Organization>(
            Method::GET,
            ORGANIZATION,
            "getOrganization",
            "One organization",
            handler(tenants::get_organization),
        ),
        Endpoint::known::<Page<Project>>(
            Method::GET,
            "/v3/organizations/{o}/projects",
            "listProjects",
            "Projects that the token may read",
            handler(tenants::list_projects),
        )
        .queries(PAGING),
        Endpoint::known::<Project>(
            Method::PUT,
            PROJECT,
            "ensureProject",
            "Make a project, unless it exists",
            handler(tenants::put_project),
        ),
        Endpoint::known::<Project>(Method::GET, PROJECT, "getProject", "One project", handler(tenants::get_project)),
    ]
}

fn of_domains() -> [Endpoint; 4] {
    const DOMAIN: &str = "/v3/organizations/{o}/domains/{domain}";
    [
        Endpoint::known::<Page<Domain>>(
            Method::GET,
            "/v3/organizations/{o}/domains",
            "listDomains",
            "Domains that the organization owns",
            handler(domains::list),
        )
        .queries(PAGING),
        Endpoint::known::<Domain>(
            Method::PUT,
            DOMAIN,
            "ensureDomain",
            "Give the organization a domain, with all names below it, unless it has it",
            handler(domains::put),
        ),
        Endpoint::known::<Domain>(Method::GET, DOMAIN, "getDomain", "One domain", handler(domains::get)),
        Endpoint::known::<Domain>(
            Method::DELETE,
            DOMAIN,
            "removeDomain",
            "Take a domain from the organization; what was made below it stays until it is changed",
            handler(domains::delete),
        ),
    ]
}

fn of_fact(fact: &Arc<Fact>) -> Endpoint {
    let told = Arc::clone(fact);
    let tell = handler(move |_| {
        let answer = Answer::ok(&(told.content)());
        async { answer }
    });
    Endpoint::known::<Value>(Method::GET, fact.path, fact.name, fact.summary, tell)
}

/// Routes of the secrets that a collection's objects have.
fn of_secrets(collection: &Arc<Collection>) -> Option<[Endpoint; 3]> {
    let one = collection.mints.then(|| format!("{}/{{id}}", collection.route()))?;
    let name = |verb: &str| operation(collection, verb);
    let object = part(collection, |schemas| schemas.object);
    let change = |path: String, name: String, summary: &'static str, handler: Handler| {
        let endpoint = Endpoint::known::<Value>(Method::POST, &path, &name, summary, handler);
        endpoint.body(schema::<DeliveryRef>()).answers(200, Arc::clone(&object))
    };
    Some([
        Endpoint::known::<Delivered>(
            Method::GET,
            &format!("{one}/secret"),
            &name("fetchSecret"),
            "The minted secret, until it is acknowledged",
            on(collection, secrets::fetch),
        ),
        change(
            format!("{one}/secret/acknowledge"),
            name("acknowledgeSecret"),
            "The secret is safe with its holder and cannot be fetched any more",
            on(collection, secrets::acknowledge),
        ),
        change(
            format!("{one}/reissue"),
            name("reissueSecret"),
            "Revoke the secret and mint another",
            on(collection, secrets::reissue),
        ),
    ])
}

/// The route of what is counted about a collection's objects, all of a project in one answer.
fn of_meter(collection: &Arc<Collection>) -> Option<Endpoint> {
    let schema = collection.meter.as_ref()?.schema;
    let path = format!("/v3/projects/{{p}}/{}/usage", collection.path);
    let serve = on(collection, objects::usage);
    let endpoint =
        Endpoint::known::<Value>(Method::GET, &path, &operation(collection, "usage"), "How full each object is", serve);
    Some(endpoint.answers(200, Arc::new(schema)))
}

/// The older routes of a collection: the same objects, but lists hide those that are superseded.
fn of_v2(collection: &Arc<Collection>) -> Option<[Endpoint; 4]> {
    let all = collection.v2.then(|| format!("/v2/projects/{{p}}/{}", collection.path))?;
    let one = format!("{all}/{{id}}");
    let name = |verb: &str| format!("v2.{}", operation(collection, verb));
    let object = part(collection, |schemas| schemas.object);
    let endpoint = |method: Method, path: &str, name: String, summary: &'static str, handler: Handler| {
        Endpoint::known::<Value>(method, path, &name, summary, handler).answers(200, Arc::clone(&object))
    };
    let list = on(collection, objects::list_present);
    Some([
        endpoint(Method::GET, &all, name("list"), "Objects, by id, of each name only the newest", list)
            .queries(FILTERS)
            .answers(200, part(collection, |schemas| schemas.page)),
        endpoint(Method::POST, &all, name("create"), "As in v3", on(collection, objects::create))
            .body(create_schema(part(collection, |schemas| schemas.intent)))
            .answers(201, Arc::clone(&object)),
        endpoint(Method::GET, &one, name("get"), "As in v3", on(collection, objects::get)),
        endpoint(Method::DELETE, &one, name("delete"), "As in v3", on(collection, objects::delete)).if_match(),
    ])
}

/// Name of an operation on a collection.
fn operation(collection: &Collection, verb: &str) -> String {
    format!("{}.{verb}", collection.path.replace('/', "."))
}

fn of_projects() -> Vec<Endpoint> {
    vec![
        Endpoint::known::<ProjectView>(
            Method::GET,
            "/v3/projects/{p}",
            "viewProject",
            "The project, and what the token may do in it",
            handler(projects::view),
        ),
        Endpoint::known::<Frame>(
            Method::GET,
            "/v3/projects/{p}/changes",
            "followProject",
            "All changes of the project that the token may read, as lines of JSON; with `after` from that cursor on",
            handler(projects::changes),
        )
        .queries(&["after"]),
        Endpoint::known::<Retired>(
            Method::DELETE,
            "/v3/projects/{p}/owners/{cluster}/{uid}",
            "retireOwner",
            "Retire an owner for good and delete its object. Needs delete in the object's collection, or in any collection \
             while there is no object",
            handler(projects::retire),
        )
        .queries(&["purge"]),
    ]
}

fn of_collection(collection: &Arc<Collection>) -> Vec<Endpoint> {
    let all = collection.route();
    let (one, owner) = (format!("{all}/{{id}}"), format!("{all}/{{id}}/owner"));
    let name = |verb: &str| operation(collection, verb);
    let object = part(collection, |schemas| schemas.object);
    let page = part(collection, |schemas| schemas.page);
    let intent = part(collection, |schemas| schemas.intent);
    let get = |path: &str, name: String, summary: &'static str, handler: Handler| {
        Endpoint::known::<Value>(Method::GET, path, &name, summary, handler)
    };
    let change = |method: Method, path: &str, name: String, summary: &'static str, handler: Handler| {
        Endpoint::known::<Value>(method, path, &name, summary, handler).answers(200, Arc::clone(&object))
    };
    vec![
        get(&all, name("list"), "Objects, by id", on(collection, objects::list)).queries(FILTERS).answers(200, page),
        change(Method::POST, &all, name("create"), "Create an object", on(collection, objects::create))
            .body(create_schema(intent))
            .answers(201, Arc::clone(&object)),
        get(&one, name("get"), "One object", on(collection, objects::get)).answers(200, Arc::clone(&object)),
        change(
            Method::PATCH,
            &one,
            name("patch"),
            "Merge patch (RFC 7396) of the intent",
            on(collection, objects::patch),
        )
        .if_match()
        .body(Arc::new(|_| json_schema!({"type": "object"}))),
        change(
            Method::DELETE,
            &one,
            name("delete"),
            "Delete; answers with phase Deleting",
            on(collection, objects::delete),
        )
        .if_match(),
        change(Method::PUT, &owner, name("claim"), "Compare-and-set of the owner", on(collection, objects::claim))
            .body(schema::<Claim>()),
    ]
}

fn on<F>(collection: &Arc<Collection>, serve: fn(Call, Arc<Collection>) -> F) -> Handler
where
    F: Future<Output = Result<Answer, Problem>> + Send + 'static,
{
    let collection = Arc::clone(collection);
    handler(move |call| serve(call, Arc::clone(&collection)))
}

fn part(collection: &Collection, which: fn(Schemas) -> schemars::Schema) -> SchemaOf {
    let schemas = collection.schemas;
    Arc::new(move |generator| which(schemas(generator)))
}

/// [`crate::protocol::Create`], with the service's intent in it.
fn create_schema(intent: SchemaOf) -> SchemaOf {
    Arc::new(move |generator: &mut SchemaGenerator| {
        let (intent, owner) = (intent(generator), generator.subschema_for::<Owner>());
        json_schema!({
            "type": "object",
            "properties": {"intent": intent, "owner": owner, "parent": {"type": "string"}},
            "required": ["intent"],
            "additionalProperties": false,
        })
    })
}
