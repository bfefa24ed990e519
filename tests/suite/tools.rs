//! The programs that people use: kubectl, and our own binary as a command.

use std::{path::Path, process::Stdio};

use tokio::process::{Child, Command};

use crate::rig::Rig;

/// The repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// How a command ended, and what it printed.
#[derive(Debug)]
pub struct Output {
    /// Whether it says that it succeeded.
    pub success: bool,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Output {
    /// What it printed, if it succeeded.
    pub fn good(self) -> String {
        assert!(self.success, "{self:?}");
        self.out
    }
}

/// kubectl as the cluster's admin, from the repository's root.
pub async fn kubectl(rig: &Rig, arguments: &[&str]) -> Output {
    run(kubectl_command(rig).args(arguments)).await
}

/// kubectl that goes on until it is dropped; what it prints grows in `to`.
pub fn kubectl_watch(rig: &Rig, arguments: &[&str], to: &Path) -> Child {
    let out = std::fs::File::create(to).expect("a file");
    let mut command = kubectl_command(rig);
    command.args(arguments).stdin(Stdio::null()).stdout(out);
    command.kill_on_drop(true).spawn().expect("the program is installed")
}

fn kubectl_command(rig: &Rig) -> Command {
    let installed = root().join(".tools/bin/kubectl");
    let mut command = Command::new(if installed.exists() { installed.as_path() } else { Path::new("kubectl") });
    // A cache of its own: another API server may have had this port, with other kinds.
    command.arg("--cache-dir").arg(rig.kubeconfig.with_file_name("kubectl-cache"));
    command.arg("--kubeconfig").arg(&rig.kubeconfig);
    command
}

/// A program that `tests/run` installs, ready to get arguments.
pub fn installed(program: &str) -> Command {
    let path = root().join(".tools/bin").join(program);
    assert!(path.exists(), "{program} is missing: run tests/run once, it installs what the tests need");
    Command::new(path)
}

/// Our own binary.
pub async fn own(arguments: &[&str]) -> Output {
    run(Command::new(env!("CARGO_BIN_EXE_loopback-operator")).args(arguments)).await
}

/// Runs a command to its end.
pub async fn run(command: &mut Command) -> Output {
    let output = command.current_dir(root()).stdin(Stdio::null()).output().await.expect("the program is installed");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Output { success: output.status.success(), out: text(output.stdout), err: text(output.stderr) }
}
