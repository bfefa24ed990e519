//! Backend objects without a resource, counted at each scrape.

use std::fmt;

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

use super::{KindLabel, count, gauges};

/// Counts them.
pub(super) struct Orphans {
    of_kinds: Box<dyn Fn() -> Vec<(String, usize)> + Send + Sync>,
}

impl Orphans {
    pub(super) fn new(of_kinds: impl Fn() -> Vec<(String, usize)> + Send + Sync + 'static) -> Self {
        Self { of_kinds: Box::new(of_kinds) }
    }
}

impl fmt::Debug for Orphans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Orphans").finish_non_exhaustive()
    }
}

impl Collector for Orphans {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let samples: Vec<_> =
            (self.of_kinds)().into_iter().map(|(kind, orphans)| (KindLabel { kind }, count(orphans))).collect();
        gauges(&mut encoder, "loopback_orphans", "Backend objects of this cluster without a resource.", &samples)
    }
}
