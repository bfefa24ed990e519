//! One run of a workload under one plan, and what the witnesses make of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use serde_json::Value;
use tokio::time::Instant;

use crate::{
    job::Job,
    lane::Lane,
    oracles::{self, Evidence, Violation, state},
    person,
    progress::{Part, Spent},
    proxy::{Call, Run},
    stage::{BINDING, Stage, is_ours},
    workloads::Trait,
};

/// Nothing happens for so long: at rest, if nothing is under way.
const SILENCE: Duration = Duration::from_millis(250);

/// Lines of a log that are shown of a failure.
const LAST_WORDS: usize = 6;

/// How a workload goes without faults.
#[derive(Default)]
pub struct Reference {
    /// Its calls.
    pub calls: Vec<Call>,
    /// What there was before all was deleted.
    pub state: Value,
    /// Calls per object.
    pub counts: BTreeMap<String, usize>,
}

/// What came of one run.
pub struct Verdict {
    /// What was wrong.
    pub violations: Vec<Violation>,
    /// Whether the call of the plan came.
    pub reached: bool,
    /// What a run without faults is the reference for.
    pub reference: Reference,
    /// How long it took.
    pub spent: Spent,
    /// The operator's log.
    pub log: String,
}

impl Verdict {
    /// The laws that were broken.
    pub fn laws(&self) -> BTreeSet<&str> {
        self.violations.iter().map(|violation| violation.law.as_str()).collect()
    }

    /// Keeps what was found, and lets go of how.
    pub fn forget(&mut self) {
        self.reference = Reference::default();
        // What it said last may tell why it went wrong.
        let kept = if self.violations.is_empty() { 0 } else { LAST_WORDS };
        let mut last: Vec<&str> = self.log.lines().rev().take(kept).collect();
        last.reverse();
        self.log = last.join("\n");
    }
}

/// Runs it in a lane.
pub async fn run(lane: &Arc<Lane>, job: &Job) -> Verdict {
    let mut spent = Spent::default();
    let name = format!("p{}-{}", lane.ground.number(), job.workload.name);
    let run = Run::new(&name, &lane.name, &lane.admin, &job.plan);
    let printed = std::fs::metadata(&lane.backend_log).map_or(0, |file| file.len());
    let mut violations = Vec::new();
    let mut found = Value::Null;
    let outlives = job.workload.trait_ == Trait::Namespace;
    let stage = Stage::set(Arc::clone(lane), Arc::clone(&run), job.plan.seed, job.patience, outlives).await;
    spent.on(Part::Set);
    match stage {
        Ok(stage) => {
            found = tokio::select! {
                found = act(&stage, job, &mut violations, &mut spent) => found,
                () = person::acts(&stage) => Value::Null,
            };
        }
        Err(error) => violations.push(Violation::new("the stage", error)),
    }
    let (log, metrics) = stop(&run).await;
    lane.proxy.belong(None);
    if let Err(error) = run.journal.complete(&run.news).await {
        violations.push(Violation::new("the stage", error));
    }
    let evidence = Evidence {
        audit: audit(lane, &run).await,
        user: lane.user(),
        run: &run,
        calls: run.calls(),
        journal: run.journal.entries(),
        tokens: run.tokens(),
        prints: vec![log.clone(), since(&lane.backend_log, printed), metrics],
        workload: job.workload,
        reference: job.reference.as_deref(),
    };
    violations.extend(oracles::judge(&evidence));
    let counts = oracles::counts(&evidence.calls);
    let reference = Reference { calls: evidence.calls, state: found, counts };
    spent.on(Part::Judged);
    Verdict { violations, reached: run.reached(), reference, spent, log }
}

