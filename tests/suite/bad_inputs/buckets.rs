//! Wrong ObjectBuckets and ObjectBucketCredentials.

use serde_json::{Value, json};

use super::{Case, Table, allow, change, create, remove, set};

pub(super) fn buckets() -> Table {
    let good = json!({
        "apiVersion": "loopback.cloud/v1alpha1",
        "kind": "ObjectBucket",
        "metadata": {},
        "spec": {"bucketName": "shop-assets", "provider": "embedded", "region": "local-1"},
    });
    let allowed = vec![
        allow("nothing said", [set("/spec", json!({}))], [set("/spec/deletionPolicy", json!("Purge"))]),
        allow(
            "the shortest name",
            [set("/spec/bucketName", json!("a1b"))],
            [set("/spec/deletionPolicy", json!("Retain"))],
        ),
        allow(
            "the longest name, with dots",
            [set("/spec/bucketName", json!(format!("a.b-c.{}", "1".repeat(57))))],
            [set("/spec/managementPolicy", json!("Observe"))],
        ),
        allow("import set later", [], [set("/spec/import", json!({"id": "os-01abc"}))]),
    ];
    let mut cases = names();
    cases.extend(policies());
    cases.extend(fixed());
    Table { plural: "objectbuckets", namespaced: true, good, cases, allowed }
}

fn names() -> Vec<Case> {
    const LETTERS: &str = "must be lower-case letters, digits, '-' and '.'";
    const RESERVED: &str = "must not begin with xn--, sthree- or amzn-s3-demo-";
    let name = |title, value: Value, says: &'static str| {
        create(title, [set("/spec/bucketName", value)], &["spec.bucketName", says])
    };
    vec![
        name("empty name", json!(""), "at least 3 chars"),
        name("name of two letters", json!("ab"), "at least 3 chars"),
        name("name of 64 letters", json!("a".repeat(64)), "may not be more than 63"),
        name("name in capitals", json!("Shop"), LETTERS),
        name("name with an underscore", json!("shop_assets"), LETTERS),
        name("name with a space", json!("shop assets"), LETTERS),
        name("name with a slash", json!("shop/assets"), LETTERS),
        name("name with an umlaut", json!("größe"), LETTERS),
        name("name with a line break", json!("shop\n"), LETTERS),
        name("name with a null character", json!("sh\u{0}op"), LETTERS),
        name("name that begins with a hyphen", json!("-shop"), LETTERS),
        name("name that ends with a dot", json!("shop."), LETTERS),
        name("name with two dots", json!("shop..assets"), "must not have two dots in a row"),
        name("name like an address", json!("192.168.5.4"), "must not look like an IP address"),
        name("name in punycode", json!("xn--shop"), RESERVED),
        name("name of an access point", json!("shop-s3alias"), RESERVED),
        name("number as name", json!(1234), "must be of type string"),
    ]
}

fn policies() -> Vec<Case> {
    let label = "must be 1 to 63 lower-case letters, digits and '-'";
    vec![
        create("empty provider", [set("/spec/provider", json!(""))], &["spec.provider", label]),
        create("provider is a URL", [set("/spec/provider", json!("https://s3"))], &["spec.provider", label]),
        create("region with a dot", [set("/spec/region", json!("local.1"))], &["spec.region", label]),
        create(
            "very long region",
            [set("/spec/region", json!("a".repeat(64)))],
            &["spec.region", "may not be more than 63"],
        ),
        create(
            "unknown deletion policy",
            [set("/spec/deletionPolicy", json!("Empty"))],
            &["spec.deletionPolicy", "Unsupported value", "Purge"],
        ),
        create(
            "unknown management policy",
            [set("/spec/managementPolicy", json!("Purge"))],
            &["spec.managementPolicy", "Unsupported value"],
        ),
        create("unknown field", [set("/spec/quota", json!({"maxObjects": 1}))], &["spec.quota", "unknown field"]),
        create("import without id", [set("/spec/import", json!({}))], &["spec.import.id", "Required value"]),
        create(
            "project by its name",
            [set("/spec/projectRef", json!("shop"))],
            &["spec.projectRef", "must be of type object"],
        ),
    ]
}

