//! The real binary as a child process that ends with us.

use std::{
    fs::File,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex,
        mpsc::{Receiver, Sender, channel},
    },
};

use nix::{sys::signal::Signal, unistd::Pid};

/// A child process, restartable with the same arguments.
pub struct Program {
    log: PathBuf,
    child: Mutex<Child>,
    /// To the thread that starts it: children die with the thread that started them.
    again: Mutex<(Sender<()>, Receiver<Child>)>,
}

impl Program {
    /// Starts the binary with these arguments and variables; what it prints goes to `log`.
    pub fn start<'a>(
        log: &Path,
        arguments: impl IntoIterator<Item = &'a str>,
        variables: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
        let variables: Vec<(String, String)> =
            variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let (ask, asked) = channel::<()>();
        let (give, given) = channel();
        let file = log.to_owned();
        std::thread::spawn(move || {
            for () in asked {
                give.send(spawn(&file, &arguments, &variables)).expect("the test waits");
            }
        });
        ask.send(()).expect("the thread lives");
        let child = given.recv().expect("the thread lives");
        Self { log: log.to_owned(), child: Mutex::new(child), again: Mutex::new((ask, given)) }
    }

    /// Kills it, at once and with no warning.
    pub fn kill(&self) {
        let mut child = self.child.lock().unwrap();
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let id = self.child.lock().unwrap().id();
        let id = Pid::from_raw(i32::try_from(id).expect("a process id"));
        nix::sys::signal::kill(id, signal).expect("it takes signals");
    }

    /// Memory that it takes, in bytes; 0 where nobody can say.
    pub fn resident(&self) -> u64 {
        let id = self.child.lock().unwrap().id();
        let pages = std::fs::read_to_string(format!("/proc/{id}/statm")).unwrap_or_default();
        pages.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
    }

    /// Whether it has ended well, after a signal for instance.
    pub fn ended(&self) -> bool {
        self.child.lock().unwrap().try_wait().expect("its state").is_some_and(|status| status.success())
    }

    /// Whether it has ended, well or not.
    pub fn is_over(&self) -> bool {
        self.child.lock().unwrap().try_wait().expect("its state").is_some()
    }

    /// Starts it again.
    pub fn again(&self) {
        let again = self.again.lock().unwrap();
        again.0.send(()).expect("the thread lives");
        *self.child.lock().unwrap() = again.1.recv().expect("the thread lives");
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.child.lock().unwrap().id()
    }

    /// All that it has printed.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

#[allow(unsafe_code, reason = "runs between fork and exec, where prctl is allowed")]
fn spawn(log: &Path, arguments: &[String], variables: &[(String, String)]) -> Child {
    let log = File::options().create(true).append(true).open(log).expect("a log");
    let mut command = Command::new(env!("CARGO_BIN_EXE_loopback-operator"));
    command.args(arguments).envs(variables.iter().cloned()).stdin(Stdio::null());
    command.stdout(log.try_clone().expect("a log")).stderr(log);
    #[cfg(target_os = "linux")]
    // SAFETY: prctl is async-signal-safe and touches no memory of ours.
    unsafe {
        command.pre_exec(|| Ok(nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?));
    }
    command.spawn().expect("the binary starts")
}
