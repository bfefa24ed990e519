//! Where each ProjectBinding leads: the state of connections, and the links that bindings share.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sha2::{Digest, Sha256};
use url::Url;

use super::{
    Engine,
    cache::Subject,
    key::Key,
    kind::Remark,
    link::{Health, Link, Listener},
};
use crate::{
    protocol::client::{BadAddress, Client, Exchange, Token},
    runtime::{Drain, World},
};

/// What a ProjectBinding's name leads to.
#[derive(Clone)]
pub enum Connection {
    /// A project that may be read and written.
    Open(Arc<Link>),
    /// The backend is down, or is not known yet.
    Down,
    /// Something that the binding needs is missing and comes by itself.
    Waiting(Remark),
    /// The project's grant is gone: nothing is changed any more but that deletions are carried out.
    Held(Arc<Link>, Remark),
    /// A person must mend the binding.
    Broken(Remark),
}

/// What the engine knows of one binding.
#[derive(Clone)]
pub enum Bound {
    /// A project, recognised by store and project id.
    To {
        /// The link.
        link: Arc<Link>,
        /// `STORE/PROJECT-ID` at first contact.
        identity: String,
        /// Why it is held, if it is.
        held: Option<Remark>,
    },
    /// First contact is not made.
    Connecting,
    /// Something is missing and comes by itself.
    Waiting(Remark),
    /// A person must act.
    Broken(Remark),
}

impl PartialEq for Bound {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::To { link, identity, held }, Self::To { link: l, identity: i, held: h }) => {
                Arc::ptr_eq(link, l) && identity == i && held == h
            }
            (Self::Connecting, Self::Connecting) => true,
            (Self::Waiting(a), Self::Waiting(b)) | (Self::Broken(a), Self::Broken(b)) => a == b,
            _ => false,
        }
    }
}

/// The bindings by key.
#[derive(Default)]
pub struct Connections(Mutex<BTreeMap<Key, Bound>>);

impl Connections {
    /// Where `binding` in the namespace of `reader` leads. The reader is woken when that changes.
    pub(super) fn of(&self, engine: &Engine, reader: &Key, binding: &str) -> Connection {
        let key = Key::new("ProjectBinding", &reader.namespace, binding);
        engine.cache.note(reader, Subject::Object(key.clone()));
        match self.get(&key) {
            Some(Bound::To { link, identity, held }) => open(link, &identity, held),
            Some(Bound::Connecting) => Connection::Down,
            Some(Bound::Waiting(why)) => Connection::Waiting(why),
            Some(Bound::Broken(why)) => Connection::Broken(why),
            None if engine.cache.synced("ProjectBinding") && !engine.cache.has(&key) => {
                let what = format!(
                    "There is no ProjectBinding {binding} in this namespace; create it, or set spec.projectRef"
                );
                Connection::Waiting(Remark::new(crate::crd::Reason::ReferenceMissing, what))
            }
            None => Connection::Down,
        }
    }

    /// The bindings of a namespace that are known.
    pub(super) fn in_namespace(&self, namespace: &str) -> Vec<Key> {
        self.bindings().keys().filter(|key| &*key.namespace == namespace).cloned().collect()
    }

    /// What is known of a binding.
    pub(super) fn get(&self, key: &Key) -> Option<Bound> {
        self.bindings().get(key).cloned()
    }

    /// Stores what is known; true when it is news.
    pub(super) fn set(&self, key: &Key, bound: Option<Bound>) -> bool {
        let mut bindings = self.bindings();
        let before = match &bound {
            Some(bound) => bindings.insert(key.clone(), bound.clone()),
            None => bindings.remove(key),
        };
        before != bound
    }

    fn bindings(&self) -> MutexGuard<'_, BTreeMap<Key, Bound>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A link is used only while it leads to where the binding first led.
fn open(link: Arc<Link>, identity: &str, held: Option<Remark>) -> Connection {
    let same = link.source().is_some_and(|source| format!("{}/{}", source.store, source.project_id) == identity);
    match (link.health(), held) {
        (Health::Up, held) if same => match held {
            None => Connection::Open(link),
            Some(why) => Connection::Held(link, why),
        },
        _ => Connection::Down,
    }
}

/// What makes two bindings share a link.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct LinkKey {
    url: Url,
    project: String,
    /// The token's hash, so that the map holds no secret.
    token: [u8; 32],
    /// Whether the address was written by a tenant, and so is checked each time it is resolved.
    checked: bool,
}

/// The links in use, by what they lead to, with the bindings that use them.
#[derive(Default)]
pub struct Links(Mutex<BTreeMap<LinkKey, Shared>>);

struct Shared {
    link: Arc<Link>,
    users: std::collections::BTreeSet<Key>,
    drain: Drain,
}

/// What a link is made of.
pub(super) struct Target {
    pub url: Url,
    pub project: String,
    pub token: Token,
    /// An HTTP client that resolves user-given names through the outbound filter.
    pub checked: bool,
}

impl Links {
    /// The link to a target, opened if nobody uses it yet. `user` stops using any other.
    ///
    /// # Errors
    /// When the URL cannot be used.
    pub(super) fn open(
        &self,
        user: &Key,
        target: Target,
        exchange: impl FnOnce(bool) -> Arc<dyn Exchange>,
        listener: impl FnOnce() -> Listener,
        world: &World,
        drain: &Drain,
    ) -> Result<Arc<Link>, BadAddress> {
        let Target { url, project, token, checked } = target;
        let digest = digest(&token);
        let key = LinkKey { url, project, token: digest, checked };
        let mut links = self.links();
        if !links.contains_key(&key) {
            let client = Client::new(exchange(checked), &key.url, &key.project, token)?;
            let drain = drain.child();
            let link = Link::open(client, listener(), world.clone(), &drain);
            links.insert(key.clone(), Shared { link, users: [].into(), drain });
        }
        leave(&mut links, user, Some(&key));
        links
            .get_mut(&key)
            .map(|shared| {
                shared.users.insert(user.clone());
                shared.link.clone()
            })
            .ok_or_else(|| BadAddress::from("the link was closed".to_owned()))
    }

    /// `user` needs no link any more.
    pub(super) fn close(&self, user: &Key) {
        leave(&mut self.links(), user, None);
    }

    /// All links.
    pub(super) fn all(&self) -> Vec<Arc<Link>> {
        self.links().values().map(|shared| shared.link.clone()).collect()
    }

    /// Who uses a link.
    pub(super) fn users(&self, link: &Link) -> Vec<Key> {
        let same = |shared: &&Shared| std::ptr::eq(&raw const *shared.link, link);
        self.links().values().filter(same).flat_map(|shared| shared.users.iter().cloned()).collect()
    }

    fn links(&self) -> MutexGuard<'_, BTreeMap<LinkKey, Shared>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn leave(links: &mut BTreeMap<LinkKey, Shared>, user: &Key, but: Option<&LinkKey>) {
    links.retain(|key, shared| {
        if Some(key) == but {
            return true;
        }
        shared.users.remove(user);
        if shared.users.is_empty() {
            shared.drain.start();
        }
        !shared.users.is_empty()
    });
}

fn digest(token: &Token) -> [u8; 32] {
    let mut hash = Sha256::new();
    token.hash_into(&mut |bytes| hash.update(bytes));
    hash.finalize().into()
}
