//! The official releases, each checked against the SHA-256 that is published beside it.

use std::{
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use futures::TryStreamExt;
use reqwest::{Client, Response, StatusCode};
use sha2::{Digest, Sha256};
use url::Url;

use super::{ETCD_VERSION, KUBERNETES_VERSION, Program, Sources, cache::Cache};
use crate::dev::{
    progress::{Progress, Unit},
    tls,
};

/// How long a connection may take, name lookup included: a closed network shows itself soon.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// How long a download may stand still.
const STALL_LIMIT: Duration = Duration::from_secs(20);
/// The longest list of checksums that is read, in bytes.
const CHECKSUMS_LIMIT: usize = 64 * 1024;

/// Why a release was not downloaded.
#[derive(Debug, thiserror::Error)]
pub enum DownloadProblem {
    /// There are no official programs for this machine.
    #[error("no official {program} for {system}")]
    NoRelease {
        /// The program.
        program: Program,
        /// Operating system and processor.
        system: String,
    },
    /// The server cannot be reached or broke off.
    #[error("{url}: {reason}")]
    Connection {
        /// What was asked for.
        url: String,
        /// The innermost cause.
        reason: String,
    },
    /// The server does not have it.
    #[error("{url} answered {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// What came back.
        status: StatusCode,
    },
    /// The list of checksums does not name the file.
    #[error("{url} has no SHA-256 for {file}")]
    NoChecksum {
        /// The list.
        url: String,
        /// The file.
        file: String,
    },
    /// The file is not what was published.
    #[error("{url} has SHA-256 {got}, published beside it is {expected}: not used")]
    Checksum {
        /// The file.
        url: String,
        /// Hexadecimal.
        expected: String,
        /// Hexadecimal.
        got: String,
    },
    /// It could not be written or unpacked.
    #[error("cannot write {program} to the cache: {source}")]
    Write {
        /// The program.
        program: Program,
        /// What went wrong.
        source: io::Error,
    },
}

/// One published file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Release {
    program: Program,
    file: Url,
    checksums: Url,
    /// Path of the program inside the archive; absent: the file is the program.
    member: Option<String>,
}

/// Downloads the program into the cache. The caller holds the cache's lock.
///
/// # Errors
/// When it cannot be had, or is not what was published.
pub(super) async fn fetch(
    program: Program,
    sources: &Sources,
    cache: &Cache,
    progress: &Progress,
) -> Result<PathBuf, DownloadProblem> {
    let release = release(program, sources, std::env::consts::OS, std::env::consts::ARCH)?;
    let client = client().map_err(|error| connection(&release.file, &error))?;
    let expected = published_checksum(&client, &release).await?;
    let write = |source| DownloadProblem::Write { program, source };
    let aside = cache.aside().map_err(write)?;
    let file = aside.path().join("download");
    let got = save(&client, &release, &file, progress).await?;
    if got != expected {
        return Err(DownloadProblem::Checksum { url: release.file.to_string(), expected, got });
    }
    let place = cache.place_of_download(program, &expected);
    let unpacking = tokio::task::spawn_blocking({
        let place = place.clone();
        move || {
            unpack(&release, &file, &aside.path().join(program.to_string()))?;
            Cache::publish(aside, &place)
        }
    });
    unpacking.await.map_err(io::Error::other).flatten().map_err(write)?;
    Ok(place.join(program.to_string()))
}

fn release(program: Program, sources: &Sources, os: &str, arch: &str) -> Result<Release, DownloadProblem> {
    let arch = match (os, arch) {
        ("linux", "x86_64") => "amd64",
        ("linux", "aarch64") => "arm64",
        _ => return Err(DownloadProblem::NoRelease { program, system: format!("{os} {arch}") }),
    };
    Ok(if program == Program::Etcd {
        let folder = format!("etcd-{ETCD_VERSION}-linux-{arch}");
        let file = below(&sources.etcd_mirror, &[ETCD_VERSION, &format!("{folder}.tar.gz")]);
        let checksums = below(&sources.etcd_mirror, &[ETCD_VERSION, "SHA256SUMS"]);
        Release { program, file, checksums, member: Some(format!("{folder}/etcd")) }
    } else {
        let folder = [KUBERNETES_VERSION, "bin", "linux", arch];
        let at = |file: String| below(&sources.kubernetes_mirror, &[&folder[..], &[file.as_str()]].concat());
        Release { program, file: at(program.to_string()), checksums: at(format!("{program}.sha256")), member: None }
    })
}

