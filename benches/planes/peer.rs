//! Programs that ours is held against.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use loopback_operator::dev::controlplane::free_port;

use crate::{
    process::{Process, installed},
    rig::within,
};

/// How long a start may take.
const START: Duration = Duration::from_secs(10);

/// One that runs.
pub struct Peer {
    pub name: &'static str,
    /// Where it serves.
    pub at: SocketAddr,
    pub process: Process,
}

/// One that does not.
#[derive(Clone, Debug)]
pub struct Missing {
    pub name: &'static str,
    /// Why, and what to do.
    pub why: String,
}

/// How one is started.
pub struct Plan<'a> {
    pub name: &'static str,
    pub program: &'a str,
    /// What has it, in Debian.
    pub packages: &'a str,
    pub arguments: Vec<String>,
    pub at: SocketAddr,
    /// Its own.
    pub folder: PathBuf,
}

impl Plan<'_> {
    /// Starts it, and waits until it serves.
    pub async fn start(self, serves: impl AsyncFn(SocketAddr) -> bool) -> Result<Peer, Missing> {
        let Some(program) = installed(self.program) else { return Err(missing(self.name, self.packages)) };
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let mut process = Process::start(&program, &arguments, &self.folder.join("log"));
        let up = within(START, async || process.is_over() || serves(self.at).await).await;
        if !up || process.is_over() {
            return Err(Missing { name: self.name, why: format!("does not start: {}", process.last_words()) });
        }
        Ok(Peer { name: self.name, at: self.at, process })
    }
}

/// One that is not installed. To install it is for people to decide.
pub fn missing(name: &'static str, packages: &str) -> Missing {
    let how = if installed("apt-get").is_some() { format!(": apt-get install {packages}") } else { String::new() };
    Missing { name, why: format!("not installed{how}") }
}

/// An address that is free.
pub fn free() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()))
}

/// Writes a file, and says where it is.
pub fn file(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_string_lossy().into_owned()
}
