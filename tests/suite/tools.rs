//! The programs that people use: kubectl, and our own binary as a command.

use std::{path::Path, process::Stdio};

use tokio::process::Command;

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
    let installed = root().join(".tools/bin/kubectl");
    let program = if installed.exists() { installed.as_path() } else { Path::new("kubectl") };
    run(Command::new(program).arg("--kubeconfig").arg(&rig.kubeconfig).args(arguments)).await
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
