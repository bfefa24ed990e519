//! What the backend's store and API can do on this machine: `cargo bench --bench backend`.

#![allow(missing_docs, clippy::unwrap_used, reason = "a measurement that fails ends")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use loopback_operator::{
    backend::{
        Options, Service,
        checks::NoChecks,
        load_balancing,
        plane::{BoxedPlane, Intents, Plane, PlaneProblem, Reporter},
        start_with,
        store::{RedbStore, Store, Table, key, write},
    },
    runtime::{Drain, World},
};
use serde_json::json;

/// How long each case runs.
const TIME: Duration = Duration::from_secs(2);

fn main() {
    // On the disk of the working folder: a folder for temporary files may be memory.
    let folder = tempfile::tempdir_in(".").unwrap();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        for (case, (durable, writers)) in
            [(true, 1), (true, 16), (true, 64), (false, 1), (false, 64)].into_iter().enumerate()
        {
            let store: Arc<dyn Store> =
                Arc::new(RedbStore::open(&folder.path().join(case.to_string()), &World::real()).unwrap());
            let rate = rate(writers, |writer| store_writer(Arc::clone(&store), durable, writer)).await;
            println!("store: durable {durable}, {writers} writers of 1 KiB: {rate} writes/s");
            store.close().await;
        }
        drop(rustls::crypto::ring::default_provider().install_default());
        let options = Options::new(([127, 0, 0, 1], 0).into(), folder.path().join("backend"));
        let services = |_| {
            let (collections, plane) = (load_balancing::collections(Arc::new(NoChecks)), BoxedPlane::new(Nothing));
            vec![Service { collections, facts: Vec::new(), plane }]
        };
        let running = start_with(options, services, World::real(), &Drain::new()).await.unwrap();
        let rules = ["read", "create"].map(|verb| {
            json!({"permission": format!("project.load_balancer:{verb}"), "organization": "acme", "project": "shop"})
        });
        let rules = serde_json::from_value(json!(rules)).unwrap();
        let file = folder.path().join("token");
        running.seed("acme", "shop", &[], &file, rules).await.unwrap();
        let token = std::fs::read_to_string(file).unwrap().trim().to_owned();
        let url = format!("http://{}/v3/projects/shop/load-balancers", running.api);
        for callers in [1, 16, 64] {
            let made = rate(callers, |_| caller(url.clone(), token.clone(), true)).await;
            let read = rate(callers, |_| caller(url.clone(), token.clone(), false)).await;
            println!("API: {callers} callers: {made} creates/s, {read} lists of one/s");
        }
        running.stop().await;
    });
}

/// A plane that makes nothing real.
struct Nothing;

impl Plane for Nothing {
    async fn run(self, mut intents: Intents, _: Reporter, _: Drain) -> Result<(), PlaneProblem> {
        while intents.recv().await.is_some() {}
        Ok(())
    }
}

/// Answers a second of so many tasks together.
async fn rate<F>(tasks: usize, task: impl Fn(usize) -> F) -> u64
where
    F: Future<Output = u64> + Send + 'static,
{
    let tasks: Vec<_> = (0..tasks).map(|n| tokio::spawn(task(n))).collect();
    let mut done = 0;
    for task in tasks {
        done += task.await.unwrap();
    }
    done / TIME.as_secs()
}

async fn store_writer(store: Arc<dyn Store>, durable: bool, writer: usize) -> u64 {
    let end = Instant::now() + TIME;
    let mut done = 0_u64;
    while Instant::now() < end {
        let name = key(&[&writer.to_string(), &done.to_string()]);
        write(&*store, durable, move |tx| Ok(tx.put(Table::Objects, &name, vec![1; 1024])?)).await.unwrap();
        done += 1;
    }
    done
}

/// Creates objects, or lists one.
async fn caller(url: String, token: String, create: bool) -> u64 {
    let http = loopback_operator::protocol::client::http().build().unwrap();
    let end = Instant::now() + TIME;
    let mut done = 0_u64;
    while Instant::now() < end {
        let request = if create {
            http.post(&url).json(&json!({"intent": {"name": "bench"}}))
        } else {
            http.get(format!("{url}?limit=1"))
        };
        let answer = request.bearer_auth(&token).send().await.unwrap().error_for_status().unwrap();
        answer.bytes().await.unwrap();
        done += 1;
    }
    done
}
