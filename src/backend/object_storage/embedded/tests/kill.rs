use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use super::*;
use crate::backend::{
    object_storage::embedded::{
        edit::segments,
        rows::{ObjectRow, key},
    },
    store::{Table, View, decode, prefix_end},
};

/// The folder that the child process works in.
const CHILD: &str = "LOOPBACK_TEST_OBJECTS_CHILD";

/// Not a test by itself: what the killed child does. Puts, replaces, deletes and copies, and prints what was answered.
#[tokio::test(flavor = "multi_thread")]
async fn child_writes_until_killed() {
    let Some(folder) = std::env::var_os(CHILD) else { return };
    let rig = shared(Rig::on(Path::new(&folder)).await);
    let run = rig.vault.world.id("r");
    let writers = (0..4_u64).map(|writer| tokio::spawn(write(Arc::clone(&rig), run.clone(), writer)));
    futures::future::join_all(writers).await;
}

async fn write(rig: Arc<Rig>, run: String, writer: u64) {
    let s3 = rig.client();
    for n in 0_u64.. {
        let (path, seed) = (format!("/shop/{run}/{writer}/{}", n % 7), writer * 1_000_000 + n);
        let size = if n % 5 == 0 { 2_000_000 } else { 5_000 };
        let deletes = n % 11 == 10;
        let line = if deletes { format!("del {path}\n") } else { format!("put {path} {seed} {size}\n") };
        std::io::stdout().write_all(format!("begun {line}").as_bytes()).unwrap();
        ok(&if deletes { s3.delete(&path).await } else { s3.put(&path, noise(seed, size)).await });
        std::io::stdout().write_all(format!("done {line}").as_bytes()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_store_has_all_that_it_answered_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..3_u64 {
        let lines = run_child_and_kill(folder.path(), Duration::from_millis(300 + 250 * round));
        assert!(lines.iter().any(|line| line.starts_with("done put")), "{lines:?}");
        let rig = Rig::on(folder.path()).await;
        // What may be at a key: what was answered last, or what was begun after it.
        let mut allowed: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in &lines {
            let (word, rest) = line.split_once(' ').unwrap();
            let path = rest.split(' ').nth(1).unwrap().to_owned();
            let states = allowed.entry(path).or_insert_with(|| vec!["del".into()]);
            if word == "done" {
                states.clear();
            }
            states.push(rest.to_owned());
        }
        for (path, states) in allowed {
            let got = rig.client().get(&path).await;
            let fits = states.iter().any(|state| match state.split(' ').collect::<Vec<_>>()[..] {
                ["put", _, seed, size] => got.body == noise(seed.parse().unwrap(), size.parse().unwrap()),
                _ => got.status == 404,
            });
            assert!(fits, "{path}: {} with {} bytes is none of {states:?}", got.status, got.body.len());
        }
        check_books(&rig).await;
        rig.vault.close().await;
    }
}

/// Usage and files are what the objects' rows say.
async fn check_books(rig: &Rig) {
    let counted = rig.vault.look(|view: &dyn View| {
        let prefix = key::object("os-shop", "");
        let rows = view.scan(Table::Data, &prefix, &prefix_end(&prefix), usize::MAX)?;
        let mut counted = ((0, 0), std::collections::BTreeSet::new());
        for (_, value) in rows {
            let row: ObjectRow = decode(&value)?;
            counted.0.0 += 1;
            counted.0.1 += row.size;
            counted.1.extend(segments(view, &row)?.into_iter().map(|segment| segment.blob));
        }
        Ok(counted)
    });
    let (usage, named) = counted.await.unwrap();
    assert_eq!(rig.usage().await, usage);
    assert_eq!(rig.blobs().len(), named.len(), "files without a row are left");
}

fn run_child_and_kill(folder: &Path, after: Duration) -> Vec<String> {
    let test = "backend::object_storage::embedded::tests::kill::child_writes_until_killed";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let (mut kill_at, mut lines, mut line) = (None, Vec::new(), String::new());
    while output.read_line(&mut line).unwrap() > 0 {
        if (line.starts_with("begun") || line.starts_with("done")) && line.ends_with('\n') {
            lines.push(line.trim_end().to_owned());
            if line.starts_with("done") {
                let at = *kill_at.get_or_insert_with(|| Instant::now() + after);
                if Instant::now() >= at {
                    child.kill().unwrap();
                }
            }
        }
        line.clear();
    }
    child.wait().unwrap();
    lines
}
