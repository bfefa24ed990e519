//! The kinds: one file each, two pure functions each. What talks, waits or writes is the engine's.

mod dns_record;
mod dns_zone;
mod load_balancer;
mod monitoring_condition;
mod monitoring_object;
mod object_bucket;
mod object_bucket_credential;

use super::engine::registry::Registered;

/// All kinds that live in the backend.
#[must_use]
pub fn all() -> Vec<Registered> {
    vec![
        Registered::new::<load_balancer::LoadBalancers>(),
        Registered::new::<monitoring_object::MonitoringObjects>(),
        Registered::new::<monitoring_condition::MonitoringConditions>(),
        Registered::new::<dns_zone::DnsZones>(),
        Registered::new::<dns_record::DnsRecords>(),
        Registered::new::<object_bucket::ObjectBuckets>(),
        Registered::new::<object_bucket_credential::ObjectBucketCredentials>(),
    ]
}
