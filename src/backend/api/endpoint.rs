//! One endpoint: what routes it, serves it and documents it.

use std::{
    future::Future,
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::{MethodFilter, on},
};
use http::Method;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::Value;

use super::{Api, answer::Answer, call::Call};
use crate::{
    backend::store::BoxFuture,
    protocol::{Code, Problem},
};

/// Longest time until an answer begins.
const ANSWER_TIME: Duration = Duration::from_secs(30);

/// Serves a call of a known token.
pub(super) type Handler = Arc<dyn Fn(Call) -> BoxFuture<'static, Result<Answer, Problem>> + Send + Sync>;
/// Serves anyone. The API's own description is made when it is first asked for.
pub(super) type OpenHandler = fn(Api, Arc<OnceLock<Value>>) -> BoxFuture<'static, Result<Answer, Problem>>;
/// Makes a schema, as a reference into the generator's definitions.
pub(super) type SchemaOf = Arc<dyn Fn(&mut SchemaGenerator) -> Schema + Send + Sync>;

pub(super) enum Serve {
    Known(Handler),
    Open(OpenHandler),
}

pub(super) struct Endpoint {
    pub(super) method: Method,
    pub(super) path: String,
    /// Name of the operation, unique.
    pub(super) name: String,
    /// What it does, for a person.
    pub(super) summary: &'static str,
    pub(super) queries: &'static [&'static str],
    pub(super) if_match: bool,
    pub(super) body: Option<SchemaOf>,
    /// Status of a good answer and what is in it.
    pub(super) good: (u16, Option<SchemaOf>),
    pub(super) serve: Serve,
}

impl Endpoint {
    /// An endpoint for known tokens that answers 200 with a `T`.
    pub(super) fn known<T: JsonSchema>(
        method: Method,
        path: &str,
        name: &str,
        summary: &'static str,
        handler: Handler,
    ) -> Self {
        Self {
            method,
            path: path.to_owned(),
            name: name.to_owned(),
            summary,
            queries: &[],
            if_match: false,
            body: None,
            good: (200, Some(schema::<T>())),
            serve: Serve::Known(handler),
        }
    }

    pub(super) fn queries(self, queries: &'static [&'static str]) -> Self {
        Self { queries, ..self }
    }

    pub(super) fn if_match(self) -> Self {
        Self { if_match: true, ..self }
    }

    pub(super) fn body(self, body: SchemaOf) -> Self {
        Self { body: Some(body), ..self }
    }

    pub(super) fn answers(self, status: u16, schema: SchemaOf) -> Self {
        Self { good: (status, Some(schema)), ..self }
    }

    /// Adds the endpoint to a router.
    pub(super) fn mount(self, router: Router<Api>, document: &Arc<OnceLock<Value>>) -> Router<Api> {
        let Ok(filter) = MethodFilter::try_from(self.method) else { return router };
        let queries = self.queries;
        match self.serve {
            Serve::Known(handler) => {
                let serve = move |State(api): State<Api>, request: Request| async move {
                    in_time(async { handler(Call::read(api, request, queries).await?).await }).await
                };
                router.route(&self.path, on(filter, serve))
            }
            Serve::Open(handler) => {
                let document = Arc::clone(document);
                let serve = move |State(api): State<Api>| in_time(handler(api, document));
                router.route(&self.path, on(filter, serve))
            }
        }
    }
}

/// A late answer is one of doubt: what was asked for may have been done.
async fn in_time(answer: impl Future<Output = Result<Answer, Problem>>) -> Response {
    match tokio::time::timeout(ANSWER_TIME, answer).await {
        Ok(answer) => answer.into_response(),
        Err(_) => {
            let detail = format!("no answer within {} s; it may or may not have been done", ANSWER_TIME.as_secs());
            Problem::new(Code::Internal, detail).into_response()
        }
    }
}

/// A handler from a function.
pub(super) fn handler<F>(serve: impl Fn(Call) -> F + Send + Sync + 'static) -> Handler
where
    F: Future<Output = Result<Answer, Problem>> + Send + 'static,
{
    Arc::new(move |call| Box::pin(serve(call)))
}

/// The schema of a type.
pub(super) fn schema<T: JsonSchema>() -> SchemaOf {
    Arc::new(|generator| generator.subschema_for::<T>())
}
