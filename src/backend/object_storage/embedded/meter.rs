//! How full buckets are, for those who ask the API.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use super::vault::Vault;
use crate::protocol::{Code, ObjectId, Problem, object_storage::Usage};

/// Reads the counters of buckets. Cheap to clone.
#[derive(Clone, Default)]
pub struct Meter(Arc<OnceLock<Vault>>);

impl Meter {
    /// From now on it counts what is in this vault.
    pub(super) fn attach(&self, vault: &Vault) {
        drop(self.0.set(vault.clone()));
    }

    /// The counters of those of these buckets that exist, all of one moment.
    ///
    /// # Errors
    /// When the object store does not run yet, or its disk fails.
    pub async fn read(self, ids: Vec<ObjectId>) -> Result<BTreeMap<ObjectId, Usage>, Problem> {
        let vault = self.0.get().ok_or_else(|| Problem::new(Code::Unavailable, "the object store is starting"))?;
        let failed = |problem| {
            tracing::error!(%problem, "usage cannot be read");
            Problem::new(Code::Internal, "the object store failed; the backend's log says more")
        };
        vault.usages(ids).await.map_err(failed)
    }
}
