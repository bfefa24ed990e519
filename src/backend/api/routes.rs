//! The table of all endpoints.

use std::{future::Future, sync::Arc};

use http::Method;
use schemars::{SchemaGenerator, json_schema};
use serde_json::Value;

use super::{
    Api,
    answer::Answer,
    call::Call,
    collections::{Collection, Registry, Schemas},
    endpoint::{Endpoint, Handler, SchemaOf, Serve, handler, schema},
    objects, projects, tenants, tokens,
};
use crate::{
    backend::store::{self, BoxFuture},
    protocol::{
        Claim, Frame, MintedToken, NewToken, Organization, Owner, Page, Problem, Project, ProjectView, Retired,
        TokenView,
    },
};

const PAGING: &[&str] = &["limit", "page"];
const FILTERS: &[&str] = &["limit", "page", "owner.cluster", "owner.uid", "name"];

/// All endpoints, in the order of the documentation.
pub(super) fn endpoints(registry: &Registry) -> Vec<Endpoint> {
    let mut endpoints = of_platform();
    endpoints.extend(of_tenants());
    endpoints.extend(of_projects());
    endpoints.extend(registry.collections.iter().flat_map(of_collection));
    endpoints
}

fn of_platform() -> Vec<Endpoint> {
    vec![
        open("/healthz", "alive", "Whether the process answers", |_, _| Box::pin(async { Answer::ok(&"ok") })),
        open("/readyz", "ready", "Whether calls can be served", |api, _| Box::pin(ready(api))),
        open("/openapi.json", "openapi", "This document", |_, document| {
            Box::pin(async move { Answer::ok(&*document) })
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

type Open = fn(Api, Arc<Value>) -> BoxFuture<'static, Result<Answer, Problem>>;

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
    let name = |verb: &str| format!("{}.{verb}", collection.path.replace('/', "."));
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
