//! Processes that end when we end, however we end.

#[cfg(any(test, not(target_os = "linux")))]
mod lifeline;

use std::{
    io,
    os::unix::process::CommandExt,
    process::{self, ChildStderr, Command, ExitStatus},
    sync::mpsc,
    thread,
    time::Duration,
};

pub use nix::sys::signal::Signal;
use nix::{sys::signal, unistd::Pid};
use tokio::{sync::oneshot, time::Instant};

#[cfg(any(test, not(target_os = "linux")))]
use lifeline::Lifeline;

/// How often a process that should end is looked at.
const POLL: Duration = Duration::from_millis(20);

/// The thread that starts processes. On Linux the kernel kills a process when the *thread* that started it ends, so it must
/// not be a worker thread that may end sooner than the process should: this one ends when the spawner is dropped.
#[derive(Debug)]
pub struct Spawner(mpsc::Sender<Order>);

#[derive(Debug)]
struct Order {
    command: Command,
    answer: oneshot::Sender<io::Result<Process>>,
}

impl Spawner {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn new() -> io::Result<Self> {
        let (orders, inbox) = mpsc::channel::<Order>();
        thread::Builder::new().name("spawner".to_owned()).spawn(move || {
            for order in inbox {
                // Who asked may have gone away; then the process comes back, is dropped and so killed.
                drop(order.answer.send(Process::start(order.command)));
            }
        })?;
        Ok(Self(orders))
    }

    /// Starts a process, as the head of a group of its own.
    ///
    /// # Errors
    /// When it cannot be executed.
    pub async fn start(&self, command: Command) -> io::Result<Process> {
        let (answer, started) = oneshot::channel();
        let gone = || io::Error::other("the thread that starts processes has ended");
        self.0.send(Order { command, answer }).map_err(|_| gone())?;
        started.await.map_err(|_| gone())?
    }
}

/// A running process; killed with its group when dropped.
#[derive(Debug)]
pub struct Process {
    child: process::Child,
    #[cfg(not(target_os = "linux"))]
    _lifeline: Lifeline,
}

impl Process {
    fn start(mut command: Command) -> io::Result<Self> {
        // Ctrl-C reaches the whole group of a terminal; ours are to stop one after the other, when we say so.
        command.process_group(0);
        end_with_us(&mut command);
        let child = command.spawn()?;
        Ok(Self {
            #[cfg(not(target_os = "linux"))]
            _lifeline: Lifeline::new(child.id())?,
            child,
        })
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its standard error, once, if that is a pipe.
    pub fn take_stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// When the system does not tell.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Asks it to end and kills it if it has not done so within `bound`.
    pub async fn stop(&mut self, bound: Duration) {
        drop(self.signal(Signal::SIGTERM));
        drop(tokio::time::timeout_at(Instant::now() + bound, self.wait()).await);
        self.kill();
    }

    /// Sends a signal, unless it has ended.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn signal(&mut self, signal: Signal) -> io::Result<()> {
        match self.ended()? {
            Some(_) => Ok(()),
            None => Ok(signal::kill(self.group()?, signal)?),
        }
    }

    /// Ends it and its group at once.
    pub fn kill(&mut self) {
        // While nobody has waited for it, its id is not given to another process. All fails only if it has ended already.
        if let (Ok(None), Ok(group)) = (self.ended(), self.group()) {
            let _ = signal::killpg(group, Signal::SIGKILL);
            drop(self.child.wait());
        }
    }

    fn group(&self) -> io::Result<Pid> {
        i32::try_from(self.child.id()).map(Pid::from_raw).map_err(io::Error::other)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Has the kernel kill the process when the thread that starts it ends, also when that is because we are killed.
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

/// Elsewhere its [`Lifeline`] does it.
#[cfg(not(target_os = "linux"))]
fn end_with_us(_: &mut Command) {}

#[cfg(test)]
mod tests;
