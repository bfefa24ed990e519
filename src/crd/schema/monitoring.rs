//! Schemas of what is probed and compared.

use schemars::{Schema, SchemaGenerator, json_schema};

use super::rules;
use crate::rules::monitoring::{Parameter, SIZE_PATTERN, THRESHOLD_MOST};

/// A URL that is probed.
pub(in crate::crd) fn probe_url(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 1024,
        "x-kubernetes-validations": rules(&[
            (
                "isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHostname() != ''",
                "must be an absolute URL with http or https, such as https://shop.example.com/healthz",
            ),
            ("!self.matches('^[a-z]+://[^/?#]*@')", "must have no user name or password: all who may read it would see them"),
            ("!self.matches('[^!-~]')", "must have no blanks and control characters; percent-encode what is not ASCII"),
        ]),
    })
}

/// HTTP statuses and classes of them.
pub(in crate::crd) fn status_set(_: &mut SchemaGenerator) -> Schema {
    let status = json_schema!({
        "type": "string",
        "maxLength": 3,
        "x-kubernetes-validations": rules(&[(
            "self.matches('^[1-5]([0-9][0-9]|xx)$')",
            "must be an HTTP status such as \"204\", or a class such as 2xx",
        )]),
    });
    super::set_of(status, 16)
}

/// A host name or an IP address.
pub(in crate::crd) fn host(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 253,
        "x-kubernetes-validations": rules(&[(
            "isIP(self) || self.matches('^[a-zA-Z0-9_]([-_a-zA-Z0-9]*[a-zA-Z0-9])?([.][a-zA-Z0-9_]([-_a-zA-Z0-9]*[a-zA-Z0-9])?)*[.]?$')",
            "must be a host name such as db.example.com, or an IP address such as 192.0.2.7 or 2001:db8::7",
        )]),
    })
}

/// A key of the parameter registry.
pub(in crate::crd) fn parameter(_: &mut SchemaGenerator) -> Schema {
    let keys: Vec<_> = Parameter::all().map(|parameter| parameter.info().key).collect();
    json_schema!({"type": "string", "enum": keys})
}

/// A number, or a text with a unit.
pub(in crate::crd) fn threshold(_: &mut SchemaGenerator) -> Schema {
    let right = format!(
        "type(self) != string || self.matches('^[0-9]{{1,12}}[.][0-9]{{1,3}}$') || self.matches('{SIZE_PATTERN}') || \
         self.matches('^([0-9]{{1,5}}(h|m|s|ms)){{1,4}}$')"
    );
    json_schema!({
        "x-kubernetes-int-or-string": true,
        "maxLength": 32,
        "minimum": 0,
        "maximum": THRESHOLD_MOST,
        "x-kubernetes-validations": rules(&[(
            right.as_str(),
            "must be a number such as 500 or \"0.95\", a time such as 500ms, or a size such as 64Ki",
        )]),
    })
}

/// Yes or no.
pub(in crate::crd) fn flag(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "boolean"})
}

/// A moment.
pub(in crate::crd) fn time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "date-time"})
}
