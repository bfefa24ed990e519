//! The object store over its socket.

mod auth;
mod checksums;
mod client;
mod copies;
mod damage;
mod headers;
mod kill;
mod lists;
mod multipart;
mod objects;
mod plane;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::net::TcpListener;

use self::client::{Answer, Client};
use super::{
    access::{Directory, Grant, OpenBucket, Tables},
    server,
    vault::Vault,
};
use crate::{
    protocol::object_storage::Access,
    runtime::{Drain, World},
};

/// A store with the buckets `shop` and `other`; each has a key pair for each access, named by both.
struct Rig {
    folder: PathBuf,
    _temporary: Option<tempfile::TempDir>,
    vault: Vault,
    directory: Directory,
    endpoint: String,
    drain: Drain,
}

fn tables() -> Tables {
    let mut tables = Tables::default();
    for name in ["shop", "other"] {
        let bucket = OpenBucket { id: format!("os-{name}"), name: name.into(), region: "local-1".into(), made: 0 };
        for access in [Access::ReadOnly, Access::ReadWrite, Access::WriteOnly] {
            let grant = Grant { secret: "secret".into(), access, bucket: bucket.id.clone() };
            tables.grants.insert(format!("{name}-{access}"), grant);
        }
        tables.buckets.insert(bucket.id.clone(), bucket);
    }
    tables
}

async fn open(folder: &Path) -> Vault {
    let folder = folder.to_owned();
    tokio::task::spawn_blocking(move || Vault::open(&folder, &World::real())).await.unwrap().unwrap()
}

impl Rig {
    async fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let rig = Self::on(temporary.path()).await;
        Self::keeping(rig, temporary)
    }

    fn keeping(mut rig: Self, temporary: tempfile::TempDir) -> Self {
        rig._temporary = Some(temporary);
        rig
    }

    /// The store in a folder that outlives it.
    async fn on(folder: &Path) -> Self {
        let vault = open(folder).await;
        for bucket in ["os-shop", "os-other"] {
            vault.open_bucket(bucket).await.unwrap();
        }
        let (directory, drain) = (Directory::default(), Drain::new());
        directory.change(|all| *all = tables());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let service = server::service(vault.clone(), directory.clone());
        drop(drain.spawn(server::serve(listener, service, drain.clone())));
        Self { folder: folder.to_owned(), _temporary: None, vault, directory, endpoint, drain }
    }

    fn client_as(&self, key: &str) -> Client {
        let http = http();
        let endpoint = self.endpoint.clone();
        Client { http, endpoint, key: key.into(), secret: "secret".into(), region: "local-1", ahead: 0 }
    }

    fn client(&self) -> Client {
        self.client_as("shop-ReadWrite")
    }

    async fn usage(&self) -> (u64, u64) {
        let usage = self.vault.usage("os-shop").await.unwrap().unwrap();
        (usage.objects, usage.bytes)
    }

    fn blobs(&self) -> Vec<PathBuf> {
        blobs(&self.folder)
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.drain.start();
    }
}

/// All blob files of a store.
fn blobs(folder: &Path) -> Vec<PathBuf> {
    let shards = std::fs::read_dir(folder.join("blobs")).unwrap();
    let files = shards.flat_map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap());
    files.map(|file| file.unwrap().path()).collect()
}

fn ok(answer: &Answer) {
    assert!((200..300).contains(&answer.status), "{} {}", answer.status, answer.text());
}

/// Bytes that no other seed gives.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..length).map(|_| next()).collect()
}

/// Signs by itself and speaks plain HTTP; the library asks for a TLS provider all the same.
fn http() -> reqwest::Client {
    drop(rustls::crypto::ring::default_provider().install_default());
    crate::protocol::client::http().build().unwrap()
}

fn shared(rig: Rig) -> Arc<Rig> {
    Arc::new(rig)
}
