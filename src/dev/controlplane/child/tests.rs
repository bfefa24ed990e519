use std::{
    io::{BufRead, BufReader},
    process::Command,
};

use tempfile::TempDir;

use super::*;

const HELPER: &str = "LOOPBACK_TEST_LIFETIME_HELPER";

/// Whether the process runs. One that has ended but that nobody has waited for (state Z) does not.
fn is_running(id: &str) -> bool {
    let state = if Path::new("/proc/self/stat").exists() {
        let line = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        line.rsplit(')').next().unwrap_or_default().to_owned()
    } else {
        String::from_utf8(Command::new("ps").args(["-o", "stat=", "-p", id]).output().unwrap().stdout).unwrap()
    };
    !state.trim().is_empty() && !state.trim().starts_with('Z')
}

fn wait_until_gone(id: &str) {
    for _ in 0..250 {
        if !is_running(id) {
            return;
        }
        thread::sleep(POLL);
    }
    panic!("process {id} still runs");
}

fn sleep(seconds: &str) -> (&'static Path, Vec<String>) {
    (Path::new("sleep"), vec![seconds.to_owned()])
}

/// Not a test: what the test below runs in another process, by the name of this function.
#[tokio::test]
async fn helper() {
    if std::env::var_os(HELPER).is_none() {
        return;
    }
    let root = TempDir::new().unwrap();
    let (program, arguments) = sleep("600");
    let by_kernel = Spawner::new().unwrap();
    let first = by_kernel.start(program, &arguments, &root.path().join("log")).await.unwrap();
    let second = tokio::process::Command::new(program).args(&arguments).spawn().unwrap().id().unwrap();
    let _lifeline = Lifeline::new(second).unwrap();
    println!("\nchildren {} {}", first.id(), second);
    std::future::pending::<()>().await;
}

#[test]
fn children_end_when_we_are_killed() {
    let mut us = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "dev::controlplane::child::tests::helper", "--nocapture"])
        .env(HELPER, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(us.stdout.take().unwrap()).lines().map(Result::unwrap);
    let line = lines.find_map(|line| line.strip_prefix("children ").map(str::to_owned)).unwrap();
    let children: Vec<_> = line.split(' ').collect();
    assert!(children.iter().all(|id| is_running(id)));
    us.kill().unwrap();
    us.wait().unwrap();
    children.into_iter().for_each(wait_until_gone);
}

#[tokio::test]
async fn stop_is_bounded_and_drop_kills() {
    let root = TempDir::new().unwrap();
    let log = root.path().join("log");
    let spawner = Spawner::new().unwrap();
    let script = "trap '' TERM; echo stubborn; while true; do sleep 0.05; done";
    let mut stubborn = spawner.start(Path::new("sh"), &["-c".to_owned(), script.to_owned()], &log).await.unwrap();
    while stubborn.tail() != "stubborn" {
        tokio::time::sleep(POLL).await;
    }
    let start = Instant::now();
    stubborn.stop(Duration::from_millis(200)).await;
    assert!(start.elapsed() >= Duration::from_millis(200));
    assert!(stubborn.ended().unwrap().is_some());

    let (program, arguments) = sleep("600");
    let child = spawner.start(program, &arguments, &log).await.unwrap();
    let id = child.id().to_string();
    assert!(is_running(&id));
    drop(child);
    assert!(!is_running(&id));
}

#[tokio::test]
async fn a_program_that_is_not_there_is_an_error() {
    let root = TempDir::new().unwrap();
    let spawner = Spawner::new().unwrap();
    let started = spawner.start(Path::new("/nowhere/etcd"), &[], &root.path().join("log")).await;
    assert_eq!(started.unwrap_err().kind(), io::ErrorKind::NotFound);
}
