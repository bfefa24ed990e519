//! All plans, over all lanes, and the figures.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{sync::Mutex as Turn, task::JoinSet, time::Instant};

use crate::{
    campaign::{self, Reference, Task, Verdict, plans},
    ground::Ground,
    lane::Lane,
    plan::Plan,
    planted::{self, Bug},
    progress::Progress,
    workloads::{self, Trait, Workload},
};

/// Choices of all plans come from it.
pub const SEED: u64 = 1;
/// How long each wait of a plan may take, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// A bug shows at once, or never.
const PLANTED_PATIENCE: Duration = Duration::from_secs(6);
/// The namespace controller comes back every eight seconds.
const NAMESPACE_PATIENCE: Duration = Duration::from_secs(90);

/// One field at a time has the machine.
static TURN: Turn<()> = Turn::const_new(());

/// References by workload.
pub type References = BTreeMap<&'static str, Arc<Reference>>;

/// Lanes on a ground of their own.
pub struct Field {
    lanes: Vec<Arc<Lane>>,
    began: Instant,
    _turn: tokio::sync::MutexGuard<'static, ()>,
}

/// Something to be run by whichever lane is free.
pub struct Job {
    /// The workload.
    pub workload: Workload,
    /// The fault.
    pub plan: Option<Plan>,
    /// The bug.
    pub bug: Option<Bug>,
    /// What it is compared with.
    pub reference: Option<Arc<Reference>>,
    /// How long each wait may take.
    pub patience: Duration,
}

/// Whether everything is to be run.
pub fn full() -> bool {
    std::env::var("LOOPBACK_TESTS_FULL").is_ok_and(|full| !full.is_empty())
}

impl Job {
    /// A workload as it is.
    pub fn clean(workload: Workload, reference: Option<Arc<Reference>>) -> Self {
        let patience = if workload.trait_ == Trait::Namespace { NAMESPACE_PATIENCE } else { PATIENCE };
        Self { workload, plan: None, bug: None, reference, patience }
    }

    async fn run(&self, lane: &Arc<Lane>) -> Verdict {
        let seed = self.plan.as_ref().map_or(SEED, |plan| plan.seed);
        let (plan, reference) = (self.plan.as_ref(), self.reference.as_deref());
        let task = Task { workload: self.workload, seed, plan, bug: self.bug, reference, patience: self.patience };
        campaign::run(lane, task).await
    }
}

impl Field {
    /// Starts so many lanes.
    pub async fn start(lanes: usize) -> Self {
        let turn = TURN.lock().await;
        let began = Instant::now();
        let ground = Arc::new(Ground::start().await);
        let mut started = Vec::new();
        for number in 1..=lanes {
            started.push(Arc::new(Lane::start(ground.clone(), number).await));
        }
        Self { lanes: started, began, _turn: turn }
    }

    /// Runs all jobs; each with its verdict.
    pub async fn all(&self, what: &'static str, jobs: impl IntoIterator<Item = Job>) -> Vec<(Job, Verdict)> {
        let jobs: VecDeque<Job> = jobs.into_iter().collect();
        let progress = Arc::new(Progress::new(what, jobs.len()));
        let jobs = Arc::new(Mutex::new(jobs));
        let mut lanes = JoinSet::new();
        for lane in &self.lanes {
            let (jobs, lane, progress) = (Arc::clone(&jobs), Arc::clone(lane), Arc::clone(&progress));
            lanes.spawn(async move {
                let mut done = Vec::new();
                loop {
                    let Some(job) = jobs.lock().unwrap().pop_front() else { return done };
                    let verdict = job.run(&lane).await;
                    let at = job.plan.as_ref().map_or_else(|| job.workload.name.to_owned(), Plan::to_string);
                    for violation in verdict.violations.iter().filter(|_| job.bug.is_none()) {
                        println!("{at}\n  {violation}");
                    }
                    progress.done(&verdict.spent, !verdict.violations.is_empty());
                    done.push((job, verdict));
                }
            });
        }
        lanes.join_all().await.into_iter().flatten().collect()
    }

