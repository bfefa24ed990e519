use std::sync::Arc;

use axum::{Router, extract::Path as Route, http::StatusCode as Answer, routing::get as on_get};
use tempfile::TempDir;

use super::*;

/// A mirror that serves these files, by path.
async fn mirror(files: Vec<(String, Vec<u8>)>) -> Url {
    let files = Arc::new(files);
    let serve = move |Route(path): Route<String>| async move {
        files.iter().find(|file| file.0 == path).map(|file| file.1.clone()).ok_or(Answer::NOT_FOUND)
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/base/", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/base/{*path}", on_get(serve))).await });
    url
}

fn sources(mirror: &Url, cache: &Path) -> Sources {
    Sources {
        assets: None,
        search: vec![],
        cache: cache.to_owned(),
        kubernetes_mirror: mirror.clone(),
        etcd_mirror: mirror.clone(),
    }
}

fn sum(content: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(content))
}

fn names(program: Program) -> (String, String) {
    let base = Url::parse("http://x/").unwrap();
    let release =
        release(program, &sources(&base, Path::new("")), std::env::consts::OS, std::env::consts::ARCH).unwrap();
    (release.file.path()[1..].to_owned(), release.checksums.path()[1..].to_owned())
}

async fn fetch_from(files: Vec<(String, Vec<u8>)>, program: Program, root: &Path) -> Result<PathBuf, DownloadProblem> {
    let sources = sources(&mirror(files).await, root);
    fetch(program, &sources, &Cache::new(root), &Progress::hidden()).await
}

fn is_empty(root: &Path) -> bool {
    std::fs::read_dir(root).unwrap().next().is_none()
}

#[tokio::test]
async fn a_good_file_is_kept_and_can_be_executed() {
    let root = TempDir::new().unwrap();
    let (file, checksum) = names(Program::ApiServer);
    let files = vec![(file, b"program".to_vec()), (checksum, sum(b"program").into_bytes())];
    let path = fetch_from(files, Program::ApiServer, root.path()).await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"program");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o755);
    assert_eq!(Cache::new(root.path()).program(Program::ApiServer), Some(path));
}

#[tokio::test]
async fn etcd_comes_out_of_its_archive() {
    let root = TempDir::new().unwrap();
    let (file, checksums) = names(Program::Etcd);
    let archive_name = file.rsplit('/').next().unwrap().to_owned();
    let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    for name in ["README.md", "etcd"] {
        let mut header = tar::Header::new_gnu();
        header.set_size(4);
        let path = format!("{}/{name}", archive_name.trim_end_matches(".tar.gz"));
        archive.append_data(&mut header, path, if name == "etcd" { &b"etcd"[..] } else { b"read" }).unwrap();
    }
    let archive = archive.into_inner().unwrap().finish().unwrap();
    let sums = format!("{}  other.tar.gz\n{}  {archive_name}\n", sum(b"other"), sum(&archive));
    let path = fetch_from(vec![(file, archive), (checksums, sums.into_bytes())], Program::Etcd, root.path()).await;
    assert_eq!(std::fs::read(path.unwrap()).unwrap(), b"etcd");
}

#[tokio::test]
async fn what_was_not_published_is_refused() {
    let root = TempDir::new().unwrap();
    let (file, checksum) = names(Program::ControllerManager);
    let files = vec![(file, b"evil".to_vec()), (checksum, sum(b"good").into_bytes())];
    let problem = fetch_from(files, Program::ControllerManager, root.path()).await.unwrap_err();
    assert!(matches!(&problem, DownloadProblem::Checksum { got, .. } if *got == sum(b"evil")), "{problem}");
    assert!(is_empty(root.path()));
}

#[tokio::test]
async fn a_missing_file_or_checksum_is_told() {
    let root = TempDir::new().unwrap();
    let (file, checksum) = names(Program::ApiServer);
    let problem = fetch_from(vec![(file, b"x".to_vec())], Program::ApiServer, root.path()).await.unwrap_err();
    assert!(problem.to_string().ends_with("kube-apiserver.sha256 answered 404 Not Found"), "{problem}");
    let sums = vec![(checksum.clone(), sum(b"x").into_bytes())];
    let problem = fetch_from(sums, Program::ApiServer, root.path()).await.unwrap_err();
    assert!(problem.to_string().ends_with("kube-apiserver answered 404 Not Found"), "{problem}");
    let empty = vec![(checksum, b"<html>".to_vec())];
    let problem = fetch_from(empty, Program::ApiServer, root.path()).await.unwrap_err();
    assert!(matches!(problem, DownloadProblem::NoChecksum { .. }), "{problem}");
    assert!(is_empty(root.path()));
}

#[tokio::test]
async fn nobody_there_fails_soon() {
    let root = TempDir::new().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let sources = sources(&Url::parse(&format!("http://127.0.0.1:{port}")).unwrap(), root.path());
    let problem = fetch(Program::Etcd, &sources, &Cache::new(root.path()), &Progress::hidden()).await.unwrap_err();
    assert!(matches!(problem, DownloadProblem::Connection { .. }), "{problem}");
}

#[test]
fn checksums_as_published() {
    let digest = "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855";
    let lower = Some(digest.to_lowercase());
    assert_eq!(parse_checksum(&format!("{digest}\n"), "kube-apiserver"), lower);
    assert_eq!(parse_checksum(&format!("00  b.tar.gz\n{digest} *a.tar.gz\n"), "a.tar.gz"), lower);
    assert_eq!(parse_checksum(&format!("{digest}  b.tar.gz\n"), "a.tar.gz"), None);
    assert_eq!(parse_checksum("", "a"), None);
    assert_eq!(parse_checksum("Not Found", "Found"), None);
}

#[test]
fn addresses_of_the_official_releases() {
    let base = |text| Url::parse(text).unwrap();
    let mut sources = sources(&base("https://dl.k8s.io/release"), Path::new(""));
    sources.etcd_mirror = base("https://github.com/etcd-io/etcd/releases/download/");
    let server = release(Program::ApiServer, &sources, "linux", "x86_64").unwrap();
    assert_eq!(server.file.as_str(), "https://dl.k8s.io/release/v1.37.2/bin/linux/amd64/kube-apiserver");
    assert_eq!(server.checksums.as_str(), "https://dl.k8s.io/release/v1.37.2/bin/linux/amd64/kube-apiserver.sha256");
    let etcd = release(Program::Etcd, &sources, "linux", "aarch64").unwrap();
    let folder = "https://github.com/etcd-io/etcd/releases/download/v3.7.3";
    assert_eq!(etcd.file.as_str(), format!("{folder}/etcd-v3.7.3-linux-arm64.tar.gz"));
    assert_eq!(etcd.checksums.as_str(), format!("{folder}/SHA256SUMS"));
    assert!(release(Program::Etcd, &sources, "macos", "aarch64").is_err());
}
