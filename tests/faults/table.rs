//! All plans, over all lanes, and the figures.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    campaign::{Reference, Verdict},
    enumerate::{Class, sample},
    field::Field,
    job::Job,
    plan::{Fault, Plan},
    planted,
    workloads::{self, Trait, Workload},
};

/// Plans of a full run besides those of every run, of each class: a sample that meets each call and each fault, and with all else
/// that a full run does takes an hour. Another `FAULT_OFFSET` takes others.
const FULL: [(Class, usize); 3] = [(Class::Call, 720), (Class::Opening, 60), (Class::Event, 120)];
/// The calls of the largest workload are alike, and each of its runs takes ten times as long: full runs do so many times as much
/// of it as every run does.
const LARGEST: usize = 2;

/// References by workload.
pub type References = BTreeMap<&'static str, Arc<Reference>>;

/// Whether everything is to be run.
pub fn full() -> bool {
    std::env::var("LOOPBACK_TESTS_FULL").is_ok_and(|full| !full.is_empty())
}

/// A number that may be given.
fn given(name: &str) -> Option<usize> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// `FAULT_OFFSET`, where samples begin: another number samples others.
fn offset() -> usize {
    given("FAULT_OFFSET").unwrap_or(0)
}

/// All workloads, or those of `FAULT_WORKLOADS`.
fn chosen() -> Vec<Workload> {
    let only = std::env::var("FAULT_WORKLOADS").unwrap_or_default();
    let named = |workload: &Workload| only.is_empty() || only.split(',').any(|name| name == workload.name);
    workloads::all().into_iter().filter(named).collect()
}

fn workload(name: &str) -> Workload {
    workloads::all().into_iter().find(|workload| workload.name == name).expect("a workload")
}

