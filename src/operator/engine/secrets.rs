//! The few Secrets that bindings name, each watched by its name. No list of Secrets is ever asked for.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{StreamExt, pin_mut};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams, PostParams},
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use serde_json::{Value, json};
use tokio::time::Instant;
use tracing::warn;

use super::{
    cache::Subject,
    exports::StoreProblem,
    key::Key,
    kind::Lookup,
    watch::Retry,
    writes::{CALL_TIMEOUT, MANAGER},
};
use crate::{crd::FINALIZER, protocol::client::Token, runtime::Drain};

/// The kind of the subjects that readers of Secrets are noted under.
pub const KIND: &str = "Secret";
/// How long a Secret may be refused before that is believed: an API server that has just started knows no roles yet.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is known of one Secret.
#[derive(Clone)]
enum Known {
    Nothing,
    Refused(String),
    Absent,
    Present(Arc<Secret>),
}

struct Watched {
    known: Known,
    users: BTreeSet<Key>,
    drain: Drain,
}

/// The watched Secrets.
pub struct Secrets {
    client: Client,
    watched: Arc<Mutex<BTreeMap<Key, Watched>>>,
    /// Called when a Secret changed.
    wake: Arc<dyn Fn(&Subject) + Send + Sync>,
    drain: Drain,
}

impl Secrets {
    /// No Secret is watched yet. `wake` is called with what changed.
    pub fn new(client: Client, wake: Arc<dyn Fn(&Subject) + Send + Sync>, drain: Drain) -> Self {
        Self { client, watched: Arc::default(), wake, drain }
    }

    /// The subject under which readers of a Secret are woken.
    #[must_use]
    pub fn subject(namespace: &str, name: &str) -> Subject {
        Subject::Object(Key::new(KIND, namespace, name))
    }

    /// The token under `field` of a Secret, which is watched from now on for `user`.
    ///
    /// # Errors
    /// A message for people when we may not read it, or it holds no token.
    pub fn token(&self, user: &Key, namespace: &str, name: &str, field: &str) -> Result<Lookup<Token>, String> {
        let key = Key::new(KIND, namespace, name);
        let known = self.watch(user, &key);
        let secret = match known {
            Known::Nothing => return Ok(Lookup::Unknown),
            Known::Absent => return Ok(Lookup::Absent),
            Known::Refused(why) => return Err(why),
            Known::Present(secret) => secret,
        };
        let Some(value) = secret.data.as_ref().and_then(|data| data.get(field)) else {
            return Err(format!(
                "Secret {namespace}/{name} has no key {field}; add it, or name the key that holds the token"
            ));
        };
        let token = std::str::from_utf8(&value.0).ok().and_then(Token::new);
        token.map(Lookup::Found).ok_or_else(|| format!("key {field} of Secret {namespace}/{name} holds no token"))
    }

    /// A Secret, which is watched from now on for `user`.
    ///
    /// # Errors
    /// A message for people when we may not read it.
    pub fn secret(&self, user: &Key, namespace: &str, name: &str) -> Result<Lookup<Arc<Secret>>, String> {
        match self.watch(user, &Key::new(KIND, namespace, name)) {
            Known::Nothing => Ok(Lookup::Unknown),
            Known::Absent => Ok(Lookup::Absent),
            Known::Refused(why) => Err(why),
            Known::Present(secret) => Ok(Lookup::Found(secret)),
        }
    }

    /// Reads a Secret now, whatever its watch says.
    ///
    /// # Errors
    /// A message for people.
    pub async fn look(&self, namespace: &str, name: &str) -> Result<Option<Arc<Secret>>, String> {
        let found = bounded(self.api(namespace).get_opt(name)).await.map_err(|error| said(namespace, name, &error))?;
        let found = found.map(Arc::new);
        self.fold(namespace, name, found.clone());
        Ok(found)
    }

    /// Makes a Secret that must not exist yet.
    ///
    /// # Errors
    /// [`StoreProblem::Exists`] when it does.
    pub(super) async fn create(&self, secret: &Secret) -> Result<(), StoreProblem> {
        let api = self.api(&secret.namespace().unwrap_or_default());
        self.stored(secret, bounded(api.create(&PostParams::default(), secret)).await)
    }

    /// Makes our Secret as given, all of it.
    ///
    /// # Errors
    /// See [`StoreProblem`].
    pub(super) async fn apply(&self, secret: &Secret) -> Result<(), StoreProblem> {
        let api = self.api(&secret.namespace().unwrap_or_default());
        let (name, parameters) = (secret.name_any(), PatchParams::apply(MANAGER).force());
        self.stored(secret, bounded(api.patch(&name, &parameters, &Patch::Apply(secret))).await)
    }

