//! The plane: buckets and key pairs as the API has them, and what becomes of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

use serde::Deserialize;
use serde_json::Value;
use tokio::{net::TcpListener, time::Instant};

use super::{
    access::{Directory, Grant, OpenBucket},
    meter::Meter,
    problem::VaultProblem,
    server,
    vault::Vault,
};
use crate::{
    backend::{
        object_storage::checks::ChosenBucket,
        plane::{IntentChange, Intents, Plane, PlaneProblem, Reporter},
    },
    protocol::{
        Intent, Member, Phase, RawObject, Revision, SecretValues,
        object_storage::{
            Bucket, BucketState, Credential, CredentialState, Usage,
            key_pair::{ACCESS_KEY, SECRET_KEY},
            member,
        },
    },
    runtime::{Drain, World},
};

/// Between two looks at how full buckets are, for their states.
const USAGE_REST: Duration = Duration::from_secs(600);
/// Between two looks at a bucket that shall go and is not empty, and after the vault failed.
const REST: Duration = Duration::from_secs(1);

/// How the embedded object store runs.
#[derive(Debug)]
pub struct Options {
    /// Where everything is kept.
    pub folder: PathBuf,
    /// Where S3 clients connect, bound already.
    pub listener: std::net::TcpListener,
    /// The URL that they use.
    pub endpoint: String,
}

/// The embedded object store.
pub struct EmbeddedPlane {
    options: Options,
    world: World,
    meter: Meter,
}

impl EmbeddedPlane {
    /// A store that nothing runs yet.
    #[must_use]
    pub fn new(options: Options, world: World) -> Self {
        Self { options, world, meter: Meter::default() }
    }

    /// Counts what it holds, once it runs.
    #[must_use]
    pub fn meter(&self) -> Meter {
        self.meter.clone()
    }
}

fn failed(problem: impl std::fmt::Display) -> PlaneProblem {
    PlaneProblem { plane: "object storage", message: problem.to_string() }
}

impl Plane for EmbeddedPlane {
    async fn run(self, mut intents: Intents, reality: Reporter, drain: Drain) -> Result<(), PlaneProblem> {
        let Options { folder, listener, endpoint } = self.options;
        let world = self.world;
        let opening = tokio::task::spawn_blocking(move || Vault::open(&folder, &world));
        let vault = opening.await.map_err(failed)?.map_err(failed)?;
        self.meter.attach(&vault);
        listener.set_nonblocking(true).map_err(failed)?;
        let listener = TcpListener::from_std(listener).map_err(failed)?;
        let mut store = Store::new(vault.clone(), endpoint, reality);
        let serving = drain.child();
        let mut listener = Some(listener);
        loop {
            let change = tokio::select! {
                biased;
                () = drain.wait() => break,
                change = intents.recv() => change,
                () = tokio::time::sleep_until(store.next) => {
                    store.tick().await;
                    continue;
                }
            };
            match change {
                Some(IntentChange::Synced { .. }) => {
                    if let Some(listener) = listener.take() {
                        let service = server::service(vault.clone(), store.directory.clone());
                        drop(serving.spawn(server::serve(listener, service, serving.clone())));
                    }
                }
                Some(change) => store.take(change).await,
                None => break,
            }
        }
        // Requests get the time that the backend gives to planes; what is cut off then was never answered.
        let _ended = serving.finish(REST).await;
        vault.close().await;
        Ok(())
    }
}

/// A bucket as the API has it.
struct Held {
    chosen: ChosenBucket,
    of: Revision,
    made: i64,
    deleting: bool,
    purge: bool,
    /// How full it was when it was reported last.
    reported: Option<Usage>,
}

/// A credential's key pair.
struct Pair {
    public: String,
    /// Id of its bucket.
    bucket: String,
}

/// What the plane knows.
struct Store {
    vault: Vault,
    directory: Directory,
    endpoint: String,
    reality: Reporter,
    buckets: BTreeMap<String, Held>,
    /// Those that shall go.
    leaving: BTreeSet<String>,
    /// Those that could not be opened.
    unopened: BTreeSet<String>,
    /// Key pairs by the id of their credential.
    pairs: BTreeMap<String, Pair>,
    next: Instant,
    usage_at: Instant,
}

impl Store {
    fn new(vault: Vault, endpoint: String, reality: Reporter) -> Self {
        let now = Instant::now();
        Self {
            vault,
            directory: Directory::default(),
            endpoint,
            reality,
            buckets: BTreeMap::new(),
            leaving: BTreeSet::new(),
            unopened: BTreeSet::new(),
            pairs: BTreeMap::new(),
            next: now + USAGE_REST,
            usage_at: now + USAGE_REST,
        }
    }

