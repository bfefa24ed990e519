//! Mutates stored cases and runs a parser on each, bounded in time and memory.
//!
//! The same seed makes the same inputs. What tells of code that no input reached before is the class of an outcome, a short
//! text that the parser's harness gives (kind of result, code, shape): an input with a new one is mutated further.
//!
//! | variable | effect |
//! | --- | --- |
//! | `LOOPBACK_FUZZ_SEED` | other inputs |
//! | `LOOPBACK_FUZZ_FILE` | this file alone, to its parser alone |
//! | `LOOPBACK_FUZZ_KEEP` | inputs of new classes are stored in the corpus |
//! | `LOOPBACK_TESTS_FULL` | ten times as many inputs |

mod memory;
mod mutate;
mod random;
mod watch;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use data_encoding::HEXLOWER;
pub use memory::Counting;
pub use random::Random;
use sha2::{Digest, Sha256};

use self::watch::Watch;

/// Longest time that one input may take, on a machine that has much else to do.
const TIME: Duration = Duration::from_secs(10);
/// Longest input.
const LENGTH: usize = 1 << 17;
/// Failures after which a run ends.
const FAILURES: usize = 5;
/// How many times as many inputs a full run has.
const FULL: u64 = 10;

/// One parser under test.
pub struct Fuzz<'a> {
    /// Name of its folder below `tests/corpus`.
    pub name: &'static str,
    /// Words of its format.
    pub words: &'a [&'a str],
    /// Inputs of an ordinary run.
    pub inputs: u64,
    /// Memory that it may take beyond a hundred bytes for each byte of its input.
    pub memory: usize,
}

/// How one input ended.
enum Ended {
    Class(String),
    Failed(String),
}

impl Fuzz<'_> {
    /// Runs `parse`, which gives the class of the outcome and panics when a law is broken.
    pub fn run(&self, parse: impl Fn(&[u8]) -> String) {
        let watch = Watch::new(self.name, TIME * 3);
        if let Ok(file) = std::env::var("LOOPBACK_FUZZ_FILE") {
            if Path::new(&file).iter().any(|part| part == self.name) {
                let input = fs::read(root().join(&file)).expect("the file of LOOPBACK_FUZZ_FILE");
                if let Ended::Failed(why) = self.once(&watch, &input, &parse) {
                    panic!("{file}: {why}");
                }
            }
            return;
        }
        let mut round = Round { fuzz: self, watch, failures: Vec::new(), classes: BTreeMap::new(), pool: Vec::new() };
        round.corpus(&parse);
        round.mutants(&parse);
        round.close();
    }

    fn once(&self, watch: &Watch, input: &[u8], parse: &impl Fn(&[u8]) -> String) -> Ended {
        watch.begin(input);
        let (begin, meter) = (Instant::now(), memory::Meter::start());
        let ended = catch_unwind(AssertUnwindSafe(|| parse(input)));
        let (taken, peak) = (begin.elapsed(), meter.peak());
        watch.end();
        match ended {
            Err(panic) => Ended::Failed(words(&*panic)),
            Ok(_) if taken > TIME => Ended::Failed(format!("took {taken:?}")),
            Ok(_) if peak > self.memory + 100 * input.len() => Ended::Failed(format!("took {peak} bytes of memory")),
            Ok(class) => Ended::Class(class),
        }
    }
}

struct Round<'a> {
    fuzz: &'a Fuzz<'a>,
    watch: Watch,
    failures: Vec<String>,
    classes: BTreeMap<String, u64>,
    pool: Vec<Vec<u8>>,
}

impl Round<'_> {
    /// The stored cases as they are.
    fn corpus(&mut self, parse: &impl Fn(&[u8]) -> String) {
        for path in cases(self.fuzz.name) {
            let input = fs::read(&path).expect("a case");
            self.take(input, parse);
        }
        assert!(!self.pool.is_empty(), "no case for {}", self.fuzz.name);
    }

    fn mutants(&mut self, parse: &impl Fn(&[u8]) -> String) {
        let stored: BTreeSet<String> = self.classes.keys().cloned().collect();
        let full = std::env::var("LOOPBACK_TESTS_FULL").is_ok_and(|full| !full.is_empty());
        let inputs = if full { self.fuzz.inputs * FULL } else { self.fuzz.inputs };
        let seed = std::env::var("LOOPBACK_FUZZ_SEED").map_or(1, |seed| seed.parse().expect("LOOPBACK_FUZZ_SEED"));
        for number in 0..inputs {
            if self.failures.len() >= FAILURES {
                return;
            }
            let mut random = Random::new(self.fuzz.name, seed, number);
            let input = mutate::mutant(&mut random, &self.pool, self.fuzz.words, LENGTH);
            if let Some(class) = self.take(input.clone(), parse)
                && !stored.contains(&class)
                && std::env::var_os("LOOPBACK_FUZZ_KEEP").is_some()
            {
                store(&folder(self.fuzz.name), &input);
            }
        }
    }

    /// Runs one input; its class when it is the first of it.
    fn take(&mut self, input: Vec<u8>, parse: &impl Fn(&[u8]) -> String) -> Option<String> {
        match self.fuzz.once(&self.watch, &input, parse) {
            Ended::Failed(why) => {
                self.failures.push(format!("{why}\n  {}", failed(self.fuzz.name, &input)));
                None
            }
            Ended::Class(class) => {
                let seen = self.classes.entry(class.clone()).or_default();
                *seen += 1;
                if *seen > 1 {
                    return None;
                }
                self.pool.push(input);
                Some(class)
            }
        }
    }

    fn close(self) {
        let (inputs, classes) = (self.classes.values().sum::<u64>(), self.classes.len());
        println!("{}: {inputs} inputs, {classes} classes of outcomes", self.fuzz.name);
        if std::env::var_os("LOOPBACK_FUZZ_CLASSES").is_some() {
            self.classes.iter().for_each(|(class, count)| println!("  {count:>7} {class}"));
        }
        assert!(self.failures.is_empty(), "{}:\n{}", self.fuzz.name, self.failures.join("\n"));
    }
}

/// Keeps an input that failed; the line that replays it.
fn failed(name: &str, input: &[u8]) -> String {
    let path = store(&folder(name).join("failed"), input);
    let path = path.strip_prefix(root()).unwrap_or(&path).display();
    format!("LOOPBACK_FUZZ_FILE={path} cargo test --test fuzz {name}")
}

fn store(folder: &Path, input: &[u8]) -> PathBuf {
    let hash = HEXLOWER.encode(&Sha256::digest(input)[..6]);
    fs::create_dir_all(folder).expect("a folder");
    let path = folder.join(hash);
    fs::write(&path, input).expect("a file");
    path
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn folder(name: &str) -> PathBuf {
    root().join("tests/corpus").join(name)
}

/// The stored cases, in order.
pub fn cases(name: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder(name)).unwrap_or_else(|problem| panic!("tests/corpus/{name}: {problem}"));
    let mut cases: Vec<_> = entries.map(|entry| entry.expect("a case").path()).filter(|path| path.is_file()).collect();
    cases.sort();
    cases
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").chars().take(1_000).collect()
}
