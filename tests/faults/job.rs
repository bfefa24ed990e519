//! Something to be run by whichever lane is free.

use std::{sync::Arc, time::Duration};

use crate::{
    campaign::Reference,
    plan::{Fault, Later, Plan, Point},
    planted::{self, Bug},
    workloads::{Trait, Workload},
};

/// Choices of all workloads come from it.
pub const SEED: u64 = 1;
/// How long each wait may take. Only what fails takes so long.
const PATIENCE: Duration = Duration::from_secs(60);
/// The namespace controller comes back every eight seconds, and a backend that says "in a year" is believed for a minute.
const LONG_PATIENCE: Duration = Duration::from_secs(120);
/// What is never done because of a bug is waited for in vain: this long where that is what shows it, and longer where something
/// else has to be reached first.
const VAIN: Duration = Duration::from_secs(10);
const LONG_VAIN: Duration = Duration::from_secs(30);

/// One run of a workload.
#[derive(Clone)]
pub struct Job {
    /// The workload.
    pub workload: Workload,
    /// What is done to it.
    pub plan: Plan,
    /// What it is compared with.
    pub reference: Option<Arc<Reference>>,
    /// How long each wait may take.
    pub patience: Duration,
    /// Whether all that was seen is needed afterwards.
    pub kept: bool,
}

impl Job {
    /// A workload as it is.
    pub fn clean(workload: Workload, reference: Option<Arc<Reference>>) -> Self {
        let patience = if workload.trait_ == Trait::Namespace { LONG_PATIENCE } else { PATIENCE };
        let plan = Plan { workload: workload.name.into(), seed: SEED, at: None, bug: None };
        Self { workload, plan, reference, patience, kept: false }
    }

    /// With everything that was seen.
    pub fn kept(self) -> Self {
        Self { kept: true, ..self }
    }

    /// With a fault at a call.
    pub fn faulty(self, point: Point, fault: Fault) -> Self {
        let patience = if waits(fault) { LONG_PATIENCE } else { self.patience };
        Self { plan: Plan { at: Some((point, fault)), ..self.plan }, patience, ..self }
    }

    /// With a bug.
    pub fn buggy(self, bug: Bug) -> Self {
        let patience = if planted::in_vain(bug) { VAIN } else { LONG_VAIN };
        Self { plan: Plan { bug: Some(bug), ..self.plan }, patience, ..self }
    }

    /// Whether it waits most of its time.
    pub fn waits(&self) -> bool {
        let fault = self.plan.at.as_ref().is_some_and(|(_, fault)| waits(*fault));
        fault || self.workload.trait_ == Trait::Namespace || self.plan.bug.is_some()
    }
}

/// Whether a fault makes the operator wait for long.
fn waits(fault: Fault) -> bool {
    matches!(fault, Fault::Slow | Fault::Code(_, Later::Huge))
}
