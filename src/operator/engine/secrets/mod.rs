//! The few Secrets that matter: those that bindings and backends name, each watched by its name, and those that we fill, by the label
//! that they carry. No list of Secrets is ever asked for.

mod follow;
mod watched;

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{Arc, MutexGuard, PoisonError},
};

use futures::TryStreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams, PostParams},
    runtime::watcher::{Event, watcher},
};
use serde_json::{Value, json};

use self::{
    follow::{Shared, Wake, follow},
    watched::{Known, Scope, Watched},
};
use super::{
    cache::Subject,
    exports::StoreProblem,
    key::Key,
    kind::Lookup,
    writes::{CALL_TIMEOUT, MANAGER},
};
use crate::{crd::FINALIZER, protocol::client::Token, runtime::Drain};

/// The kind of the subjects that readers of Secrets are noted under.
pub const KIND: &str = "Secret";
/// The label, with the value `true`, of Secrets that we fill.
pub const OURS: &str = "loopback.cloud/filled";

/// The watched Secrets.
pub struct Secrets {
    client: Client,
    watches: Shared,
    wake: Wake,
    drain: Drain,
}

impl Secrets {
    /// No Secret is watched yet. `wake` is called with what changed.
    pub fn new(client: Client, wake: Arc<dyn Fn(&Subject) + Send + Sync>, drain: Drain) -> Self {
        Self { client, watches: Shared::default(), wake, drain }
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
        let secret = match self.named(user, namespace, name)? {
            Lookup::Unknown => return Ok(Lookup::Unknown),
            Lookup::Absent => return Ok(Lookup::Absent),
            Lookup::Found(secret) => secret,
        };
        let Some(value) = secret.data.as_ref().and_then(|data| data.get(field)) else {
            return Err(format!(
                "Secret {namespace}/{name} has no key {field}; add it, or name the key that holds the token"
            ));
        };
        let token = std::str::from_utf8(&value.0).ok().and_then(Token::new);
        token.map(Lookup::Found).ok_or_else(|| format!("key {field} of Secret {namespace}/{name} holds no token"))
    }

    /// A Secret, which is watched by its name from now on for `user`.
    ///
    /// # Errors
    /// A message for people when we may not read it.
    pub fn named(&self, user: &Key, namespace: &str, name: &str) -> Result<Lookup<Arc<Secret>>, String> {
        self.watch(user, Scope::one(namespace, name), name)
    }

    /// A Secret that we fill, for `user`. One watch shows all of a namespace; what is not ours it does not show, so that a name
    /// that is taken by another is watched by itself (see [`Self::named`]) until it is ours.
    ///
    /// # Errors
    /// See [`Self::named`].
    pub fn ours(&self, user: &Key, namespace: &str, name: &str) -> Result<Lookup<Arc<Secret>>, String> {
        let one = Scope::one(namespace, name);
        let taken = self.map().get(&one).is_some_and(|watched| watched.users.contains_key(user));
        self.watch(user, if taken { one } else { Scope::Ours(namespace.into()) }, name)
    }

    /// What `user` fills is its own: it is not watched by its name any more.
    pub fn is_ours(&self, user: &Key, namespace: &str, name: &str) {
        self.leave(user, |scope| *scope == Scope::one(namespace, name));
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
        for (_, watched) in self.map().iter_mut().filter(|(scope, _)| scope.covers(namespace, name)) {
            watched.fold(name, secret.clone());
        }
    }

    fn api(&self, namespace: &str) -> Api<Secret> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// `user` reads no Secret any more but this one.
    pub fn keep_only(&self, user: &Key, kept: Option<(&str, &str)>) {
        self.leave(user, |scope| !kept.is_some_and(|(namespace, name)| scope.covers(namespace, name)));
    }

    /// `user` reads nothing any more of what these watches show; those that nobody reads end.
    fn leave(&self, user: &Key, which: impl Fn(&Scope) -> bool) {
        self.map().retain(|scope, watched| {
            if which(scope) {
                watched.users.remove(user);
            }
            if watched.users.is_empty() {
                watched.drain.start();
            }
            !watched.users.is_empty()
        });
    }

    /// Whether [`Secrets::hold`] would write.
    #[must_use]
    pub fn unheld(&self, namespace: &str, name: &str) -> bool {
        let known = self.map().get(&Scope::one(namespace, name)).map(|watched| watched.known(name));
        matches!(known, Some(Known::Present(secret)) if !held(&secret) && secret.metadata.deletion_timestamp.is_none())
    }

    /// Puts our finalizer on a Secret that is watched, and there.
    ///
    /// # Errors
    /// A message for people.
    pub async fn hold(&self, namespace: &str, name: &str) -> Result<(), String> {
        let known = self.map().get(&Scope::one(namespace, name)).map(|watched| watched.known(name));
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
        let found = match self.look(namespace, name).await? {
            Some(secret) => Some(secret),
            // Somebody between us and the API server may have said so.
            None => self.shown(namespace, name).await?.map(Arc::new),
        };
        match found {
            Some(secret) => self.mark(namespace, &secret, false).await,
            None => Ok(()),
        }
    }