/// Tells the story, waits for rest, deletes all that it left.
async fn act(stage: &Stage, job: &Job, violations: &mut Vec<Violation>, spent: &mut Spent) -> Value {
    let told = (job.workload.tell)(stage).await;
    spent.on(Part::Told);
    let mut found = Value::Null;
    // What a bug has kept from ending does not come to rest either.
    if told.is_ok() || job.plan.bug.is_none() {
        found = settle(stage, job, violations).await;
    }
    if let Err(error) = told {
        // A story may name the law itself.
        let (law, what) = error.split_once(": ").filter(|(law, _)| law.len() == 2).unwrap_or(("L1", &error));
        violations.push(Violation::new(law, what));
    }
    spent.on(Part::Settled);
    if let Some(error) = oracles::inventory(stage).await {
        violations.push(Violation::new("S2", error));
    }
    if let Err(error) = clear(stage, job.workload.trait_ == Trait::Binding).await {
        violations.push(error);
    }
    if let Err(why) = stage.run.rests(SILENCE, job.patience, false).await {
        violations.push(Violation::new("L2", format!("it does not come to rest after the end: {why}")));
    }
    spent.on(Part::Cleared);
    found
}

/// Waits until all is as without faults, and at rest.
async fn settle(stage: &Stage, job: &Job, violations: &mut Vec<Violation>) -> Value {
    let end = Instant::now() + job.patience;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let rests = stage.run.rests(SILENCE, left, job.reference.is_none()).await;
        let found = state::of(stage).await;
        let difference = job.reference.as_ref().and_then(|reference| state::difference(&reference.state, &found));
        if rests.is_ok() && difference.is_none() {
            return found;
        }
        if Instant::now() >= end {
            violations.extend(rests.err().map(|why| Violation::new("L2", format!("it does not come to rest: {why}"))));
            violations.extend(difference.map(|what| Violation::new("D1", what)));
            return found;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn clear(stage: &Stage, binding: bool) -> Result<(), Violation> {
    let ended = |error| Violation::new("L3", error);
    let ours: Vec<_> = stage.run.objects().into_keys().filter(|(kind, _)| is_ours(kind) && kind != BINDING).collect();
    for (kind, name) in &ours {
        stage.delete(kind, name).await.map_err(ended)?;
    }
    for (kind, name) in &ours {
        stage.until_gone(kind, name).await.map_err(ended)?;
    }
    let empty = stage.until("the project is empty", || stage.run.journal.inventory().is_empty()).await;
    empty.map_err(|error| {
        let left: Vec<_> = stage.run.journal.inventory().into_keys().collect();
        Violation::new("S2", format!("{error}: {left:?}"))
    })?;
    if binding {
        stage.delete(BINDING, "default").await.map_err(ended)?;
        stage.until_gone(BINDING, "default").await.map_err(ended)?;
    }
    Ok(())
}

/// Kills the operator; what it printed, and what it showed to scrapers.
async fn stop(run: &Run) -> (String, String) {
    let Some((operator, address)) = run.operator.get() else { return Default::default() };
    let metrics = run.admin.scrape(*address).await.unwrap_or_default();
    operator.kill();
    (operator.log(), metrics)
}

fn since(path: &std::path::Path, start: u64) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(bytes.get(usize::try_from(start).unwrap_or(0)..).unwrap_or_default()).into_owned()
}

/// The audit log of a namespace, up to now.
async fn audit(lane: &Lane, run: &Run) -> Vec<crate::audit::Entry> {
    let secrets: kube::Api<k8s_openapi::api::core::v1::Secret> =
        kube::Api::namespaced(lane.ground.client.clone(), &run.name);
    drop(secrets.get_opt("the-end").await);
    let (mut entries, end) = (Vec::new(), Instant::now() + crate::rig::PATIENCE);
    while !entries.iter().any(|entry: &crate::audit::Entry| entry.name == "the-end") {
        assert!(Instant::now() < end, "the audit log ends before the run");
        tokio::time::sleep(Duration::from_millis(20)).await;
        entries.extend(lane.ground.audit.of(&run.name));
    }
    entries.extend(lane.ground.audit.of(&lane.user()));
    entries
}
