//! What the product costs beside the API server's own floor, both measured in one run:
//!
//! ```text
//! cargo bench --bench scale                         all of it, 1,000 and 10,000 objects: about an hour
//! cargo bench --bench scale -- bulk late            single parts
//! cargo bench --bench scale -- --objects 1000 --rest 60
//! ```
//!
//! The figures are printed as they come, and at the end as one table, which is also written to `target/scale.json`.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a measurement that fails ends"
)]

mod after;
mod bulk;
mod counts;
mod drift;
mod floor;
mod ground;
mod growth;
#[allow(dead_code, reason = "not all of it is needed here")]
#[path = "../planes/http1.rs"]
mod http1;
mod large;
mod late;
mod load;
mod noise;
#[allow(dead_code, unused_imports, reason = "the tests use the rest")]
#[path = "../../tests/suite/rig/mod.rs"]
mod rig;
#[allow(dead_code, reason = "not all of it is needed here")]
#[path = "../../src/backend/object_storage/embedded/tests/client.rs"]
mod signing;
mod table;
mod watch;

use std::time::Duration;

use table::Table;

/// Parts, in the order in which they run.
const PARTS: [&str; 8] = ["bulk", "rest", "restart", "drift", "noise", "outage", "growth", "large"];
const RESULT: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/../scale.json");
/// How late a backend that is far away answers, in milliseconds.
const LATE: u64 = 20;

struct Asked {
    parts: Vec<String>,
    objects: Vec<usize>,
    rest: Duration,
    largest: usize,
    /// Objects in the large bucket.
    contents: usize,
}

impl Asked {
    fn read(mut words: impl Iterator<Item = String>) -> Self {
        let (rest, largest, contents) = (Duration::from_secs(600), 30_000, 1_000_000);
        let mut asked = Self { parts: vec![], objects: vec![], rest, largest, contents };
        while let Some(word) = words.next() {
            let mut number = || words.next().and_then(|word| word.parse::<usize>().ok()).expect("a number");
            match word.as_str() {
                "--objects" => asked.objects.push(number()),
                "--rest" => asked.rest = Duration::from_secs(number() as u64),
                "--largest" => asked.largest = number(),
                "--contents" => asked.contents = number(),
                "--bench" => {}
                part if PARTS.contains(&part) => asked.parts.push(word),
                other => panic!("no part {other}: {PARTS:?}"),
            }
        }
        if asked.objects.is_empty() {
            asked.objects = vec![1_000, 10_000];
        }
        asked
    }

    fn has(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|one| one == part)
    }

    /// Whether something is asked for that needs a site with all its objects.
    fn needs_site(&self) -> bool {
        PARTS[1..6].iter().any(|part| self.has(part))
    }
}

#[tokio::main]
async fn main() {
    let asked = Asked::read(std::env::args().skip(1));
    let mut table = Table::default();
    let most = asked.objects.iter().copied().max().unwrap_or_default();
    for objects in &asked.objects {
        let last = *objects == most;
        if !(asked.has("bulk") || last && asked.needs_site()) {
            continue;
        }
        let floor = bulk::floor(*objects).await;
        if asked.has("bulk") && *objects <= 1_000 {
            drop(bulk::product(*objects, LATE, &floor, &mut table).await);
        }
        let site = bulk::product(*objects, 0, &floor, &mut table).await;
        if last {
            on(&site, *objects, &asked, &mut table).await;
        }
    }
    if asked.has("growth") {
        growth::measure(asked.largest, &mut table).await;
    }
    if asked.has("large") {
        large::measure(asked.contents, &mut table).await;
    }
    println!("\n{table}");
    table.write(RESULT);
}

async fn on(site: &ground::Site, objects: usize, asked: &Asked, table: &mut Table) {
    if asked.has("rest") {
        after::rest(site, asked.rest, table).await;
    }
    if asked.has("restart") {
        after::restart(site, objects, table).await;
    }
    if asked.has("drift") {
        drift::measure(site, objects.min(1_000), table).await;
    }
    if asked.has("outage") {
        after::outage(site, table).await;
    }
    if asked.has("noise") {
        noise::measure(site, table).await;
    }
}
