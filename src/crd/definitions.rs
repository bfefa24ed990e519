//! The definitions as they are applied to a cluster.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;
use serde_json::json;

use super::{LoopbackBackend, ProjectBinding, ProjectLoadBalancer};

/// The definitions of all kinds, in the order in which they should be applied.
#[must_use]
pub fn all() -> Vec<CustomResourceDefinition> {
    let definitions = [LoopbackBackend::crd(), ProjectBinding::crd(), ProjectLoadBalancer::crd()];
    definitions.into_iter().map(finished).collect()
}

/// What the derive leaves open.
fn finished(mut definition: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut definition.spec.versions {
        if let Some(schema) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) {
            describe(schema);
            tidy(schema);
            default_status(schema);
        }
    }
    definition
}

/// Drops `nullable`, because absent has a meaning and null has none: a template that leaves a list empty must not be read
/// as "all". Joins the lines of each paragraph of a description, because `kubectl explain` breaks them anew.
fn tidy(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    if let Some(description) = &mut schema.description {
        let paragraphs: Vec<String> = description.split("\n\n").map(|text| text.replace('\n', " ")).collect();
        *description = paragraphs.join("\n\n");
    }
    schema.properties.iter_mut().flat_map(|properties| properties.values_mut()).for_each(tidy);
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => tidy(items),
        Some(JSONSchemaPropsOrArray::Schemas(items)) => items.iter_mut().for_each(tidy),
        None => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        tidy(values);
    }
}

/// The documentation of the spec type is that of the kind.
fn describe(schema: &mut JSONSchemaProps) {
    let Some(properties) = &mut schema.properties else { return };
    for (field, text) in [("spec", "What it shall be."), ("status", "What it is. The operator writes it.")] {
        let Some(property) = properties.get_mut(field) else { continue };
        let description = property.description.replace(text.to_owned());
        if field == "spec" {
            schema.description = description;
        }
    }
}

/// Whoever waits for an object must not take one for done that the operator has not seen yet.
fn default_status(schema: &mut JSONSchemaProps) {
    let status = schema.properties.as_mut().and_then(|properties| properties.get_mut("status"));
    if let Some(status) = status {
        status.default = Some(JSON(json!({
            "observedGeneration": -1,
            "conditions": [{
                "type": "Ready",
                "status": "Unknown",
                "reason": "Pending",
                "message": "Waiting for the operator",
                "lastTransitionTime": "1970-01-01T00:00:00Z",
            }],
        })));
    }
}
