//! Names, networks, durations, paths and addresses in load balancers that are none.

use serde_json::{Value, json};

use super::{Case, create, remove, set};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = names();
    cases.extend(origins());
    cases.extend(health_checks());
    cases.extend(addresses());
    cases
}

/// Names that are no names, and names twice.
fn names() -> Vec<Case> {
    const RIGHT: &str = "must be 1 to 63 lower-case letters, digits and '-'";
    let name =
        |title, value: Value| create(title, [set("/spec/services/0/name", value)], &["spec.services[0].name", RIGHT]);
    vec![
        name("empty name", json!("")),
        name("name in capitals", json!("Web")),
        name("name with a space", json!("my web")),
        name("name with a slash", json!("web/1")),
        name("name that begins with a dash", json!("-web")),
        name("name that ends with a dash", json!("web-")),
        name("name with an umlaut", json!("größe")),
        name("name with a look-alike letter", json!("w\u{435}b")),
        name("name with a zero-width space", json!("we\u{200b}b")),
        name("name with a line break", json!("web\n")),
        name("name with a null character", json!("web\u{0}")),
        name("name with an escape sequence", json!("\u{1b}[31mweb")),
        create(
            "name of 64 characters",
            [set("/spec/services/0/name", json!("w".repeat(64)))],
            &["spec.services[0].name", "may not be more than 63"],
        ),
        create(
            "name of 100000 characters",
            [set("/spec/targets/1/name", json!("w".repeat(100_000)))],
            &["spec.targets[1].name", "may not be more than 63"],
        ),
        create(
            "target's name with a dot",
            [set("/spec/targets/1/name", json!("b.example"))],
            &["spec.targets[1].name", RIGHT],
        ),
        create("service twice", [set("/spec/services/1/name", json!("web"))], &["spec.services[1]", "Duplicate value"]),
        create("target twice", [set("/spec/targets/1/name", json!("a"))], &["spec.targets[1]", "Duplicate value"]),
        create(
            "family twice",
            [set("/spec/addressFamilies", json!(["IPv4", "IPv4"]))],
            &["spec.addressFamilies[1]", "Duplicate value"],
        ),
        create(
            "origin twice",
            [set("/spec/services/1/allowedOrigins", json!(["10.0.0.0/8", "10.0.0.0/8"]))],
            &["spec.services[1].allowedOrigins[1]", "Duplicate value"],
        ),
        create(
            "service's target twice",
            [set("/spec/services/1/targets", json!([{"name": "a"}, {"name": "a"}]))],
            &["spec.services[1].targets[1]", "Duplicate value"],
        ),
        create(
            "empty project reference",
            [set("/spec/projectRef", json!({}))],
            &["spec.projectRef.name", "Required value"],
        ),
        create(
            "project reference in capitals",
            [set("/spec/projectRef", json!({"name": "Default"}))],
            &["spec.projectRef.name", "must be the name of an object"],
        ),
        create(
            "project reference to elsewhere",
            [set("/spec/projectRef", json!({"name": "p", "namespace": "other"}))],
            &["spec.projectRef.namespace", "unknown field"],
        ),
    ]
}

/// Origins that are no networks.
fn origins() -> Vec<Case> {
    const RIGHT: &str = "must be a network in CIDR notation such as 10.0.0.0/8";
    let origin = |title, value: &str| {
        create(
            title,
            [set("/spec/services/0/blockedOrigins", json!([value]))],
            &["spec.services[0].blockedOrigins[0]", RIGHT],
        )
    };
    vec![
        origin("empty origin", ""),
        origin("origin without prefix", "10.0.0.1"),
        origin("origin with prefix 33", "10.0.0.0/33"),
        origin("origin with a negative prefix", "10.0.0.0/-1"),
        origin("origin with four hundred", "10.0.400.0/24"),
        origin("origin with a netmask", "10.0.0.0/255.0.0.0"),
        origin("origin with leading zeros", "010.0.0.0/8"),
        origin("origin with zeros before its prefix", "0.0.0.0/00"),
        origin("origin with a sign before its prefix", "10.0.0.0/+8"),
        origin("origin with a zone", "fe80::%eth0/64"),
        origin("origin in mapped form", "::ffff:10.0.0.0/104"),
        origin("origin with a space", " 10.0.0.0/8"),
        origin("origin in full-width digits", "１0.0.0.0/8"),
        origin("origin is a word", "any"),
        create(
            "origin with host bits",
            [set("/spec/services/1/allowedOrigins", json!(["10.0.0.0/8", "10.1.2.3/16"]))],
            &["spec.services[1].allowedOrigins[1]", "must have no bits set beyond its prefix length"],
        ),
        create(
            "IPv6 origin with host bits",
            [set("/spec/services/1/allowedOrigins", json!(["2001:db8::1/32"]))],
            &["spec.services[1].allowedOrigins[0]", "must have no bits set beyond its prefix length"],
        ),
        create(
            "very long origin",
            [set("/spec/services/1/allowedOrigins", json!(["1".repeat(5000)]))],
            &["spec.services[1].allowedOrigins[0]", "may not be more than 43"],
        ),
    ]
}

