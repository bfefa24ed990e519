//! Wrong ProjectDnsZones and DnsRecords.

use serde_json::{Value, json};

use super::{Case, Table, allow, change, create, remove, set};

pub(super) fn zones() -> Table {
    let good = json!({
        "apiVersion": "loopback.cloud/v1alpha1",
        "kind": "ProjectDnsZone",
        "metadata": {},
        "spec": {"domain": "example.dev", "patterns": ["shop.example.dev", "*.shop.example.dev"]},
    });
    let allowed = vec![
        allow(
            "one pattern, then many",
            [],
            [set("/spec/patterns", json!(["example.dev", "*.example.dev", "_a.example.dev"]))],
        ),
        allow(
            "a long domain",
            [
                set("/spec/domain", json!(format!("{}.example.dev", "a".repeat(63)))),
                set("/spec/patterns", json!([format!("*.{}.example.dev", "a".repeat(63))])),
            ],
            [set("/spec/deletionPolicy", json!("Retain"))],
        ),
        allow("import set later", [], [set("/spec/import", json!({"id": "dz-01abc"}))]),
    ];
    Table { plural: "projectdnszones", namespaced: true, good, cases: zone_cases(), allowed }
}

fn zone_cases() -> Vec<Case> {
    const DOMAIN: &str = "must be a domain such as example.dev";
    const PATTERN: &str = "must be a name such as shop.example.dev";
    let domain = |title, value: Value| create(title, [set("/spec/domain", value)], &["spec.domain", DOMAIN]);
    let pattern = |title, value: Value| create(title, [set("/spec/patterns/0", value)], &["spec.patterns[0]", PATTERN]);
    vec![
        create("no domain", [remove("/spec/domain")], &["spec.domain", "Required value"]),
        domain("empty domain", json!("")),
        domain("domain of one label", json!("dev")),
        domain("domain with a dot at the end", json!("example.dev.")),
        domain("domain in capitals", json!("Example.dev")),
        domain("domain with a star", json!("*.example.dev")),
        domain("domain with an underscore", json!("my_shop.dev")),
        domain("domain with an empty label", json!("example..dev")),
        domain("domain with a long label", json!(format!("{}.dev", "a".repeat(64)))),
        domain("domain with a line break", json!("example.dev\n")),
        create("domain with an umlaut", [set("/spec/domain", json!("größe.dev"))], &["spec.domain", "A-label form"]),
        create(
            "very long domain",
            [set("/spec/domain", json!("a.".repeat(150)))],
            &["spec.domain", "may not be more than 253"],
        ),
        create("no patterns", [remove("/spec/patterns")], &["spec.patterns", "Required value"]),
        create(
            "empty patterns",
            [set("/spec/patterns", json!([]))],
            &["spec.patterns", "should have at least 1 items"],
        ),
        pattern("empty pattern", json!("")),
        pattern("pattern is a star", json!("*")),
        pattern("pattern with a star inside", json!("a.*.example.dev")),
        pattern("pattern with two stars", json!("*.*.example.dev")),
        pattern("pattern with half a star", json!("pr-*.example.dev")),
        pattern("pattern with a dot at the end", json!("a.example.dev.")),
        pattern("pattern with a space", json!("a b.example.dev")),
        create(
            "pattern twice",
            [set("/spec/patterns/0", json!("*.shop.example.dev"))],
            &["spec.patterns[1]", "Duplicate value"],
        ),
        create(
            "pattern elsewhere",
            [set("/spec/patterns/0", json!("a.example.net"))],
            &["spec.patterns", "each pattern must be the domain or end with it"],
        ),
        create(
            "pattern in a look-alike",
            [set("/spec/patterns/0", json!("a.badexample.dev"))],
            &["spec.patterns", "each pattern must be the domain or end with it"],
        ),
        create(
            "sixty-five patterns",
            [set("/spec/patterns", json!((0..65).map(|n| format!("n{n}.example.dev")).collect::<Vec<_>>()))],
            &["spec.patterns", "must have at most 64 items"],
        ),
        create("unknown field", [set("/spec/records", json!([]))], &["spec.records", "unknown field"]),
        change(
            "another domain",
            [],
            [set("/spec/domain", json!("shop.example.dev"))],
            &["spec.domain", "domain cannot be changed"],
        ),
        change(
            "project added",
            [],
            [set("/spec/projectRef", json!({"name": "p"}))],
            &["spec.projectRef", "cannot be changed, added or removed"],
        ),
        change(
            "import changed",
            [set("/spec/import", json!({"id": "a"}))],
            [set("/spec/import", json!({"id": "b"}))],
            &["spec.import", "import can be set once"],
        ),
    ]
}