    /// Phase one: each workload twice without faults. The second must be as the first.
    pub async fn record(&self) -> References {
        let first = self.all("recorded", chosen().into_iter().map(|workload| Job::clean(workload, None))).await;
        let mut alarms = 0;
        let mut references = References::new();
        for (job, verdict) in first {
            alarms += verdict.violations.len();
            references.insert(job.workload.name, Arc::new(verdict.reference));
        }
        let again = chosen().into_iter().map(|workload| Job::clean(workload, references.get(workload.name).cloned()));
        alarms +=
            self.all("recorded again", again).await.iter().map(|(_, verdict)| verdict.violations.len()).sum::<usize>();
        assert_eq!(alarms, 0, "false alarms");
        references
    }

    /// Phase two: each call of each workload meets each fault.
    pub async fn enumerate(&self, references: &References, full: bool) -> Outcome {
        let mut jobs = VecDeque::new();
        for workload in chosen() {
            let reference = &references[workload.name];
            let all = plans(workload, SEED, &reference.calls, full);
            let job = |plan| Job { plan: Some(plan), ..Job::clean(workload, Some(Arc::clone(reference))) };
            // What takes long begins first.
            match workload.trait_ {
                Trait::Namespace => all.into_iter().map(job).for_each(|job| jobs.push_front(job)),
                _ => jobs.extend(all.into_iter().map(job)),
            }
        }
        let began = Instant::now();
        let verdicts = self.all("plans", jobs).await;
        Outcome::of(references, verdicts, began.elapsed(), self.began.elapsed())
    }

    /// Each planted bug; those that no witness named by the right law.
    pub async fn planted(&self) -> Vec<String> {
        let named =
            |name: &str| workloads::all().into_iter().find(|workload| workload.name == name).expect("a workload");
        let names: BTreeSet<&str> = planted::TABLE.iter().map(|(_, workload, _)| *workload).collect();
        let clean = self.all("recorded", names.into_iter().map(|name| Job::clean(named(name), None))).await;
        assert!(clean.iter().all(|(_, verdict)| verdict.violations.is_empty()), "false alarms");
        let references: References =
            clean.into_iter().map(|(job, verdict)| (job.workload.name, Arc::new(verdict.reference))).collect();
        let only = std::env::var("FAULT_BUGS").unwrap_or_default();
        let chosen = planted::TABLE
            .iter()
            .filter(|(bug, ..)| only.is_empty() || only.split(',').any(|name| name == format!("{bug:?}")));
        let jobs = chosen.map(|(bug, workload, _)| {
            let clean = Job::clean(named(workload), references.get(workload).cloned());
            Job { bug: Some(*bug), patience: PLANTED_PATIENCE, ..clean }
        });
        let (mut missed, verdicts) = (Vec::new(), self.all("planted bugs", jobs).await);
        for (job, verdict) in &verdicts {
            let laws: BTreeSet<&str> = verdict.violations.iter().map(|violation| violation.law.as_str()).collect();
            let (bug, _, expected) =
                planted::TABLE.iter().find(|(bug, ..)| Some(*bug) == job.bug).expect("it is in the table");
            let caught = expected.iter().any(|law| laws.contains(law));
            println!(
                "{:<30} {:<20} {} by {laws:?}",
                format!("{bug:?}"),
                job.workload.name,
                if caught { "caught" } else { "MISSED" }
            );
            if !caught {
                missed.push(format!("{bug:?}: not {expected:?} but {:?}", verdict.violations));
            }
        }
        println!(
            "{} of {} planted bugs caught, {:.1} minutes in all",
            verdicts.len() - missed.len(),
            verdicts.len(),
            self.began.elapsed().as_secs_f64() / 60.0
        );
        missed
    }

