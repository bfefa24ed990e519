//! The store's file with damage: it is refused, or all that it says is what was written.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, Mutex},
};

use loopback_operator::{
    backend::store::{RedbStore, Row, Store, Table, encode, key, read, write},
    runtime::World,
};

use crate::engine::Fuzz;

const TABLES: [Table; 3] = [Table::Tokens, Table::Objects, Table::Owners];

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// Rows of all sizes, written in several commits, some removed again.
async fn fill(store: &dyn Store) {
    for round in 0..20_usize {
        write(store, true, move |tx| {
            for number in 0..20_usize {
                let name = key(&["prj", &format!("{}", number * 20 + round)]);
                let text = format!("{round} ").repeat(1 + (number * 37 + round) % 400);
                tx.put(TABLES[(number + round) % 3], &name, encode(&text)?)?;
            }
            if round > 2 {
                tx.delete(TABLES[round % 3], &key(&["prj", &format!("{}", round - 1)]))?;
            }
            Ok(())
        })
        .await
        .unwrap();
    }
}

async fn rows(store: &dyn Store) -> Result<Vec<Vec<Row>>, loopback_operator::protocol::Problem> {
    read(store, |view| Ok(TABLES.iter().map(|table| view.scan(*table, b"", b"", 10_000)).collect::<Result<_, _>>()?))
        .await
}

/// Each eight bytes are one damage: where, as a part of the file, and what becomes of it.
fn damage(file: &mut Vec<u8>, input: &[u8]) {
    for bytes in input.chunks_exact(8).take(32) {
        let (at, with) = (u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]), bytes[3]);
        let at = at as usize * file.len() / (1 << 24);
        match bytes[4] % 8 {
            0..=4 => file[at] ^= if with == 0 { 1 } else { with },
            5 => file[at..].iter_mut().take(4096).for_each(|byte| *byte = with),
            6 => {
                let from = usize::from(bytes[6]) * 4096 % file.len();
                let page: Vec<u8> = file[from..].iter().take(4096).copied().collect();
                let end = (at + page.len()).min(file.len());
                file[at..end].copy_from_slice(&page[..end - at]);
            }
            _ => file.truncate(at.max(1)),
        }
    }
}

struct Damaged {
    whole: Vec<u8>,
    written: Vec<Vec<Row>>,
    folder: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
}

impl Damaged {
    fn new() -> Self {
        let (folder, runtime) = (tempfile::tempdir().unwrap(), runtime());
        let path = folder.path().join("store");
        let written = runtime.block_on(async {
            let store = RedbStore::open(&path, &World::real()).unwrap();
            fill(&store).await;
            let rows = rows(&store).await.unwrap();
            store.close().await;
            rows
        });
        Self { whole: std::fs::read(&path).unwrap(), written, folder, runtime }
    }

    fn open(&self, path: &Path) -> String {
        let store = match RedbStore::open(path, &World::real()) {
            Ok(store) => Arc::new(store),
            Err(problem) => {
                let text = problem.to_string();
                assert!(text.contains("store"), "the file is not named: {text}");
                return "refused".into();
            }
        };
        let found = self.runtime.block_on(async {
            let found = rows(&*store).await;
            store.close().await;
            found
        });
        match found {
            Ok(found) => {
                assert!(found == self.written, "rows are other than what was written, and nobody says so");
                "whole".into()
            }
            Err(problem) => format!("read: {}", problem.code),
        }
    }
}

#[test]
fn store_file() {
    let damaged = Damaged::new();
    let panics = Arc::new(Mutex::new(0));
    println!("store_file: a file of {} bytes", damaged.whole.len());
    Fuzz { name: "store_file", words: &[], inputs: 150, memory: 256 << 20 }.run(|input| {
        let mut file = damaged.whole.clone();
        damage(&mut file, input);
        let same = file == damaged.whole;
        let path = damaged.folder.path().join("store");
        std::fs::write(&path, &file).unwrap();
        let ended = catch_unwind(AssertUnwindSafe(|| damaged.open(&path)));
        std::fs::remove_file(&path).unwrap();
        match ended {
            Ok(class) => {
                assert!(!same || class == "whole", "an undamaged file is {class}");
                class
            }
            Err(panic) => {
                *panics.lock().unwrap() += 1;
                std::panic::resume_unwind(panic)
            }
        }
    });
}
