//! A Kubernetes API server in memory, for simulation: no socket, no thread, no clock but the world's. What it answers is a
//! function of the calls.
//!
//! It holds what the operator and its users write and read: resource versions, generations, the status subresource,
//! finalizers and deletion with preconditions, JSON and merge patches, server-side apply with field managers, lists in
//! chunks, watches with bookmarks, streamed lists and 410, metadata only, namespaces and their end, pruning and defaults of
//! custom resources. The same cases run against it and against the real one: `tests/suite/apiserver.rs`.
//!
//! Not simulated: validation (types, bounds and CEL rules of a schema; names), authentication and authorization, admission
//! but for namespaces, strategic merge patch, dry run, conversion, aggregation, discovery, defaults of built-in kinds
//! (beside Namespace and Secret). `managedFields` are kept but sent only on request: nobody here reads them, and they
//! are most of an object.

mod apply;
mod call;
mod controllers;
mod delete;
mod events;
mod fields;
mod journal;
mod kinds;
mod meta;
mod read;
mod schema;
mod select;
mod serve;
mod status;
mod store;
mod watch;
mod write;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use loopback_operator::runtime::World;
use serde_json::{Value, json};
use tokio::sync::futures::OwnedNotified;

pub use self::{journal::Entry, serve::Service};
use self::{kinds::Kind, schema::Schema, store::State};

/// The server. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub struct ApiServer(Arc<Mutex<State>>);

impl ApiServer {
    /// A server with the built-in kinds and the namespaces `default` and `kube-system`.
    pub fn new(world: World) -> Self {
        let mut state = State::new(world);
        for name in ["default", "kube-system"] {
            let (uid, now) = (state.uid(), state.now());
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": name, "uid": uid, "creationTimestamp": now,
                    "labels": {"kubernetes.io/metadata.name": name}},
                "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}});
            state.put(kinds::NAMESPACES, name, namespace, Default::default(), false);
        }
        Self(Arc::new(Mutex::new(state)))
    }

    /// Another server that holds the same, in a world of its own.
    pub fn copy(&self, world: World) -> Self {
        Self(Arc::new(Mutex::new(self.state().copy(world))))
    }

    /// Serves the kinds of these definitions, and shows the definitions.
    pub fn install(&self, definitions: &[Value]) {
        let metadata = Schema::metadata();
        let mut state = self.state();
        for definition in definitions {
            if let Some(kind) = Kind::custom(definition, &metadata) {
                state.register(kind);
            }
            state.define(definition);
        }
    }

    /// A client, which the journal knows by this name.
    pub fn client(&self, name: &str) -> kube::Client {
        kube::Client::new(self.service(name), "default")
    }

    /// What [`ApiServer::client`] sends its requests to.
    pub fn service(&self, name: &str) -> Service {
        Service::new(self.clone(), name)
    }

    /// All requests so far.
    pub fn journal(&self) -> Vec<Entry> {
        self.state().journal.clone()
    }

    /// Forgets the past: watches, lists and continuations from before are answered with 410.
    pub fn compact(&self) {
        let mut state = self.state();
        state.oldest = state.revision;
    }

    /// Ends all watches, as a server does that goes away.
    pub fn close_watches(&self) {
        self.state().hang_up();
    }

    /// Sends a bookmark to each watch that takes them.
    pub fn bookmark(&self) {
        let mut state = self.state();
        state.bookmarks += 1;
        state.shelves.iter().for_each(|shelf| shelf.changed.notify_waiters());
    }

    /// Whether `managedFields` are sent. Call it before the first request.
    pub fn show_managed_fields(&self, shown: bool) {
        self.state().managed = shown;
    }

    /// Does not work out who owns which field before somebody applies. Call it before the first request.
    pub fn untracked(&self) {
        self.state().tracked = false;
    }

    /// One round of the controller manager: garbage collector, namespaces, definitions. Whether something was done.
    pub fn tick(&self) -> bool {
        self.state().tick()
    }

    /// The newest version.
    pub fn revision(&self) -> u64 {
        self.state().revision
    }

    /// The next change, from the moment of this call on.
    pub fn changed(&self) -> OwnedNotified {
        self.state().changed.clone().notified_owned()
    }

    /// All objects of a kind as they are now, by namespace and name: `objects("loopback.cloud/v1alpha1", "projectbindings")`.
    pub fn objects(&self, api_version: &str, plural: &str) -> Vec<Arc<Value>> {
        let state = self.state();
        let Some(id) = state.kinds.at(api_version, plural) else { return Vec::new() };
        state.shelves[id].objects.values().map(|object| object.value.clone()).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
