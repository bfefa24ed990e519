//! OpenAPI 3.1, from the table of endpoints.

use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::endpoint::{Endpoint, Serve};
use crate::protocol::Problem;

/// The document.
pub(super) fn document(endpoints: &[Endpoint]) -> Value {
    // OpenAPI 3.1 uses JSON Schema 2020-12 as it is.
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    settings.meta_schema = None;
    let mut generator = settings.into_generator();
    let problem = generator.subschema_for::<Problem>();
    let mut paths = Map::new();
    for endpoint in endpoints {
        let operation = operation(endpoint, &mut generator, &problem.clone().to_value());
        let item = paths.entry(endpoint.path.clone()).or_insert_with(|| json!({}));
        if let Some(item) = item.as_object_mut() {
            item.insert(endpoint.method.as_str().to_ascii_lowercase(), operation);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Loopback", "version": env!("CARGO_PKG_VERSION")},
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    })
}

fn operation(endpoint: &Endpoint, generator: &mut SchemaGenerator, problem: &Value) -> Value {
    let (status, good) = &endpoint.good;
    let media = if endpoint.name == "followProject" { "application/x-ndjson" } else { "application/json" };
    let good = good.as_ref().map(|schema| json!({media: {"schema": schema(generator)}})).unwrap_or_default();
    let mut operation = json!({
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "parameters": parameters(endpoint),
        "responses": {
            status.to_string(): {"description": "Done", "content": good},
            "default": {
                "description": "Refused (RFC 9457)",
                "content": {"application/problem+json": {"schema": problem}},
            },
        },
        "security": match endpoint.serve {
            Serve::Known(_) => json!([{"token": []}]),
            Serve::Open(_) => json!([]),
        },
    });
    if let (Some(body), Some(fields)) = (&endpoint.body, operation.as_object_mut()) {
        let media =
            if endpoint.method == http::Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        let content = json!({media: {"schema": body(generator)}});
        fields.insert("requestBody".to_owned(), json!({"required": true, "content": content}));
    }
    operation
}

fn parameters(endpoint: &Endpoint) -> Vec<Value> {
    let text = json!({"type": "string"});
    let parameter = |place: &str, name: &str, required: bool| json!({"in": place, "name": name, "required": required, "schema": text});
    let path = endpoint.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut parameters: Vec<Value> = path.map(|name| parameter("path", name, true)).collect();
    parameters.extend(endpoint.queries.iter().map(|name| parameter("query", name, false)));
    if endpoint.if_match {
        parameters.push(parameter("header", "If-Match", true));
    }
    parameters
}
