//! One run: everything in one thread on a paused clock, from one script.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, LazyLock},
    time::Duration,
};

use loopback_operator::{crd, runtime::World};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::Value;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::{
    apiserver::ApiServer,
    backend::Backend,
    faults::{Faults, Rule, millis, pick},
    journal::{Entry, Journal},
    kinds::{KINDS, SERVICES, service},
    line::{Bend, OPERATOR},
    logs::Logs,
    mutants::{Defect, Mutant},
    operator::{Replica, Site, ZOMBIE, replica},
    oracles::Watchman,
    plan::{Deed, plan},
    server::Kube,
    users::Users,
};

/// Longest time from the last fault to a world as its users want it: a refused object is tried again within 15 minutes, and a
/// link and then an object may each have to.
const PATIENCE: Duration = Duration::from_secs(3_000);
/// What is not heard for so long is not on its way any more: where a fault had to be waited for, and where none had.
const CALM: [Duration; 2] = [Duration::from_secs(330), Duration::from_secs(35)];
/// In one of so many runs where that takes minutes it is waited for; the others go on while all is well and something is on its way.
const PATIENT: u64 = 4;
/// How long nothing may be written once all is well: in one of [`LONG`] runs until all that is done now and then has come round.
const SILENCE: [Duration; 2] = [Duration::from_secs(1_000), Duration::from_secs(60)];
pub const LONG: u64 = 32;
/// One of so many runs has all services.
const ALL: u64 = 8;
/// In one of so many runs operators are started anew when all is well: they find nothing to write.
const ANEW: u64 = 4;
/// In one of so many runs the metrics are looked at although nothing is to be reported.
const LOOKED_AT: u64 = 4;
/// Refusals in that time: what fails is tried again with pauses.
const RETRIES: usize = 20;

/// How a run ended.
#[derive(Debug, PartialEq)]
pub struct Ended {
    /// Laws that did not hold.
    pub broken: Vec<String>,
    /// Of all that the servers took.
    pub trace: u64,
    pub entries: usize,
    /// Calls that operators made: until all was calm, and while nothing was written.
    pub calls: Calls,
}

/// Calls of operators, to both servers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Calls {
    pub until_calm: usize,
    pub at_rest: usize,
}

/// An API server with our definitions, worked out once for all runs.
static SERVER: LazyLock<ApiServer> = LazyLock::new(|| {
    let definitions: Vec<Value> = crd::all().iter().map(|one| serde_json::to_value(one).unwrap()).collect();
    let server = ApiServer::new(World::seeded(0));
    server.install(&definitions);
    server.untracked();
    server
});

/// All that a run is made of.
pub struct Script {
    /// Of the random numbers of the programs.
    pub seed: u64,
    pub deeds: Vec<(Duration, Deed)>,
    /// These faults; absent: what the seed draws.
    pub rules: Option<Vec<Rule>>,
    pub replicas: Replicas,
    /// Whether buckets hold something.
    pub full: bool,
    /// The services that there are: most runs have those that they use, for speed.
    pub services: Vec<&'static str>,
    /// Which object is changed behind the operator's back when all is calm.
    pub drift: Option<u64>,
    /// Whether everything is deleted in the end, and whether by its namespace.
    pub leave: Option<bool>,
}

/// How many operators there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replicas {
    Alone,
    /// A second one believes for a while that it is the only one.
    Zombie {
        from: Duration,
        time: Duration,
    },
    /// A Lease says which of two acts.
    Elected,
}

impl Script {
    /// These deeds and faults, and nothing that is drawn.
    pub fn written(deeds: Vec<(Duration, Deed)>, rules: Vec<Rule>) -> Self {
        let (replicas, services) = (Replicas::Alone, SERVICES.to_vec());
        Self { seed: 1, deeds, rules: Some(rules), replicas, full: false, services, drift: None, leave: None }
    }

    /// What a seed draws.
    pub fn of(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let replicas = match pick(&mut random, 20) {
            0..3 => Replicas::Zombie { from: millis(&mut random, 30_000), time: millis(&mut random, 5_000) },
            3..6 => Replicas::Elected,
            _ => Replicas::Alone,
        };
        let deeds = plan(&mut random);
        Self {
            seed,
            services: if seed.is_multiple_of(ALL) { SERVICES.to_vec() } else { used(&deeds) },
            deeds,
            rules: None,
            replicas,
            full: random.random_bool(0.2),
            drift: random.random_bool(0.3).then(|| random.random()),
            leave: random.random_bool(0.5).then(|| random.random_bool(0.5)),
        }
    }
}

