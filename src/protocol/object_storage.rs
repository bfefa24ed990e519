//! Intents and realities of object storage: buckets and their credentials.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Intent, Members};

/// What a bucket shall be. Nothing of it can be changed later.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bucket {
    /// The name that S3 clients use; unique in the whole installation.
    pub bucket_name: String,
    /// Who keeps the bytes; absent: the first of the backend's providers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Where; absent: the provider's first region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
}

/// What the backend chose for a bucket, and counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BucketState {
    /// URL that S3 clients connect to.
    #[serde(default)]
    pub endpoint: String,
    /// The region that they sign for.
    #[serde(default)]
    pub region: String,
    /// Who keeps the bytes.
    #[serde(default)]
    pub provider: String,
    /// How full it is. Follows at a distance: a put does not move it at once.
    #[serde(default)]
    pub usage: Usage,
}

/// How full a bucket is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Usage {
    /// Objects.
    pub objects: u64,
    /// Their sizes together.
    pub bytes: u64,
}

/// A key pair for one bucket.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Credential {
    /// The name that people know it by; need not be unique.
    pub name: String,
    /// What it may do in its bucket.
    pub access: Access,
}

/// What a credential may do in its bucket; outside of it, nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::Display)]
pub enum Access {
    /// Read and list objects.
    #[default]
    ReadOnly,
    /// Everything that can be done with objects.
    ReadWrite,
    /// Put and delete objects, but neither read nor list them.
    WriteOnly,
}

/// What the backend chose for a credential. The secret half is delivered once and never shown here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CredentialState {
    /// The public half of the key pair.
    #[serde(default)]
    pub access_key_id: String,
    /// URL that S3 clients connect to.
    #[serde(default)]
    pub endpoint: String,
    /// The region that they sign for.
    #[serde(default)]
    pub region: String,
    /// The only bucket that it opens.
    #[serde(default)]
    pub bucket_name: String,
}

/// What a credential's secret consists of.
pub mod key_pair {
    /// Name of the public half among the values.
    pub const ACCESS_KEY: &str = "accessKeyId";
    /// Name of the secret half.
    pub const SECRET_KEY: &str = "secretAccessKey";
}

/// Somebody who keeps buckets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Provider {
    /// The name that intents use.
    pub name: String,
    /// Its regions; the first is taken when an intent names none.
    pub regions: Vec<String>,
}

/// A region, and who has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Region {
    /// The name that intents use.
    pub name: String,
    /// Providers that have it.
    pub providers: Vec<String>,
}

/// Why a bucket that shall be deleted is still there.
pub mod member {
    /// Path of the member that stands for the bucket's content.
    pub const CONTENT: &str = "content";
    /// The content is in the way of the deletion.
    pub const BLOCKED: &str = "Blocked";
    /// It is being removed.
    pub const PURGING: &str = "Purging";
    /// There are objects, and nobody asked to remove them.
    pub const NOT_EMPTY: &str = "NotEmpty";
}

impl Intent for Bucket {
    type State = BucketState;
    const COLLECTION: &'static str = "object-stores";
    const PERMISSION: &'static str = "project.object_store";
    const MEMBERS: &'static [Members] = &[];
    const NAME_FIELD: &'static str = "bucketName";
}

impl Intent for Credential {
    type State = CredentialState;
    const COLLECTION: &'static str = "object-stores/credentials";
    const PERMISSION: &'static str = "project.object_store.credentials";
    const MEMBERS: &'static [Members] = &[];
    const NAME_FIELD: &'static str = "name";
    const PARENT: Option<&'static str> = Some(Bucket::COLLECTION);
    const MINTS: bool = true;
}