    async fn take(&mut self, change: IntentChange) {
        match change {
            IntentChange::Present { collection, object, chosen, purge, .. } if collection == Bucket::COLLECTION => {
                self.bucket(&object, &chosen, purge).await;
            }
            IntentChange::Present { collection, object, secret, .. } if collection == Credential::COLLECTION => {
                self.credential(&object, secret).await;
            }
            IntentChange::Gone { id, .. } => {
                self.forget(&id);
                self.put_pair(&id, None);
            }
            IntentChange::Present { .. } | IntentChange::Synced { .. } => {}
        }
    }

    async fn bucket(&mut self, object: &RawObject, chosen: &Value, purge: bool) {
        let chosen = match ChosenBucket::deserialize(chosen) {
            Ok(chosen) => chosen,
            Err(problem) => {
                tracing::error!(%problem, id = object.id, "what was chosen for a bucket cannot be read");
                return;
            }
        };
        let deleting = object.phase == Phase::Deleting;
        let held = Held { chosen, of: object.intent_revision, made: made(&object.id), deleting, purge, reported: None };
        self.buckets.insert(object.id.clone(), held);
        if deleting {
            self.unopened.remove(&object.id);
            self.leaving.insert(object.id.clone());
            self.next = Instant::now();
        } else if let Err(problem) = self.open(&object.id).await {
            tracing::error!(%problem, id = object.id, "a bucket cannot be opened");
            self.unopened.insert(object.id.clone());
            self.next = Instant::now() + REST;
        }
        self.show(&object.id);
    }

    async fn open(&mut self, id: &str) -> Result<(), VaultProblem> {
        let usage = self.vault.open_bucket(id).await?;
        self.unopened.remove(id);
        self.report(id, usage, BTreeMap::new()).await;
        Ok(())
    }

    async fn report(&mut self, id: &str, usage: Usage, members: BTreeMap<String, Member>) {
        let Some(held) = self.buckets.get_mut(id) else { return };
        held.reported = Some(usage);
        let state = BucketState {
            endpoint: self.endpoint.clone(),
            region: held.chosen.region.clone(),
            provider: held.chosen.provider.clone(),
            usage,
        };
        let of = held.of;
        self.reality.report(id, of, serde_json::to_value(state).unwrap_or_default(), members).await;
    }

    async fn credential(&mut self, object: &RawObject, secret: Option<SecretValues>) {
        if object.phase == Phase::Deleting {
            self.put_pair(&object.id, None);
            self.reality.released(&object.id).await;
            return;
        }
        let values = secret.map(|secret| secret.0).unwrap_or_default();
        let intent = Credential::deserialize(&object.intent);
        let parent = object.parent.as_ref().and_then(|id| Some((id, &self.buckets.get(id)?.chosen)));
        let (Some(public), Some(secret), Some((bucket, chosen)), Ok(intent)) =
            (values.get(ACCESS_KEY), values.get(SECRET_KEY), parent, intent)
        else {
            tracing::error!(id = object.id, "a credential without its key pair, or without its bucket");
            return;
        };
        let grant = Grant { secret: secret.clone(), access: intent.access, bucket: bucket.clone() };
        let state = CredentialState {
            access_key_id: public.clone(),
            endpoint: self.endpoint.clone(),
            region: chosen.region.clone(),
            bucket_name: chosen.bucket_name.clone(),
        };
        self.put_pair(&object.id, Some((public.clone(), grant)));
        let state = serde_json::to_value(state).unwrap_or_default();
        self.reality.report(&object.id, object.intent_revision, state, BTreeMap::new()).await;
    }

    /// Puts a bucket in force as it is now. One that is being purged is not there any more for S3.
    fn show(&self, id: &str) {
        let open = self.buckets.get(id).filter(|held| !(held.deleting && held.purge)).map(|held| OpenBucket {
            id: id.to_owned(),
            name: held.chosen.bucket_name.clone(),
            region: held.chosen.region.clone(),
            made: held.made,
        });
        self.directory.change(|tables| match open {
            Some(bucket) => drop(tables.buckets.insert(id.to_owned(), bucket)),
            None => drop(tables.buckets.remove(id)),
        });
    }

    /// Puts a key pair in force, in place of the one that the credential had.
    fn put_pair(&mut self, credential: &str, pair: Option<(String, Grant)>) {
        let before = self.pairs.remove(credential);
        if let Some((public, grant)) = &pair {
            let pair = Pair { public: public.clone(), bucket: grant.bucket.clone() };
            self.pairs.insert(credential.to_owned(), pair);
        }
        self.directory.change(|tables| {
            if let Some(before) = before {
                tables.grants.remove(&before.public);
            }
            tables.grants.extend(pair);
        });
    }

    fn forget(&mut self, id: &str) {
        self.buckets.remove(id);
        self.leaving.remove(id);
        self.unopened.remove(id);
        self.show(id);
    }

