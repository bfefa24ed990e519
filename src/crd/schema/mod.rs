//! Schemas of the vocabulary: every string, list and map bounded, every rule with a message that says what is right.

mod dns;
mod monitoring;
mod selector;
mod status;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

pub(super) use dns::{domain, patterns, record_name, record_values, time_to_live, zone_overlaps};
pub(super) use monitoring::{flag, host, parameter, probe_url, status_set, threshold, time};
pub(super) use selector::{annotations, label_selector, labels};
pub(super) use status::{conditions, count, large_count, message, observed_generation, text, text_set};

use super::duration;

/// CEL rules with their messages. Regular expressions, because the formats that CEL knows cost ten times as much of the
/// API server's budget.
pub(super) fn rules(rules: &[(&str, &str)]) -> Value {
    rules.iter().map(|(rule, message)| json!({"rule": rule, "message": message})).collect()
}

/// CEL rules of an object, each reported at one of its fields.
pub(super) fn field_rules(rules: &[(&str, &str, &str)]) -> Value {
    let rule = |(field, rule, message): &(&str, &str, &str)| json!({"fieldPath": format!(".{field}"), "rule": rule, "message": message});
    rules.iter().map(rule).collect()
}

/// The rule that keeps an optional field of an object as it was created.
pub(super) fn immutable(field: &str) -> Value {
    json!({
        "fieldPath": format!(".{field}"),
        "rule": format!("has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})"),
        "message": format!("{field} cannot be changed, added or removed: create another object instead"),
    })
}

/// Lists of rules, one after the other.
pub(super) fn joined<const N: usize>(lists: [Value; N]) -> Value {
    lists.into_iter().flat_map(|list| if let Value::Array(rules) = list { rules } else { vec![list] }).collect()
}

/// A name of one part: a DNS label.
pub(super) fn label_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 63,
        "x-kubernetes-validations": rules(&[(
            "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
            "must be 1 to 63 lower-case letters, digits and '-', beginning and ending with a letter or digit",
        )]),
    })
}

/// `metadata.name` of another object: a DNS subdomain.
pub(super) fn object_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 253,
        "x-kubernetes-validations": rules(&[(
            "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",
            "must be the name of an object: lower-case letters, digits, '-' and '.', beginning and ending with a letter or digit",
        )]),
    })
}

/// The name of a bucket, as S3 takes it.
pub(super) fn bucket_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 3,
        "maxLength": 63,
        "x-kubernetes-validations": rules(&[
            (
                "self.matches('^[a-z0-9][-.a-z0-9]*[a-z0-9]$')",
                "must be lower-case letters, digits, '-' and '.', beginning and ending with a letter or digit",
            ),
            ("!self.contains('..')", "must not have two dots in a row"),
            ("!self.matches('^[0-9]+([.][0-9]+){3}$')", "must not look like an IP address"),
            (
                "!self.matches('^(xn--|sthree-|amzn-s3-demo-)') && !self.matches('(-s3alias|--ol-s3|[.]mrap|--x-s3)$')",
                "must not begin with xn--, sthree- or amzn-s3-demo-, nor end with -s3alias, --ol-s3, .mrap or --x-s3",
            ),
        ]),
    })
}

/// A key of a Secret's data.
pub(super) fn secret_key(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 253,
        "x-kubernetes-validations": rules(&[(
            "self.matches('^[-._a-zA-Z0-9]+$') && self != '.' && self != '..'",
            "must be a key of the Secret's data: letters, digits, '-', '_' and '.'",
        )]),
    })
}

/// An id that the backend gave.
pub(super) fn backend_id(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 128,
        "x-kubernetes-validations": rules(&[(
            "self.matches('^[a-zA-Z0-9][-_a-zA-Z0-9]*$')",
            "must be an id of the backend, such as lb-01jd3v9e6x: letters, digits, '-' and '_'",
        )]),
    })
}

/// An id of a cluster.
pub(super) fn cluster_id(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 253,
        "x-kubernetes-validations": rules(&[(
            "self.matches('^[a-zA-Z0-9]([-_.a-zA-Z0-9]*[a-zA-Z0-9])?$')",
            "must be the id of a cluster, by default the UID of its namespace kube-system: letters, digits, '-', '_' and '.'",
        )]),
    })
}

/// Where an API is.
pub(super) fn url(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 1024,
        "x-kubernetes-validations": rules(&[
            (
                "isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHostname() != ''",
                "must be an absolute URL such as https://api.example.com",
            ),
            (
                "!self.matches('[@?#]')",
                "must have no user name, query or fragment: a token comes from a Secret",
            ),
        ]),
    })
}

/// Path and query of an HTTP request.
pub(super) fn http_path(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 1024,
        "x-kubernetes-validations": rules(&[(
            "self.matches('^/[!-~]*$') && !self.contains('#')",
            "must begin with '/' and have no spaces, control characters or fragment; percent-encode what is not ASCII",
        )]),
    })
}

/// An IP literal that can be connected to.
pub(super) fn ip_address(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 45,
        "x-kubernetes-validations": rules(&[
            ("isIP(self)", "must be an IP address such as 10.0.0.7 or 2001:db8::7; host names are not resolved"),
            (
                "!isIP(self) || !(ip(self).isUnspecified() || ip(self).isLinkLocalMulticast())",
                "must be the address of one host, not an unspecified or multicast address",
            ),
        ]),
    })
}

