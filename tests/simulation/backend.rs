//! The backend in memory: its real API, checks and collections over a store in memory, with planes that only report.

use std::{
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use loopback_operator::{
    backend::{
        api::{
            self, Api, KnownTokens,
            collections::{Collection, Registry},
        },
        dns, domains, hub, load_balancing, monitoring, object_storage,
        store::{Kept, MemoryStore, Store, Transaction, write},
        tenants,
    },
    protocol::{Permission, Rule, TokenView},
    rules::outbound::Outbound,
    runtime::{Drain, World},
};
use tower::ServiceExt as _;

use crate::{
    journal::{Journal, Side},
    kinds::SERVICES,
    oracles::Watchman,
    planes,
    server::{self, Server},
    world::Script,
};

/// The backend, which can be stopped and started.
pub struct Backend {
    pub world: World,
    pub journal: Journal,
    pub watchman: Arc<Watchman>,
    /// Whether buckets hold something.
    full: bool,
    /// The services that it has.
    services: Vec<&'static str>,
    life: Mutex<Option<Life>>,
}

struct Life {
    router: axum::Router,
    store: Arc<MemoryStore>,
    drain: Drain,
}

impl Backend {
    pub fn new(world: World, journal: Journal, watchman: Arc<Watchman>, script: &Script) -> Self {
        let (full, services) = (script.full, script.services.clone());
        Self { world, journal, watchman, full, services, life: Mutex::new(None) }
    }

    /// Starts on what was kept.
    pub fn start(&self, kept: Kept) {
        let store = Arc::new(MemoryStore::open(kept, &self.world).unwrap());
        let drain = Drain::new();
        let dynamic: Arc<dyn Store> = store.clone();
        let mut registry = Registry::default();
        for (service, collections) in services(&self.world) {
            if !self.services.contains(&service) {
                continue;
            }
            let collections: hub::Collections = collections.into_iter().map(Arc::new).collect();
            registry.collections.extend(collections.iter().cloned());
            let (intents, reporter) = hub::connect(&dynamic, &collections, &drain);
            drain.spawn(planes::run(intents, reporter, self.world.clone(), self.full, drain.clone()));
        }
        let api = Api {
            store: dynamic,
            world: self.world.clone(),
            collections: Arc::new(registry),
            drain: drain.clone(),
            tokens: KnownTokens::default(),
        };
        self.watchman.follow(store.clone());
        *self.life() = Some(Life { router: api::router(api), store, drain });
    }

    /// Ends at once, as a crash does. What is left of its rows.
    pub fn crash(&self) -> Kept {
        let Some(life) = self.life().take() else { return Kept::default() };
        let kept = life.store.kept();
        life.drain.start();
        // What its tasks still want to write is lost.
        futures::executor::block_on(life.store.close());
        kept
    }

    /// What a crash would leave now.
    pub fn kept(&self) -> Kept {
        self.life().as_ref().map(|life| life.store.kept()).unwrap_or_default()
    }

    /// The store, while it runs.
    pub fn store(&self) -> Option<Arc<MemoryStore>> {
        self.life().as_ref().map(|life| life.store.clone())
    }

    /// Changes the store past the API.
    pub async fn administer<R: Send + 'static>(
        &self,
        work: impl FnMut(&mut dyn Transaction) -> Result<R, loopback_operator::protocol::Problem> + Send + 'static,
    ) -> R {
        let store = self.store().unwrap();
        write(&*store, true, work).await.unwrap().answer
    }

    /// Organization, project and domain.
    pub async fn seed(&self) {
        let ids = [self.world.id("org"), self.world.id("prj"), self.world.id("dom")];
        self.administer(move |tx| {
            tenants::ensure_organization(tx, &ids[0], "acme")?;
            domains::ensure(tx, &ids[2], "acme", "example.dev")?;
            tenants::ensure_project(tx, &ids[1], "acme", "shop")
        })
        .await;
    }

    /// A token for all, and for tokens.
    pub async fn admin(&self) -> (String, String) {
        let registry = Registry::default();
        let all =
            registry.permissions().into_iter().map(|permission| Rule { permission, organization: None, project: None });
        self.minted(all.chain(self.rules("")).collect()).await
    }

    /// A token for all but what `without` names; its id and its text.
    pub async fn token(&self, without: &'static str) -> (String, String) {
        self.minted(self.rules(without)).await
    }

    /// Everything in the project, but for keys that start with `without`.
    fn rules(&self, without: &str) -> Vec<Rule> {
        let had = PERMISSIONS.iter().filter(|(service, _)| self.services.contains(service)).flat_map(|(_, all)| all);
        let kept = had.filter(|one| without.is_empty() || !one.key.starts_with(without));
        let scope = || (Some("acme".to_owned()), Some("shop".to_owned()));
        kept.map(|permission| Rule { permission: permission.clone(), organization: scope().0, project: scope().1 })
            .collect()
    }

    async fn minted(&self, rules: Vec<Rule>) -> (String, String) {
        let view = TokenView { id: self.world.id("tk"), description: "sim".into(), rules };
        let id = view.id.clone();
        let (text, stored) = tenants::new_token(view, self.world.secret());
        self.administer(move |tx| Ok(tenants::put_token(tx, &stored)?)).await;
        (id, text)
    }

    /// A refusal, which must not tell a secret.
    async fn looked_at(&self, answer: Response<Body>) -> Response<Body> {
        let (head, body) = answer.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
        self.watchman.scanned("a refusal", &String::from_utf8_lossy(&bytes));
        Response::from_parts(head, Body::from(bytes))
    }

    fn life(&self) -> std::sync::MutexGuard<'_, Option<Life>> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn services(world: &World) -> [(&'static str, Vec<Collection>); 4] {
    let balancing = load_balancing::LoadBalancingChecks::new(load_balancing::POOL, load_balancing::IPV6);
    let owner_of: dns::OwnerOf =
        |view, name| Ok(domains::owner_of_domain(view, name)?.map(|domain| domain.organization));
    let (providers, meter) = (object_storage::Providers::default(), object_storage::Meter::default());
    let collections = [
        load_balancing::collections(Arc::new(balancing)),
        object_storage::collections(providers, world.clone(), meter),
        dns::collections(owner_of),
        monitoring::collections(Outbound::default()),
    ];
    let mut names = SERVICES.into_iter();
    collections.map(|collections| (names.next().expect("a name for each"), collections))
}