fn below(base: &Url, path: &[&str]) -> Url {
    let mut url = base.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    url
}

fn client() -> reqwest::Result<Client> {
    tls::ensure_provider();
    Client::builder().connect_timeout(CONNECT_LIMIT).read_timeout(STALL_LIMIT).build()
}

async fn get(client: &Client, url: &Url) -> Result<Response, DownloadProblem> {
    let response = client.get(url.clone()).send().await.map_err(|error| connection(url, &error))?;
    if response.status() == StatusCode::OK {
        return Ok(response);
    }
    Err(DownloadProblem::Status { url: url.to_string(), status: response.status() })
}

async fn published_checksum(client: &Client, release: &Release) -> Result<String, DownloadProblem> {
    let url = &release.checksums;
    let mut text = Vec::new();
    let mut chunks = get(client, url).await?.bytes_stream();
    while let Some(chunk) = chunks.try_next().await.map_err(|error| connection(url, &error))? {
        text.extend_from_slice(&chunk);
        if text.len() > CHECKSUMS_LIMIT {
            break;
        }
    }
    let file = release.file.path_segments().and_then(Iterator::last).unwrap_or_default();
    parse_checksum(&String::from_utf8_lossy(&text), file)
        .ok_or_else(|| DownloadProblem::NoChecksum { url: url.to_string(), file: file.to_owned() })
}

/// The SHA-256 of `file`, hexadecimal in lower case, from what `sha256sum` prints or from a text that is the sum alone.
fn parse_checksum(text: &str, file: &str) -> Option<String> {
    let sum = text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let sum = words.next()?;
        words.next().is_none_or(|name| name.trim_start_matches('*') == file).then(|| sum.to_ascii_lowercase())
    })?;
    (sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(sum)
}

/// Writes the file and returns its SHA-256 in hexadecimal.
async fn save(client: &Client, release: &Release, to: &Path, progress: &Progress) -> Result<String, DownloadProblem> {
    let url = &release.file;
    let response = get(client, url).await?;
    let task = progress.task(
        &format!("downloading {}", release.program),
        Unit::Bytes,
        response.content_length().unwrap_or_default(),
    );
    let write = |source| DownloadProblem::Write { program: release.program, source };
    let mut file = std::fs::File::create(to).map_err(write)?;
    let mut sum = Sha256::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.try_next().await.map_err(|error| connection(url, &error))? {
        sum.update(&chunk);
        file.write_all(&chunk).map_err(write)?;
        task.advance(u64::try_from(chunk.len()).unwrap_or_default());
    }
    Ok(data_encoding::HEXLOWER.encode(&sum.finalize()))
}

/// Leaves the program alone where the download was.
fn unpack(release: &Release, download: &Path, program: &Path) -> io::Result<()> {
    match &release.member {
        None => std::fs::rename(download, program)?,
        Some(member) => {
            extract(download, member, program)?;
            std::fs::remove_file(download)?;
        }
    }
    std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755))
}

fn extract(archive: &Path, member: &str, to: &Path) -> io::Result<()> {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(std::fs::File::open(archive)?));
    for entry in archive.entries()? {
        let mut entry = entry?;
        if entry.path()? == Path::new(member) {
            io::copy(&mut entry, &mut std::fs::File::create(to)?)?;
            return Ok(());
        }
    }
    Err(io::Error::new(io::ErrorKind::NotFound, format!("no {member} in the archive")))
}

/// The innermost cause says what happened; what is around it only repeats the address.
fn connection(url: &Url, error: &reqwest::Error) -> DownloadProblem {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    DownloadProblem::Connection { url: url.to_string(), reason: cause.to_string() }
}

#[cfg(test)]
#[path = "download_tests.rs"]
mod tests;
