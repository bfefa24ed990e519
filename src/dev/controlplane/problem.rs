//! Why a control plane did not start.

use std::{io, path::PathBuf, process::ExitStatus, time::Duration};

use super::CertificateProblem;
use crate::dev::{
    binaries::{BinariesProblem, Program},
    cluster::ClusterProblem,
};

/// Why a control plane did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartProblem {
    /// A program cannot be had.
    #[error(transparent)]
    Binaries(#[from] BinariesProblem),
    /// The state directory cannot be used.
    #[error("cannot use {path}: {source}: make it writable or pass another --state-dir", path = path.display())]
    State {
        /// The file or directory.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// Another process runs on this state.
    #[error("another process uses the state in {path}: stop it or pass another --state-dir", path = path.display())]
    InUse {
        /// The state directory.
        path: PathBuf,
    },
    /// A port cannot be listened on.
    #[error("cannot listen on 127.0.0.1:{port}: {source}: stop what uses it or pass {flag} with another port")]
    Port {
        /// The port.
        port: u16,
        /// The flag that sets it.
        flag: &'static str,
        /// What went wrong.
        source: io::Error,
    },
    /// No certificates.
    #[error(transparent)]
    Certificates(#[from] CertificateProblem),
    /// A program cannot be executed.
    #[error("cannot start {program}: {source}")]
    Spawn {
        /// The program.
        program: Program,
        /// What went wrong.
        source: io::Error,
    },
    /// A program ended while we waited for it.
    #[error("{program} ended with {status}; the end of {log}:\n{tail}", log = log.display())]
    Exited {
        /// The program.
        program: Program,
        /// How it ended.
        status: ExitStatus,
        /// Everything that it wrote.
        log: PathBuf,
        /// The end of that.
        tail: String,
    },
    /// A program did not become ready.
    #[error("{program} is not ready after {} s ({last}); the end of {log}:\n{tail}", within.as_secs(), log = log.display())]
    NotReady {
        /// The program.
        program: Program,
        /// How long we waited.
        within: Duration,
        /// What it answered last.
        last: String,
        /// Everything that it wrote.
        log: PathBuf,
        /// The end of that.
        tail: String,
    },
    /// The API server cannot be talked to.
    #[error(transparent)]
    Cluster(#[from] ClusterProblem),
}

impl StartProblem {
    /// Another program took a port between our look at it and its use.
    pub(super) fn is_lost_port(&self) -> bool {
        matches!(self, Self::Exited { tail, .. } if tail.contains("address already in use"))
    }
}
