//! What a control plane keeps on disk.

use std::{
    fs::{DirBuilder, File, TryLockError},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use super::StartProblem;

/// Paths below the state directory.
///
/// ```text
/// lock                          held while a control plane runs on this state
/// controlplane/certificates/    authorities, certificates, keys
/// controlplane/etcd/            all data
/// controlplane/logs/            one file a program, of its last start
/// controlplane/admin.kubeconfig what the controllers connect with
/// ```
#[derive(Debug)]
pub(super) struct State {
    root: PathBuf,
    _lock: File,
}

impl State {
    /// Takes the directory for this process; it is made when it is not there.
    pub(super) fn take(directory: &Path) -> Result<Self, StartProblem> {
        let root = std::path::absolute(directory).map_err(|source| problem(directory, source))?;
        for path in [root.clone(), root.join("controlplane"), root.join("controlplane/logs")] {
            DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(|source| problem(&path, source))?;
        }
        let path = root.join("lock");
        let lock = File::create(&path).map_err(|source| problem(&path, source))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { root, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(StartProblem::InUse { path: root }),
            Err(TryLockError::Error(source)) => Err(problem(&path, source)),
        }
    }

    pub(super) fn certificates(&self) -> PathBuf {
        self.root.join("controlplane/certificates")
    }

    pub(super) fn etcd(&self) -> PathBuf {
        self.root.join("controlplane/etcd")
    }

    pub(super) fn kubeconfig(&self) -> PathBuf {
        self.root.join("controlplane/admin.kubeconfig")
    }

    pub(super) fn audit_policy(&self) -> PathBuf {
        self.root.join("controlplane/audit-policy.yaml")
    }

    pub(super) fn log(&self, program: &str) -> PathBuf {
        self.root.join("controlplane/logs").join(format!("{program}.log"))
    }
}

pub(super) fn problem(path: &Path, source: io::Error) -> StartProblem {
    StartProblem::State { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn one_at_a_time() {
        let root = TempDir::new().unwrap();
        let first = State::take(&root.path().join("state")).unwrap();
        let problem = State::take(&root.path().join("state")).unwrap_err();
        assert!(matches!(problem, StartProblem::InUse { .. }), "{problem}");
        drop(first);
        State::take(&root.path().join("state")).unwrap();
    }
}
