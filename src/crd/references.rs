//! References to other objects.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;

/// An object of a known kind in the same namespace (or a cluster-scoped one).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocalReference {
    /// `metadata.name` of the object.
    #[schemars(schema_with = "schema::object_name")]
    pub name: String,
}

/// One key of a Secret in the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyReference {
    /// `metadata.name` of the Secret.
    #[schemars(schema_with = "schema::object_name")]
    pub name: String,
    /// Key in the Secret's `data`.
    #[schemars(schema_with = "schema::secret_key")]
    pub key: String,
}

/// One key of a Secret in a namespace that must be named, because the object that refers to it has none.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamespacedSecretKeyReference {
    /// Namespace of the Secret.
    #[schemars(schema_with = "schema::label_name")]
    pub namespace: String,
    /// `metadata.name` of the Secret.
    #[schemars(schema_with = "schema::object_name")]
    pub name: String,
    /// Key in the Secret's `data`.
    #[schemars(schema_with = "schema::secret_key")]
    pub key: String,
}
