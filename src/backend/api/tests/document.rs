//! The document and the router are one table.

use std::sync::Arc;

use reqwest::Method;

use super::{rig::Rig, shelves};
use crate::backend::{
    api::{collections::Registry, document, routes},
    checks::NoChecks,
    load_balancing::collections,
};

/// As the rig's.
fn registry() -> Registry {
    let balancing = collections(Arc::new(NoChecks));
    let facts = shelves::facts().into_iter().map(Arc::new).collect();
    Registry { facts, ..Registry::new(balancing.into_iter().chain(shelves::collections()).collect()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_is_documented_and_answers() {
    let registry = registry();
    let document = document(&registry);
    let rig = Rig::new().await;
    let served = rig.admin(Method::GET, "/openapi.json", None).await;
    assert_eq!(served.body, document);
    let endpoints = routes::endpoints(&registry);
    for endpoint in &endpoints {
        let method = endpoint.method.as_str().to_ascii_lowercase();
        assert!(document["paths"][&endpoint.path][&method].is_object(), "{method} {}", endpoint.path);
    }
    let mut count = 0;
    let mut names = std::collections::BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            count += 1;
            assert!(names.insert(operation["operationId"].as_str().unwrap().to_owned()), "{operation}");
            let method: Method = method.to_ascii_uppercase().parse().unwrap();
            // Without a token, so that nothing is done and the feed does not begin.
            let path = path.replace(['{', '}'], "");
            let reply = rig.call("none", method.clone(), &path, None, None).await;
            assert!(![404, 405].contains(&reply.status), "{method} {path}: {reply:?}");
        }
    }
    assert_eq!(count, endpoints.len());
}

#[test]
fn references_lead_somewhere() {
    let document = document(&registry());
    let text = document.to_string();
    let references = text.split("\"$ref\":\"#").skip(1).map(|rest| rest.split('"').next().unwrap());
    let mut count = 0;
    for reference in references {
        assert!(document.pointer(reference).is_some(), "{reference}");
        count += 1;
    }
    assert!(count > 50);
}
