//! Which namespaces an admin lends an identity to. Pure.

use std::collections::BTreeMap;

use kube::core::{Selector, SelectorExt};

use crate::crd::loopback_backend::{Grant, LoopbackBackendSpec, NamespacesFrom};

/// Whether some grant lets this namespace bind this project.
#[must_use]
pub fn covers(
    backend: &LoopbackBackendSpec,
    organization: &str,
    project: &str,
    labels: &BTreeMap<String, String>,
) -> bool {
    let projects = |grant: &Grant| grant.projects.as_ref().is_none_or(|all| all.iter().any(|one| one == project));
    backend.grants.iter().any(|grant| grant.organization == organization && projects(grant) && admits(grant, labels))
}

fn admits(grant: &Grant, labels: &BTreeMap<String, String>) -> bool {
    match (grant.namespaces.from, &grant.namespaces.selector) {
        (NamespacesFrom::All, _) => true,
        // A selector that cannot be understood admits nobody.
        (NamespacesFrom::Selector, Some(selector)) => {
            Selector::try_from(selector.clone()).is_ok_and(|selector| selector.matches(labels))
        }
        (NamespacesFrom::Selector, None) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn backend(grant: serde_json::Value) -> LoopbackBackendSpec {
        let secret = json!({"namespace": "n", "name": "s", "key": "k"});
        serde_json::from_value(json!({"tokenSecretRef": secret, "grants": [grant]})).unwrap()
    }

    fn labels(team: &str) -> BTreeMap<String, String> {
        [("team".to_owned(), team.to_owned())].into()
    }

    #[test]
    fn only_what_is_granted() {
        let team = json!({"from": "Selector", "selector": {"matchLabels": {"team": "shop"}}});
        let grant = json!({"name": "g", "organization": "acme", "projects": ["shop"], "namespaces": team});
        let backend = backend(grant);
        assert!(covers(&backend, "acme", "shop", &labels("shop")));
        assert!(!covers(&backend, "acme", "shop", &labels("other")));
        assert!(!covers(&backend, "acme", "shop", &BTreeMap::new()));
        assert!(!covers(&backend, "acme", "other", &labels("shop")));
        assert!(!covers(&backend, "evil", "shop", &labels("shop")));
    }

    #[test]
    fn absent_means_all_and_nothing_granted_means_nobody() {
        let all = backend(json!({"name": "g", "organization": "acme", "namespaces": {"from": "All"}}));
        assert!(covers(&all, "acme", "anything", &BTreeMap::new()));
        let nobody = LoopbackBackendSpec { grants: vec![], ..all };
        assert!(!covers(&nobody, "acme", "anything", &BTreeMap::new()));
    }
}
