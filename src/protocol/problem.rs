//! Errors on the wire: RFC 9457 problem details with a stable code.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ObjectId, Owner, Permission};

/// What went wrong, for a program. Stable.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, strum::Display, strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Code {
    /// 400: the request cannot be understood.
    BadRequest,
    /// 401: no token, or one that is unknown or revoked.
    Unauthenticated,
    /// 403: the token lacks the permission in `permission`.
    Forbidden,
    /// 404: there is no such object, collection or project.
    NotFound,
    /// 405: the path has no such method.
    MethodNotAllowed,
    /// 409: an object with this owner exists; its id is in `id`.
    Exists,
    /// 409: this owner was retired for good.
    OwnerRetired,
    /// 409: another owner holds the object; it is in `holder`.
    Owned,
    /// 409: others use it.
    InUse,
    /// 409: it does not fit what others have.
    Conflict,
    /// 412: the entity tag in `If-Match` is not the present one.
    Stale,
    /// 413: the body is too large.
    TooLarge,
    /// 422: a field is wrong; it is in `field`.
    Invalid,
    /// 422: a quota is used up.
    Quota,
    /// 428: the request needs `If-Match`.
    PreconditionRequired,
    /// 429: too many requests; see `Retry-After`.
    Throttled,
    /// 500: a defect of the backend.
    Internal,
    /// 503: not now; see `Retry-After`.
    Unavailable,
}

impl Code {
    /// The HTTP status that goes with it.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::Exists | Self::OwnerRetired | Self::Owned | Self::InUse | Self::Conflict => 409,
            Self::Stale => 412,
            Self::TooLarge => 413,
            Self::Invalid | Self::Quota => 422,
            Self::PreconditionRequired => 428,
            Self::Throttled => 429,
            Self::Internal => 500,
            Self::Unavailable => 503,
        }
    }
}

/// Problem details (RFC 9457), sent as `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// URI of the kind of problem: `urn:loopback:problem:CODE`.
    #[serde(rename = "type")]
    pub kind: String,
    /// HTTP status.
    pub status: u16,
    /// Stable code.
    pub code: Code,
    /// What, where, and what to do, for a person.
    pub detail: String,
    /// JSON pointer (RFC 6901) of the field that is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The permission that is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission: Option<Permission>,
    /// The object that is in the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<ObjectId>,
    /// Who holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Box<Owner>>,
    /// Seconds after which to try again, as in the header `Retry-After`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
}

impl Problem {
    /// A problem with nothing but code and detail.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:loopback:problem:{code}"),
            status: code.status(),
            code,
            detail: detail.into(),
            field: None,
            permission: None,
            id: None,
            holder: None,
            retry_after: None,
        }
    }

    /// A field is wrong. `field` is a JSON pointer into the intent, for instance `/services/web/port`.
    #[must_use]
    pub fn invalid(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..Self::new(Code::Invalid, detail) }
    }

    /// A permission is missing.
    #[must_use]
    pub fn forbidden(permission: Permission) -> Self {
        let detail = format!("the token lacks the permission {permission}; have it added to the token's rules");
        Self { permission: Some(permission), ..Self::new(Code::Forbidden, detail) }
    }

    /// No such thing.
    #[must_use]
    pub fn not_found(what: impl fmt::Display) -> Self {
        Self::new(Code::NotFound, format!("{what} does not exist"))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.field {
            Some(field) => write!(f, "{}: {field}: {}", self.code, self.detail),
            None => write!(f, "{}: {}", self.code, self.detail),
        }
    }
}
