//! Our backend: the real binary, with objects that are made over its API. It needs no Kubernetes.

use std::{net::SocketAddr, path::Path, sync::Arc};

use futures::{StreamExt, stream};
use loopback_operator::protocol::{
    Create, RawObject, SecretValues,
    client::{Client, Route, Token, http},
};
use serde_json::Value;

use crate::{
    peer::free,
    process::Process,
    rig::{Wire, until},
};

const PROJECT: &str = "planes";
/// Objects that are made at the same time.
const CALLERS: usize = 16;

/// A backend with one project.
pub struct Ours {
    pub process: Process,
    /// Where it answers DNS.
    pub dns: SocketAddr,
    /// Where S3 clients connect.
    pub s3: SocketAddr,
    wire: Wire,
    client: Client,
}

impl Ours {
    /// Starts one with nothing in it.
    pub async fn start(folder: &Path) -> Self {
        let (api, dns, s3, state) = (free(), free(), free(), folder.join("state"));
        let (api_listen, dns_listen, s3_listen) = (api.to_string(), dns.to_string(), s3.to_string());
        let process = Process::start(
            Path::new(env!("CARGO_BIN_EXE_loopback-operator")),
            &[
                "backend",
                "--api-listen",
                &api_listen,
                "--dns-listen",
                &dns_listen,
                "--s3-listen",
                &s3_listen,
                "--address-pool",
                "127.31.0.0/16",
                "--state-dir",
                &state.to_string_lossy(),
                "--outbound-allow-loopback",
                "--stop-drain",
                "0",
            ],
            &folder.join("log"),
        );
        let token = state.join("admin-token");
        let wire = Wire::admin(api, &token).await;
        wire.project(PROJECT).await;
        let token = Token::new(&std::fs::read_to_string(token).unwrap()).unwrap();
        let client = Client::new(Arc::new(http().build().unwrap()), &wire.url().parse().unwrap(), PROJECT, token);
        Self { process, dns, s3, wire, client: client.unwrap() }
    }

    /// Starts it again, with all that it had.
    pub async fn again(&mut self) {
        self.process.again();
        self.wire.wait().await;
    }

    /// Makes an object.
    pub async fn create(&self, route: impl Into<Route<'_>>, intent: Value) -> RawObject {
        self.client.create(route, &Create { owner: None, parent: None, intent }).await.unwrap()
    }

    /// Makes many.
    pub async fn create_all(&self, route: Route<'_>, intents: impl Iterator<Item = Value>) {
        let calls = stream::iter(intents).map(|intent| self.create(route, intent));
        calls.buffer_unordered(CALLERS).for_each(|_| std::future::ready(())).await;
    }

    /// An object, once this is true of it.
    pub async fn once(&self, collection: &str, id: &str, is_so: impl Fn(&RawObject) -> bool) -> RawObject {
        let mut seen = None;
        until("the object is real", async || {
            seen = self.client.get(collection, id).await.unwrap().filter(&is_so);
            seen.is_some()
        })
        .await;
        seen.unwrap()
    }

    /// The secret that was minted for an object.
    pub async fn secret(&self, route: Route<'_>, id: &str) -> SecretValues {
        self.client.fetch_secret(route, id).await.unwrap().values
    }
}
