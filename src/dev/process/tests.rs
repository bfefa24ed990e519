use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::Stdio,
};

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

fn sleep() -> Command {
    let mut command = Command::new("sleep");
    command.arg("600");
    command
}

/// Not a test: what the test below runs in another process, by the name of this function.
#[tokio::test]
async fn helper() {
    if std::env::var_os(HELPER).is_none() {
        return;
    }
    let spawner = Spawner::new().unwrap();
    let by_kernel = spawner.start(sleep()).await.unwrap();
    let by_lifeline = tokio::process::Command::new("sleep").arg("600").spawn().unwrap().id().unwrap();
    let _lifeline = Lifeline::new(by_lifeline).unwrap();
    println!("\nchildren {} {by_lifeline}", by_kernel.id());
    std::future::pending::<()>().await;
}

#[test]
fn children_end_when_we_are_killed() {
    let mut us = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "dev::process::tests::helper", "--nocapture"])
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
async fn stop_is_bounded() {
    let spawner = Spawner::new().unwrap();
    let mut stubborn = Command::new("sh");
    stubborn.args(["-c", "trap '' TERM; echo ready >&2; while true; do sleep 0.05; done"]).stderr(Stdio::piped());
    let mut stubborn = spawner.start(stubborn).await.unwrap();
    let mut ready = String::new();
    BufReader::new(stubborn.take_stderr().unwrap()).read_line(&mut ready).unwrap();
    let start = Instant::now();
    stubborn.stop(Duration::from_millis(200)).await;
    assert!(start.elapsed() >= Duration::from_millis(200));
    assert!(stubborn.ended().unwrap().is_some());
}

#[tokio::test]
async fn drop_kills_the_whole_group() {
    let spawner = Spawner::new().unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", "sleep 600 & echo $! >&2; wait"]).stderr(Stdio::piped());
    let mut shell = spawner.start(shell).await.unwrap();
    let mut grandchild = String::new();
    BufReader::new(shell.take_stderr().unwrap()).read_line(&mut grandchild).unwrap();
    let (child, grandchild) = (shell.id().to_string(), grandchild.trim());
    assert!(is_running(&child) && is_running(grandchild));
    drop(shell);
    assert!(!is_running(&child));
    wait_until_gone(grandchild);
}

#[tokio::test]
async fn what_cannot_be_executed_is_an_error() {
    let started = Spawner::new().unwrap().start(Command::new("/nowhere/etcd")).await;
    assert_eq!(started.unwrap_err().kind(), io::ErrorKind::NotFound);
}
