//! The wire API: one generic router over the registry of collections.

mod answer;
mod call;
mod caller;
pub mod collections;
mod domains;
mod endpoint;
mod known;
mod objects;
mod openapi;
mod paging;
mod projects;
mod routes;
mod secrets;
mod server;
mod shape;
mod tenants;
#[cfg(test)]
mod tests;
mod tokens;

use std::sync::Arc;

use axum::{Router, response::IntoResponse};
use serde_json::Value;
use tower_http::catch_panic::CatchPanicLayer;

use self::collections::Registry;
pub use self::{known::KnownTokens, server::serve};
use super::store::Store;
use crate::{
    protocol::{Code, Problem},
    runtime::{Drain, World},
};

/// What the API works on. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// Clock and ids.
    pub world: World,
    /// What there is.
    pub collections: Arc<Registry>,
    /// Ends the feeds.
    pub drain: Drain,
    /// Who called lately.
    pub tokens: KnownTokens,
}

/// The API as a service.
pub fn router(api: Api) -> Router {
    let document = Arc::default();
    let mut router = Router::new();
    for endpoint in routes::endpoints(&api.collections) {
        router = endpoint.mount(router, &document);
    }
    router
        .fallback(|| async { Problem::not_found("this path") })
        .method_not_allowed_fallback(|| async {
            Problem::new(Code::MethodNotAllowed, "the path exists, but not with this method")
        })
        .layer(CatchPanicLayer::custom(|_| {
            Problem::new(Code::Internal, "a defect; the backend's log says more").into_response()
        }))
        .with_state(api)
}

/// The OpenAPI 3.1 document of the API.
#[must_use]
pub fn document(collections: &Registry) -> Value {
    openapi::document(&routes::endpoints(collections))
}
