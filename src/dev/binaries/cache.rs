//! Programs that we downloaded or built before. Everything is written aside and renamed when whole, under a lock, so what
//! stands here under its final name can be used.

use std::{
    fs::{File, TryLockError},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use tempfile::TempDir;

use super::{BinariesProblem, ETCD_VERSION, KUBERNETES_VERSION, Program, go};
use crate::dev::progress::Progress;

/// Begins the names of what is not whole.
const ASIDE: &str = "aside-";

/// The cache directory.
#[derive(Clone, Debug)]
pub(super) struct Cache(PathBuf);

/// While it lives, no other process downloads or builds.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Cache {
    pub(super) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The program, when it is here: of the official release if that was downloaded, else our build of these very sources.
    pub(super) fn program(&self, program: Program) -> Option<PathBuf> {
        self.downloaded(program).or_else(|| self.built().map(|directory| directory.join(program.to_string())))
    }

    fn downloaded(&self, program: Program) -> Option<PathBuf> {
        let prefix = download_prefix(program);
        let entries = std::fs::read_dir(&self.0).ok()?.flatten();
        let mut names: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names.iter().find(|name| name.starts_with(&prefix)).map(|name| self.0.join(name).join(program.to_string()))
    }

    /// The directory of our build of these very sources, when it is here.
    pub(super) fn built(&self) -> Option<PathBuf> {
        Some(self.place_of_build()).filter(|directory| directory.is_dir())
    }

    /// Where a download goes that has this checksum (hexadecimal).
    pub(super) fn place_of_download(&self, program: Program, checksum: &str) -> PathBuf {
        self.0.join(format!("{}{}", download_prefix(program), checksum.get(..16).unwrap_or(checksum)))
    }

    /// Where a build of the sources goes.
    pub(super) fn place_of_build(&self) -> PathBuf {
        self.0.join(format!("built-{}", go::key()))
    }

    /// A directory to write into; it goes away unless it is [published](Self::publish).
    pub(super) fn aside(&self) -> io::Result<TempDir> {
        std::fs::create_dir_all(&self.0)?;
        tempfile::Builder::new().prefix(ASIDE).tempdir_in(&self.0)
    }

    /// Gives a directory that is whole its final name.
    pub(super) fn publish(aside: TempDir, place: &Path) -> io::Result<()> {
        if place.exists() {
            return Ok(());
        }
        // On the disk before it has its name: a machine that loses power must not keep half a program.
        for entry in std::fs::read_dir(aside.path())? {
            File::open(entry?.path())?.sync_all()?;
        }
        std::fs::rename(aside.path(), place)?;
        drop(aside.keep());
        Ok(())
    }

    /// Waits until no other process downloads or builds, then removes what an earlier one left unfinished.
    pub(super) async fn lock(&self, progress: &Progress) -> Result<Lock, BinariesProblem> {
        let path = self.0.join("lock");
        let problem = |source| BinariesProblem::Cache { path: path.clone(), source };
        std::fs::create_dir_all(&self.0).map_err(problem)?;
        let file = File::create(&path).map_err(problem)?;
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(source)) => return Err(problem(source)),
            }
            if !told {
                progress.note("waiting for another process that gets the control plane's programs");
                told = true;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        self.remove_unfinished().map_err(problem)?;
        Ok(Lock { _file: file })
    }

    fn remove_unfinished(&self) -> io::Result<()> {
        for entry in std::fs::read_dir(&self.0)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(ASIDE) {
                std::fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }
}

fn download_prefix(program: Program) -> String {
    let version = match program {
        Program::Etcd => ETCD_VERSION,
        Program::ApiServer | Program::ControllerManager => KUBERNETES_VERSION,
    };
    format!("{program}-{version}-{}-", std::env::consts::ARCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_what_is_published_is_found_and_the_unfinished_goes() {
        let root = TempDir::new().unwrap();
        let cache = Cache::new(&root.path().join("new"));
        let lock = cache.lock(&Progress::hidden()).await.unwrap();
        let aside = cache.aside().unwrap();
        std::fs::write(aside.path().join("etcd"), "x").unwrap();
        assert_eq!(cache.program(Program::Etcd), None);
        let crashed = cache.aside().unwrap().keep();

        let place = cache.place_of_download(Program::Etcd, "0123456789abcdef0123");
        Cache::publish(aside, &place).unwrap();
        assert_eq!(cache.program(Program::Etcd), Some(place.join("etcd")));
        assert_eq!(cache.program(Program::ApiServer), None);
        Cache::publish(cache.aside().unwrap(), &place).unwrap();

        drop(lock);
        drop(cache.lock(&Progress::hidden()).await.unwrap());
        assert!(!crashed.exists() && place.exists());
    }

    #[tokio::test]
    async fn one_at_a_time() {
        let root = TempDir::new().unwrap();
        let cache = Cache::new(root.path());
        let first = cache.lock(&Progress::hidden()).await.unwrap();
        let progress = Progress::hidden();
        let waiting = cache.lock(&progress);
        let mut waiting = std::pin::pin!(waiting);
        assert!(tokio::time::timeout(Duration::from_millis(50), &mut waiting).await.is_err());
        drop(first);
        waiting.await.unwrap();
    }
}
