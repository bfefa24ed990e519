//! What every root resource has, read without knowing its kind.

use std::collections::BTreeMap;

use kube::{ResourceExt, api::DynamicObject};
use serde::{
    Deserialize,
    de::{DeserializeOwned, value::MapDeserializer},
};
use serde_json::{Value, json};

use crate::{
    crd::{BucketDeletionPolicy, FINALIZER, Import, ManagementPolicy, annotation},
    protocol::Owner,
};

use super::key::Key;

/// Name of the ProjectBinding, and of the LoopbackBackend, that is meant when a resource names none.
pub const DEFAULT: &str = "default";

/// The part of a root's spec that the engine acts on.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Common {
    /// Absent: the binding named `default`.
    pub project_ref: Option<Name>,
    /// Absent: Manage.
    pub management_policy: Option<ManagementPolicy>,
    /// Absent: Delete. The widest of the kinds' policies: only the schema of a bucket takes Purge.
    pub deletion_policy: Option<BucketDeletionPolicy>,
    /// An object to take over.
    pub import: Option<Import>,
}

/// A reference by name.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Name {
    /// The name.
    pub name: String,
}

impl Common {
    /// The engine's part of an object's spec.
    ///
    /// # Errors
    /// When it does not have the shape of the schema, for instance because the schema is older than the object.
    pub fn of(object: &DynamicObject) -> Result<Self, serde_json::Error> {
        object.data.get("spec").map_or_else(|| Ok(Self::default()), Self::deserialize)
    }

    /// The effective management policy.
    #[must_use]
    pub fn management(&self) -> ManagementPolicy {
        self.management_policy.unwrap_or_default()
    }

    /// The effective deletion policy.
    #[must_use]
    pub fn deletion(&self) -> BucketDeletionPolicy {
        self.deletion_policy.unwrap_or_default()
    }

    /// Name of the binding.
    #[must_use]
    pub fn binding(&self) -> &str {
        self.project_ref.as_ref().map_or(DEFAULT, |reference| &reference.name)
    }
}

/// An object in the types of its kind. What can be large, all but its metadata, is not copied on the way.
///
/// # Errors
/// When it does not have the shape of the kind.
pub fn typed<R: DeserializeOwned>(object: &DynamicObject) -> Result<R, serde_json::Error> {
    let types = object.types.as_ref();
    let head = [
        ("apiVersion", types.map_or(Value::Null, |types| json!(types.api_version))),
        ("kind", types.map_or(Value::Null, |types| json!(types.kind))),
        ("metadata", serde_json::to_value(&object.metadata)?),
    ];
    let head = head.iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (*name, value));
    let data = object.data.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value));
    R::deserialize(MapDeserializer::new(head.chain(data)))
}

/// Whether a person asked us to leave it alone.
#[must_use]
pub fn paused(annotations: &BTreeMap<String, String>) -> bool {
    annotations.get(annotation::PAUSED).is_some_and(|value| value == "true")
}

/// The last request for a pass.
#[must_use]
pub fn requested_at(object: &DynamicObject) -> Option<&str> {
    object.annotations().get(annotation::RECONCILE_REQUESTED_AT).map(String::as_str)
}

/// Whether it carries our finalizer.
#[must_use]
pub fn has_finalizer(object: &DynamicObject) -> bool {
    object.finalizers().iter().any(|finalizer| finalizer == FINALIZER)
}

/// Whether it is on its way out.
#[must_use]
pub fn deleting(object: &DynamicObject) -> bool {
    object.metadata.deletion_timestamp.is_some()
}

/// Its UID.
#[must_use]
pub fn uid(object: &DynamicObject) -> &str {
    object.metadata.uid.as_deref().unwrap_or_default()
}

/// Its generation.
#[must_use]
pub fn generation(object: &DynamicObject) -> i64 {
    object.metadata.generation.unwrap_or(0)
}

/// The owner that backend objects of this resource carry.
#[must_use]
pub fn owner(cluster: &str, key: &Key, object: &DynamicObject) -> Owner {
    Owner {
        cluster: cluster.to_owned(),
        kind: key.kind.to_string(),
        namespace: key.namespace.to_string(),
        name: key.name.to_string(),
        uid: uid(object).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crd::{DnsRecord, ProjectBinding};

    #[test]
    fn a_typed_object_is_what_it_would_be_on_the_wire() {
        let object: DynamicObject = serde_json::from_value(json!({
            "apiVersion": "loopback.cloud/v1alpha1", "kind": "DnsRecord",
            "metadata": {"name": "a", "namespace": "n", "uid": "u", "generation": 3, "labels": {"x": "y"}},
            "spec": {"zoneRef": {"name": "z"}, "name": "a.example.dev", "type": "A", "values": ["192.0.2.1"]},
            "status": {"observedGeneration": 3},
        }))
        .unwrap();
        let same: DnsRecord = object.clone().try_parse().unwrap();
        let typed: DnsRecord = typed(&object).unwrap();
        assert_eq!(json!(typed), json!(same));
        assert!(super::typed::<ProjectBinding>(&object).is_err(), "another kind has another spec");
        let bare = DynamicObject { data: Value::Null, ..object };
        assert!(super::typed::<DnsRecord>(&bare).is_err(), "no spec");
    }
}
