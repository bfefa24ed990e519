//! Hostile input: every field of every kind with everything that a field may be given, against the real API server, the
//! real operator and the real backend.
//!
//! `LOOPBACK_TESTS_SEED` sets the seed, `LOOPBACK_TESTS_CASE` replays the one case that a failure printed, and
//! `LOOPBACK_TESTS_FULL` tries all pairs of fields until there were 20,000 operations.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod answers;
mod bases;
mod cases;
mod judge;
mod lane;
mod server;
mod values;
mod view;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use self::{
    cases::{Case, Dice, Space},
    lane::Lane,
    view::View,
};
use crate::rig::{Rig, Scene, rig, until};

/// Objects that are tried at once.
const LANES: usize = 18;
/// Namespaces that they live in.
const NAMESPACES: usize = 3;

/// What all lanes share.
pub struct Campaign {
    space: Space,
    view: View,
    scenes: Vec<Place>,
    queue: Mutex<VecDeque<Case>>,
    failures: Mutex<Vec<String>>,
}

/// A namespace with one healthy object of each kind, and where the backend holds the children of those.
pub struct Place {
    /// The namespace.
    pub scene: Scene,
    zone: String,
    bucket: String,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_field_is_given_is_refused_or_done_or_explained() {
    let (rig, _peace) = rig().await;
    let full = std::env::var_os("LOOPBACK_TESTS_FULL").is_some();
    let seed = seed();
    println!("LOOPBACK_TESTS_SEED={seed}");
    let campaign = Arc::new(Campaign::start(rig, "hostile").await);
    let began = Instant::now();
    let (mut operations, mut tried) = (0, 0);
    for round in 0.. {
        let cases = campaign.space.chosen(seed.wrapping_add(round), full);
        tried += cases.len();
        operations += campaign.run(cases).await;
        if operations >= if full { 20_000 } else { 1_000 } || replay().is_some() {
            break;
        }
    }
    println!("{tried} cases, {operations} operations in {:.0?}", began.elapsed());
    campaign.end(rig).await;
}

fn seed() -> u64 {
    let given = std::env::var("LOOPBACK_TESTS_SEED").ok().and_then(|seed| seed.parse().ok());
    let clock = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |now| now.as_secs());
    given.unwrap_or_else(clock)
}

fn replay() -> Option<Case> {
    let line = std::env::var("LOOPBACK_TESTS_CASE").ok()?;
    Some(Case::parse(&line).expect("the case of a failure, as it was printed"))
}

impl Space {
    /// What one round tries: all of it, or a sample that a seed draws.
    fn chosen(&self, seed: u64, full: bool) -> Vec<Case> {
        if let Some(case) = replay() {
            return vec![case];
        }
        let mut dice = Dice(seed);
        let (mut singles, mut pairs) = (self.singles(seed), self.pairs(seed));
        dice.shuffle(&mut singles);
        dice.shuffle(&mut pairs);
        if !full {
            singles.truncate(1_000);
            pairs.truncate(300);
        }
        singles.append(&mut pairs);
        dice.shuffle(&mut singles);
        singles
    }
}

impl Campaign {
    async fn start(rig: &'static Rig, what: &str) -> Self {
        let mut scenes = Vec::new();
        for _ in 0..NAMESPACES {
            scenes.push(Place::new(rig, what).await);
        }
        let view = View::start(rig.client());
        let campaign = Self { space: Space::new(), view, scenes, queue: Mutex::default(), failures: Mutex::default() };
        for place in &campaign.scenes {
            until("the view shows the healthy objects", async || campaign.view.watch_over(&place.scene.name)).await;
        }
        campaign
    }

    /// Runs cases in lanes; how many operations that was.
    async fn run(self: &Arc<Self>, cases: Vec<Case>) -> usize {
        self.queue.lock().unwrap().extend(cases);
        let lanes = (0..LANES).map(|number| Lane::new(self.clone(), number).run());
        futures::future::join_all(lanes).await.into_iter().sum()
    }

    fn next(&self) -> Option<Case> {
        self.queue.lock().unwrap().pop_front()
    }

    fn fail(&self, case: &Case, why: &str) {
        let line = format!("LOOPBACK_TESTS_CASE='{case}' cargo test --test suite whatever_a_field");
        println!("{line}\n    {why}");
        self.failures.lock().unwrap().push(format!("{line}\n    {why}"));
    }

    /// What must be true of all of it.
    async fn end(&self, rig: &Rig) {
        let mut failures = self.failures.lock().unwrap().clone();
        failures.extend(self.view.disturbed());
        let log = rig.operator.log();
        failures.extend(log.lines().filter(|line| line.contains("panic")).map(|line| format!("operator: {line}")));
        let log = rig.backend.log();
        failures.extend(log.lines().filter(|line| line.contains("panic")).map(|line| format!("backend: {line}")));
        let metrics = reqwest::get(format!("http://{}/metrics", rig.metrics)).await.expect("metrics");
        let metrics = metrics.text().await.expect("metrics");
        let panics = metrics.lines().filter(|line| line.starts_with("controller_runtime_reconcile_panics_total"));
        failures.extend(panics.filter(|line| !line.ends_with(" 0")).map(str::to_owned));
        assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    }
}

impl Place {
    async fn new(rig: &'static Rig, what: &str) -> Self {
        let scene = Scene::new(rig, what).await;
        scene.secret(&scene.name, "own", &scene.token.0).await;
        for base in bases::bases() {
            let healthy = !matches!(base.name, "binding-own" | "backend" | "probe-tcp");
            if healthy {
                scene.apply(scene.manifest(base.kind, "beside", base.spec.clone())).await;
            }
        }
        for base in bases::bases() {
            if !matches!(base.name, "backend") {
                scene.until_ready(base.kind, "beside").await;
            }
        }
        let id = async |kind: &str| {
            let object = scene.get(kind, "beside").await.expect("it is there");
            object.data["status"]["id"].as_str().expect("an id").to_owned()
        };
        let (zone, bucket) = (id("ProjectDnsZone").await, id("ObjectBucket").await);
        Self { scene, zone, bucket }
    }

    /// Where the backend holds objects of a base in this namespace.
    pub fn collection(&self, base: &bases::Base) -> String {
        base.collection.replace("{zone}", &self.zone).replace("{bucket}", &self.bucket)
    }
}

/// How long anything may take to settle.
pub const BOUND: Duration = crate::rig::PATIENCE;