impl Field {
    /// How these workloads go without faults, recorded once.
    async fn references(&'static self) -> &'static References {
        let record = async || {
            let mut all = chosen();
            // What takes long begins first.
            all.sort_by_key(|workload| workload.trait_ != Trait::Namespace);
            let recorded =
                self.all("recorded", all.into_iter().map(|workload| Job::clean(workload, None).kept())).await;
            let alarms: Vec<_> = recorded.iter().flat_map(|(_, verdict)| &verdict.violations).collect();
            assert!(alarms.is_empty(), "false alarms: {alarms:?}");
            recorded.into_iter().map(|(job, verdict)| (job.workload.name, Arc::new(verdict.reference))).collect()
        };
        self.references.get_or_init(record).await
    }

    /// Each call of each workload meets each fault. Each workload is also run as it was recorded: the same must come of it.
    pub async fn enumerate(&'static self, full: bool) -> Outcome {
        let references = self.references().await;
        let clean = |workload: Workload| Job::clean(workload, Some(Arc::clone(&references[workload.name])));
        let mut jobs: Vec<Job> = chosen().into_iter().map(clean).collect();
        for workload in chosen() {
            let calls = &references[workload.name].calls;
            let mut all = Vec::new();
            for class in Class::ALL {
                all.extend(class.meetings(workload, calls, &class.always()));
            }
            let every = if full { (workload.sample / LARGEST).max(1) } else { workload.sample };
            // `FAULT_PLANS`: fewer of each workload, and of each class besides.
            let some = sample(all, Fault::ALWAYS.len(), given("FAULT_PLANS").unwrap_or(usize::MAX), 0);
            let some = some.into_iter().skip(offset() % every).step_by(every);
            jobs.extend(some.map(|(at, fault)| clean(workload).faulty(at, fault)));
        }
        for (class, many) in FULL.into_iter().filter(|_| full) {
            let faults = class.besides();
            let all = chosen().into_iter().flat_map(|workload| {
                let every = (workload.sample / LARGEST).max(1);
                let calls: Vec<_> = references[workload.name].calls.iter().step_by(every).cloned().collect();
                let met = class.meetings(workload, &calls, &faults);
                met.into_iter().map(move |(at, fault)| (workload, at, fault))
            });
            let many = given("FAULT_PLANS").map_or(many, |fewer| many.min(fewer));
            let some = sample(all.collect(), faults.len(), many, offset());
            jobs.extend(some.into_iter().map(|(workload, at, fault)| clean(workload).faulty(at, fault)));
        }
        println!("{} plans, seed {}, offset {}", jobs.len(), crate::job::SEED, offset());
        let began = Instant::now();
        let verdicts = self.all("plans", jobs).await;
        Outcome::of(references, &verdicts, began.elapsed(), self.began.elapsed())
    }

    /// Each planted bug; those that no witness named by the right law.
    pub async fn planted(&'static self) -> Vec<String> {
        let references = self.references().await;
        let only = std::env::var("FAULT_BUGS").unwrap_or_default();
        let chosen = planted::TABLE
            .iter()
            .filter(|(bug, ..)| only.is_empty() || only.split(',').any(|name| name == format!("{bug:?}")));
        let jobs = chosen.map(|(bug, name, _)| Job::clean(workload(name), references.get(name).cloned()).buggy(*bug));
        let (began, mut missed) = (Instant::now(), Vec::new());
        let verdicts = self.all("planted bugs", jobs).await;
        for (job, verdict) in &verdicts {
            let laws = verdict.laws();
            let (_, _, expected) =
                planted::TABLE.iter().find(|(bug, ..)| Some(*bug) == job.plan.bug).expect("it is in the table");
            let caught = expected.iter().any(|law| laws.contains(law));
            println!("{:<70} {} by {laws:?}", job.plan.to_string(), if caught { "caught" } else { "MISSED" });
            if !caught {
                missed.push(format!("FAULT_PLAN='{}': not {expected:?} but {:?}", job.plan, verdict.violations));
            }
        }
        let (all, minutes) = (verdicts.len(), began.elapsed().as_secs_f64() / 60.0);
        println!("{} of {all} planted bugs caught, {minutes:.1} minutes", all - missed.len());
        missed
    }

    /// One plan, as often as asked for: the same laws are broken each time, none unless a bug is planted. What is otherwise.
    pub async fn replay(&'static self, plan: &Plan, times: usize) -> Option<String> {
        let clean = Job::clean(workload(&plan.workload), None);
        let recorded = self.all("recorded", [clean.clone().kept()]).await;
        let reference = recorded.into_iter().next().map(|(_, verdict)| Arc::new(verdict.reference));
        let job = Job { reference, kept: times == 1, ..clean };
        let job = plan.bug.map_or(job.clone(), |bug| job.clone().buggy(bug));
        let job = plan.at.clone().map_or(job.clone(), |(at, fault)| job.clone().faulty(at, fault));
        let verdicts = self.all("replayed", std::iter::repeat_n(Job { plan: plan.clone(), ..job }, times)).await;
        let mut found: BTreeMap<BTreeSet<&str>, usize> = BTreeMap::new();
        for (_, verdict) in &verdicts {
            *found.entry(verdict.laws()).or_default() += 1;
            if times == 1 {
                shown(verdict);
            }
        }
        let reached = verdicts.iter().filter(|(_, verdict)| verdict.reached).count();
        println!("{plan}: {times} times, reached {reached}, laws broken {found:?}");
        let right = found.len() == 1 && (plan.bug.is_some() || found.keys().all(BTreeSet::is_empty));
        (!right).then(|| format!("FAULT_PLAN='{plan}': {found:?}"))
    }
}

fn shown(verdict: &Verdict) {
    verdict.violations.iter().for_each(|violation| println!("  {violation}"));
    let calls = verdict.reference.calls.iter().filter(|call| !call.stream);
    calls.for_each(|call| println!("    {} {:?} {}", call.sent, call.code, call.point));
    println!("{}", verdict.log);
}

/// What came of one workload.
#[derive(Default)]
struct Row {
    calls: usize,
    plans: usize,
    missed: usize,
    failed: usize,
}

/// The figures.
#[derive(Default)]
pub struct Outcome {
    rows: Vec<(&'static str, Row)>,
    /// Plans that broke a law.
    pub failed: Vec<String>,
    /// Plans whose call did not come.
    missed: Vec<String>,
    clean: usize,
    seconds: f64,
    whole: f64,
}

impl Outcome {
    fn of(references: &References, verdicts: &[(Job, Verdict)], took: Duration, whole: Duration) -> Self {
        let mut outcome = Self { seconds: took.as_secs_f64(), whole: whole.as_secs_f64(), ..Self::default() };
        for (name, reference) in references {
            let calls = reference.calls.iter().filter(|call| !call.point.role.starts_with("EVENT:")).count();
            let mut row = Row { calls, ..Row::default() };
            for (job, verdict) in verdicts.iter().filter(|(job, _)| job.workload.name == *name) {
                row.plans += usize::from(job.plan.at.is_some());
                row.missed += usize::from(!verdict.reached);
                row.failed += usize::from(!verdict.violations.is_empty());
            }
            outcome.rows.push((name, row));
        }
        let failed = verdicts.iter().filter(|(_, verdict)| !verdict.violations.is_empty());
        outcome.failed = failed.map(|(job, _)| job.plan.to_string()).collect();
        let missed = verdicts.iter().filter(|(_, verdict)| !verdict.reached);
        outcome.missed = missed.map(|(job, _)| job.plan.to_string()).collect();
        outcome.clean = references.len() + verdicts.iter().filter(|(job, _)| job.plan.at.is_none()).count();
        outcome
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<22} {:>6} {:>6} {:>11} {:>7}", "workload", "calls", "plans", "not reached", "failed")?;
        let mut all = Row::default();
        for (_, row) in &self.rows {
            (all.calls, all.plans) = (all.calls + row.calls, all.plans + row.plans);
            (all.missed, all.failed) = (all.missed + row.missed, all.failed + row.failed);
        }
        let plans = all.plans;
        for (name, row) in self.rows.iter().map(|(name, row)| (*name, row)).chain([("all", &all)]) {
            writeln!(f, "{name:<22} {:>6} {:>6} {:>11} {:>7}", row.calls, row.plans, row.missed, row.failed)?;
        }
        let rate = f64::from(u32::try_from(plans).unwrap_or(u32::MAX)) / self.seconds;
        let (rows, clean, minutes) = (self.rows.len(), self.clean, self.whole / 60.0);
        writeln!(f, "{rows} workloads, {clean} runs without faults, {rate:.1} plans/s, {minutes:.1} minutes in all")?;
        self.missed.iter().try_for_each(|plan| writeln!(f, "not reached: FAULT_PLAN='{plan}'"))?;
        self.failed.iter().try_for_each(|plan| writeln!(f, "failed: FAULT_PLAN='{plan}'"))
    }
}
