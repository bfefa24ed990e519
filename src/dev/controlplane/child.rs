//! Child processes that end when we end, however we end.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{self, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use nix::{sys::signal::Signal, unistd::Pid};
use tokio::{sync::oneshot, time::Instant};

#[cfg(any(test, not(target_os = "linux")))]
use super::lifeline::Lifeline;

/// How often a child that should end is looked at.
const POLL: Duration = Duration::from_millis(20);
/// How much of the end of a log an error shows: bytes and lines.
const TAIL: (u64, usize) = (8192, 15);

/// The thread that starts children. On Linux the kernel kills a child when the *thread* that started it ends, so it must
/// not be a worker thread that may end sooner than the children should: this one ends when the spawner is dropped.
#[derive(Debug)]
pub(super) struct Spawner(mpsc::Sender<Order>);

#[derive(Debug)]
struct Order {
    command: Command,
    answer: oneshot::Sender<io::Result<process::Child>>,
}

impl Spawner {
    pub(super) fn new() -> io::Result<Self> {
        let (orders, inbox) = mpsc::channel::<Order>();
        thread::Builder::new().name("spawner".to_owned()).spawn(move || {
            for mut order in inbox {
                // Who asked may have gone away; then its child goes too.
                if let Err(Ok(mut unwanted)) = order.answer.send(order.command.spawn()) {
                    drop(unwanted.kill());
                    drop(unwanted.wait());
                }
            }
        })?;
        Ok(Self(orders))
    }

    /// Starts a program. Its output goes to `log`, which begins anew.
    pub(super) async fn start(&self, program: &Path, arguments: &[String], log: &Path) -> io::Result<Child> {
        let output = File::create(log)?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        // Ctrl-C reaches the whole group of a terminal; the children are to stop one after the other, when we say so.
        command.process_group(0);
        end_with_us(&mut command);
        let (answer, started) = oneshot::channel();
        let gone = || io::Error::other("the thread that starts programs has ended");
        self.0.send(Order { command, answer }).map_err(|_| gone())?;
        Child::new(started.await.map_err(|_| gone())??, log)
    }
}

/// A running program; killed when dropped.
#[derive(Debug)]
pub(super) struct Child {
    process: process::Child,
    log: PathBuf,
    #[cfg(not(target_os = "linux"))]
    _lifeline: Lifeline,
}

impl Child {
    fn new(process: process::Child, log: &Path) -> io::Result<Self> {
        Ok(Self {
            #[cfg(not(target_os = "linux"))]
            _lifeline: Lifeline::new(process.id())?,
            process,
            log: log.to_owned(),
        })
    }

    /// The process id.
    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.process.try_wait()
    }

    /// Asks it to end and kills it if it has not done so within `bound`.
    pub(super) async fn stop(&mut self, bound: Duration) {
        let deadline = Instant::now() + bound;
        drop(self.signal(Signal::SIGTERM));
        while matches!(self.process.try_wait(), Ok(None)) && Instant::now() < deadline {
            tokio::time::sleep(POLL).await;
        }
        self.kill();
    }

    /// Sends a signal, unless it has ended.
    pub(super) fn signal(&mut self, signal: Signal) -> io::Result<()> {
        if self.process.try_wait()?.is_some() {
            return Ok(());
        }
        let id = i32::try_from(self.process.id()).map_err(io::Error::other)?;
        Ok(nix::sys::signal::kill(Pid::from_raw(id), signal)?)
    }

    /// Ends it at once.
    pub(super) fn kill(&mut self) {
        // Both fail only for a process that has ended already.
        drop(self.process.kill());
        drop(self.process.wait());
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

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
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

/// Has the kernel kill the child when the thread that starts it ends, also when that is because we are killed.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn end_with_us(command: &mut Command) {
    let us = nix::unistd::getpid();
    let before_exec = move || {
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
        // We may have died before that line.
        if nix::unistd::getppid() == us { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    };
    // SAFETY: between fork and exec only what is async-signal-safe may run: prctl and getppid are, and nothing allocates.
    unsafe { command.pre_exec(before_exec) };
}

/// Elsewhere the child's [`Lifeline`] does it.
#[cfg(not(target_os = "linux"))]
fn end_with_us(_: &mut Command) {}

#[cfg(test)]
mod tests;