/// All permissions of each service, worked out once for all runs.
static PERMISSIONS: LazyLock<[(&str, Vec<Permission>); 4]> = LazyLock::new(|| {
    services(&World::seeded(0)).map(|(service, collections)| {
        let collections = collections.into_iter().map(Arc::new).collect();
        (service, Registry { collections, ..Registry::default() }.permissions())
    })
});

impl Server for Backend {
    fn side(&self) -> Side {
        Side::Wire
    }

    fn serve(&self, who: &'static str, request: Request<Bytes>) -> BoxFuture<'_, Option<Response<Body>>> {
        Box::pin(async move {
            let router = self.life().as_ref().map(|life| life.router.clone())?;
            let entry = server::entry(&self.journal, Side::Wire, who, &request);
            let suspicion = entry.as_ref().and_then(|entry| self.watchman.before_wire(entry));
            let Ok(answer) = router.oneshot(request.map(Body::from)).await;
            let status = answer.status().as_u16();
            let answer = if status < 400 { answer } else { self.looked_at(answer).await };
            if let Some(mut entry) = entry {
                entry.status = status;
                self.watchman.after_wire(&entry, suspicion);
                self.journal.add(entry);
            }
            Some(answer)
        })
    }
}

/// How long a stopped backend stays away at most.
pub const AWAY: Duration = Duration::from_secs(20);