fn used(deeds: &[(Duration, Deed)]) -> Vec<&'static str> {
    let kinds: BTreeSet<usize> = deeds.iter().filter_map(|(_, deed)| deed.kind()).collect();
    let used: BTreeSet<_> = kinds.into_iter().map(|kind| service(KINDS[kind].collection)).collect();
    used.into_iter().collect()
}

/// Runs one script; `told` sees each entry of the journal at the end.
pub fn run(script: Script, defect: Option<Defect>, told: impl FnOnce(&[Entry])) -> Ended {
    let logs = Logs::of(script.seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let (journal, calls) = logs.kept(|| {
        runtime.block_on(async {
            let journal = Journal::new(script.deeds.len());
            let cut = CancellationToken::new();
            let scene = Scene::new(&script, defect, journal.clone(), cut.clone()).await;
            let watchman = scene.watchman.clone();
            let full = journal.full();
            let calls = tokio::select! {
                biased;
                () = full.cancelled() => Calls::default(),
                calls = scene.play(script) => calls,
            };
            cut.cancel();
            watchman.scanned("the log", &logs.text());
            (journal, calls)
        })
    });
    let (trace, entries) = journal.read(0, |entries| {
        told(entries);
        (trace(entries), entries.len())
    });
    Ended { broken: journal.verdict(), trace, entries, calls }
}

fn trace(entries: &[Entry]) -> u64 {
    let mut hash = DefaultHasher::new();
    for entry in entries {
        (entry.at, entry.side, &entry.verb, &entry.path, &entry.sent, entry.status).hash(&mut hash);
    }
    hash.finish()
}

pub struct Scene {
    pub site: Site,
    pub users: Users,
    watchman: Arc<Watchman>,
    journal: Journal,
    cut: CancellationToken,
}

impl Scene {
    pub async fn new(script: &Script, defect: Option<Defect>, journal: Journal, cut: CancellationToken) -> Self {
        let world = World::seeded(script.seed);
        let api = SERVER.copy(world.clone());
        let watchman = Watchman::new(api.clone(), journal.clone());
        let kube = Arc::new(Kube { api: api.clone(), journal: journal.clone(), watchman: watchman.clone() });
        let backend = Arc::new(Backend::new(world.clone(), journal.clone(), watchman.clone(), script));
        backend.start(loopback_operator::backend::store::Kept::default());
        backend.seed().await;
        let users = Users::new(kube.clone(), backend.clone()).await;
        let bend = defect.map(|defect| Arc::new(Mutant::new(defect, api.clone(), users.token())) as Arc<dyn Bend>);
        let faults = script.rules.clone().map_or_else(|| Faults::new(script.seed), Faults::written);
        let (services, crash, pages) = (script.services.clone(), Arc::default(), Arc::default());
        let site = Site { world, kube, backend, faults, bend, services, crash, pages };
        Self { site, users, watchman, journal, cut }
    }

    async fn play(mut self, script: Script) -> Calls {
        let mut calls = Calls::default();
        tokio::spawn(controllers(self.site.kube.api.clone(), self.cut.clone()));
        self.start(script.replicas);
        self.users.work(script.deeds).await;
        sleep(Duration::from_secs(2)).await;
        self.site.faults.stop();
        // What was on its way still comes.
        sleep(Duration::from_secs(31)).await;
        self.users.mend().await;
        if !self.settles("L1", false).await {
            return calls;
        }
        let calm = !self.site.faults.lasting() || script.seed.is_multiple_of(PATIENT);
        if calm {
            self.calms().await;
        }
        if let Some(which) = script.drift {
            self.users.drift(which, false).await;
            sleep(Duration::from_secs(4)).await;
        }
        // What came late may need somebody once more.
        if !self.settles("L1", false).await {
            return calls;
        }
        if calm {
            sleep(Duration::from_secs(4)).await;
            calls.until_calm = self.site.faults.calls();
            self.is_silent(script.seed).await;
            calls.at_rest = self.site.faults.calls() - calls.until_calm;
        }
        if let Some(by_namespace) = script.leave {
            self.users.leave(by_namespace).await;
            self.settles("L3", by_namespace).await;
        }
        calls
    }

    fn start(&self, replicas: Replicas) {
        let elected = replicas == Replicas::Elected;
        let begin = |name, elected, cut| {
            tokio::spawn(replica(self.site.clone(), Replica { name, elected }, cut));
        };
        begin("a", elected, self.cut.clone());
        match replicas {
            Replicas::Alone => {}
            Replicas::Elected => begin("b", true, self.cut.clone()),
            Replicas::Zombie { from, time } => {
                let (cut, site) = (self.cut.child_token(), self.site.clone());
                tokio::spawn(async move {
                    sleep(from).await;
                    tokio::spawn(replica(site, Replica { name: ZOMBIE, elected: false }, cut.clone()));
                    sleep(time).await;
                    cut.cancel();
                });
            }
        }
    }

    async fn settles(&mut self, law: &str, by_namespace: bool) -> bool {
        let mut waited = Duration::ZERO;
        let mut pause = Duration::from_secs(4);
        loop {
            let mut left = self.watchman.unfinished();
            if law == "L3" {
                left = left.or_else(|| self.watchman.remains(by_namespace));
                self.users.purge().await;
            }
            let Some(why) = left else { return true };
            if waited > PATIENCE {
                self.journal.broken(law, why);
                return false;
            }
            self.users.attend().await;
            sleep(pause).await;
            waited += pause;
            pause = (pause * 2).min(Duration::from_secs(300));
        }
    }

    /// The first write of the operator since then, or too many that were refused.
    fn noise(&self, start: usize) -> Option<String> {
        self.journal.read(start, |entries| {
            let own = || entries.iter().filter(|entry| entry.who == OPERATOR && !entry.path.contains("/leases"));
            let noise = own().find(|entry| entry.done()).or_else(|| own().nth(RETRIES));
            noise.map(|entry| format!("{} {} {} -> {}", entry.verb, entry.path, entry.body, entry.status))
        })
    }

    /// A watch whose list was swallowed is asked for again after 295 s, and what failed then after some more.
    async fn calms(&self) {
        for _ in 0..5 {
            let start = self.journal.len();
            sleep(CALM[usize::from(!self.site.faults.lasting())]).await;
            if self.noise(start).is_none() {
                break;
            }
        }
        self.watchman.calm();
    }

    async fn is_silent(&self, seed: u64) {
        let start = self.journal.len();
        if seed % ANEW == 1 {
            self.site.crash.notify_waiters();
        }
        sleep(SILENCE[usize::from(!seed.is_multiple_of(LONG))]).await;
        let noise = self.noise(start).filter(|_| !self.watchman.waits());
        if let Some(noise) = noise {
            self.journal.broken("L2", format!("at rest: {noise}"));
        }
        if let Some(why) = self.watchman.unfinished() {
            self.journal.broken("L1", format!("it does not stay so: {why}"));
        }
        self.reports(seed);
    }

    /// What has lost its resource is reported, and nothing that is shown carries a secret.
    fn reports(&self, seed: u64) {
        let lost = self.watchman.orphans();
        if lost == 0 && !seed.is_multiple_of(LOOKED_AT) {
            return;
        }
        let pages: Vec<String> = self.site.shown();
        pages.iter().for_each(|page| self.watchman.scanned("the page of metrics", page));
        let told = |page: &String| {
            let lines = page.lines().filter(|line| line.starts_with("loopback_orphans{"));
            lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum::<f64>() as usize
        };
        let told = pages.iter().map(told).max().unwrap_or_default();
        if told != lost && self.watchman.connected() {
            self.journal.broken("S2", format!("{lost} objects have lost their resource, {told} are reported"));
        }
    }
}

/// Garbage collector and namespaces.
pub async fn controllers(api: ApiServer, cut: CancellationToken) {
    const ROUND: Duration = Duration::from_millis(700);
    let (mut revision, began) = (0, Instant::now());
    while !cut.is_cancelled() {
        // At rest there is nothing to collect, and no time passes for nothing.
        let changed = api.changed();
        if api.revision() == revision {
            changed.await;
        }
        let rounds = began.elapsed().as_millis() / ROUND.as_millis() + 1;
        sleep_until(began + ROUND * u32::try_from(rounds).unwrap_or(u32::MAX)).await;
        api.tick();
        revision = api.revision();
    }
}