    /// Changes what is given of our Secret and leaves the rest.
    ///
    /// # Errors
    /// See [`StoreProblem`].
    pub(super) async fn merge(&self, secret: &Secret) -> Result<(), StoreProblem> {
        let api = self.api(&secret.namespace().unwrap_or_default());
        let name = secret.name_any();
        self.stored(secret, bounded(api.patch(&name, &PatchParams::default(), &Patch::Merge(secret))).await)
    }

    fn stored(&self, secret: &Secret, answer: Result<Secret, kube::Error>) -> Result<(), StoreProblem> {
        let (namespace, name) = (secret.namespace().unwrap_or_default(), secret.name_any());
        match answer {
            Ok(stored) => {
                self.fold(&namespace, &name, Some(Arc::new(stored)));
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.is_already_exists() => Err(StoreProblem::Exists),
            Err(error) => Err(StoreProblem::Failed(said(&namespace, &name, &error))),
        }
    }

    fn fold(&self, namespace: &str, name: &str, secret: Option<Arc<Secret>>) {
        if let Some(watched) = self.map().get_mut(&Key::new(KIND, namespace, name)) {
            watched.known = secret.map_or(Known::Absent, Known::Present);
        }
    }

    fn api(&self, namespace: &str) -> Api<Secret> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// `user` reads no Secret any more but this one.
    pub fn keep_only(&self, user: &Key, kept: Option<(&str, &str)>) {
        let kept = kept.map(|(namespace, name)| Key::new(KIND, namespace, name));
        self.map().retain(|key, watched| {
            if Some(key) != kept.as_ref() {
                watched.users.remove(user);
            }
            if watched.users.is_empty() {
                watched.drain.start();
            }
            !watched.users.is_empty()
        });
    }

    /// Puts our finalizer on a Secret that is watched, and there.
    ///
    /// # Errors
    /// A message for people.
    pub async fn hold(&self, namespace: &str, name: &str) -> Result<(), String> {
        let known = self.map().get(&Key::new(KIND, namespace, name)).map(|watched| watched.known.clone());
        match known {
            Some(Known::Present(secret)) => self.mark(namespace, &secret, true).await,
            _ => Ok(()),
        }
    }

    /// Takes our finalizer off a Secret, whatever its watch has said so far: afterwards nobody would.
    ///
    /// # Errors
    /// A message for people.
    pub async fn let_go(&self, namespace: &str, name: &str) -> Result<(), String> {
        match self.look(namespace, name).await? {
            Some(secret) => self.mark(namespace, &secret, false).await,
            None => Ok(()),
        }
    }

    async fn mark(&self, namespace: &str, secret: &Secret, held: bool) -> Result<(), String> {
        let has = secret.finalizers().iter().any(|finalizer| finalizer == FINALIZER);
        if has == held || (held && secret.metadata.deletion_timestamp.is_some()) {
            return Ok(());
        }
        let others = secret.finalizers().iter().filter(|finalizer| *finalizer != FINALIZER).cloned();
        let finalizers: Vec<String> = others.chain(held.then(|| FINALIZER.to_owned())).collect();
        // The resource version makes the patch fail rather than undo what others did meanwhile.
        let metadata = json!({"finalizers": finalizers, "resourceVersion": secret.metadata.resource_version});
        let (name, patch) = (secret.name_any(), Patch::<Value>::Merge(json!({"metadata": metadata})));
        match bounded(self.api(namespace).patch(&name, &PatchParams::default(), &patch)).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(said(namespace, &name, &error)),
        }
    }

    fn watch(&self, user: &Key, key: &Key) -> Known {
        let mut map = self.map();
        let watched = map.entry(key.clone()).or_insert_with(|| {
            let drain = self.drain.child();
            let wake = self.wake.clone();
            drain.spawn(follow(self.client.clone(), key.clone(), self.watched.clone(), wake, drain.clone()));
            Watched { known: Known::Nothing, users: [].into(), drain }
        });
        watched.users.insert(user.clone());
        watched.known.clone()
    }

