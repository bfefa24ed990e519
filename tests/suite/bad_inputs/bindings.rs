//! Wrong ProjectBindings.

use serde_json::json;

use super::{Allowed, Case, Table, allow, change, create, remove, set};

const URL: &str = "must be an absolute URL such as https://api.example.com";
const BARE: &str = "must have no user name, query or fragment";

pub(super) fn table() -> Table {
    let good = json!({
        "apiVersion": "loopback.cloud/v1alpha1",
        "kind": "ProjectBinding",
        "metadata": {},
        "spec": {"organization": "acme", "project": "shop"},
    });
    let mut cases = fields();
    cases.extend(urls());
    cases.extend(identity());
    Table { plural: "projectbindings", namespaced: true, good, cases, allowed: allowed() }
}

fn fields() -> Vec<Case> {
    let token = json!({"name": "mine", "key": "token"});
    vec![
        create("no organization", [remove("/spec/organization")], &["spec.organization", "Required value"]),
        create("no project", [remove("/spec/project")], &["spec.project", "Required value"]),
        create("project is a number", [set("/spec/project", json!(7))], &["spec.project", "must be of type string"]),
        create("project is a path", [set("/spec/project", json!("../other"))], &["spec.project", "must be 1 to 63"]),
        create(
            "organization in capitals",
            [set("/spec/organization", json!("ACME"))],
            &["spec.organization", "must be 1 to 63"],
        ),
        create(
            "backend by its name alone",
            [set("/spec/backendRef", json!("default"))],
            &["spec.backendRef", "must be of type object"],
        ),
        create(
            "token of another namespace",
            [set("/spec/tokenSecretRef", json!({"namespace": "x", "name": "mine", "key": "token"}))],
            &["spec.tokenSecretRef.namespace", "unknown field"],
        ),
        create(
            "token without key",
            [set("/spec/tokenSecretRef", json!({"name": "mine"}))],
            &["spec.tokenSecretRef.key", "Required value"],
        ),
        create(
            "token's key with a slash",
            [set("/spec/tokenSecretRef", json!({"name": "mine", "key": "a/b"}))],
            &["spec.tokenSecretRef.key", "must be a key of the Secret's data"],
        ),
        create("token in the clear", [set("/spec/token", json!("secret"))], &["spec.token", "unknown field"]),
        create(
            "backend and address",
            [set("/spec/backendRef", json!({"name": "eu"})), set("/spec/url", json!("https://a.example"))],
            &["spec.backendRef", "backendRef and url exclude each other"],
        ),
        create(
            "backend and token",
            [set("/spec/backendRef", json!({"name": "eu"})), set("/spec/tokenSecretRef", token)],
            &["spec.backendRef", "backendRef and tokenSecretRef exclude each other"],
        ),
    ]
}

fn urls() -> Vec<Case> {
    let url =
        |title, value: &str, says: &'static str| create(title, [set("/spec/url", json!(value))], &["spec.url", says]);
    vec![
        url("empty address", "", URL),
        url("address without scheme", "api.example.com", URL),
        url("address without host", "https://", URL),
        url("address with a port alone", "https://:8480", URL),
        url("address of a file", "file:///etc/passwd", URL),
        url("address with a line break", "https://api.example.com\n", URL),
        url("address with a user", "https://me:pass@api.example.com", BARE),
        url("address with a query", "https://api.example.com/?token=x", BARE),
        url("address with a fragment", "https://api.example.com/#v3", BARE),
        create(
            "very long address",
            [set("/spec/url", json!(format!("https://a.example/{}", "a".repeat(2000))))],
            &["spec.url", "may not be more than 1024"],
        ),
    ]
}

fn identity() -> Vec<Case> {
    let backend = |name: &str| set("/spec/backendRef", json!({"name": name}));
    let url = |url: &str| set("/spec/url", json!(url));
    let token = || set("/spec/tokenSecretRef", json!({"name": "mine", "key": "token"}));
    vec![
        change(
            "organization changed",
            [],
            [set("/spec/organization", json!("other"))],
            &["spec.organization", "cannot be changed"],
        ),
        change("project changed", [], [set("/spec/project", json!("other"))], &["spec.project", "cannot be changed"]),
        change("backend changed", [backend("a")], [backend("b")], &["spec.backendRef", "cannot be changed"]),
        change("backend set", [], [backend("default")], &["spec.backendRef", "cannot be changed"]),
        change(
            "backend removed",
            [backend("a")],
            [remove("/spec/backendRef")],
            &["spec.backendRef", "cannot be changed"],
        ),
        change(
            "address changed",
            [url("https://a.example"), token()],
            [url("https://b.example")],
            &["spec.url", "cannot be changed"],
        ),
        change("address set", [], [url("https://a.example")], &["spec.url", "cannot be changed"]),
        change(
            "address removed",
            [url("https://a.example"), token()],
            [remove("/spec/url")],
            &["spec.url", "cannot be changed"],
        ),
        change(
            "token set without address",
            [],
            [token()],
            &["spec.tokenSecretRef", "it decides which backend is used"],
        ),
        change(
            "token removed without address",
            [token()],
            [remove("/spec/tokenSecretRef")],
            &["spec.tokenSecretRef", "it decides which backend is used"],
        ),
    ]
}

fn allowed() -> Vec<Allowed> {
    let url = || set("/spec/url", json!("http://127.0.0.1:8480/loopback/"));
    let token = |name: &str| set("/spec/tokenSecretRef", json!({"name": name, "key": "token.txt"}));
    vec![
        allow("another token", [token("a")], [token("b")]),
        allow("another token beside an address", [url(), token("a")], [token("b")]),
        allow("address without a token, which the operator reports", [url()], [token("a")]),
        allow("token taken away beside an address", [url(), token("a")], [remove("/spec/tokenSecretRef")]),
        allow(
            "a label beside a backend",
            [set("/spec/backendRef", json!({"name": "eu.west"}))],
            [set("/metadata/labels", json!({"a": "b"}))],
        ),
        allow("address by IPv6", [set("/spec/url", json!("https://[2001:db8::1]:8480")), token("a")], [token("b")]),
    ]
}
