//! A build of the control plane from `tests/controlplane`, whose few files are in this program: the way out where the
//! official releases cannot be had but Go modules can.

use std::{
    collections::VecDeque,
    io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{ChildStderr, Command},
};

use super::{KUBERNETES_VERSION, Program, Version, cache::Cache, local, version};
use crate::dev::{
    process::Spawner,
    progress::{Progress, Task, Unit},
};

/// Everything that is compiled that is not in a module.
const FILES: [(&str, &str); 4] = [
    ("go.mod", include_str!("../../../tests/controlplane/go.mod")),
    ("go.sum", include_str!("../../../tests/controlplane/go.sum")),
    ("main.go", include_str!("../../../tests/controlplane/main.go")),
    ("controllers.go", include_str!("../../../tests/controlplane/controllers.go")),
];
/// The oldest Go that fetches by itself the version that go.mod asks for.
const OLDEST_GO: Version = Version(1, 21);
/// About how many packages a build compiles.
const PACKAGES: u64 = 2242;
/// How many of the last lines of Go's output an error shows.
const TAIL: usize = 12;
/// The program that plays every role; which one depends on the name it is called by.
const MULTI_CALL: &str = "controlplane";

/// Why there is no build.
#[derive(Debug, thiserror::Error)]
pub enum BuildProblem {
    /// Go is not installed.
    #[error("Go is not installed (no `go` in PATH)")]
    NoGo,
    /// Go is too old.
    #[error("{path} is Go {found}, at least {OLDEST_GO} is needed", path = path.display())]
    OldGo {
        /// The `go` command.
        path: PathBuf,
        /// Its version.
        found: Version,
    },
    /// `go` cannot be run.
    #[error("cannot run {path}: {source}", path = path.display())]
    Run {
        /// The `go` command.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// `go build` failed.
    #[error("`go build` ended with {status}:\n{output}")]
    Failed {
        /// How it ended.
        status: ExitStatus,
        /// The end of what it printed.
        output: String,
    },
    /// The cache cannot be written.
    #[error("cannot write the build to the cache: {0}")]
    Write(#[from] io::Error),
}

/// Names a build: the same key means the same program.
pub(super) fn key() -> String {
    let mut sum = Sha256::new();
    let arguments = arguments(Path::new(""));
    let texts = FILES.iter().flat_map(|(name, text)| [*name, *text]).chain(arguments.iter().map(String::as_str));
    for text in texts.chain([std::env::consts::OS, std::env::consts::ARCH]) {
        // With its length before it, no text can pass for the end of another.
        sum.update(text.len().to_le_bytes());
        sum.update(text);
    }
    data_encoding::HEXLOWER.encode(&sum.finalize())[..16].to_owned()
}

/// Builds the programs into the cache and returns their directory. The caller holds the cache's lock.
///
/// # Errors
/// When Go is missing, too old, or cannot build them.
pub(super) async fn build(search: &[PathBuf], cache: &Cache, progress: &Progress) -> Result<PathBuf, BuildProblem> {
    if let Some(directory) = cache.built() {
        return Ok(directory);
    }
    let go = local::executable(search, "go").ok_or(BuildProblem::NoGo)?;
    check_go(&go).await?;
    let source = cache.aside()?;
    for (name, text) in FILES {
        std::fs::write(source.path().join(name), text)?;
    }
    let target = cache.aside()?;
    progress.note("building the control plane with Go, once: about 8 minutes on two cores");
    compile(&go, source.path(), &target.path().join(MULTI_CALL), progress).await?;
    for program in Program::ALL {
        symlink(MULTI_CALL, target.path().join(program.to_string()))?;
    }
    let place = cache.place_of_build();
    Cache::publish(target, &place)?;
    Ok(place)
}

async fn check_go(go: &Path) -> Result<(), BuildProblem> {
    // In this directory and with this toolchain, `go version` fetches nothing.
    let mut command = Command::new(go);
    command.arg("version").env("GOTOOLCHAIN", "local").current_dir("/").stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.map_err(|source| BuildProblem::Run { path: go.to_owned(), source })?;
    match version::parse(&String::from_utf8_lossy(&output.stdout)) {
        Some(found) if found < OLDEST_GO => Err(BuildProblem::OldGo { path: go.to_owned(), found }),
        _ => Ok(()), // a version that we cannot read is a development one
    }
}

fn arguments(output: &Path) -> Vec<String> {
    let numbers: Vec<_> = KUBERNETES_VERSION.trim_start_matches('v').split('.').collect();
    let stamps = [
        ("gitVersion", KUBERNETES_VERSION),
        ("gitMajor", numbers.first().copied().unwrap_or_default()),
        ("gitMinor", numbers.get(1).copied().unwrap_or_default()),
        ("gitTreeState", "clean"),
    ];
    let mut flags = String::from("-s -w");
    for package in ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"] {
        for (name, value) in stamps {
            flags.push_str(&format!(" -X {package}.{name}={value}"));
        }
    }
    let output = output.to_string_lossy();
    ["build", "-v", "-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags", &flags, "-o", &output, "."]
        .map(str::to_owned)
        .to_vec()
}

async fn compile(go: &Path, source: &Path, output: &Path, progress: &Progress) -> Result<(), BuildProblem> {
    let run = |error| BuildProblem::Run { path: go.to_owned(), source: error };
    let mut command = std::process::Command::new(go);
    command.args(arguments(output)).current_dir(source).env("GOWORK", "off");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    if std::env::var_os("GOTOOLCHAIN").is_none() {
        // Some distributions turn off in their configuration what fetches a newer Go.
        command.env("GOTOOLCHAIN", "auto");
    }
    let spawner = Spawner::new().map_err(run)?;
    let mut process = spawner.start(command).await.map_err(run)?;
    let task = progress.task("building the control plane", Unit::Packages, PACKAGES);
    let stderr = process.take_stderr().map(ChildStderr::from_std).transpose().map_err(run)?;
    let tail = follow(stderr, &task).await.map_err(run)?;
    let status = process.wait().await.map_err(run)?;
    if status.success() {
        return Ok(());
    }
    Err(BuildProblem::Failed { status, output: Vec::from(tail).join("\n") })
}

/// Shows each package that is compiled; returns the last lines.
async fn follow(stderr: Option<ChildStderr>, task: &Task) -> io::Result<VecDeque<String>> {
    let mut tail = VecDeque::new();
    let Some(stderr) = stderr else { return Ok(tail) };
    let mut lines = BufReader::new(stderr).lines();
    loop {
        let Ok(line) = tokio::time::timeout(Duration::from_secs(1), lines.next_line()).await else {
            task.tick();
            continue;
        };
        let Some(line) = line? else { return Ok(tail) };
        if !line.contains(' ') {
            task.advance(1);
        }
        task.message(&line);
        tail.push_back(line);
        if tail.len() > TAIL {
            tail.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::dev::binaries::tests::write_script;

    async fn build_with(script: &str) -> (TempDir, Result<PathBuf, BuildProblem>) {
        let root = TempDir::new().unwrap();
        write_script(&root.path().join("go"), script);
        let cache = Cache::new(&root.path().join("cache"));
        let result = build(&[root.path().to_owned()], &cache, &Progress::hidden()).await;
        (root, result)
    }

    #[test]
    fn sources_are_of_the_versions_that_we_say() {
        let modules = FILES[0].1;
        assert!(modules.contains(&format!("k8s.io/kubernetes {KUBERNETES_VERSION}\n")));
        assert!(modules.contains(&format!("go.etcd.io/etcd/server/v3 {}\n", super::super::ETCD_VERSION)));
        assert_eq!(key().len(), 16);
    }

    #[tokio::test]
    async fn a_build_has_every_program() {
        let script = r#"case $1 in version) echo go version go1.26.8;; *) test -f go.mod && echo x > "$9";; esac"#;
        let (_root, built) = build_with(script).await;
        let built = built.unwrap();
        for program in Program::ALL {
            assert_eq!(std::fs::read_to_string(built.join(program.to_string())).unwrap(), "x\n");
        }
    }

    #[tokio::test]
    async fn a_failed_build_leaves_nothing_and_shows_why() {
        let script =
            r#"case $1 in version) echo go version go1.26.8;; *) echo half > "$9"; echo no module >&2; exit 1;; esac"#;
        let (root, built) = build_with(script).await;
        let problem = built.unwrap_err();
        assert!(problem.to_string().contains("exit status: 1:\nno module"), "{problem}");
        assert!(std::fs::read_dir(root.path().join("cache")).unwrap().next().is_none());
    }

    #[tokio::test]
    async fn old_and_missing_go_are_told() {
        let (_root, built) = build_with("echo go version go1.19.4 linux/amd64").await;
        assert!(built.unwrap_err().to_string().contains("is Go 1.19, at least 1.21 is needed"));
        let root = TempDir::new().unwrap();
        let problem = build(&[], &Cache::new(root.path()), &Progress::hidden()).await.unwrap_err();
        assert!(matches!(problem, BuildProblem::NoGo));
    }
}