/// A TCP or UDP port.
pub(super) fn port(generator: &mut SchemaGenerator) -> Schema {
    int_between::<1, 65535>(generator)
}

/// An integer between two bounds.
pub(super) fn int_between<const LOW: u32, const HIGH: u32>(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "integer", "format": "int32", "minimum": LOW, "maximum": HIGH})
}

/// A duration between two numbers of milliseconds.
pub(super) fn duration_between<const LOW: u64, const HIGH: u64>(_: &mut SchemaGenerator) -> Schema {
    duration(Some(LOW), Some(HIGH))
}

/// A GEP-2257 duration, with bounds in milliseconds.
pub(super) fn duration(low: Option<u64>, high: Option<u64>) -> Schema {
    let matches = format!("self.matches('{}')", duration::PATTERN);
    let mut rules = vec![json!({
        "rule": matches,
        "message": "must be a duration such as 500ms, 5s or 1m30s: numbers of up to 5 digits, each with the unit h, m, s or ms",
    })];
    for (operator, words, bound) in [(">=", "at least", low), ("<=", "at most", high)] {
        if let Some(bound) = bound.map(written) {
            rules.push(json!({
                "rule": format!("!{matches} || duration(self) {operator} duration('{bound}')"),
                "message": format!("must be {words} {bound}"),
            }));
        }
    }
    json_schema!({"type": "string", "maxLength": 32, "x-kubernetes-validations": rules})
}

/// Milliseconds as a duration in the largest unit that fits.
fn written(milliseconds: u64) -> String {
    let units = [(3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let unit = units.into_iter().find(|(size, _)| milliseconds.is_multiple_of(*size));
    unit.map_or_else(|| format!("{milliseconds}ms"), |(size, unit)| format!("{}{unit}", milliseconds / size))
}

/// One of an enum's names.
pub(super) fn one_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": names::<T>(generator)})
}

/// Some of an enum's names, at least one.
pub(super) fn enum_set<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let names = names::<T>(generator);
    json_schema!({
        "type": "array",
        "minItems": 1,
        "maxItems": names.len(),
        "x-kubernetes-list-type": "set",
        "items": {"type": "string", "enum": names},
    })
}

/// The names of an enum, whether or not its variants are documented.
fn names<T: JsonSchema>(generator: &mut SchemaGenerator) -> Vec<Value> {
    let schema = T::json_schema(generator);
    let listed = schema.get("enum").and_then(Value::as_array).cloned().unwrap_or_default();
    let documented = schema.get("oneOf").and_then(Value::as_array).cloned().unwrap_or_default();
    let documented = documented.iter().filter_map(|variant| variant.get("const").cloned());
    listed.into_iter().chain(documented).collect()
}

/// A list of objects keyed by `name`.
pub(super) fn named_list<T: JsonSchema, const MOST: usize>(generator: &mut SchemaGenerator) -> Schema {
    list_by::<T>(generator, "name", 0, MOST)
}

/// A name that another rule compares with the names that exist.
pub(super) fn known_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "maxLength": 63})
}

/// A list of objects keyed by `name`, at least one.
pub(super) fn nonempty_named_list<T: JsonSchema, const MOST: usize>(generator: &mut SchemaGenerator) -> Schema {
    list_by::<T>(generator, "name", 1, MOST)
}

/// A list of objects keyed by `family`.
pub(super) fn keyed_list<T: JsonSchema, const MOST: usize>(generator: &mut SchemaGenerator) -> Schema {
    list_by::<T>(generator, "family", 0, MOST)
}

fn list_by<T: JsonSchema>(generator: &mut SchemaGenerator, key: &str, least: usize, most: usize) -> Schema {
    let mut schema = json_schema!({
        "type": "array",
        "maxItems": most,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": [key],
        "items": generator.subschema_for::<T>(),
    });
    if least > 0 {
        schema.insert("minItems".into(), least.into());
    }
    schema
}

/// The listeners of a load balancer.
pub(super) fn services(generator: &mut SchemaGenerator) -> Schema {
    nonempty_named_list::<super::project_load_balancer::Service, 64>(generator)
}

/// Names, at least one.
pub(super) fn name_set<const MOST: usize>(generator: &mut SchemaGenerator) -> Schema {
    set_of(label_name(generator), MOST)
}

/// Networks in CIDR notation, at least one.
pub(super) fn cidr_set(_: &mut SchemaGenerator) -> Schema {
    let item = json_schema!({
        "type": "string",
        "maxLength": 43,
        "x-kubernetes-validations": [
            {
                "rule": "isCIDR(self)",
                "message": "must be a network in CIDR notation such as 10.0.0.0/8, 192.0.2.7/32 or 2001:db8::/32",
            },
            {
                "rule": "!isCIDR(self) || cidr(self).masked() == cidr(self)",
                "message": "must have no bits set beyond its prefix length: 10.1.0.0/16, not 10.1.2.3/16",
            },
        ],
    });
    set_of(item, 1000)
}

fn set_of(item: Schema, most: usize) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 1,
        "maxItems": most,
        "x-kubernetes-list-type": "set",
        "items": item,
    })
}
