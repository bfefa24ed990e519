//! Many seeds over all cores, the same seed twice, one seed again, and operators with defects.

use std::{
    env,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Instant,
};

use crate::{
    mutants::{DEFECTS, Defect},
    world::{self, Ended, Script},
};

/// Seeds of a run of the tests.
const SEEDS: u64 = 350;
/// Seeds within which a defect must be caught.
const BOUND: u64 = 60;

fn number(name: &str, otherwise: u64) -> u64 {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn run(seed: u64, defect: Option<Defect>) -> Ended {
    world::run(Script::of(seed), defect, |_| {})
}

/// What tells cargo the profile of this very program: where it was put says which it is.
fn profile() -> String {
    let program = env::current_exe().unwrap_or_default();
    let folder = program.ancestors().nth(2).and_then(|folder| folder.file_name()).unwrap_or_default();
    match folder.to_str() {
        None | Some("" | "debug") => String::new(),
        Some(name) => format!(" --profile {name}"),
    }
}

/// Writes of some seeds.
#[derive(Default)]
struct Writes {
    all: AtomicU64,
    /// Of the seed that had the most.
    most: AtomicU64,
}

/// Runs seeds over all cores; those that broke a law.
fn many(seeds: std::ops::Range<u64>, defect: Option<Defect>, enough: usize) -> (Vec<(u64, Ended)>, Writes) {
    let (next, writes) = (AtomicU64::new(seeds.start), Writes::default());
    let failed = std::sync::Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, Into::into) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || failed.lock().unwrap().len() >= enough {
                        return;
                    }
                    let ended = run(seed, defect);
                    writes.all.fetch_add(ended.entries as u64, Ordering::Relaxed);
                    writes.most.fetch_max(ended.entries as u64, Ordering::Relaxed);
                    if !ended.broken.is_empty() {
                        failed.lock().unwrap().push((seed, ended));
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner().unwrap();
    failed.sort_by_key(|(seed, _)| *seed);
    (failed, writes)
}

#[test]
fn seeds() {
    let (first, count) = (number("SIMULATION_FIRST", 0), number("SIMULATION_SEEDS", SEEDS));
    let began = Instant::now();
    let (failed, writes) = many(first..first + count, None, usize::MAX);
    let took = began.elapsed();
    let (rate, mean) = (count as f64 / took.as_secs_f64(), writes.all.into_inner() as f64 / count as f64);
    let most = writes.most.into_inner();
    println!("{count} seeds, {mean:.1} writes each, {most} at most, {took:.1?}, {rate:.1} seeds/s");
    for (seed, ended) in &failed {
        println!("SEED={seed} cargo test{} --test simulation replay -- --nocapture   # {}", profile(), ended.broken[0]);
    }
    assert!(failed.is_empty(), "{} of {count} seeds broke a law", failed.len());
}

#[test]
fn replay() {
    let Ok(seed) = env::var("SEED") else { return };
    let defect =
        env::var("DEFECT").ok().and_then(|name| DEFECTS.iter().copied().find(|one| format!("{one:?}") == name));
    if env::var("LOG").is_ok() {
        tracing_subscriber::fmt().with_env_filter(env::var("LOG").unwrap()).without_time().with_ansi(false).init();
    }
    let script = Script::of(seed.parse().unwrap());
    script.deeds.iter().for_each(|(at, deed)| println!("{at:>10.3?} {deed:?}"));
    println!(
        "{:?}, full buckets: {}, drift: {:?}, leave: {:?}",
        script.replicas, script.full, script.drift, script.leave
    );
    let ended = world::run(script, defect, |entries| entries.iter().for_each(|entry| println!("{entry}")));
    println!("{:#?}", ended.broken);
    assert!(ended.broken.is_empty());
}

#[test]
fn a_seed_unfolds_the_same_way_each_time() {
    for seed in 0..20 {
        assert_eq!(run(seed, None), run(seed, None), "seed {seed}");
    }
}

#[test]
fn an_operator_with_a_defect_is_caught() {
    let mut missed = Vec::new();
    for defect in DEFECTS {
        let (failed, _) = many(0..BOUND, Some(*defect), 1);
        match failed.first() {
            Some((seed, ended)) => println!("{defect:?}: caught by seed {seed}: {}", ended.broken[0]),
            None => missed.push(defect),
        }
    }
    assert!(missed.is_empty(), "not caught within {BOUND} seeds: {missed:?}");
}
