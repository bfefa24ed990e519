//! Names, patterns and values of the DNS.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::{duration_between, list_by, rules, set_of};
use crate::crd::project_dns_zone::Overlap;

/// Said of every name, because the rule that it breaks otherwise would only show an expression.
const ASCII: (&str, &str) = (
    "self.matches('^[\\\\x00-\\\\x7f]*$')",
    "must be ASCII: write international labels in their A-label form, which begins with xn--",
);

/// A domain.
pub(in crate::crd) fn domain(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 253,
        "x-kubernetes-validations": rules(&[ASCII, (
            "self.matches('^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?[.])+[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$')",
            "must be a domain such as example.dev: labels of up to 63 lower-case letters, digits and '-', with dots between \
             them and none at the end",
        )]),
    })
}

/// Names that may be written.
pub(in crate::crd) fn patterns(_: &mut SchemaGenerator) -> Schema {
    let item = json_schema!({
        "type": "string",
        "maxLength": 253,
        "x-kubernetes-validations": rules(&[ASCII, (
            "self.matches('^([*][.])?([a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?[.])+[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$')",
            "must be a name such as shop.example.dev, or one whose leftmost label is a star, such as *.shop.example.dev: \
             lower-case letters, digits, '-' and '_', no dot at the end, no other star",
        )]),
    });
    set_of(item, 64)
}

/// Name of a record.
pub(in crate::crd) fn record_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 254,
        "x-kubernetes-validations": rules(&[ASCII, (
            "self.matches('^([*][.])?([a-zA-Z0-9_]([-a-zA-Z0-9_]{0,61}[a-zA-Z0-9_])?[.])+[a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?[.]?$') && size(self) <= (self.endsWith('.') ? 254 : 253)",
            "must be an absolute name such as api.shop.example.dev: labels of up to 63 letters, digits, '-' and '_', at most \
             253 characters, the leftmost label may be a star",
        )]),
    })
}

/// Time to live of a record.
pub(in crate::crd) fn time_to_live(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = duration_between::<1000, 604_800_000>(generator);
    let whole = json!({"rule": "!self.contains('ms')", "message": "must be whole seconds: the units h, m and s"});
    if let Some(Value::Array(rules)) = schema.get_mut("x-kubernetes-validations") {
        rules.push(whole);
    }
    schema
}

/// Values of a record.
pub(in crate::crd) fn record_values(_: &mut SchemaGenerator) -> Schema {
    let item = json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": 4096,
        "x-kubernetes-validations": rules(&[(
            "!self.matches('[\\\\x00-\\\\x1f\\\\x7f]')",
            "must have no control characters: in quoted strings write \\DDD",
        )]),
    });
    set_of(item, 256)
}

/// Other zones, by their ids.
pub(in crate::crd) fn zone_overlaps(generator: &mut SchemaGenerator) -> Schema {
    list_by::<Overlap>(generator, "id", 0, 50)
}
