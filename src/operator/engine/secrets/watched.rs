//! What one watch of Secrets has shown, and who reads it. Pure.

use std::{collections::BTreeMap, fmt, sync::Arc};

use k8s_openapi::api::core::v1::Secret;
use kube::{ResourceExt, runtime::watcher};

use super::{super::key::Key, KIND, OURS};
use crate::runtime::Drain;

/// Which Secrets a watch shows. None of them needs the right to list Secrets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    /// The one of this name.
    One(Key),
    /// Those of a namespace that we fill.
    Ours(Arc<str>),
}

impl Scope {
    pub(super) fn one(namespace: &str, name: &str) -> Self {
        Self::One(Key::new(KIND, namespace, name))
    }

    pub(super) fn namespace(&self) -> &str {
        match self {
            Self::One(key) => &key.namespace,
            Self::Ours(namespace) => namespace,
        }
    }

    /// Whether it may show the Secret of this name.
    pub(super) fn covers(&self, namespace: &str, name: &str) -> bool {
        self.namespace() == namespace && !matches!(self, Self::One(key) if &*key.name != name)
    }

    /// A streamed list is a watch.
    pub(super) fn config(&self) -> watcher::Config {
        let config = watcher::Config::default().streaming_lists();
        match self {
            Self::One(key) => config.fields(&format!("metadata.name={}", key.name)),
            Self::Ours(_) => config.labels(&format!("{OURS}=true")),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(key) => key.fmt(f),
            Self::Ours(namespace) => write!(f, "the Secrets of credentials in {namespace}"),
        }
    }
}

/// What is known of one Secret.
#[derive(Clone)]
pub(super) enum Known {
    Nothing,
    Refused(String),
    Absent,
    Present(Arc<Secret>),
}

/// One watch.
pub(super) struct Watched {
    /// Whether all that there is has been shown once.
    listed: bool,
    refused: Option<String>,
    secrets: BTreeMap<String, Arc<Secret>>,
    /// Who reads which.
    pub(super) users: BTreeMap<Key, String>,
    pub(super) drain: Drain,
}

impl Watched {
    pub(super) fn new(drain: Drain) -> Self {
        Self { listed: false, refused: None, secrets: BTreeMap::new(), users: BTreeMap::new(), drain }
    }

    pub(super) fn known(&self, name: &str) -> Known {
        match (self.secrets.get(name), &self.refused) {
            (_, Some(why)) => Known::Refused(why.clone()),
            (Some(secret), None) => Known::Present(secret.clone()),
            (None, None) if self.listed => Known::Absent,
            (None, None) => Known::Nothing,
        }
    }

    /// The answer to a call of ours, which the watch may not have shown yet.
    pub(super) fn fold(&mut self, name: &str, secret: Option<Arc<Secret>>) {
        match secret {
            Some(secret) => self.take(secret),
            None => drop(self.secrets.remove(name)),
        }
    }

    /// All that there is; whose readers have news.
    pub(super) fn list(&mut self, found: Vec<Secret>) -> Vec<String> {
        let first = !std::mem::replace(&mut self.listed, true) | self.refused.take().is_some();
        let before = std::mem::take(&mut self.secrets);
        self.secrets = found.into_iter().map(|secret| (secret.name_any(), Arc::new(secret))).collect();
        if first {
            return self.read();
        }
        let now = &self.secrets;
        let other =
            |name: &&String| before.get(*name).map(|one| version(one)) != now.get(*name).map(|one| version(one));
        let mut names: Vec<String> = before.keys().chain(now.keys()).filter(other).cloned().collect();
        names.sort();
        names.dedup();
        names
    }

    /// One was shown by a list under way; whose readers have news. An API server takes a second to end the first list.
    pub(super) fn early(&mut self, secret: Secret) -> Vec<String> {
        if self.listed {
            return Vec::new();
        }
        let name = secret.name_any();
        self.take(Arc::new(secret));
        vec![name]
    }

    /// One was shown.
    pub(super) fn take(&mut self, secret: Arc<Secret>) {
        let known = self.secrets.get(&secret.name_any());
        if known.is_none_or(|known| version(known) <= version(&secret)) {
            self.secrets.insert(secret.name_any(), secret);
        }
        self.refused = None;
    }

    /// One is gone, or not ours any more: shown as it was, under the version at which that happened.
    pub(super) fn gone(&mut self, secret: &Secret) {
        let name = secret.name_any();
        if self.secrets.get(&name).is_some_and(|known| version(known) <= version(secret)) {
            self.secrets.remove(&name);
        }
    }

    /// It may not be read; whose readers have news.
    pub(super) fn refuse(&mut self, why: String) -> Vec<String> {
        self.refused = Some(why);
        self.read()
    }

    /// Names that somebody reads.
    fn read(&self) -> Vec<String> {
        let mut names: Vec<String> = self.users.values().cloned().collect();
        names.sort();
        names.dedup();
        names
    }
}

/// Resource versions are ordered numbers (Kubernetes 1.35, KEP-5504).
fn version(secret: &Secret) -> u128 {
    secret.metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(name: &str, version: u32) -> Secret {
        let mut secret = Secret::default();
        secret.metadata.name = Some(name.into());
        secret.metadata.resource_version = Some(version.to_string());
        secret
    }

    fn watched(readers: &[&str]) -> Watched {
        let mut watched = Watched::new(Drain::new());
        watched.users = readers.iter().map(|name| (Key::new("K", "n", name), (*name).to_owned())).collect();
        watched
    }

    #[test]
    fn who_reads_is_told_of_the_first_list_and_of_what_another_changed() {
        let mut watched = watched(&["a", "b"]);
        assert!(matches!(watched.known("a"), Known::Nothing));
        assert_eq!(watched.list(vec![secret("a", 1), secret("c", 1)]), ["a", "b"]);
        assert!(matches!((watched.known("a"), watched.known("b")), (Known::Present(_), Known::Absent)));
        assert_eq!(watched.list(vec![secret("a", 1), secret("c", 1)]), [""; 0]);
        assert_eq!(watched.list(vec![secret("b", 3), secret("a", 1)]), ["b", "c"]);
    }

    #[test]
    fn what_is_older_than_an_answer_is_not_believed() {
        let mut watched = watched(&["a"]);
        watched.list(vec![]);
        watched.fold("a", Some(Arc::new(secret("a", 5))));
        watched.take(Arc::new(secret("a", 4)));
        watched.gone(&secret("a", 3));
        assert!(matches!(watched.known("a"), Known::Present(one) if version(&one) == 5));
        watched.gone(&secret("a", 6));
        assert!(matches!(watched.known("a"), Known::Absent));
    }

    #[test]
    fn a_refusal_stands_until_something_is_shown() {
        let mut watched = watched(&["a"]);
        assert_eq!(watched.refuse("no".into()), ["a"]);
        assert!(matches!(watched.known("a"), Known::Refused(_)));
        assert_eq!(watched.list(vec![]), ["a"]);
        assert!(matches!(watched.known("a"), Known::Absent));
    }

    #[test]
    fn a_watch_covers_its_name_or_its_namespace() {
        let (one, ours) = (Scope::one("n", "a"), Scope::Ours("n".into()));
        assert!(one.covers("n", "a") && !one.covers("n", "b") && !one.covers("m", "a"));
        assert!(ours.covers("n", "a") && ours.covers("n", "b") && !ours.covers("m", "a"));
    }
}
