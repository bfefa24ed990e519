//! What a Lease says, and what a candidate does about it.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::ResourceExt;
use tokio::time::Instant;

/// What is to be done about a Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nobody holds it, or its holder gave no sign of life for too long.
    Take,
    /// It is ours.
    Renew,
    /// It is another's, at least until then.
    Wait(Instant),
}

/// One replica. Judges another's Lease by when it saw it change, by its own monotonic clock: clocks of machines differ.
pub(super) struct Candidate {
    identity: String,
    duration: Duration,
    seen: Option<Seen>,
}

struct Seen {
    version: String,
    holder: Option<String>,
    /// When we first saw this version.
    at: Instant,
}

impl Candidate {
    pub(super) fn new(identity: &str, duration: Duration) -> Self {
        Self { identity: identity.to_owned(), duration, seen: None }
    }

    /// Takes note of what a Lease says now.
    pub(super) fn saw(&mut self, lease: &Lease, now: Instant) {
        let version = lease.resource_version().unwrap_or_default();
        if self.seen.as_ref().is_some_and(|seen| seen.version == version) {
            return;
        }
        let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.clone());
        self.seen = Some(Seen { version, holder: holder.filter(|holder| !holder.is_empty()), at: now });
    }

    /// What to do about a Lease that was just read.
    pub(super) fn next(&mut self, lease: Option<&Lease>, now: Instant) -> Step {
        match lease {
            Some(lease) => self.saw(lease, now),
            None => self.seen = None,
        }
        match (self.holder(), self.expiry()) {
            (Some(holder), _) if holder == self.identity => Step::Renew,
            (Some(_), Some(expiry)) if now < expiry => Step::Wait(expiry),
            _ => Step::Take,
        }
    }

    /// Who held it when it was last seen.
    pub(super) fn holder(&self) -> Option<&str> {
        self.seen.as_ref()?.holder.as_deref()
    }

    /// The version that was last seen.
    pub(super) fn version(&self) -> Option<String> {
        self.seen.as_ref().map(|seen| seen.version.clone())
    }

    /// When its holder is taken for dead, if there is one.
    pub(super) fn expiry(&self) -> Option<Instant> {
        self.seen.as_ref().filter(|seen| seen.holder.is_some()).map(|seen| seen.at + self.duration)
    }

    /// A first Lease, ours.
    pub(super) fn made(&self, name: &str, now: Timestamp) -> Lease {
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        self.taken(Lease { metadata, spec: None }, now)
    }

    /// The Lease as ours, renewed. Its version stays in it, so that a write fails when another was faster.
    pub(super) fn taken(&self, lease: Lease, now: Timestamp) -> Lease {
        let before = lease.spec.unwrap_or_default();
        let ours = before.holder_identity.as_deref() == Some(&self.identity);
        let spec = LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(self.whole_seconds()),
            acquire_time: if ours { before.acquire_time.clone() } else { Some(MicroTime(now)) },
            renew_time: Some(MicroTime(now)),
            lease_transitions: Some(before.lease_transitions.unwrap_or(0).saturating_add(i32::from(!ours))),
            ..before
        };
        Lease { metadata: lease.metadata, spec: Some(spec) }
    }

    /// The Lease as nobody's, if it is ours.
    pub(super) fn free(&self, mut lease: Lease, now: Timestamp) -> Option<Lease> {
        let spec = lease.spec.as_mut().filter(|spec| spec.holder_identity.as_deref() == Some(&self.identity))?;
        spec.holder_identity = Some(String::new());
        spec.renew_time = Some(MicroTime(now));
        Some(lease)
    }

    /// For people: the field takes whole seconds only.
    fn whole_seconds(&self) -> i32 {
        i32::try_from(self.duration.as_millis().div_ceil(1_000)).unwrap_or(i32::MAX).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DURATION: Duration = Duration::from_millis(1_500);

    fn lease(version: &str, holder: &str) -> Lease {
        Lease {
            metadata: ObjectMeta { resource_version: Some(version.into()), ..ObjectMeta::default() },
            spec: Some(LeaseSpec { holder_identity: Some(holder.into()), ..LeaseSpec::default() }),
        }
    }

    #[test]
    fn another_s_lease_is_taken_only_after_it_was_seen_unchanged_for_its_time() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut me = Candidate::new("me", DURATION);
        assert_eq!(me.next(None, at(0)), Step::Take);
        assert_eq!(me.next(Some(&lease("1", "other")), at(0)), Step::Wait(at(1_500)));
        // A sign of life counts from when we see it, whatever time it names.
        assert_eq!(me.next(Some(&lease("2", "other")), at(1_400)), Step::Wait(at(2_900)));
        assert_eq!(me.next(Some(&lease("2", "other")), at(2_899)), Step::Wait(at(2_900)));
        assert_eq!(me.next(Some(&lease("2", "other")), at(2_900)), Step::Take);
        assert_eq!(me.next(Some(&lease("3", "")), at(2_900)), Step::Take);
        assert_eq!(me.next(Some(&lease("4", "me")), at(9_000)), Step::Renew);
    }

    #[test]
    fn a_lease_is_taken_renewed_and_freed() {
        let me = Candidate::new("me", DURATION);
        let (first, later) = (Timestamp::constant(1, 0), Timestamp::constant(9, 0));
        let made = me.made("l", first);
        let renewed = me.taken(made.clone(), later);
        let spec = |lease: &Lease| lease.spec.clone().unwrap();
        assert_eq!((spec(&made).lease_transitions, spec(&made).lease_duration_seconds), (Some(1), Some(2)));
        assert_eq!(spec(&renewed).acquire_time, Some(MicroTime(first)));
        assert_eq!(spec(&renewed).renew_time, Some(MicroTime(later)));
        assert_eq!(spec(&renewed).lease_transitions, Some(1));
        let freed = me.free(renewed.clone(), later).unwrap();
        assert_eq!(spec(&freed).holder_identity.as_deref(), Some(""));
        let other = Candidate::new("other", DURATION);
        assert!(other.free(renewed.clone(), later).is_none());
        assert_eq!(spec(&other.taken(renewed, later)).lease_transitions, Some(2));
    }
}
