//! Series that carry the name of an object: one map, so that they all go with the object.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet},
};
use tokio::time::Instant;

use super::gauges;

/// Whether there are series for single objects. A very large cluster may not want them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ObjectSeries {
    /// For each object.
    #[default]
    On,
    /// None.
    Off,
}

/// The labels that name an object. The namespace of a cluster-scoped one is empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
pub struct ObjectName {
    /// Kubernetes kind.
    pub kind: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReadyLabels {
    kind: String,
    namespace: String,
    name: String,
    reason: String,
}

#[derive(Debug, Default)]
struct Object {
    ready: Option<(bool, String)>,
    blocked: Option<(Instant, Duration)>,
}

/// What is told of single objects.
#[derive(Debug)]
pub(super) struct Objects {
    series: ObjectSeries,
    known: Mutex<BTreeMap<ObjectName, Object>>,
}

impl Objects {
    pub(super) fn new(series: ObjectSeries) -> Self {
        Self { series, known: Mutex::new(BTreeMap::new()) }
    }

    pub(super) fn ready(&self, object: &ObjectName, ready: bool, reason: &str) {
        self.change(object, |known| known.ready = Some((ready, reason.to_owned())));
    }

    pub(super) fn blocked(&self, object: &ObjectName, so_far: Option<Duration>) {
        self.change(object, |known| known.blocked = so_far.map(|so_far| (Instant::now(), so_far)));
    }

    pub(super) fn forget(&self, object: &ObjectName) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(object);
    }

    fn change(&self, object: &ObjectName, how: impl FnOnce(&mut Object)) {
        if self.series == ObjectSeries::Off {
            return;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = known.get_mut(object) {
            how(old);
        } else {
            how(known.entry(object.clone()).or_default());
        }
    }
}

impl Collector for Objects {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let (mut ready, mut blocked) = (Vec::new(), Vec::new());
        for (object, known) in &*self.known.lock().unwrap_or_else(PoisonError::into_inner) {
            if let Some((is_ready, reason)) = &known.ready {
                let ObjectName { kind, namespace, name } = object.clone();
                let labels = ReadyLabels { kind, namespace, name, reason: reason.clone() };
                ready.push((labels, f64::from(u8::from(*is_ready))));
            }
            if let Some((told, so_far)) = known.blocked {
                blocked.push((object.clone(), (so_far + told.elapsed()).as_secs_f64()));
            }
        }
        gauges(&mut encoder, "loopback_resource_ready", "Whether an object is Ready, and why.", &ready)?;
        let help = "How long the deletion of an object has been blocked.";
        gauges(&mut encoder, "loopback_deletion_blocked_seconds", help, &blocked)
    }
}
