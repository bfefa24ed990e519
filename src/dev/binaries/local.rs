//! Programs that are on this machine already.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::process::Command;

use super::{Program, version};

/// How long a program may take to say its version.
const VERSION_LIMIT: Duration = Duration::from_secs(10);

/// The program in the directory that the user named; taken as it is.
pub(super) fn in_assets(directory: Option<&Path>, program: Program) -> Result<PathBuf, String> {
    let directory = directory.ok_or("not set")?;
    let path = directory.join(program.to_string());
    if is_executable(&path) { Ok(path) } else { Err(format!("no {program} in {}", directory.display())) }
}

/// The first program of that name in the search path whose version is supported.
pub(super) async fn in_search_path(search: &[PathBuf], program: Program) -> Result<PathBuf, String> {
    let candidates =
        search.iter().map(|directory| directory.join(program.to_string())).filter(|path| is_executable(path));
    let mut reasons = Vec::new();
    for path in candidates {
        match check_version(program, &path).await {
            Ok(()) => return Ok(path),
            Err(reason) => reasons.push(format!("{} {reason}", path.display())),
        }
    }
    Err(if reasons.is_empty() { "not there".to_owned() } else { reasons.join("; ") })
}

/// The file if a file of that name in the search path can be executed.
pub(super) fn executable(search: &[PathBuf], name: &str) -> Option<PathBuf> {
    search.iter().map(|directory| directory.join(name)).find(|path| is_executable(path))
}

async fn check_version(program: Program, path: &Path) -> Result<(), String> {
    let mut command = Command::new(path);
    command.arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(VERSION_LIMIT, command.output()).await;
    let output =
        output.map_err(|_| "does not say its version".to_owned())?.map_err(|e| format!("does not run: {e}"))?;
    let (first, last) = version::supported(program);
    match version::parse(&String::from_utf8_lossy(&output.stdout)) {
        Some(found) if version::is_supported(program, found) => Ok(()),
        Some(found) => Err(format!("is version {found}, supported are {first} to {last}")),
        None => Err("does not say its version".to_owned()),
    }
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
