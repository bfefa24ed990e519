//! A program of the control plane and the file that it writes to.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    time::Duration,
};

use super::Signal;
use crate::dev::process::{Process, Spawner};

/// How much of the end of a log an error shows: bytes and lines.
const TAIL: (u64, usize) = (8192, 15);

/// A running program; killed when dropped.
#[derive(Debug)]
pub(super) struct Child {
    process: Process,
    log: PathBuf,
}

impl Child {
    /// Starts a program. Its output goes to `log`, which begins anew.
    pub(super) async fn start(spawner: &Spawner, program: &Path, flags: &[String], log: &Path) -> io::Result<Self> {
        let output = File::create(log)?;
        let mut command = Command::new(program);
        command.args(flags).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        Ok(Self { process: spawner.start(command).await?, log: log.to_owned() })
    }

    /// The process id.
    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.process.ended()
    }

    /// Sends a signal, unless it has ended.
    pub(super) fn signal(&mut self, signal: Signal) -> io::Result<()> {
        self.process.signal(signal)
    }

    /// Asks it to end and kills it if it has not done so within `bound`.
    pub(super) async fn stop(&mut self, bound: Duration) {
        self.process.stop(bound).await;
    }

    /// The file that it writes to.
    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    /// The end of what it wrote.
    pub(super) fn tail(&self) -> String {
        tail(&self.log).unwrap_or_else(|error| format!("cannot read {}: {error}", self.log.display()))
    }
}

fn tail(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL.0)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(TAIL.1)..].join("\n"))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn the_tail_is_the_last_lines() {
        let root = TempDir::new().unwrap();
        let path = root.path().join("log");
        let lines: Vec<_> = (0..10_000).map(|number| number.to_string()).collect();
        std::fs::write(&path, lines.join("\n")).unwrap();
        assert_eq!(tail(&path).unwrap(), lines[10_000 - TAIL.1..].join("\n"));
        std::fs::write(&path, "one\n").unwrap();
        assert_eq!(tail(&path).unwrap(), "one");
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_an_error() {
        let root = TempDir::new().unwrap();
        let spawner = Spawner::new().unwrap();
        let started = Child::start(&spawner, Path::new("/nowhere/etcd"), &[], &root.path().join("log")).await;
        assert_eq!(started.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
