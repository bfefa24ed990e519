//! The laws, judged by the API server's audit log, by the backend's journal and by what went over the wire.

mod history;
mod kubernetes;
mod rights;
mod secrets;
mod spellings;
pub mod state;
mod writes;

use std::{collections::BTreeMap, fmt};

use crate::{
    audit,
    campaign::Reference,
    journal,
    plan::Side,
    proxy::{Call, Run},
    stage::Stage,
    workloads::Workload,
};

/// A law that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its name.
    pub law: String,
    /// How.
    pub what: String,
}

impl Violation {
    /// A law, and how it was broken.
    pub fn new(law: &str, what: impl Into<String>) -> Self {
        Self { law: law.to_owned(), what: what.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.law, self.what)
    }
}

/// What the witnesses have.
pub struct Evidence<'a> {
    /// The API server's log of the namespace.
    pub audit: Vec<audit::Entry>,
    /// Who the operator is in it.
    pub user: String,
    /// The run.
    pub run: &'a Run,
    /// What went over the wire.
    pub calls: Vec<Call>,
    /// The backend's journal.
    pub journal: Vec<journal::Entry>,
    /// Tokens that nobody may see.
    pub tokens: Vec<String>,
    /// What operator and backend printed and showed.
    pub prints: Vec<String>,
    /// The story.
    pub workload: Workload,
    /// The same without faults.
    pub reference: Option<&'a Reference>,
}

/// All laws that were broken.
pub fn judge(evidence: &Evidence<'_>) -> Vec<Violation> {
    let history = history::History::of(&evidence.audit);
    let laws = [
        writes::one_object_for_each(evidence),
        writes::owners(evidence, &history),
        writes::finalizer_first(evidence),
        writes::released_last(evidence),
        writes::stored_before_acknowledged(evidence),
        secrets::kept(evidence),
        kubernetes::ready_is_true(evidence),
        kubernetes::only_what_is_ours(evidence, &history),
        rights::enough(evidence),
        counted(evidence),
    ];
    laws.concat()
}

/// S2 while resources live: one object in the backend for each, and no other.
pub async fn inventory(stage: &Stage) -> Option<String> {
    let uid = |object: &serde_json::Value| object["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    let ours: BTreeMap<String, (String, String)> =
        stage.run.objects().into_iter().map(|(key, object)| (uid(&object), key)).collect();
    let Some(held) = stage.run.journal.snapshot().await else {
        return Some("the backend does not say what it holds".into());
    };
    let foreign =
        held.into_iter().find(|(_, object)| object.owner.as_ref().is_some_and(|owner| !ours.contains_key(&owner.uid)));
    let (_, object) = foreign?;
    let owner = object.owner?;
    Some(format!("{} belongs to {} {}, which does not exist", object.id, owner.kind, owner.name))
}

/// Writes, and reads, per object.
pub fn counts(calls: &[Call]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for call in calls.iter().filter(|call| !call.stream) {
        let about = call.point.role.split_once(':').map_or("", |(_, about)| about);
        let side = if call.point.side == Side::Kubernetes { "k" } else { "b" };
        let act = match (call.method.as_str(), call.code) {
            ("GET", _) => "reads of",
            (_, Some(400..)) => "refused writes to",
            _ => "writes to",
        };
        *counts.entry(format!("{act} {side}:{}", about.split('?').next().unwrap_or_default())).or_default() += 1;
    }
    counts
}

/// Kinds with children.
const PARENTS: [&str; 3] = ["k:projectdnszones/", "k:objectbuckets/", "k:monitoringobjects/"];

/// D2: as many calls as without faults, twice that and a few more at most. A call is repeated because its answer was lost, and
/// what was half done when the operator died is looked at again. Events tell of what took longer than usual, of each object once
/// or twice.
fn counted(evidence: &Evidence<'_>) -> Vec<Violation> {
    let Some(reference) = evidence.reference else { return vec![] };
    let many = counts(&evidence.calls).into_iter().filter_map(|(about, count)| {
        let usual = reference.counts.get(&about).copied().unwrap_or(0);
        let more = match about.as_str() {
            "writes to k:events" => evidence.reference.map_or(0, |reference| reference.counts.len()),
            // What is refused, by a namespace that is being deleted for instance, is tried again with growing pauses.
            about if about.starts_with("re") => 12,
            // While it is being deleted it says which of its children are left.
            about if about.ends_with("/status") && PARENTS.iter().any(|parent| about.contains(parent)) => 12,
            _ => 4,
        };
        let bound = 2 * usual + more;
        (count > bound).then(|| Violation::new("D2", format!("{count} {about}, {usual} without faults")))
    });
    many.collect()
}
