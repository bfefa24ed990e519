//! Why there is no control plane to start, in one message.

use std::{fmt, io, path::PathBuf};

use super::{Program, Source, version};

/// Why the programs of a control plane could not be had.
#[derive(Debug, thiserror::Error)]
pub enum BinariesProblem {
    /// The user has no cache directory.
    #[error("no cache directory for this user: set HOME (or XDG_CACHE_HOME)")]
    NoCacheDirectory,
    /// A mirror's address cannot be read.
    #[error("{variable}={text:?} is not a URL ({source}): set it to one like https://mirror.example.com/release")]
    Mirror {
        /// The environment variable.
        variable: &'static str,
        /// What it says.
        text: String,
        /// Why that is no URL.
        source: url::ParseError,
    },
    /// The cache cannot be used.
    #[error("cannot use the cache {path}: {source}: make it writable, or set XDG_CACHE_HOME to another place", path = path.display())]
    Cache {
        /// The file or directory.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// A program is nowhere to be had.
    #[error("{attempts}")]
    Nowhere {
        /// What was tried for it.
        attempts: Attempts,
    },
}

/// One place that was looked at in vain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The place.
    pub source: Source,
    /// The program that was looked for.
    pub program: Program,
    /// Why it was not found there.
    pub reason: String,
}

/// All that was tried for the programs that are missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempts {
    missing: Vec<Program>,
    attempts: Vec<Attempt>,
}

impl Attempts {
    /// Keeps the attempts for what is missing.
    pub(super) fn of(missing: &[Program], mut attempts: Vec<Attempt>) -> Self {
        attempts.retain(|attempt| missing.contains(&attempt.program));
        attempts.sort_by_key(|attempt| attempt.source);
        Self { missing: missing.to_vec(), attempts }
    }

    /// The same reason for several programs becomes one line.
    fn lines(&self) -> Vec<(Source, &str, Vec<Program>)> {
        let mut lines: Vec<(Source, &str, Vec<Program>)> = Vec::new();
        for Attempt { source, program, reason } in &self.attempts {
            match lines.iter_mut().find(|line| line.0 == *source && line.1 == reason) {
                Some(line) => line.2.push(*program),
                None => lines.push((*source, reason, vec![*program])),
            }
        }
        lines
    }
}

impl fmt::Display for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "no {} to start a control plane with. Tried, in this order:", names(&self.missing))?;
        for (source, reason, programs) in self.lines() {
            match programs == self.missing {
                true => writeln!(f, "  - {source}: {reason}")?,
                false => writeln!(f, "  - {source} ({}): {reason}", names(&programs))?,
            }
        }
        let ((first, last), (etcd_first, etcd_last)) =
            (version::supported(Program::ApiServer), version::supported(Program::Etcd));
        writeln!(f, "Do one of these:")?;
        writeln!(f, "  - pass --context NAME, a cluster of your kubeconfig that you may install into")?;
        writeln!(
            f,
            "  - install Go 1.26 or newer (https://go.dev/dl) with access to a Go module proxy, and run this again"
        )?;
        writeln!(
            f,
            "  - give access to dl.k8s.io and github.com, or set LOOPBACK_KUBERNETES_MIRROR and LOOPBACK_ETCD_MIRROR"
        )?;
        write!(
            f,
            "  - put kube-apiserver and kube-controller-manager {first} to {last}, and etcd {etcd_first} to {etcd_last}, into PATH"
        )
    }
}

fn names(programs: &[Program]) -> String {
    programs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(source: Source, program: Program, reason: &str) -> Attempt {
        Attempt { source, program, reason: reason.to_owned() }
    }

    #[test]
    fn one_message_with_every_source_and_what_to_install() {
        let tried = vec![
            attempt(Source::Assets, Program::Etcd, "found elsewhere"),
            attempt(Source::Download, Program::ApiServer, "no route"),
            attempt(Source::Path, Program::ApiServer, "1.28 is too old"),
            attempt(Source::Download, Program::ControllerManager, "no route"),
            attempt(Source::Path, Program::ControllerManager, "not there"),
        ];
        let text = Attempts::of(&[Program::ApiServer, Program::ControllerManager], tried).to_string();
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].starts_with("no kube-apiserver, kube-controller-manager to start"));
        assert_eq!(lines[1], "  - PATH (kube-apiserver): 1.28 is too old");
        assert_eq!(lines[2], "  - PATH (kube-controller-manager): not there");
        assert_eq!(lines[3], "  - download: no route");
        assert!(text.contains("--context NAME") && text.contains("Go 1.26") && text.contains("1.33 to 1.37"));
        assert!(!text.contains("found elsewhere"));
    }
}
