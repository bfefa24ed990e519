//! What the embedded planes cost beside programs that people already trust, all measured in one run:
//!
//! ```text
//! cargo bench --bench planes                         all parts, 5 s a measurement: about seven minutes
//! cargo bench --bench planes -- tcp dns              single parts
//! cargo bench --bench planes -- --seconds 1
//! ```
//!
//! One server at a time is loaded, ours and its peers in turn, three rounds, and each figure is the middle one of the three.
//! Servers have processor 0, the clients and the targets processor 1. Compare the processor time a request first: rates and
//! latencies move with whatever else the machine does. Peers that are not installed are left out, and told. All of them, in
//! Debian, which also starts them as services unless it is told not to:
//!
//! ```text
//! apt-get install haproxy nginx libnginx-mod-stream knot pdns-server pdns-backend-bind prometheus-blackbox-exporter
//! ```
//!
//! The figures are printed as they come, and at the end as one table, which is also written to `target/planes.json`.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a measurement that fails ends"
)]

mod dns;
mod http1;
mod ours;
mod peer;
mod probes;
mod process;
#[allow(dead_code, unused_imports, reason = "the tests use the rest")]
#[path = "../../tests/suite/rig/mod.rs"]
mod rig;
mod s3;
mod table;
mod tcp;
mod turns;

use std::{path::PathBuf, time::Duration};

use table::Table;
use tempfile::TempDir;

/// Parts, in the order in which they run.
const PARTS: [&str; 4] = ["tcp", "dns", "s3", "probes"];
const RESULT: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/../planes.json");

struct Asked {
    parts: Vec<String>,
    time: Duration,
}

impl Asked {
    fn read(mut words: impl Iterator<Item = String>) -> Self {
        let mut asked = Self { parts: vec![], time: Duration::from_secs(5) };
        while let Some(word) = words.next() {
            match word.as_str() {
                "--seconds" => {
                    let seconds = words.next().and_then(|word| word.parse().ok()).expect("a number of seconds");
                    asked.time = Duration::from_secs(seconds);
                }
                "--bench" => {}
                part if PARTS.contains(&part) => asked.parts.push(word),
                other => panic!("no part {other}: {PARTS:?}"),
            }
        }
        asked
    }

    fn has(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|one| one == part)
    }
}

/// Where the parts work, and for how long.
pub struct Ground {
    base: TempDir,
    /// Of one measurement.
    pub time: Duration,
}

impl Ground {
    /// A new folder, on the disk of the working folder: one for temporary files may be memory.
    pub fn folder(&self, name: &str) -> PathBuf {
        let folder = self.base.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }
}

fn main() {
    let asked = Asked::read(std::env::args().skip(1));
    process::take_client_processor();
    drop(rustls::crypto::ring::default_provider().install_default());
    // The clients have one processor, so a second thread would only be in the way of the first.
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run(&asked));
}

async fn run(asked: &Asked) {
    let ground = Ground { base: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap(), time: asked.time };
    let mut table = Table::default();
    if asked.has("tcp") {
        tcp::measure(&ground, &mut table).await;
    }
    if asked.has("dns") {
        dns::measure(&ground, &mut table).await;
    }
    if asked.has("s3") {
        s3::measure(&ground, &mut table).await;
    }
    if asked.has("probes") {
        probes::measure(&ground, &mut table).await;
    }
    println!("\n{table}");
    table.write(RESULT);
}
