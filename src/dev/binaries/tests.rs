use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use tempfile::TempDir;

use super::*;

/// Writes an executable script. Another process does it: a file that we have open for writing when another thread forks
/// cannot be executed until that child is gone (ETXTBSY).
pub(super) fn write_script(path: &Path, script: &str) {
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"cat > "$1" && chmod +x "$1""#, "sh"]).arg(path).stdin(Stdio::piped());
    let mut child = shell.spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("#!/bin/sh\n{script}\n").as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

struct Machine {
    root: TempDir,
    sources: Sources,
}

/// A machine with nothing on it and mirrors that nobody answers at.
fn machine() -> Machine {
    let root = TempDir::new().unwrap();
    let nobody = Url::parse("http://127.0.0.1:1/").unwrap();
    let sources = Sources {
        assets: None,
        search: vec![root.path().join("bin")],
        cache: root.path().join("cache"),
        kubernetes_mirror: nobody.clone(),
        etcd_mirror: nobody,
    };
    Machine { root, sources }
}

impl Machine {
    fn install(&self, directory: &str, name: &str, says: &str) -> PathBuf {
        let directory = self.root.path().join(directory);
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join(name);
        write_script(&path, &format!("echo {says}"));
        path
    }

    async fn find(&self) -> Result<Binaries, BinariesProblem> {
        find(&self.sources, &Progress::hidden()).await
    }
}

fn found(path: &Path, source: Source) -> Found {
    Found { path: path.to_owned(), source }
}

#[tokio::test]
async fn each_program_comes_from_the_first_place_that_has_it() {
    let mut machine = machine();
    machine.sources.assets = Some(machine.root.path().join("assets"));
    let etcd = machine.install("assets", "etcd", "anything");
    machine.install("bin", "etcd", "etcd Version: 3.7.3");
    let server = machine.install("bin", "kube-apiserver", "Kubernetes v1.35.1");
    machine.install("bin", "kube-controller-manager", "Kubernetes v1.29.0");
    let manager = machine.install(
        &format!("cache/kube-controller-manager-{KUBERNETES_VERSION}-{}-00", std::env::consts::ARCH),
        "kube-controller-manager",
        "",
    );
    let binaries = machine.find().await.unwrap();
    assert_eq!(binaries.etcd, found(&etcd, Source::Assets));
    assert_eq!(binaries.api_server, found(&server, Source::Path));
    assert_eq!(binaries.controller_manager, found(&manager, Source::Cache));
}

#[tokio::test]
async fn our_build_fills_what_is_missing() {
    let machine = machine();
    machine.install("bin", "etcd", "etcd Version: 3.6.1");
    let server = machine.install(&format!("cache/built-{}", go::key()), "kube-apiserver", "");
    let binaries = machine.find().await.unwrap();
    assert_eq!(binaries.etcd.source, Source::Path);
    assert_eq!(binaries.api_server, found(&server, Source::Cache));
}

#[tokio::test]
async fn nothing_anywhere_says_what_was_tried() {
    let machine = machine();
    machine.install("bin", "kube-apiserver", "Kubernetes v1.28.3");
    let text = machine.find().await.unwrap_err().to_string();
    for part in [
        "no etcd, kube-apiserver, kube-controller-manager",
        "KUBEBUILDER_ASSETS: not set",
        "PATH (etcd, kube-controller-manager): not there",
        "bin/kube-apiserver is version 1.28, supported are 1.33 to 1.37",
        "cache: nothing in",
        "download (etcd): http://127.0.0.1:1/v3.7.3/SHA256SUMS:",
        "build with Go: Go is not installed",
        "--context NAME",
    ] {
        assert!(text.contains(part), "{part} not in:\n{text}");
    }
}
