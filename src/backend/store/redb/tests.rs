//! The file store: conformance, crashes, two processes.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    super::{conformance, key},
    *,
};
use crate::backend::store::{encode, read, write};

/// The folder that the child process of the kill test writes in.
const CHILD: &str = "LOOPBACK_TEST_STORE_CHILD";

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    let folder = tempfile::tempdir().unwrap();
    let count = AtomicU32::new(0);
    conformance::all(|| {
        let path = folder.path().join(count.fetch_add(1, Ordering::Relaxed).to_string());
        Box::new(move || Arc::new(RedbStore::open(&path, &World::real()).unwrap()))
    })
    .await;
}

#[tokio::test]
async fn a_second_process_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = RedbStore::open(&path, &World::real()).unwrap();
    assert!(matches!(RedbStore::open(&path, &World::real()), Err(OpenProblem::Locked(_))));
    store.close().await;
    RedbStore::open(&path, &World::real()).unwrap();
}

#[test]
fn what_is_no_store_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    std::fs::write(&path, "this is a text, and long enough to be looked at as a database").unwrap();
    assert!(matches!(RedbStore::open(&path, &World::real()), Err(OpenProblem::Unusable { .. })));
}

#[tokio::test]
async fn a_file_with_a_damaged_page_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = RedbStore::open(&path, &World::real()).unwrap();
    let text = "as it was written".repeat(20);
    write(&store, true, move |tx| Ok(tx.put(Table::Objects, b"k", encode(&text)?)?)).await.unwrap();
    store.close().await;
    let mut file = std::fs::read(&path).unwrap();
    let places: Vec<usize> = (0..file.len() - 17).filter(|at| file[*at..].starts_with(b"as it was written")).collect();
    assert!(!places.is_empty());
    places.iter().for_each(|at| file[*at] = b'A');
    std::fs::write(&path, file).unwrap();
    assert!(matches!(RedbStore::open(&path, &World::real()), Err(OpenProblem::Unusable { .. })));
}

/// Not a test by itself: what the killed child does. Writes from several tasks and prints each write that was answered.
#[test]
fn child_writes_until_killed() {
    let Some(folder) = std::env::var_os(CHILD) else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let path = std::path::PathBuf::from(folder).join("store");
        let store: Arc<dyn Store> = Arc::new(RedbStore::open(&path, &World::real()).unwrap());
        let run = store.identity().epoch.clone();
        let writers = (0..4).map(|writer| tokio::spawn(child_writer(Arc::clone(&store), run.clone(), writer)));
        futures::future::join_all(writers).await;
    });
}

async fn child_writer(store: Arc<dyn Store>, run: String, writer: u32) {
    for n in 0.. {
        let name = key(&[&run, &writer.to_string(), &n.to_string()]);
        let revision = write(&*store, n % 3 != 0, move |tx| Ok(tx.put(Table::Objects, &name, encode(&n)?)?)).await;
        let kind = if n % 3 != 0 { "durable" } else { "volatile" };
        let line = format!("answered {kind} {run} {writer} {n} {}\n", revision.unwrap().revision);
        std::io::stdout().write_all(line.as_bytes()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_loses_nothing_that_was_answered() {
    let folder = tempfile::tempdir().unwrap();
    let mut newest = 0;
    for round in 0..4_u64 {
        let lines = run_child_and_kill(folder.path(), Duration::from_millis(120 + 170 * round));
        assert!(lines.iter().any(|line| line.starts_with("answered durable")), "round {round}: {lines:?}");
        let store = RedbStore::open(&folder.path().join("store"), &World::real()).unwrap();
        for line in lines {
            let words: Vec<&str> = line.split(' ').collect();
            let [_, kind, run, writer, n, revision] = words[..] else { panic!("{line}") };
            let name = key(&[run, writer, n]);
            let kept = read(&store, move |view| Ok(view.get(Table::Objects, &name)?)).await.unwrap();
            assert!(kind == "volatile" || kept.is_some(), "lost: {line}");
            newest = newest.max(revision.parse::<Revision>().unwrap());
        }
        assert!(store.log().newest() > newest, "revisions went back");
        store.close().await;
    }
}

/// The complete lines that the child printed before it was killed, `after` its first one.
fn run_child_and_kill(folder: &Path, after: Duration) -> Vec<String> {
    let test = "backend::store::redb::tests::child_writes_until_killed";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut kill_at = None;
    let mut lines = Vec::new();
    let mut line = String::new();
    while output.read_line(&mut line).unwrap() > 0 {
        if line.starts_with("answered") && line.ends_with('\n') {
            lines.push(line.trim_end().to_owned());
            let at = *kill_at.get_or_insert_with(|| Instant::now() + after);
            if Instant::now() >= at {
                child.kill().unwrap();
            }
        }
        line.clear();
    }
    child.wait().unwrap();
    lines
}
