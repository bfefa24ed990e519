//! One run of a workload under one plan, and what the witnesses make of it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::Value;
use tokio::time::Instant;

use crate::{
    lane::Lane,
    oracles::{self, Evidence, Violation, state},
    plan::{Fault, Plan, Point, Side},
    planted::Bug,
    progress::{Part, Spent},
    proxy::{Call, Run},
    stage::{BINDING, Stage},
    workloads::{Trait, Workload},
};

/// Nothing is written for so long: at rest.
const SILENCE: Duration = Duration::from_millis(350);
/// How long an undisturbed operator may take to come to rest.
const REST: Duration = Duration::from_secs(12);

/// How a workload goes without faults.
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

/// What to run, and what it is compared with.
#[derive(Clone, Copy)]
pub struct Task<'a> {
    /// The workload.
    pub workload: Workload,
    /// What its choices come from.
    pub seed: u64,
    /// The fault.
    pub plan: Option<&'a Plan>,
    /// A bug.
    pub bug: Option<Bug>,
    /// The same without.
    pub reference: Option<&'a Reference>,
    /// How long each wait may take.
    pub patience: Duration,
}

/// Runs it in a lane.
pub async fn run(lane: &Arc<Lane>, task: Task<'_>) -> Verdict {
    let mut spent = Spent::default();
    let name = format!("p{}-{}", lane.ground.number(), task.workload.name);
    let at = task.plan.map(|plan| (plan.at.clone(), plan.fault));
    let run = Run::new(&name, &lane.name, &lane.admin, at, task.bug);
    let printed = std::fs::metadata(&lane.backend_log).map_or(0, |file| file.len());
    let mut violations = Vec::new();
    let mut found = Value::Null;
    let mut tokens = Vec::new();
    let outlives = task.workload.trait_ == Trait::Namespace;
    let stage = Stage::set(Arc::clone(lane), Arc::clone(&run), task.seed, task.patience, outlives).await;
    spent.on(Part::Set);
    match stage {
        Ok(stage) => {
            tokens.push(stage.token.1.clone());
            found = act(&stage, task, &mut violations, &mut spent).await;
        }
        Err(error) => violations.push(Violation::new("the stage", error)),
    }
    let metrics = metrics(&run).await;
    if let Some(operator) = run.operator.get() {
        operator.kill();
    }
    lane.proxy.belong(None);
    let log = run.operator.get().map(|operator| operator.log()).unwrap_or_default();
    let evidence = Evidence {
        audit: audit(lane, &run).await,
        user: lane.user(),
        run: &run,
        calls: run.calls(),
        journal: run.journal.entries(),
        tokens,
        prints: vec![log.clone(), since(&lane.backend_log, printed), metrics],
        workload: task.workload,
        reference: task.reference,
    };
    violations.extend(oracles::judge(&evidence));
    let counts = oracles::counts(&evidence.calls);
    let reference = Reference { calls: evidence.calls, state: found, counts };
    spent.on(Part::Judged);
    Verdict { violations, reached: run.reached(), reference, spent, log }
}

/// Tells the story, waits for rest, deletes all that it left.
async fn act(stage: &Stage, task: Task<'_>, violations: &mut Vec<Violation>, spent: &mut Spent) -> Value {
    if let Err(error) = (task.workload.tell)(stage).await {
        // A story may name the law itself.
        let (law, what) = error.split_once(": ").filter(|(law, _)| law.len() == 2).unwrap_or(("L1", &error));
        violations.push(Violation::new(law, what));
    }
    spent.on(Part::Told);
    let found = settle(stage, task, violations).await;
    spent.on(Part::Settled);
    if let Some(error) = oracles::inventory(stage) {
        violations.push(Violation::new("S2", error));
    }
    if let Err(error) = clear(stage, task.workload.trait_ == Trait::Binding).await {
        violations.push(error);
    }
    if !stage.run.quiet(SILENCE, task.patience.min(REST)).await {
        violations.push(Violation::new("L2", "it does not come to rest after the end"));
    }
    spent.on(Part::Cleared);
    found
}

/// Waits until all is as without faults, and at rest.
async fn settle(stage: &Stage, task: Task<'_>, violations: &mut Vec<Violation>) -> Value {
    let end = Instant::now() + task.patience.min(REST);
    loop {
        let rests = stage.run.quiet(SILENCE, task.patience.min(REST)).await;
        let found = state::of(stage).await;
        let difference = task.reference.and_then(|reference| state::difference(&reference.state, &found));
        if rests && difference.is_none() {
            return found;
        }
        if Instant::now() >= end {
            if !rests {
                violations.push(Violation::new("L2", "it does not come to rest"));
            }
            violations.extend(difference.map(|what| Violation::new("D1", what)));
            return found;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn clear(stage: &Stage, binding: bool) -> Result<(), Violation> {
    let ended = |error| Violation::new("L3", error);
    let ours: Vec<_> = stage
        .run
        .objects()
        .into_keys()
        .filter(|(kind, _)| !matches!(kind.as_str(), BINDING | "Secret" | "Event"))
        .collect();
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

/// What the operator shows to scrapers.
async fn metrics(run: &Run) -> String {
    let log = run.operator.get().map(|operator| operator.log()).unwrap_or_default();
    let address = log.rsplit_once("metrics=").and_then(|(_, rest)| rest.split_whitespace().next().map(str::to_owned));
    let Some(address) = address else { return String::new() };
    match reqwest::get(format!("http://{}/metrics", address.trim_matches('"'))).await {
        Ok(answer) => answer.text().await.unwrap_or_default(),
        Err(_) => String::new(),
    }
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
    entries
}

/// Plans for all calls of a run without faults.
pub fn plans(workload: Workload, seed: u64, calls: &[Call], full: bool) -> Vec<Plan> {
    let mut plans = Vec::new();
    for call in calls.iter().filter(|call| workload.trait_ == Trait::Binding || !starts(&call.point)) {
        let event = call.point.role.starts_with("EVENT:");
        let mut faults: Vec<Fault> = match (event, call.stream) {
            (true, _) => vec![],
            (_, true) => Fault::OPENING.to_vec(),
            _ => Fault::ALWAYS.to_vec(),
        };
        if full {
            faults.extend(if event { Fault::EVENTS.to_vec() } else { Fault::full() });
        }
        let plan = |fault| Plan { workload: workload.name.into(), seed, at: call.point.clone(), fault };
        plans.extend(faults.into_iter().map(plan));
    }
    let every = if full { 1 } else { workload.sample };
    plans.into_iter().step_by(every).collect()
}

/// Calls that each start and each binding brings: they are enumerated in one workload.
fn starts(point: &Point) -> bool {
    let (method, about) = point.role.split_once(':').unwrap_or_default();
    let shared =
        about.starts_with("projectbindings") || about.starts_with("secrets/token") || matches!(about, "view" | "feed");
    let opens =
        method == "GET" && (about.ends_with("?watch") || (point.side == Side::Kubernetes && !about.contains('/')));
    method != "EVENT" && (shared || opens)
}