    fn map(&self) -> MutexGuard<'_, BTreeMap<Key, Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Errors of the API server name objects, never values.
fn said(namespace: &str, name: &str, error: &kube::Error) -> String {
    format!("Secret {namespace}/{name}: {error}")
}

async fn bounded<T>(call: impl Future<Output = kube::Result<T>>) -> kube::Result<T> {
    let late = |_| kube::Error::Service(format!("no answer within {} s", CALL_TIMEOUT.as_secs()).into());
    tokio::time::timeout(CALL_TIMEOUT, call).await.map_err(late)?
}

async fn follow(
    client: Client,
    key: Key,
    watched: Arc<Mutex<BTreeMap<Key, Watched>>>,
    wake: Arc<dyn Fn(&Subject) + Send + Sync>,
    drain: Drain,
) {
    let api = Api::<Secret>::namespaced(client, &key.namespace);
    // A streamed list is a watch: the right to list Secrets is not needed.
    let config = watcher::Config::default().streaming_lists().fields(&format!("metadata.name={}", key.name));
    let events = watcher(api, config).backoff(Retry::default());
    pin_mut!(events);
    let (mut found, mut refused) = (None, None);
    loop {
        let event = tokio::select! {
            biased;
            () = drain.wait() => return,
            event = events.next() => event,
        };
        let known = match event {
            None => return,
            Some(Ok(Event::Init)) => {
                found = None;
                continue;
            }
            Some(Ok(Event::InitApply(secret))) => {
                found = Some(secret);
                continue;
            }
            Some(Ok(Event::InitDone)) => found.take().map_or(Known::Absent, |secret| Known::Present(Arc::new(secret))),
            Some(Ok(Event::Apply(secret))) => Known::Present(Arc::new(secret)),
            Some(Ok(Event::Delete(_))) => Known::Absent,
            Some(Err(error)) => match refusal(&key, &error) {
                Some(why) if refused.get_or_insert_with(Instant::now).elapsed() >= PATIENCE => Known::Refused(why),
                _ => continue,
            },
        };
        if !matches!(known, Known::Refused(_)) {
            refused = None;
        }
        if let Some(watched) = watched.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&key) {
            watched.known = known;
        }
        wake(&Subject::Object(key.clone()));
    }
}

fn refusal(key: &Key, error: &watcher::Error) -> Option<String> {
    let status = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status,
        error => {
            warn!(%key, %error, "watching a Secret");
            return None;
        }
    };
    let hint = "bind the ClusterRole loopback-operator-secrets to the operator's ServiceAccount in that namespace";
    (status.code == 403).then(|| format!("the operator may not read {key}; {hint}"))
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use http::{Request, Response};
    use kube::client::Body;

    use super::*;

    /// An API server that refuses so many calls, shows a Secret with a token once, and is silent from then on.
    fn secrets(refusals: usize) -> Secrets {
        let calls = Arc::new(AtomicUsize::new(0));
        let server = tower::service_fn(move |_: Request<Body>| {
            let call = calls.fetch_add(1, Ordering::Relaxed);
            async move {
                if call > refusals {
                    std::future::pending::<()>().await;
                }
                let refusal = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                    "message": "no", "reason": "Forbidden", "code": 403});
                let secret = json!({"apiVersion": "v1", "kind": "Secret", "data": {"token": "dG9rZW4="},
                    "metadata": {"name": "s", "namespace": "n", "uid": "u", "resourceVersion": "1"}});
                let end = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"resourceVersion": "1",
                    "annotations": {"k8s.io/initial-events-end": "true"}}});
                let events = [json!({"type": "ADDED", "object": secret}), json!({"type": "BOOKMARK", "object": end})];
                let (code, text) = match call < refusals {
                    true => (403, refusal.to_string()),
                    false => (200, events.map(|event| format!("{event}\n")).concat()),
                };
                let mut answer = Response::new(Body::from(text.into_bytes()));
                *answer.status_mut() = http::StatusCode::from_u16(code).unwrap();
                Ok::<_, Infallible>(answer)
            }
        });
        Secrets::new(Client::new(server, "default"), Arc::new(|_| {}), Drain::new())
    }

    async fn first_word(refusals: usize) -> (Result<Lookup<Token>, String>, Duration) {
        let (secrets, began) = (secrets(refusals), Instant::now());
        loop {
            match secrets.token(&Key::new("K", "n", "reader"), "n", "s", "token") {
                Ok(Lookup::Unknown) => tokio::time::sleep(Duration::from_millis(50)).await,
                word => return (word, began.elapsed()),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_believed_when_it_lasts() {
        let (word, _) = first_word(4).await;
        assert!(matches!(word, Ok(Lookup::Found(_))), "an API server that knows no roles yet is not asked for long");
        let (word, took) = first_word(usize::MAX).await;
        assert!(word.is_err_and(|why| why.contains("may not read")));
        assert!((PATIENCE..3 * PATIENCE).contains(&took), "{took:?}");
    }
}
