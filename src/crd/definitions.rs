//! The definitions as they are applied to a cluster.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceColumnDefinition, CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray,
    JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;
use serde_json::json;

use super::{
    DnsRecord, LoopbackBackend, MonitoringCondition, MonitoringObject, ObjectBucket, ObjectBucketCredential,
    ProjectBinding, ProjectDnsZone, ProjectLoadBalancer,
};

/// The definitions of all kinds, in the order in which they should be applied.
#[must_use]
pub fn all() -> Vec<CustomResourceDefinition> {
    vec![
        finished(LoopbackBackend::crd(), &[("URL", "string", ".spec.url")], None),
        finished(
            ProjectBinding::crd(),
            &[("Organization", "string", ".spec.organization"), ("Project", "string", ".spec.project")],
            Some(".status.projectId"),
        ),
        finished(
            ProjectLoadBalancer::crd(),
            &[
                ("Address", "string", ".status.addresses[0].address"),
                ("Degraded", "string", ".status.conditions[?(@.type==\"Degraded\")].status"),
            ],
            Some(".status.id"),
        ),
        finished(
            MonitoringObject::crd(),
            &[("Type", "string", ".spec.type"), ("Up", "boolean", ".status.up"), ("Since", "date", ".status.since")],
            Some(".status.id"),
        ),
        finished(
            MonitoringCondition::crd(),
            &[
                ("AlertState", "string", ".status.alertState"),
                ("Since", "date", ".status.since"),
                ("Value", "string", ".status.value"),
                ("Severity", "string", ".spec.severity"),
            ],
            Some(".status.id"),
        ),
        finished(
            ProjectDnsZone::crd(),
            &[("Domain", "string", ".spec.domain"), ("Records", "integer", ".status.records")],
            Some(".status.id"),
        ),
        finished(
            DnsRecord::crd(),
            &[("Name", "string", ".spec.name"), ("Type", "string", ".spec.type")],
            Some(".status.id"),
        ),
        finished(
            ObjectBucket::crd(),
            &[
                ("Bucket", "string", ".status.bucketName"),
                ("Objects", "integer", ".status.usage.objects"),
                ("Bytes", "integer", ".status.usage.bytes"),
            ],
            Some(".status.id"),
        ),
        finished(
            ObjectBucketCredential::crd(),
            &[
                ("Bucket", "string", ".spec.bucketRef.name"),
                ("Access", "string", ".spec.access"),
                ("Secret", "string", ".status.secretName"),
            ],
            Some(".status.id"),
        ),
    ]
}

/// What the derive leaves open; `facts` are the kind's own columns, `id` is where its id in the backend stands.
fn finished(mut definition: CustomResourceDefinition, facts: &[Column], id: Option<&str>) -> CustomResourceDefinition {
    for version in &mut definition.spec.versions {
        version.additional_printer_columns = Some(columns(facts, id));
        if let Some(schema) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) {
            describe(schema);
            tidy(schema);
            default_status(schema);
        }
    }
    definition
}

/// Title, type and path of a column of `kubectl get`.
type Column<'a> = (&'a str, &'a str, &'a str);

/// The columns of every kind, with the kind's own in the middle; the id only with `-o wide`.
fn columns(facts: &[Column], id: Option<&str>) -> Vec<CustomResourceColumnDefinition> {
    let first = [
        ("Ready", "string", ".status.conditions[?(@.type==\"Ready\")].status"),
        ("Reason", "string", ".status.conditions[?(@.type==\"Ready\")].reason"),
    ];
    let last = [("Age", "date", ".metadata.creationTimestamp")];
    let narrow = first.iter().chain(facts).chain(&last).map(|column| (*column, None));
    let wide = id.map(|path| (("Id", "string", path), Some(1)));
    let column = |((name, type_, path), priority): (Column, Option<i32>)| CustomResourceColumnDefinition {
        name: name.to_owned(),
        type_: type_.to_owned(),
        json_path: path.to_owned(),
        priority,
        ..Default::default()
    };
    narrow.chain(wide).map(column).collect()
}

/// Drops `nullable`: absent has a meaning, and null is one more way to be absent, which the API server drops before it
/// stores or, under server-side apply, refuses. Joins the lines of each paragraph of a description, because
/// `kubectl explain` breaks them anew.
fn tidy(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    if let Some(description) = &mut schema.description {
        let paragraphs: Vec<String> = description.split("\n\n").map(|text| text.replace('\n', " ")).collect();
        *description = paragraphs.join("\n\n");
    }
    schema.properties.iter_mut().flat_map(|properties| properties.values_mut()).for_each(tidy);
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => {
            // `kubectl explain` prints it after the list's own.
            items.description = None;
            tidy(items);
        }
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

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// Calls `check` with every part of every schema and where it stands; what Kubernetes describes itself is left out.
    fn walk(check: &mut dyn FnMut(&str, &Value)) {
        for definition in all() {
            let kind = &definition.spec.names.kind;
            let definition = serde_json::to_value(&definition).unwrap();
            for field in ["spec", "status"] {
                let pointer = format!("/spec/versions/0/schema/openAPIV3Schema/properties/{field}");
                descend(&format!("{kind}.{field}"), definition.pointer(&pointer).unwrap(), check);
            }
        }
    }

    fn descend(path: &str, schema: &Value, check: &mut dyn FnMut(&str, &Value)) {
        check(path, schema);
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            assert!(property["description"].is_string(), "{path}.{name} has no description");
            descend(&format!("{path}.{name}"), property, check);
        }
        for inner in ["items", "additionalProperties"] {
            if schema[inner].is_object() {
                descend(&format!("{path}[]"), &schema[inner], check);
            }
        }
    }

    #[test]
    fn everything_is_bounded() {
        walk(&mut |path, schema| {
            let bounds: &[&str] = match schema["type"].as_str() {
                Some("string") => &["maxLength", "enum", "format"],
                Some("array") => &["maxItems"],
                Some("integer") => &["minimum"],
                Some("boolean") => &["type"],
                None if schema["x-kubernetes-int-or-string"] == true => &["maxLength"],
                Some("object") => &["properties", "maxProperties"],
                other => panic!("{path} has type {other:?}"),
            };
            assert!(bounds.iter().any(|bound| !schema[bound].is_null()), "{path} needs one of {bounds:?}");
            assert!(schema["nullable"].is_null(), "{path} is nullable");
            let format = schema["format"].as_str().unwrap_or_default();
            assert!(["", "int32", "int64", "date-time"].contains(&format), "{path} has a format of its own: {format}");
        });
    }

    #[test]
    fn lists_say_how_they_merge() {
        walk(&mut |path, schema| {
            if schema["type"] == "array" {
                assert!(schema["x-kubernetes-list-type"].is_string(), "{path} has no list type");
            }
        });
    }

    #[test]
    fn rules_say_what_is_right() {
        walk(&mut |path, schema| {
            for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
                assert!(rule["message"].is_string(), "a rule of {path} has no message: {rule}");
            }
            assert!(schema["pattern"].is_null(), "{path} has a pattern, whose message nobody can read; write a rule");
        });
    }

    #[test]
    fn only_status_has_a_default() {
        walk(&mut |path, schema| {
            let is_status = path.split_once('.').is_some_and(|(_, field)| field == "status");
            assert_eq!(!schema["default"].is_null(), is_status, "{path}: absent means what is documented");
        });
    }
}
