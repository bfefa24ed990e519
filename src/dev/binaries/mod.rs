//! The programs of a control plane, from wherever they can be had, program by program: `KUBEBUILDER_ASSETS`, `PATH`, our
//! cache, the official releases, and last a build with Go.

mod cache;
mod download;
mod go;
mod local;
mod problem;
mod version;

use std::{collections::BTreeMap, path::PathBuf};

use url::Url;

pub use download::DownloadProblem;
pub use go::BuildProblem;
pub use problem::{Attempt, BinariesProblem};
pub use version::Version;

use super::progress::Progress;
use cache::Cache;

/// Kubernetes as we download and build it.
pub const KUBERNETES_VERSION: &str = "v1.37.2";
/// etcd as we download and build it.
pub const ETCD_VERSION: &str = "v3.7.3";

/// One program of the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, strum::Display, strum::EnumIter)]
pub enum Program {
    /// The store of the API server.
    #[strum(to_string = "etcd")]
    Etcd,
    /// The Kubernetes API.
    #[strum(to_string = "kube-apiserver")]
    ApiServer,
    /// Garbage collector and namespace controller.
    #[strum(to_string = "kube-controller-manager")]
    ControllerManager,
}

impl Program {
    /// All of them, in the order in which they start.
    pub const ALL: [Self; 3] = [Self::Etcd, Self::ApiServer, Self::ControllerManager];
}

/// Where a program can come from, in the order in which we look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, strum::Display)]
pub enum Source {
    /// The directory that `KUBEBUILDER_ASSETS` names.
    #[strum(to_string = "KUBEBUILDER_ASSETS")]
    Assets,
    /// The directories of `PATH`; only supported versions.
    #[strum(to_string = "PATH")]
    Path,
    /// What we downloaded or built before.
    #[strum(to_string = "cache")]
    Cache,
    /// The official release, checked against the SHA-256 published beside it.
    #[strum(to_string = "download")]
    Download,
    /// A build with Go of the sources that are in this program.
    #[strum(to_string = "build with Go")]
    Build,
}

/// A program that can be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The executable file.
    pub path: PathBuf,
    /// Where it came from.
    pub source: Source,
}

/// Every program of a control plane.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// etcd.
    pub etcd: Found,
    /// kube-apiserver.
    pub api_server: Found,
    /// kube-controller-manager.
    pub controller_manager: Found,
}

/// Where to look.
#[derive(Clone, Debug)]
pub struct Sources {
    /// A directory with the programs that is taken as it is.
    pub assets: Option<PathBuf>,
    /// Directories to look through for supported versions and for Go.
    pub search: Vec<PathBuf>,
    /// What we download and build is kept here.
    pub cache: PathBuf,
    /// Base of the Kubernetes releases; below it stand `v1.37.2/bin/linux/amd64/kube-apiserver` and its `.sha256`.
    pub kubernetes_mirror: Url,
    /// Base of the etcd releases; below it stand `v3.7.3/etcd-v3.7.3-linux-amd64.tar.gz` and `v3.7.3/SHA256SUMS`.
    pub etcd_mirror: Url,
}

impl Sources {
    /// What the environment says: `KUBEBUILDER_ASSETS`, `PATH`, `LOOPBACK_KUBERNETES_MIRROR`, `LOOPBACK_ETCD_MIRROR`, and
    /// the user's cache directory.
    ///
    /// # Errors
    /// When a mirror is no URL or the user has no cache directory.
    pub fn from_env() -> Result<Self, BinariesProblem> {
        let cache = dirs::cache_dir().ok_or(BinariesProblem::NoCacheDirectory)?;
        Ok(Self {
            assets: std::env::var_os("KUBEBUILDER_ASSETS").filter(|value| !value.is_empty()).map(PathBuf::from),
            search: std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default(),
            cache: cache.join("loopback-operator").join("controlplane"),
            kubernetes_mirror: mirror("LOOPBACK_KUBERNETES_MIRROR", "https://dl.k8s.io/release")?,
            etcd_mirror: mirror("LOOPBACK_ETCD_MIRROR", "https://github.com/etcd-io/etcd/releases/download")?,
        })
    }
}

fn mirror(variable: &'static str, official: &str) -> Result<Url, BinariesProblem> {
    let text = std::env::var(variable).unwrap_or_else(|_| official.to_owned());
    Url::parse(&text).map_err(|source| BinariesProblem::Mirror { variable, text, source })
}

/// Finds every program, downloads or builds what is not there. The first run may take minutes; `progress` shows it.
///
/// # Errors
/// When a program cannot be had from anywhere; the message lists what was tried and what to install.
pub async fn find(sources: &Sources, progress: &Progress) -> Result<Binaries, BinariesProblem> {
    let mut search =
        Search { sources, cache: Cache::new(&sources.cache), found: BTreeMap::new(), attempts: Vec::new() };
    search.locally().await;
    if !search.missing().is_empty() {
        let _lock = search.cache.lock(progress).await?;
        search.in_cache(); // another process may have been faster
        search.download(progress).await;
        search.build(progress).await;
    }
    search.finish()
}

struct Search<'a> {
    sources: &'a Sources,
    cache: Cache,
    found: BTreeMap<Program, Found>,
    attempts: Vec<Attempt>,
}

impl Search<'_> {
    fn missing(&self) -> Vec<Program> {
        Program::ALL.into_iter().filter(|program| !self.found.contains_key(program)).collect()
    }

    fn note(&mut self, program: Program, source: Source, answer: Result<PathBuf, String>) {
        match answer {
            Ok(path) => drop(self.found.insert(program, Found { path, source })),
            Err(reason) => self.attempts.push(Attempt { source, program, reason }),
        }
    }

    async fn locally(&mut self) {
        for program in Program::ALL {
            self.note(program, Source::Assets, local::in_assets(self.sources.assets.as_deref(), program));
        }
        for program in self.missing() {
            let answer = local::in_search_path(&self.sources.search, program).await;
            self.note(program, Source::Path, answer);
        }
        self.in_cache();
    }

    fn in_cache(&mut self) {
        self.attempts.retain(|attempt| attempt.source != Source::Cache);
        for program in self.missing() {
            let answer =
                self.cache.program(program).ok_or_else(|| format!("nothing in {}", self.sources.cache.display()));
            self.note(program, Source::Cache, answer);
        }
    }

    async fn download(&mut self, progress: &Progress) {
        let missing = self.missing();
        let fetches = missing.iter().map(|program| download::fetch(*program, self.sources, &self.cache, progress));
        for (program, answer) in missing.iter().zip(futures::future::join_all(fetches).await) {
            self.note(*program, Source::Download, answer.map_err(|problem| problem.to_string()));
        }
    }

    async fn build(&mut self, progress: &Progress) {
        let missing = self.missing();
        if missing.is_empty() {
            return;
        }
        let built = go::build(&self.sources.search, &self.cache, progress).await.map_err(|problem| problem.to_string());
        for program in missing {
            self.note(program, Source::Build, built.clone().map(|directory| directory.join(program.to_string())));
        }
    }

    fn finish(mut self) -> Result<Binaries, BinariesProblem> {
        let missing = self.missing();
        let mut take = |program| self.found.remove(&program);
        match (take(Program::Etcd), take(Program::ApiServer), take(Program::ControllerManager)) {
            (Some(etcd), Some(api_server), Some(controller_manager)) => {
                Ok(Binaries { etcd, api_server, controller_manager })
            }
            _ => Err(BinariesProblem::Nowhere { attempts: problem::Attempts::of(&missing, self.attempts) }),
        }
    }
}

#[cfg(test)]
mod tests;