    /// A Secret as a watch that is opened now shows it. A watch says that all was shown; nobody else says that.
    async fn shown(&self, namespace: &str, name: &str) -> Result<Option<Secret>, String> {
        let mut events = pin!(watcher(self.api(namespace), Scope::one(namespace, name).config()));
        let shown = async {
            loop {
                match events.try_next().await {
                    Ok(Some(Event::InitApply(secret))) => return Ok(Some(secret)),
                    Ok(Some(Event::InitDone)) => return Ok(None),
                    Ok(_) => {}
                    Err(error) => return Err(format!("Secret {namespace}/{name}: {error}")),
                }
            }
        };
        let late = |_| {
            format!(
                "Secret {namespace}/{name}: its watch does not say within {} s whether it is there",
                CALL_TIMEOUT.as_secs()
            )
        };
        tokio::time::timeout(CALL_TIMEOUT, shown).await.map_err(late)?
    }

    async fn mark(&self, namespace: &str, secret: &Secret, held: bool) -> Result<(), String> {
        if self::held(secret) == held || (held && secret.metadata.deletion_timestamp.is_some()) {
            return Ok(());
        }
        let others = secret.finalizers().iter().filter(|finalizer| *finalizer != FINALIZER).cloned();
        let finalizers: Vec<String> = others.chain(held.then(|| FINALIZER.to_owned())).collect();
        // The resource version makes the patch fail rather than undo what others did meanwhile.
        let metadata = json!({"finalizers": finalizers, "resourceVersion": secret.metadata.resource_version});
        let (name, patch) = (secret.name_any(), Patch::<Value>::Merge(json!({"metadata": metadata})));
        match bounded(self.api(namespace).patch(&name, &PatchParams::default(), &patch)).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if held && status.code == 404 => Ok(()),
            Err(error) => Err(said(namespace, &name, &error)),
        }
    }

    fn watch(&self, user: &Key, scope: Scope, name: &str) -> Result<Lookup<Arc<Secret>>, String> {
        let known = {
            let mut map = self.map();
            let watched = map.entry(scope.clone()).or_insert_with(|| {
                let drain = self.drain.child();
                let (watches, wake) = (self.watches.clone(), self.wake.clone());
                drain.spawn(follow(self.client.clone(), scope, watches, wake, drain.clone()));
                Watched::new(drain)
            });
            watched.users.insert(user.clone(), name.to_owned());
            watched.known(name)
        };
        match known {
            Known::Nothing => Ok(Lookup::Unknown),
            Known::Absent => Ok(Lookup::Absent),
            Known::Refused(why) => Err(why),
            Known::Present(secret) => Ok(Lookup::Found(secret)),
        }
    }

    fn map(&self) -> MutexGuard<'_, BTreeMap<Scope, Watched>> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Errors of the API server name objects, never values.
fn held(secret: &Secret) -> bool {
    secret.finalizers().iter().any(|finalizer| finalizer == FINALIZER)
}

fn said(namespace: &str, name: &str, error: &kube::Error) -> String {
    format!("Secret {namespace}/{name}: {error}")
}

async fn bounded<T>(call: impl Future<Output = kube::Result<T>>) -> kube::Result<T> {
    let late = |_| kube::Error::Service(format!("no answer within {} s", CALL_TIMEOUT.as_secs()).into());
    tokio::time::timeout(CALL_TIMEOUT, call).await.map_err(late)?
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use http::{Request, Response};
    use kube::client::Body;
    use tokio::time::Instant;

    use super::{follow::PATIENCE, *};

    /// An API server that refuses so many calls, shows a Secret with a token once, and is silent from then on. Its list ends, or
    /// does not.
    fn secrets(refusals: usize, ends: bool) -> Secrets {
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
                    false => (200, events[..1 + usize::from(ends)].iter().map(|event| format!("{event}\n")).collect()),
                };
                let mut answer = Response::new(Body::from(text.into_bytes()));
                *answer.status_mut() = http::StatusCode::from_u16(code).unwrap();
                Ok::<_, Infallible>(answer)
            }
        });
        Secrets::new(Client::new(server, "default"), Arc::new(|_| {}), Drain::new())
    }

    async fn first_word(refusals: usize, ends: bool) -> (Result<Lookup<Token>, String>, Duration) {
        let (secrets, began) = (secrets(refusals, ends), Instant::now());
        loop {
            match secrets.token(&Key::new("K", "n", "reader"), "n", "s", "token") {
                Ok(Lookup::Unknown) => tokio::time::sleep(Duration::from_millis(50)).await,
                word => return (word, began.elapsed()),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_believed_when_it_lasts() {
        let (word, _) = first_word(4, true).await;
        assert!(matches!(word, Ok(Lookup::Found(_))), "an API server that knows no roles yet is not asked for long");
        let (word, took) = first_word(usize::MAX, true).await;
        assert!(word.is_err_and(|why| why.contains("may not read")));
        assert!((PATIENCE..3 * PATIENCE).contains(&took), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_there_is_known_before_the_list_ends() {
        let (word, took) = first_word(0, false).await;
        assert!(matches!(word, Ok(Lookup::Found(_))) && took < Duration::from_secs(1), "{took:?}");
    }
}
