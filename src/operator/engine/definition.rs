//! Whether a kind is being removed from the cluster: then nothing of it is removed from the backend.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client};

/// How long one call to the API server may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// The definitions of our kinds, read when something cannot be undone: the watch of definitions may lag behind the one of
/// the objects, whose deletion the API server begins by itself.
pub(super) struct Definitions(Option<Api<CustomResourceDefinition>>);

impl Definitions {
    /// An operator that watches single namespaces may not read definitions.
    pub(super) fn new(client: Client, may_read: bool) -> Self {
        Self(may_read.then(|| Api::all(client)))
    }

    /// Whether the definition with this name is being deleted, or gone.
    ///
    /// # Errors
    /// A message for people when that cannot be found out.
    pub(super) async fn deleting(&self, name: &str) -> Result<bool, String> {
        let Some(api) = &self.0 else { return Ok(false) };
        match tokio::time::timeout(CALL_TIMEOUT, api.get_metadata_opt(name)).await {
            Ok(Ok(found)) => Ok(found.is_none_or(|found| found.metadata.deletion_timestamp.is_some())),
            Ok(Err(error)) => Err(format!("the definition {name} cannot be read: {error}")),
            Err(_) => Err(format!("the definition {name} was not read within {} s", CALL_TIMEOUT.as_secs())),
        }
    }
}
