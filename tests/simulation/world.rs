//! One run: everything in one thread on a paused clock, from one seed.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, LazyLock},
    time::Duration,
};

use loopback_operator::{crd, runtime::World};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::Value;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    apiserver::ApiServer,
    backend::Backend,
    faults::{Faults, millis},
    journal::{Entry, Journal},
    kinds,
    line::{Bend, OPERATOR},
    mutants::{Defect, Mutant},
    operator::{Site, replica},
    oracles::Watchman,
    server::Kube,
    workload::{Users, plan},
};

/// Longest time from the last fault to a world as its users want it: a refused object is tried again within 15 minutes, and a
/// link and then an object may each have to.
const PATIENCE: Duration = Duration::from_secs(3_000);
/// What is not heard for so long is not on its way any more.
const CALM: Duration = Duration::from_secs(330);
/// How long nothing may be written once all is well.
const SILENCE: Duration = Duration::from_secs(600);

/// How a run ended.
#[derive(Debug, PartialEq)]
pub struct Ended {
    /// Laws that did not hold.
    pub broken: Vec<String>,
    /// Of all that the servers took.
    pub trace: u64,
    pub entries: usize,
}

static DEFINITIONS: LazyLock<Vec<Value>> =
    LazyLock::new(|| crd::all().iter().map(|one| serde_json::to_value(one).unwrap()).collect());

/// Runs one seed.
pub fn run(seed: u64, defect: Option<Defect>) -> Ended {
    run_told(seed, defect, |_| {})
}

/// Runs one seed; `told` sees each entry of the journal at the end.
pub fn run_told(seed: u64, defect: Option<Defect>, told: impl Fn(&Entry)) -> Ended {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let journal = runtime.block_on(async {
        let journal = Journal::new();
        let cut = CancellationToken::new();
        let scene = Scene::new(seed, defect, journal.clone(), cut.clone()).await;
        let full = journal.full();
        tokio::select! {
            biased;
            () = full.cancelled() => {}
            () = scene.play() => {}
        }
        cut.cancel();
        journal
    });
    let (trace, entries) = journal.read(0, |entries| {
        entries.iter().for_each(told);
        (trace(entries), entries.len())
    });
    Ended { broken: journal.verdict(), trace, entries }
}

fn trace(entries: &[Entry]) -> u64 {
    let mut hash = DefaultHasher::new();
    for entry in entries {
        (entry.at, entry.side, &entry.verb, &entry.path, entry.body.to_string(), entry.status).hash(&mut hash);
    }
    hash.finish()
}

pub struct Scene {
    random: StdRng,
    pub site: Site,
    pub users: Users,
    watchman: Arc<Watchman>,
    journal: Journal,
    cut: CancellationToken,
}

impl Scene {
    pub async fn new(seed: u64, defect: Option<Defect>, journal: Journal, cut: CancellationToken) -> Self {
        let world = World::seeded(seed);
        let api = ApiServer::new(world.clone());
        api.install(&DEFINITIONS);
        let watchman = Watchman::new(api.clone(), journal.clone());
        let kube = Arc::new(Kube { api: api.clone(), journal: journal.clone(), watchman: watchman.clone() });
        let backend = Arc::new(Backend::new(world.clone(), journal.clone(), watchman.clone()));
        backend.start(loopback_operator::backend::store::Kept::default());
        backend.seed().await;
        let (token, (_, admin)) = (backend.token("").await, backend.admin().await);
        watchman.canary(&token.1);
        let bend = defect.map(|defect| {
            let mutant = Mutant { defect, api: api.clone(), token: token.1.clone(), count: Default::default() };
            Arc::new(mutant) as Arc<dyn Bend>
        });
        let copy = backend.kept();
        let users = Users { kube: kube.clone(), backend: backend.clone(), token, admin, copy };
        let site = Site { world, kube, backend, faults: Faults::new(seed), bend };
        Self { random: StdRng::seed_from_u64(seed), site, users, watchman, journal, cut }
    }

    async fn play(mut self) {
        tokio::spawn(controllers(self.site.kube.api.clone(), self.cut.clone()));
        tokio::spawn(replica(self.site.clone(), self.cut.clone()));
        if self.random.random_bool(0.2) {
            let (from, time) = (millis(&mut self.random, 30_000), millis(&mut self.random, 5_000));
            tokio::spawn(zombie(self.site.clone(), self.cut.child_token(), from, time));
        }
        let deeds = plan(&mut self.random);
        self.users.work(deeds).await;
        sleep(Duration::from_secs(2)).await;
        self.site.faults.stop();
        // What was on its way still comes.
        sleep(Duration::from_secs(31)).await;
        self.users.mend().await;
        if !self.settles("L1").await {
            return;
        }
        self.is_silent().await;
        if self.random.random_bool(0.5) {
            let by_namespace = self.random.random_bool(0.5);
            self.users.leave(by_namespace).await;
            self.settles("L3").await;
        }
    }

    async fn settles(&self, law: &str) -> bool {
        let mut waited = Duration::ZERO;
        let mut pause = Duration::from_secs(4);
        loop {
            let mut left = self.watchman.unfinished();
            if law == "L3" {
                let still = |(kind, one): &(&kinds::Named, Arc<Value>)| {
                    format!("{} {} is still there: {}", kind.plural, one["metadata"], one["status"])
                };
                left = left.or(self.watchman.resources().first().map(still));
            }
            let Some(why) = left else { return true };
            if waited > PATIENCE {
                self.journal.broken(law, why);
                return false;
            }
            sleep(pause).await;
            waited += pause;
            pause = (pause * 2).min(Duration::from_secs(300));
        }
    }

    /// The first write of the operator since then.
    fn noise(&self, start: usize) -> Option<String> {
        self.journal.read(start, |entries| {
            let noise = entries.iter().find(|entry| entry.who == OPERATOR);
            noise.map(|entry| format!("{} {} {}", entry.verb, entry.path, entry.body))
        })
    }

    async fn is_silent(&self) {
        // A watch whose list was swallowed is asked for again after 295 s, and what failed then after some more.
        for _ in 0..5 {
            let start = self.journal.len();
            sleep(CALM).await;
            if self.noise(start).is_none() {
                break;
            }
        }
        let start = self.journal.len();
        sleep(SILENCE).await;
        let noise = self.noise(start).filter(|_| !self.watchman.waits());
        if let Some(noise) = noise {
            self.journal.broken("L2", format!("at rest: {noise}"));
        }
        if let Some(why) = self.watchman.unfinished() {
            self.journal.broken("L1", format!("it does not stay so: {why}"));
        }
    }
}

/// A second replica that believes for a while that it is the only one.
async fn zombie(site: Site, cut: CancellationToken, from: Duration, time: Duration) {
    sleep(from).await;
    tokio::spawn(replica(site, cut.clone()));
    sleep(time).await;
    cut.cancel();
}

/// Garbage collector and namespaces.
pub async fn controllers(api: ApiServer, cut: CancellationToken) {
    let mut revision = 0;
    while !cut.is_cancelled() {
        // At rest there is nothing to collect.
        if api.revision() != revision {
            api.tick();
            revision = api.revision();
        }
        sleep(Duration::from_millis(700)).await;
    }
}
