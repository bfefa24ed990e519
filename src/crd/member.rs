//! The one shape in which a status speaks of a part.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;

/// At most so many members that are not well stand in one status (the schema refuses more); the counts beside the list cover all.
pub const LISTED: usize = 50;

/// A part of an object - a target, a record, a key - that the status speaks about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Name of the member. A target of one service is `service/target`.
    #[schemars(schema_with = "schema::text")]
    pub name: String,
    /// What it does now, one word.
    #[schemars(schema_with = "schema::text")]
    pub state: String,
    /// Why, one word; empty when the state says all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(schema_with = "schema::text")]
    pub reason: String,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(schema_with = "schema::message")]
    pub message: String,
}