fn fixed() -> Vec<Case> {
    let fixed = |title, pointer, to: Value, field: &'static str| {
        change(title, [], [set(pointer, to)], &[field, "cannot be changed, added or removed"])
    };
    let gone = |title, pointer, field: &'static str| {
        change(title, [], [remove(pointer)], &[field, "cannot be changed, added or removed"])
    };
    vec![
        fixed("another name", "/spec/bucketName", json!("shop-other"), "spec.bucketName"),
        fixed("another provider", "/spec/provider", json!("minio"), "spec.provider"),
        fixed("another region", "/spec/region", json!("local-2"), "spec.region"),
        fixed("project added", "/spec/projectRef", json!({"name": "p"}), "spec.projectRef"),
        gone("name removed", "/spec/bucketName", "spec.bucketName"),
        gone("region removed", "/spec/region", "spec.region"),
        change(
            "name added",
            [remove("/spec/bucketName")],
            [set("/spec/bucketName", json!("shop-assets"))],
            &["spec.bucketName", "cannot be changed, added or removed"],
        ),
        change(
            "import changed",
            [set("/spec/import", json!({"id": "a"}))],
            [set("/spec/import", json!({"id": "b"}))],
            &["spec.import", "import can be set once"],
        ),
    ]
}

pub(super) fn credentials() -> Table {
    let good = json!({
        "apiVersion": "loopback.cloud/v1alpha1",
        "kind": "ObjectBucketCredential",
        "metadata": {},
        "spec": {"bucketRef": {"name": "assets"}, "access": "ReadWrite", "secretName": "assets-rw"},
    });
    let allowed = vec![
        allow("another access", [], [set("/spec/access", json!("WriteOnly"))]),
        allow("no Secret named", [remove("/spec/secretName")], [set("/spec/access", json!("ReadOnly"))]),
    ];
    Table { plural: "objectbucketcredentials", namespaced: true, good, cases: credential_cases(), allowed }
}

fn credential_cases() -> Vec<Case> {
    const NAME: &str = "must be the name of an object";
    let fixed = "cannot be changed, added or removed";
    vec![
        create("no bucket", [remove("/spec/bucketRef")], &["spec.bucketRef", "Required value"]),
        create(
            "bucket without a name",
            [set("/spec/bucketRef", json!({}))],
            &["spec.bucketRef.name", "Required value"],
        ),
        create("bucket by a path", [set("/spec/bucketRef/name", json!("shop/assets"))], &["spec.bucketRef.name", NAME]),
        create("empty bucket", [set("/spec/bucketRef/name", json!(""))], &["spec.bucketRef.name", NAME]),
        create(
            "bucket elsewhere",
            [set("/spec/bucketRef/namespace", json!("a"))],
            &["spec.bucketRef.namespace", "unknown field"],
        ),
        create("no access", [remove("/spec/access")], &["spec.access", "Required value"]),
        create(
            "unknown access",
            [set("/spec/access", json!("Admin"))],
            &["spec.access", "Unsupported value", "ReadWrite"],
        ),
        create("access in lower case", [set("/spec/access", json!("readOnly"))], &["spec.access", "Unsupported value"]),
        create("two accesses", [set("/spec/access", json!(["ReadOnly"]))], &["spec.access", "must be of type string"]),
        create("Secret in capitals", [set("/spec/secretName", json!("Assets"))], &["spec.secretName", NAME]),
        create("empty Secret", [set("/spec/secretName", json!(""))], &["spec.secretName", NAME]),
        create("Secret by a path", [set("/spec/secretName", json!("shop/assets"))], &["spec.secretName", NAME]),
        create(
            "very long Secret",
            [set("/spec/secretName", json!("a".repeat(254)))],
            &["spec.secretName", "may not be more than 253"],
        ),
        create(
            "a key of one's own",
            [set("/spec/secretAccessKey", json!("hush"))],
            &["spec.secretAccessKey", "unknown field"],
        ),
        create(
            "a policy for roots",
            [set("/spec/deletionPolicy", json!("Retain"))],
            &["spec.deletionPolicy", "unknown field"],
        ),
        change("another bucket", [], [set("/spec/bucketRef/name", json!("b"))], &["spec.bucketRef", fixed]),
        change("another Secret", [], [set("/spec/secretName", json!("b"))], &["spec.secretName", fixed]),
        change("Secret removed", [], [remove("/spec/secretName")], &["spec.secretName", fixed]),
        change(
            "Secret added",
            [remove("/spec/secretName")],
            [set("/spec/secretName", json!("b"))],
            &["spec.secretName", fixed],
        ),
    ]
}