/// Durations and paths of health checks.
fn health_checks() -> Vec<Case> {
    const RIGHT: &str = "must be a duration such as 500ms, 5s or 1m30s";
    let interval = |title, value: &str, says: &'static str| {
        create(
            title,
            [set("/spec/services/0/healthCheck/interval", json!(value))],
            &["spec.services[0].healthCheck.interval", says],
        )
    };
    let path = |title, value: &str| {
        create(
            title,
            [set("/spec/services/0/healthCheck/path", json!(value))],
            &["spec.services[0].healthCheck.path", "must begin with '/'"],
        )
    };
    vec![
        interval("empty duration", "", RIGHT),
        interval("duration without unit", "5", RIGHT),
        interval("duration with a fraction", "1.5s", RIGHT),
        interval("negative duration", "-5s", RIGHT),
        interval("duration in days", "1d", RIGHT),
        interval("duration in microseconds", "500us", RIGHT),
        interval("duration with a space", "5 s", RIGHT),
        interval("duration with a line break", "5s\n", RIGHT),
        interval("duration of five parts", "1s1s1s1s1s", RIGHT),
        interval("duration of six digits", "100000ms", RIGHT),
        interval("duration of zero", "0s", "must be at least 100ms"),
        interval("interval too short", "99ms", "must be at least 100ms"),
        interval("interval too long", "1h1ms", "must be at most 1h"),
        create(
            "timeout too short",
            [set("/spec/services/0/healthCheck/timeout", json!("9ms"))],
            &["spec.services[0].healthCheck.timeout", "must be at least 10ms"],
        ),
        create(
            "timeout above interval",
            [set("/spec/services/0/healthCheck/timeout", json!("5001ms"))],
            &["spec.services[0].healthCheck.timeout", "must be at most the interval"],
        ),
        create(
            "timeout above the default interval",
            [set("/spec/services/1/healthCheck", json!({"timeout": "6s"}))],
            &["spec.services[1].healthCheck.timeout", "must be at most the interval, which is 5s when absent"],
        ),
        path("empty path", ""),
        path("path without slash", "healthz"),
        path("path is a URL", "http://127.0.0.1/healthz"),
        path("path with a space", "/a b"),
        path("path with a header in it", "/healthz HTTP/1.1\r\nHost: x"),
        path("path with a fragment", "/healthz#top"),
        path("path with Unicode", "/gesundheit/größe"),
        create(
            "very long path",
            [set("/spec/services/0/healthCheck/path", json!(format!("/{}", "a".repeat(2000))))],
            &["spec.services[0].healthCheck.path", "may not be more than 1024"],
        ),
        create(
            "path without HTTP",
            [remove("/spec/services/0/healthCheck/protocol")],
            &["spec.services[0].healthCheck.path", "path goes with protocol: HTTP only"],
        ),
        create(
            "path with TCP",
            [set("/spec/services/0/healthCheck/protocol", json!("TCP"))],
            &["spec.services[0].healthCheck.path", "path goes with protocol: HTTP only"],
        ),
    ]
}

/// Addresses of targets.
fn addresses() -> Vec<Case> {
    const RIGHT: &str = "must be an IP address such as 10.0.0.7 or 2001:db8::7";
    let address = |title, value: &str| {
        create(title, [set("/spec/targets/0/address", json!(value))], &["spec.targets[0].address", RIGHT])
    };
    let host = |title, value: &str| {
        create(
            title,
            [set("/spec/targets/0/address", json!(value))],
            &["spec.targets[0].address", "must be the address of one host"],
        )
    };
    vec![
        create("no address", [remove("/spec/targets/0/address")], &["spec.targets[0].address", "Required value"]),
        address("empty address", ""),
        address("address is a host name", "localhost"),
        address("address with its port", "127.0.0.1:8081"),
        address("address in brackets", "[::1]"),
        address("address of three numbers", "127.0.1"),
        address("address with 256", "127.0.0.256"),
        address("address with leading zeros", "127.0.0.01"),
        address("address with a zone", "fe80::1%eth0"),
        address("address is a network", "10.0.0.0/8"),
        address("address with a space", "127.0.0.1 "),
        address("address with a null character", "127.0.0.1\u{0}"),
        address("address in other digits", "١٢٧.0.0.1"),
        host("address is unspecified", "0.0.0.0"),
        host("IPv6 address is unspecified", "::"),
        host("address is a multicast group", "224.0.0.1"),
        create(
            "very long address",
            [set("/spec/targets/0/address", json!("1".repeat(100_000)))],
            &["spec.targets[0].address", "may not be more than 45"],
        ),
    ]
}
