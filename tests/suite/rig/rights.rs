//! What the roles in `deploy/` let the operator do, and what the API server's audit log says that somebody did.

use std::{collections::BTreeSet, path::Path};

use k8s_openapi::api::rbac::v1::PolicyRule;
use loopback_operator::dev::apply::parse;
use serde_json::Value;

/// A verb, and the resource with its group and its subresource.
pub type Right = (String, String);

/// The rights in these manifests.
pub fn granted(files: &[&str]) -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    for file in files {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file);
        let text = std::fs::read_to_string(path).expect("a manifest");
        for object in parse(&text).expect("manifests") {
            // Roles and ClusterRoles have them, bindings do not.
            let Some(rules) = object.data.get("rules") else { continue };
            for rule in serde_json::from_value::<Vec<PolicyRule>>(rules.clone()).expect("rules") {
                for resource in rule.resources.iter().flatten() {
                    for group in rule.api_groups.iter().flatten() {
                        rights.extend(rule.verbs.iter().map(|verb| (verb.clone(), format!("{group}/{resource}"))));
                    }
                }
            }
        }
    }
    rights
}

/// The right that an entry of the audit log used or lacked.
pub fn used(event: &Value) -> Option<Right> {
    let object = event.get("objectRef")?;
    let text = |field: &str| object[field].as_str().unwrap_or_default();
    let subresource = if text("subresource").is_empty() { String::new() } else { format!("/{}", text("subresource")) };
    Some((event["verb"].as_str()?.to_owned(), format!("{}/{}{subresource}", text("apiGroup"), text("resource"))))
}

/// The words of a refusal, if an entry of the audit log is one.
pub fn refusal(event: &Value) -> Option<&str> {
    let message = event["responseStatus"]["message"].as_str().unwrap_or_default();
    // Nothing can be created in a namespace that is being deleted: no matter of rights.
    let ending = message.contains("because it is being terminated");
    (event["responseStatus"]["code"] == 403 && !ending).then_some(message)
}