    /// One step for each bucket that shall go, and usage when it is time.
    async fn tick(&mut self) {
        let mut rest = USAGE_REST;
        for id in self.leaving.clone() {
            match self.let_go(&id).await {
                Ok(after) => rest = rest.min(after),
                Err(problem) => {
                    tracing::error!(%problem, id, "a bucket cannot be let go");
                    rest = REST;
                }
            }
        }
        for id in self.unopened.clone() {
            if self.open(&id).await.is_err() {
                rest = REST;
            }
        }
        if Instant::now() >= self.usage_at {
            self.report_usage().await;
            self.usage_at = Instant::now() + USAGE_REST;
        }
        self.next = (Instant::now() + rest).min(self.usage_at);
    }

    /// One step on the way out; how long until the next.
    async fn let_go(&mut self, id: &str) -> Result<Duration, VaultProblem> {
        let Some(held) = self.buckets.get(id) else { return Ok(USAGE_REST) };
        let (purge, reported) = (held.purge, held.reported);
        if let Some(usage) = self.vault.close_bucket(id).await? {
            if reported != Some(usage) {
                let open = self.pairs.values().any(|pair| pair.bucket == id);
                self.report(id, usage, content(usage, purge, open)).await;
            }
            if !purge {
                return Ok(REST);
            }
            self.vault.purge_some(id).await?;
            return Ok(Duration::ZERO);
        }
        self.forget(id);
        self.reality.released(id).await;
        Ok(USAGE_REST)
    }

    /// Says how full buckets are, where it moved.
    async fn report_usage(&mut self) {
        let live = self.buckets.iter().filter(|(_, held)| !held.deleting);
        for (id, reported) in live.map(|(id, held)| (id.clone(), held.reported)).collect::<Vec<_>>() {
            match self.vault.usage(&id).await {
                Ok(Some(usage)) if reported != Some(usage) => self.report(&id, usage, BTreeMap::new()).await,
                Ok(_) => {}
                Err(problem) => tracing::warn!(%problem, id, "usage cannot be read"),
            }
        }
    }
}

/// Why a bucket that shall go is still there. When no key pair is left, nobody can empty it from outside.
fn content(usage: Usage, purge: bool, open: bool) -> BTreeMap<String, Member> {
    let (state, reason) =
        if purge { (member::PURGING, String::new()) } else { (member::BLOCKED, member::NOT_EMPTY.to_owned()) };
    let message = if purge {
        format!("{} objects are still to be removed", usage.objects)
    } else {
        let held = match usage.objects {
            1 => "1 object".to_owned(),
            more => format!("{more} objects"),
        };
        let otherwise = if open { "remove them with an S3 client, or " } else { "its key pairs are revoked: " };
        format!(
            "the bucket still holds {held} with {} bytes; {otherwise}ask for them to be deleted with it \
             (deletionPolicy: Purge)",
            usage.bytes,
        )
    };
    BTreeMap::from([(member::CONTENT.to_owned(), Member { state: state.to_owned(), reason, message })])
}

/// When an object was made, in milliseconds since 1970: its id says it.
fn made(id: &str) -> i64 {
    let ulid = id.rsplit_once('-').and_then(|(_, ulid)| ulid::Ulid::from_string(&ulid.to_ascii_uppercase()).ok());
    ulid.and_then(|ulid| i64::try_from(ulid.timestamp_ms()).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::object_storage::Access;

    /// What comes and goes is put in force by itself: the others are not so much as copied.
    #[tokio::test]
    async fn a_change_touches_its_own_entry_only() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::open(folder.path(), &World::real()).unwrap();
        let mut store = Store::new(vault, "http://127.0.0.1:1".into(), Reporter::new(|_| std::future::ready(())));
        let held = |name: &str, purge| Held {
            chosen: ChosenBucket { bucket_name: name.into(), provider: "embedded".into(), region: "r".into() },
            of: 1,
            made: 0,
            deleting: purge,
            purge,
            reported: None,
        };
        let pair = |public: &str| {
            Some((public.to_owned(), Grant { secret: "s".into(), access: Access::ReadOnly, bucket: "os-1".into() }))
        };
        store.buckets.insert("os-1".into(), held("a", false));
        store.show("os-1");
        store.put_pair("c-1", pair("AK1"));
        let place = |store: &Store| {
            store.directory.look(|tables| (tables.buckets["os-1"].name.as_ptr(), tables.grants["AK1"].secret.as_ptr()))
        };
        let before = place(&store);
        for purge in [false, true] {
            store.buckets.insert("os-2".into(), held("b", purge));
            store.show("os-2");
            assert_eq!(store.directory.look(|tables| tables.buckets.contains_key("os-2")), !purge);
        }
        for (public, there) in
            [(Some("AK2"), vec!["AK1", "AK2"]), (Some("AK3"), vec!["AK1", "AK3"]), (None, vec!["AK1"])]
        {
            store.put_pair("c-2", public.and_then(pair));
            assert_eq!(store.directory.look(|tables| tables.grants.keys().cloned().collect::<Vec<_>>()), there);
        }
        assert_eq!(place(&store), before);
    }
}
