//! The custom resources: what people write and what the operator answers. One file a kind, and the vocabulary they share.
//!
//! The types say what an object looks like in Rust; the schema attributes beside each field say what the API server takes.
//! [`all`] gives the definitions as they are applied to a cluster.

pub mod conditions;
mod definitions;
pub mod dns_record;
pub mod duration;
pub mod loopback_backend;
pub mod member;
pub mod monitoring_condition;
pub mod monitoring_object;
pub mod object_bucket;
pub mod object_bucket_credential;
pub mod policies;
pub mod project_binding;
pub mod project_dns_zone;
pub mod project_load_balancer;
pub mod references;
mod schema;

pub use conditions::{ConditionType, Reason};
pub use definitions::all;
pub use dns_record::{DnsRecord, DnsRecordSpec, DnsRecordStatus};
pub use duration::Duration;
pub use loopback_backend::{LoopbackBackend, LoopbackBackendSpec, LoopbackBackendStatus};
pub use member::Member;
pub use monitoring_condition::{MonitoringCondition, MonitoringConditionSpec, MonitoringConditionStatus};
pub use monitoring_object::{MonitoringObject, MonitoringObjectSpec, MonitoringObjectStatus};
pub use object_bucket::{BucketDeletionPolicy, ObjectBucket, ObjectBucketSpec, ObjectBucketStatus};
pub use object_bucket_credential::{ObjectBucketCredential, ObjectBucketCredentialSpec, ObjectBucketCredentialStatus};
pub use policies::{DeletionPolicy, FINALIZER, Import, ManagementPolicy, annotation};
pub use project_binding::{ProjectBinding, ProjectBindingSpec, ProjectBindingStatus};
pub use project_dns_zone::{ProjectDnsZone, ProjectDnsZoneSpec, ProjectDnsZoneStatus};
pub use project_load_balancer::{ProjectLoadBalancer, ProjectLoadBalancerSpec, ProjectLoadBalancerStatus};
pub use references::{LocalReference, NamespacedSecretKeyReference, SecretKeyReference};

/// API group of every kind.
pub const GROUP: &str = "loopback.cloud";
/// API version of every kind.
pub const VERSION: &str = "v1alpha1";
/// Name of the [`ProjectBinding`] that an absent `projectRef` means, and of the [`LoopbackBackend`] that a binding without
/// `backendRef`, `url` and `tokenSecretRef` means.
pub const DEFAULT_NAME: &str = "default";

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use serde::{Serialize, de::DeserializeOwned};
    use serde_json::{Value, json};

    use super::*;

    /// Reads a sample as the API server would give it, and writes it: nothing may come or go.
    fn round_trip<K: Serialize + DeserializeOwned>(file: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/samples").join(file);
        let mut sample: Value = serde_saphyr::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        sample["status"] = json!({"observedGeneration": -1, "conditions": [{
            "type": "Ready", "status": "Unknown", "reason": "Pending", "message": "Waiting for the operator",
            "lastTransitionTime": "1970-01-01T00:00:00Z",
        }]});
        let object: K = serde_json::from_value(sample.clone()).unwrap();
        assert_eq!(serde_json::to_value(object).unwrap(), sample, "{file}");
    }

    /// What has to be extended by hand with every kind.
    #[test]
    fn manifests_name_every_kind() {
        let read = |file| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        let (roles, users, list) =
            (read("deploy/roles.yaml"), read("deploy/roles-users.yaml"), read("crds/Kustomization"));
        for definition in all() {
            let plural = definition.spec.names.plural;
            assert!(roles.contains(&format!("{plural}/status")), "deploy/roles.yaml lacks {plural}");
            assert!(list.contains(&format!("{plural}.yaml")), "crds/Kustomization lacks {plural}");
            let namespaced = definition.spec.scope == "Namespaced";
            assert_eq!(namespaced, users.contains(&plural), "deploy/roles-users.yaml: {plural}");
        }
    }

    #[test]
    fn samples_round_trip() {
        round_trip::<LoopbackBackend>("loopback-backend.yaml");
        round_trip::<ProjectBinding>("project-binding.yaml");
        round_trip::<ProjectLoadBalancer>("project-load-balancer.yaml");
        round_trip::<MonitoringObject>("monitoring-object.yaml");
        round_trip::<MonitoringCondition>("monitoring-condition.yaml");
        round_trip::<ProjectDnsZone>("project-dns-zone.yaml");
        round_trip::<DnsRecord>("dns-record.yaml");
        round_trip::<ObjectBucket>("object-bucket.yaml");
        round_trip::<ObjectBucketCredential>("object-bucket-credential.yaml");
    }
}
