//! Bugs that the operator does not have: the proxy changes its calls so that it looks as if. The test of the tests.

mod backend;
mod kubernetes;
mod leaks;
mod tools;

use std::sync::Arc;

use crate::proxy::{Answer, Request, Run, Upstream};

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it; the table below says what is caught")]
pub enum Bug {
    FinalizerNeverStored,
    FinalizerStoredLate,
    FinalizerNeverRemoved,
    FinalizerRemovedBeforeRetire,
    FinalizerWithoutUid,
    OwnerOfNobody,
    OwnerNewEachTime,
    OwnerOfAnotherNamespace,
    OwnerOfAnotherCluster,
    OwnerOfAnotherKind,
    CreateWithoutOwner,
    CreateRetriedAsAnother,
    CreatedTwiceForOne,
    AsksAllTheTime,
    CreateOnlySaid,
    StatusIsTheMemory,
    IfMatchDropped,
    UpdateOnlySaid,
    UpdateLosesPart,
    UpdateNeverRemoves,
    UpdateSentAgain,
    RetireOnlySaid,
    RetireRefusedForEver,
    RetireOfAnotherProject,
    RetireOfTheLiving,
    ForeignChanged,
    ForeignTaken,
    ForeignDeleted,
    RepairOnlySaid,
    AcknowledgedBeforeStored,
    ReissuedForNothing,
    SecretOfAnotherOverwritten,
    SecretWithoutOwner,
    StatusEachPass,
    StatusOnlySaid,
    StatusWithoutUid,
    StatusOfTheFuture,
    StatusHalfStale,
    SpecChanged,
    LabelSet,
    AnnotationSet,
    AsksWithoutRight,
    SecretInStatus,
    SecretInStatusUrl,
    SecretInStatusEscaped,
    SecretInEventBase64,
    SecretInAnnotationHex,
    TokenInPath,
    TokenStartInMessage,
}

impl Bug {
    /// The bug of that name.
    pub fn named(name: &str) -> Option<Self> {
        TABLE.iter().map(|(bug, ..)| *bug).find(|bug| format!("{bug:?}") == name)
    }
}

/// Whether a bug shows in that something never comes while the story is told.
pub fn in_vain(bug: Bug) -> bool {
    let laws = TABLE.iter().find(|(one, ..)| *one == bug).map_or(&[][..], |(_, _, laws)| laws);
    laws.iter().any(|law| matches!(*law, "L1" | "L2"))
}

/// Each bug, the workload that shows it, and the laws of which one must say so.
pub const TABLE: &[(Bug, &str, &[&str])] = &[
    (Bug::FinalizerNeverStored, "bucket-life", &["S4"]),
    (Bug::FinalizerStoredLate, "balancer-life", &["S4"]),
    (Bug::FinalizerNeverRemoved, "bucket-life", &["L3"]),
    (Bug::FinalizerRemovedBeforeRetire, "balancer-life", &["S2"]),
    (Bug::FinalizerWithoutUid, "bucket-life", &["S7"]),
    (Bug::OwnerOfNobody, "bucket-life", &["S3"]),
    (Bug::OwnerNewEachTime, "balancer-life", &["S3"]),
    (Bug::OwnerOfAnotherNamespace, "bucket-life", &["S3"]),
    (Bug::OwnerOfAnotherCluster, "bucket-life", &["S3"]),
    (Bug::OwnerOfAnotherKind, "bucket-life", &["S3"]),
    (Bug::CreateWithoutOwner, "balancer-life", &["S3"]),
    (Bug::CreateRetriedAsAnother, "balancer-life", &["S3"]),
    (Bug::CreatedTwiceForOne, "balancer-life", &["S1"]),
    (Bug::AsksAllTheTime, "balancer-life", &["D2"]),
    (Bug::CreateOnlySaid, "bucket-life", &["S6"]),
    (Bug::StatusIsTheMemory, "balancer-life", &["S2", "S3"]),
    (Bug::IfMatchDropped, "balancer-life", &["S3", "L1"]),
    (Bug::UpdateOnlySaid, "balancer-life", &["S6"]),
    (Bug::UpdateLosesPart, "balancer-life", &["S6", "L1", "D1"]),
    (Bug::UpdateNeverRemoves, "there-and-back", &["D3", "L1"]),
    (Bug::UpdateSentAgain, "balancer-life", &["D2"]),
    (Bug::RetireOnlySaid, "bucket-life", &["S2"]),
    (Bug::RetireRefusedForEver, "bucket-life", &["L3"]),
    (Bug::RetireOfAnotherProject, "balancer-life", &["S2"]),
    (Bug::RetireOfTheLiving, "balancer-life", &["S3"]),
    (Bug::ForeignChanged, "drift", &["S3"]),
    (Bug::ForeignTaken, "drift", &["S3"]),
    (Bug::ForeignDeleted, "drift", &["S3"]),
    (Bug::RepairOnlySaid, "drift", &["L1"]),
    (Bug::AcknowledgedBeforeStored, "credential-life", &["S4"]),
    (Bug::ReissuedForNothing, "credential-life", &["S6", "D2"]),
    (Bug::SecretOfAnotherOverwritten, "credential-conflict", &["S7"]),
    (Bug::SecretWithoutOwner, "credential-life", &["S7"]),
    (Bug::StatusEachPass, "balancer-life", &["L2"]),
    (Bug::StatusOnlySaid, "bucket-life", &["L1"]),
    (Bug::StatusWithoutUid, "bucket-life", &["S7"]),
    (Bug::StatusOfTheFuture, "bucket-life", &["S6"]),
    (Bug::StatusHalfStale, "balancer-life", &["S6"]),
    (Bug::SpecChanged, "balancer-life", &["S7"]),
    (Bug::LabelSet, "bucket-life", &["S7"]),
    (Bug::AnnotationSet, "bucket-life", &["S7"]),
    (Bug::AsksWithoutRight, "bucket-life", &["S8"]),
    (Bug::SecretInStatus, "credential-life", &["S5"]),
    (Bug::SecretInStatusUrl, "credential-life", &["S5"]),
    (Bug::SecretInStatusEscaped, "credential-life", &["S5"]),
    (Bug::SecretInEventBase64, "credential-life", &["S5"]),
    (Bug::SecretInAnnotationHex, "credential-life", &["S5"]),
    (Bug::TokenInPath, "bucket-life", &["S5"]),
    (Bug::TokenStartInMessage, "bucket-life", &["S5"]),
];

/// Changes a call on its way; an answer means that it does not go on.
pub async fn before(bug: Bug, run: &Arc<Run>, upstream: &Upstream, request: &mut Request) -> Option<Answer> {
    if let Some(answer) = kubernetes::before(bug, run, upstream, request).await {
        return Some(answer);
    }
    leaks::before(bug, run, request);
    backend::before(bug, run, upstream, request).await
}

/// Does something after a call was carried out.
pub async fn after(bug: Bug, run: &Arc<Run>, upstream: &Upstream, request: &Request, answer: &mut Answer) {
    kubernetes::after(bug, run, upstream, request, answer).await;
    leaks::after(bug, run, upstream, request).await;
    backend::after(bug, run, upstream, request, answer).await;
}
