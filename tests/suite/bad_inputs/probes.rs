//! Wrong MonitoringObjects.

use serde_json::{Value, json};

use super::{Allowed, Case, Table, allow, change, create, remove, set};

pub(super) fn table() -> Table {
    let mut cases = shapes();
    cases.extend(urls());
    cases.extend(values());
    cases.extend(identity());
    Table { plural: "monitoringobjects", namespaced: true, good: good(), cases, allowed: allowed() }
}

fn good() -> Value {
    json!({
        "apiVersion": "loopback.cloud/v1alpha1",
        "kind": "MonitoringObject",
        "metadata": {},
        "spec": {
            "type": "HTTP",
            "http": {"url": "http://127.0.0.1:8081/healthz", "expectedStatus": ["2xx"]},
            "interval": "30s",
            "timeout": "5s",
        },
    })
}

fn shapes() -> Vec<Case> {
    vec![
        create("no spec", [remove("/spec")], &["spec", "Required value"]),
        create("no type", [remove("/spec/type")], &["spec.type", "Required value"]),
        create("unknown type", [set("/spec/type", json!("ICMP"))], &["spec.type", "\"HTTP\"", "\"TCP\""]),
        create("no http", [remove("/spec/http")], &["spec.http", "http goes with type: HTTP"]),
        create("http beside TCP", [set("/spec/type", json!("TCP"))], &["spec.http", "only with it"]),
        create(
            "tcp beside HTTP",
            [set("/spec/tcp", json!({"host": "db", "port": 1}))],
            &["spec.tcp", "tcp goes with type: TCP"],
        ),
        create("no url", [remove("/spec/http/url")], &["spec.http.url", "Required value"]),
        create("port is a text", tcp(json!({"host": "db", "port": "5432"})), &["spec.tcp.port", "type integer"]),
        create("no port", tcp(json!({"host": "db"})), &["spec.tcp.port", "Required value"]),
        create("unknown field", [set("/spec/sourceRefs", json!([]))], &["spec.sourceRefs", "unknown field"]),
        create("headers", [set("/spec/http/headers", json!({}))], &["spec.http.headers", "unknown field"]),
        create(
            "status as a number",
            [set("/spec/http/expectedStatus", json!([200]))],
            &["expectedStatus[0]", "string"],
        ),
        create("follow as a text", [set("/spec/http/followRedirects", json!("yes"))], &["followRedirects", "boolean"]),
    ]
}

fn tcp(tcp: Value) -> Vec<super::Change> {
    vec![set("/spec/type", json!("TCP")), remove("/spec/http"), set("/spec/tcp", tcp)]
}

fn urls() -> Vec<Case> {
    let right = ["spec.http.url", "absolute URL with http or https"];
    let url = |name: &'static str, url: &'static str, says: &[&'static str]| {
        create(name, [set("/spec/http/url", json!(url))], says)
    };
    vec![
        url("empty url", "", &right),
        url("url without a scheme", "shop.example.com/healthz", &right),
        url("url of a file", "file:///etc/passwd", &right),
        url("ftp url", "ftp://shop.example.com/", &right),
        url("path alone", "/healthz", &right),
        url("user name in a url", "https://me@shop.example.com/", &["spec.http.url", "no user name or password"]),
        url("password in a url", "https://me:secret@shop.example.com/", &["spec.http.url", "no user name or password"]),
        create(
            "url too long",
            [set("/spec/http/url", json!(format!("http://x.example/{}", "x".repeat(1024))))],
            &["spec.http.url", "may not be more than 1024"],
        ),
    ]
}

fn values() -> Vec<Case> {
    let host = |name: &'static str, host: &'static str| {
        create(name, tcp(json!({"host": host, "port": 1})), &["spec.tcp.host", "host name such as db.example.com"])
    };
    vec![
        create("unknown method", [set("/spec/http/method", json!("DELETE"))], &["http.method", "\"GET\"", "\"HEAD\""]),
        create(
            "no status at all",
            [set("/spec/http/expectedStatus", json!([]))],
            &["expectedStatus", "at least 1 items"],
        ),
        create(
            "status in capitals",
            [set("/spec/http/expectedStatus", json!(["2XX"]))],
            &["spec.http.expectedStatus[0]", "class such as 2xx"],
        ),
        create("status 600", [set("/spec/http/expectedStatus", json!(["600"]))], &["expectedStatus[0]", "HTTP status"]),
        create(
            "status twice",
            [set("/spec/http/expectedStatus", json!(["200", "200"]))],
            &["expectedStatus", "Duplicate"],
        ),
        create(
            "interval without a unit",
            [set("/spec/interval", json!("30"))],
            &["spec.interval", "must be a duration"],
        ),
        create("interval as a number", [set("/spec/interval", json!(30))], &["spec.interval", "type string"]),
        create("interval too short", [set("/spec/interval", json!("500ms"))], &["spec.interval", "at least 1s"]),
        create("interval too long", [set("/spec/interval", json!("61m"))], &["spec.interval", "at most 1h"]),
        create("timeout too short", [set("/spec/timeout", json!("50ms"))], &["spec.timeout", "at least 100ms"]),
        create(
            "timeout above the interval",
            [set("/spec/timeout", json!("31s"))],
            &["spec.timeout", "at most the interval"],
        ),
        create(
            "timeout above the interval that is absent",
            [remove("/spec/interval"), set("/spec/timeout", json!("31s"))],
            &["spec.timeout", "30s when absent"],
        ),
        host("empty host", ""),
        host("host with a blank", "a b"),
        host("host with a port", "db.example.com:5432"),
        host("url as a host", "http://db.example.com"),
        create("port 0", tcp(json!({"host": "db", "port": 0})), &["spec.tcp.port", "greater than or equal to 1"]),
        create(
            "port 65536",
            tcp(json!({"host": "db", "port": 65536})),
            &["spec.tcp.port", "less than or equal to 65535"],
        ),
        create("Purge", [set("/spec/deletionPolicy", json!("Purge"))], &["deletionPolicy", "\"Delete\"", "\"Retain\""]),
    ]
}

fn identity() -> Vec<Case> {
    let import = || set("/spec/import", json!({"id": "mo-1"}));
    vec![
        change("another type", [], tcp(json!({"host": "db", "port": 1})), &["spec.type", "cannot be changed"]),
        change(
            "project set later",
            [],
            [set("/spec/projectRef", json!({"name": "p"}))],
            &["projectRef cannot be changed"],
        ),
        change(
            "project removed",
            [set("/spec/projectRef", json!({"name": "p"}))],
            [remove("/spec/projectRef")],
            &["projectRef cannot be changed"],
        ),
        change("import removed", [import()], [remove("/spec/import")], &["spec.import", "set once"]),
    ]
}

fn allowed() -> Vec<Allowed> {
    vec![
        allow(
            "a TCP probe",
            tcp(json!({"host": "2001:db8::7", "port": 65535})),
            [set("/spec/tcp/host", json!("db_1.x."))],
        ),
        allow(
            "shortest and longest",
            [set("/spec/interval", json!("1s")), set("/spec/timeout", json!("1s"))],
            [set("/spec/interval", json!("1h")), set("/spec/timeout", json!("3600s"))],
        ),
        allow("defaults", [remove("/spec/interval"), remove("/spec/timeout")], [remove("/spec/http/expectedStatus")]),
        allow(
            "a full URL",
            [],
            [set("/spec/http/url", json!("https://[2001:db8::7]:8443/a%20b?to=me@example.com&x=1"))],
        ),
    ]
}