    /// One plan, as often as asked for.
    pub async fn replay(&self, plan: &Plan, times: usize) {
        let workload =
            workloads::all().into_iter().find(|workload| workload.name == plan.workload).expect("a workload");
        let clean = Job::clean(workload, None).run(&self.lanes[0]).await;
        let reference = Arc::new(clean.reference);
        let mut broken = 0;
        for time in 1..=times {
            let job = Job { plan: Some(plan.clone()), ..Job::clean(workload, Some(Arc::clone(&reference))) };
            let verdict = job.run(&self.lanes[0]).await;
            println!(
                "{time}: reached {}, {:?}, {} violations",
                verdict.reached,
                verdict.spent.whole(),
                verdict.violations.len()
            );
            verdict.violations.iter().for_each(|violation| println!("  {violation}"));
            broken += usize::from(!verdict.violations.is_empty());
            if times == 1 {
                let shown = verdict.reference.calls.iter().filter(|call| !call.stream);
                shown.for_each(|call| println!("    {} {:?} {}", call.sent, call.code, call.point));
                println!("{}", verdict.log);
            }
        }
        assert_eq!(broken, 0, "{plan} broke a law {broken} times of {times}");
    }
}

/// All workloads, or those of `FAULT_WORKLOADS`.
fn chosen() -> Vec<Workload> {
    let only = std::env::var("FAULT_WORKLOADS").unwrap_or_default();
    let named = |workload: &Workload| only.is_empty() || only.split(',').any(|name| name == workload.name);
    workloads::all().into_iter().filter(named).collect()
}

/// The figures.
#[derive(Default)]
pub struct Outcome {
    rows: Vec<(&'static str, usize, usize, usize, usize)>,
    /// Plans that broke a law.
    pub failed: Vec<String>,
    seconds: f64,
    whole: f64,
}

impl Outcome {
    fn of(references: &References, verdicts: Vec<(Job, Verdict)>, took: Duration, whole: Duration) -> Self {
        let mut outcome = Self { seconds: took.as_secs_f64(), whole: whole.as_secs_f64(), ..Self::default() };
        for (name, reference) in references {
            let of = |(job, _): &&(Job, Verdict)| job.workload.name == *name;
            let count = |wanted: fn(&Verdict) -> bool| {
                verdicts.iter().filter(of).filter(|(_, verdict)| wanted(verdict)).count()
            };
            let calls = reference.calls.iter().filter(|call| !call.point.role.starts_with("EVENT:")).count();
            let (plans, missed) = (count(|_| true), count(|verdict| !verdict.reached));
            outcome.rows.push((name, calls, plans, missed, count(|verdict| !verdict.violations.is_empty())));
        }
        let failed = verdicts.iter().filter(|(_, verdict)| !verdict.violations.is_empty());
        outcome.failed = failed.filter_map(|(job, _)| job.plan.as_ref().map(Plan::to_string)).collect();
        outcome
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<22} {:>6} {:>6} {:>11} {:>7}", "workload", "calls", "plans", "not reached", "failed")?;
        let sum = self
            .rows
            .iter()
            .fold((0, 0, 0, 0), |sum, row| (sum.0 + row.1, sum.1 + row.2, sum.2 + row.3, sum.3 + row.4));
        for (name, calls, plans, missed, failed) in
            self.rows.iter().copied().chain([("all", sum.0, sum.1, sum.2, sum.3)])
        {
            writeln!(f, "{name:<22} {calls:>6} {plans:>6} {missed:>11} {failed:>7}")?;
        }
        let rate = f64::from(u32::try_from(sum.1).unwrap_or(u32::MAX)) / self.seconds;
        writeln!(f, "{} workloads, {rate:.1} plans/s, {:.1} minutes in all", self.rows.len(), self.whole / 60.0)?;
        self.failed.iter().try_for_each(|plan| writeln!(f, "failed: {plan}"))
    }
}
