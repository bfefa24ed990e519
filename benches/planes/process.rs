//! Servers under test: child processes that have a processor for themselves.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// The servers' processor.
const SERVERS: &str = "0";
/// The processor of the clients and the targets.
const CLIENTS: &str = "1";

/// Puts this process, which has one thread yet, on the clients' processor.
pub fn take_client_processor() {
    let id = std::process::id().to_string();
    let set = Command::new("taskset").args(["--pid", "--cpu-list", CLIENTS, &id]).stdout(Stdio::null()).status();
    assert!(set.is_ok_and(|status| status.success()), "this needs taskset (util-linux) and two processors");
}

/// A child process. It is killed when it is dropped, and when we end in any way.
pub struct Process {
    program: PathBuf,
    arguments: Vec<String>,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts a program on the servers' processor; what it prints goes to `log`.
    pub fn start(program: &Path, arguments: &[&str], log: &Path) -> Self {
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let child = spawn(program, &arguments, log);
        Self { program: program.to_owned(), arguments, log: log.to_owned(), child }
    }

    /// Kills it.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }

    /// Starts it again.
    pub fn again(&mut self) {
        self.child = spawn(&self.program, &self.arguments, &self.log);
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended.
    pub fn is_over(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// The last line that it has printed.
    pub fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        log.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// `setpriv` and `taskset` become the program: it has the number of the child. That it starts on its processor, and is not
/// put there later, matters: it takes as many threads as it sees processors.
fn spawn(program: &Path, arguments: &[String], log: &Path) -> Child {
    let log = File::options().create(true).append(true).open(log).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "taskset", "--cpu-list", SERVERS]).arg(program).args(arguments);
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    command.spawn().expect("setpriv (util-linux)")
}

/// Where a program is installed; servers are often not on the path of users.
pub fn installed(program: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(["/usr/sbin", "/usr/local/sbin", "/sbin"]);
    folders.map(|folder| Path::new(folder).join(program)).find(|file| file.is_file())
}

/// Processor time that a process and its children have used, all threads together.
pub fn processor(id: u32) -> Duration {
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|child| child.parse().ok());
    own(id) + children.map(processor).sum::<Duration>()
}

fn own(id: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(") ").map(|(_, rest)| rest.split(' ').collect::<Vec<_>>()).unwrap_or_default();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    // user and system time; a tick is 10 ms
    Duration::from_millis(10 * (ticks(11) + ticks(12)))
}

/// Processor time of this process alone: clients and targets.
pub fn client_processor() -> Duration {
    own(std::process::id())
}
