//! Object storage.

mod checks;
mod embedded;
mod providers;

use std::sync::Arc;

use serde_json::Value;

pub use checks::{BucketChecks, ChosenBucket, CredentialChecks, bucket_name};
pub use embedded::{EmbeddedPlane, Options};
pub use providers::{EMBEDDED, LOCAL, Providers};

use super::api::collections::{Collection, Fact};
use crate::{
    protocol::object_storage::{Bucket, Credential},
    runtime::World,
};

/// The collections of the service, parents first.
#[must_use]
pub fn collections(providers: Providers, world: World) -> Vec<Collection> {
    vec![
        Collection::of::<Bucket>("os", Arc::new(BucketChecks::new(providers))),
        Collection::of::<Credential>("osc", Arc::new(CredentialChecks::new(world))),
    ]
}

/// What the service tells about itself: providers and regions, for those who have to choose.
#[must_use]
pub fn facts(providers: &Providers) -> Vec<Fact> {
    let list = |items: Value| serde_json::json!({ "items": items });
    let all = list(serde_json::to_value(providers.all()).unwrap_or_default());
    let regions = list(serde_json::to_value(providers.regions()).unwrap_or_default());
    vec![
        Fact {
            path: "/v3/object-store-providers",
            name: "listObjectStoreProviders",
            summary: "Who keeps buckets, the default first",
            content: Box::new(move || all.clone()),
        },
        Fact {
            path: "/v3/object-store-regions",
            name: "listObjectStoreRegions",
            summary: "Where buckets can be, over all providers",
            content: Box::new(move || regions.clone()),
        },
    ]
}