pub(super) fn records() -> Table {
    let good = json!({
        "apiVersion": "loopback.cloud/v1alpha1",
        "kind": "DnsRecord",
        "metadata": {},
        "spec": {"zoneRef": {"name": "shop-zone"}, "name": "api.shop.example.dev", "type": "A", "ttl": "60s", "values": ["192.0.2.10"]},
    });
    let of = |of: &str, name: &'static str, values: Value| {
        allow(name, [set("/spec/type", json!(of)), set("/spec/values", values)], [set("/spec/ttl", json!("1h30m"))])
    };
    let allowed = vec![
        of("AAAA", "two AAAA", json!(["2001:db8::1", "::1"])),
        of("CNAME", "a CNAME", json!(["_a.Example.dev."])),
        of("TXT", "TXT in quotes and without", json!(["\"a\" \"b\\\"c\"", "v=spf1 -all", "größe"])),
        of("MX", "MX", json!(["10 mail.example.dev.", "0 ."])),
        of("SRV", "SRV", json!(["10 5 5060 sip.example.dev"])),
        of("CAA", "CAA", json!(["0 issue \"ca.example.net; a=b\"", "128 iodef mailto:a@example.dev"])),
        allow(
            "a wildcard with a dot at the end",
            [set("/spec/name", json!("*.Shop.example.dev."))],
            [set("/spec/values", json!(["192.0.2.1", "192.0.2.2"]))],
        ),
        allow(
            "an underscore",
            [set("/spec/name", json!("_dmarc.example.dev")), set("/spec/type", json!("TXT"))],
            [set("/spec/ttl", json!("168h"))],
        ),
    ];
    let mut cases = record_cases();
    cases.extend(value_cases());
    Table { plural: "dnsrecords", namespaced: true, good, cases, allowed }
}

fn record_cases() -> Vec<Case> {
    let name = |title, value: Value| {
        create(
            title,
            [set("/spec/name", value)],
            &["spec.name", "must be an absolute name such as api.shop.example.dev"],
        )
    };
    let ttl =
        |title, value: &str, says: &'static str| create(title, [set("/spec/ttl", json!(value))], &["spec.ttl", says]);
    vec![
        create("no zone", [remove("/spec/zoneRef")], &["spec.zoneRef", "Required value"]),
        create(
            "zone elsewhere",
            [set("/spec/zoneRef/namespace", json!("a"))],
            &["spec.zoneRef.namespace", "unknown field"],
        ),
        create("no name", [remove("/spec/name")], &["spec.name", "Required value"]),
        name("empty name", json!("")),
        name("name of one label", json!("api")),
        name("name with a star inside", json!("a.*.example.dev")),
        name("name with an empty label", json!("a..example.dev")),
        name("name with a hyphen at the end", json!("a-.example.dev")),
        name("name with a long label", json!(format!("{}.example.dev", "a".repeat(64)))),
        name("name with a space", json!("a b.example.dev")),
        create("name with an umlaut", [set("/spec/name", json!("größe.example.dev"))], &["spec.name", "A-label form"]),
        create(
            "host with an underscore",
            [set("/spec/name", json!("a_b.example.dev"))],
            &["spec.name", "must be the name of a host"],
        ),
        create("unknown type", [set("/spec/type", json!("PTR"))], &["spec.type", "Unsupported value"]),
        create("no type", [remove("/spec/type")], &["spec.type", "Required value"]),
        ttl("ttl of zero", "0s", "must be at least 1s"),
        ttl("ttl of eight days", "192h", "must be at most 168h"),
        ttl("ttl with milliseconds", "1500ms", "must be whole seconds"),
        ttl("ttl without unit", "60", "must be a duration"),
        change(
            "another name",
            [],
            [set("/spec/name", json!("b.example.dev"))],
            &["spec.name", "name cannot be changed"],
        ),
        change("another type", [], [set("/spec/type", json!("TXT"))], &["spec.type", "type cannot be changed"]),
        change(
            "another zone",
            [],
            [set("/spec/zoneRef/name", json!("b"))],
            &["spec.zoneRef", "zoneRef cannot be changed"],
        ),
    ]
}

fn value_cases() -> Vec<Case> {
    let value = |title, of: &str, value: &str, says: &'static str| {
        create(title, [set("/spec/type", json!(of)), set("/spec/values/0", json!(value))], &["spec.values", says])
    };
    const CONTROL: &str = "must have no control characters";
    vec![
        create("no values", [remove("/spec/values")], &["spec.values", "Required value"]),
        create("empty values", [set("/spec/values", json!([]))], &["spec.values", "should have at least 1 items"]),
        create("value twice", [set("/spec/values/1", json!("192.0.2.10"))], &["spec.values[1]", "Duplicate value"]),
        value("A is a name", "A", "example.dev", "must be IPv4 addresses"),
        value("A is IPv6", "A", "2001:db8::1", "must be IPv4 addresses"),
        value("A with zeros", "A", "192.0.2.010", "must be IPv4 addresses"),
        value("A with a prefix", "A", "192.0.2.0/24", "must be IPv4 addresses"),
        value("AAAA is IPv4", "AAAA", "192.0.2.1", "must be IPv6 addresses"),
        value("AAAA with a zone", "AAAA", "fe80::1%eth0", "must be IPv6 addresses"),
        value("CNAME with a space", "CNAME", "a b", "must be a name such as www.example.dev"),
        value("CNAME is a URL", "CNAME", "https://example.dev", "must be a name such as www.example.dev"),
        create(
            "two CNAMEs",
            [set("/spec/type", json!("CNAME")), set("/spec/values", json!(["a.example.dev", "b.example.dev"]))],
            &["spec.values", "a CNAME has exactly one value"],
        ),
        value("MX without preference", "MX", "mail.example.dev", "must be preference and host"),
        value("SRV without port", "SRV", "10 5 sip.example.dev", "must be priority, weight, port and host"),
        value("CAA without tag", "CAA", "0 ca.example.net", "must be flags, tag and value"),
        value("TXT with a line break", "TXT", "a\nb", CONTROL),
        value("TXT with a null character", "TXT", "a\u{0}b", CONTROL),
        create(
            "very long value",
            [set("/spec/type", json!("TXT")), set("/spec/values/0", json!("a".repeat(4097)))],
            &["spec.values[0]", "may not be more than 4096"],
        ),
    ]
}
