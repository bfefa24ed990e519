//! Requests and answers about tenants, tokens and ownership.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ObjectId, Owner, Permission, RawObject, Rule, feed::too_long};

/// Body of POST on a collection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Create {
    /// Who will own it; absent: nobody, any cluster may import it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    /// The object that it belongs to, in collections with a parent whose path does not name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<ObjectId>,
    /// What it shall be.
    pub intent: Value,
}

/// Body of PUT `{id}/owner`: compare-and-set of the owner.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// The owner that the caller saw; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Owner>,
    /// The new owner.
    pub to: Owner,
}

/// Query of DELETE on an owner.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RetireOptions {
    /// Empty what would else refuse to go while it holds data.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub purge: bool,
}

/// Answer to DELETE on an owner: the owner is retired for good, also when it had no object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Retired {
    /// Its object, now Deleting; absent when there is none (any more).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<RawObject>,
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Give it back as `?page=` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// An organization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Organization {
    /// Identity, never used again.
    pub id: ObjectId,
    /// Name in paths.
    pub name: String,
}

/// A domain that an organization owns, with all names below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Domain {
    /// Identity, never used again.
    pub id: ObjectId,
    /// Its name, lower case, without trailing dot.
    pub name: String,
    /// The organization that owns it.
    pub organization: String,
}

/// A project of an organization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Project {
    /// Identity, never used again: a project re-created under its old name has another.
    pub id: ObjectId,
    /// Name in paths, unique in the backend.
    pub name: String,
    /// The organization that owns it.
    pub organization: String,
}

/// Answer to GET `/v3/projects/{p}`: the project as this token sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProjectView {
    /// The project.
    #[serde(flatten)]
    pub project: Project,
    /// Identity of the store that it lives in.
    pub store: String,
    /// What the token may do in it.
    pub permissions: Vec<Permission>,
}

impl ProjectView {
    /// What of it is longer than anything of its kind is.
    #[must_use]
    pub fn overlong(&self) -> Option<&'static str> {
        let Project { id, name, organization } = &self.project;
        too_long(&[("an id", id), ("a name", name), ("an organization", organization), ("a store", &self.store)])
    }
}

/// Body of POST `/v3/tokens`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// What it is for, for people.
    pub description: String,
    /// What it may do.
    pub rules: Vec<Rule>,
}

/// A token without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenView {
    /// Identity.
    pub id: ObjectId,
    /// What it is for.
    pub description: String,
    /// What it may do.
    pub rules: Vec<Rule>,
}

/// Answer to POST `/v3/tokens`: the only time the secret is shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MintedToken {
    /// The token's description.
    #[serde(flatten)]
    pub token: TokenView,
    /// The bearer token. Only its hash is kept.
    pub secret: String,
}

impl fmt::Debug for MintedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MintedToken").field("token", &self.token).finish_non_exhaustive()
    }
}
