//! What a kind of custom resource is to the engine: two pure functions.

use std::{collections::BTreeMap, fmt, marker::PhantomData, sync::Arc};

use kube::Resource;
use serde::{Serialize, de::DeserializeOwned};

use super::{cache::Cache, key::Key};
use crate::{
    crd::Member,
    protocol::{Intent, Object, RawObject},
};

/// One kind of custom resource that lives in the backend.
pub trait Kind: Send + Sync + 'static {
    /// What users write.
    type Resource: Resource<DynamicType = ()> + Clone + fmt::Debug + DeserializeOwned + Send + Sync + 'static;
    /// What is sent to the backend.
    type Intent: Intent;
    /// The kind's own part of the status; conditions, id and the like are the engine's.
    type Status: Serialize;
    /// The kind that a child belongs to; `Intent::PARENT` is its collection.
    const PARENT: Option<ParentOf> = None;
    /// Spec and what it refers to -> intent. Each read of `found` is remembered and watched.
    fn desired(resource: &Self::Resource, found: &Found<'_>, seen: &Seen<Self>) -> Desired<Self::Intent>
    where
        Self: Sized;
    /// The Secret that the engine keeps in Kubernetes for an object whose backend mints one.
    fn exports(resource: &Self::Resource, seen: &Seen<Self>, found: &Found<'_>) -> Option<SecretExport>
    where
        Self: Sized,
    {
        let _ = (resource, seen, found);
        None
    }
    /// What a user sees.
    fn report(resource: &Self::Resource, seen: &Seen<Self>) -> Report<Self::Status>
    where
        Self: Sized;
}

/// A Secret in the resource's namespace, owned by the resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretExport {
    /// Its name.
    pub name: String,
    /// What stands under each of its keys.
    pub data: BTreeMap<String, Datum>,
    /// Labels beside the engine's own.
    pub labels: BTreeMap<String, String>,
    /// Annotations beside the engine's own.
    pub annotations: BTreeMap<String, String>,
}

/// One value of an exported Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Datum {
    /// This text.
    Plain(String),
    /// The value of this name in what the backend minted.
    Minted(&'static str),
}

/// The parent of a child, in the same namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParentOf {
    /// Kind of the parent, for instance `ProjectDnsZone`.
    pub kind: &'static str,
    /// JSON pointer of the field with its name, for instance `/spec/zoneRef/name`.
    pub field: &'static str,
}

/// What a resource asks for, as far as it can be known now.
#[derive(Clone, Debug, PartialEq)]
pub enum Desired<I> {
    /// This, in the backend.
    Want {
        /// The whole intent.
        intent: I,
        /// JSON pointers of parts that cannot be resolved now: the backend keeps what it has there.
        hold: Vec<String>,
        /// Members that are wrong; the others go on.
        problems: Vec<Member>,
    },
    /// Nothing yet: something that it refers to is missing or not known. A watch wakes us.
    Wait(Vec<Missing>),
    /// Nothing until a person changes the resource.
    Invalid(Vec<FieldProblem>),
}

/// Something that a resource refers to and that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What, for instance `ProjectDnsZone shop/zone`.
    pub what: String,
    /// The field that names it.
    pub field: String,
}

/// A field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldProblem {
    /// Its path, for instance `spec.services[web].port`.
    pub field: String,
    /// What is right.
    pub message: String,
}

/// The result of looking something up.
#[derive(Clone, Debug, PartialEq)]
pub enum Lookup<T> {
    /// It is there.
    Found(T),
    /// It is not.
    Absent,
    /// Not known yet.
    Unknown,
}

/// Kubernetes as the engine saw it at one moment. What is read through it is remembered, so that a change wakes the reader.
pub struct Found<'a> {
    cache: &'a Cache,
    reader: &'a Key,
}

impl<'a> Found<'a> {
    pub(crate) fn new(cache: &'a Cache, reader: &'a Key) -> Self {
        Self { cache, reader }
    }

    /// The object of a watched kind by its name in the reader's namespace.
    pub fn get<R>(&self, name: &str) -> Lookup<R>
    where
        R: Resource<DynamicType = ()> + DeserializeOwned,
    {
        let key = Key::new(&R::kind(&()), &self.reader.namespace, name);
        self.cache.read(self.reader, &key)
    }
}

/// What the backend holds for a resource.
pub struct Seen<K: Kind> {
    /// Its object.
    pub object: Option<Object<K::Intent, <K::Intent as Intent>::State>>,
    kind: PhantomData<K>,
}

impl<K: Kind> Seen<K> {
    /// What `object` says.
    ///
    /// # Errors
    /// When it does not have the shape of this kind's intent or state.
    pub fn new(object: Option<&Arc<RawObject>>) -> Result<Self, serde_json::Error> {
        Ok(Self { object: object.map(|raw| raw.typed::<K::Intent>()).transpose()?, kind: PhantomData })
    }
}

/// What a user sees of one resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Report<S> {
    /// The kind's own part of the status.
    pub status: S,
    /// Why it is not real although the backend holds it, for instance a port that cannot be bound.
    pub unreal: Option<Remark>,
    /// What does not work although the whole does, for instance unhealthy targets.
    pub degraded: Option<Remark>,
    /// What to tell by an event when a field of the status changes, for instance the state of an alert.
    pub tell: Option<Tell>,
}

/// An event that goes with a change of the status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tell {
    /// The field of the status whose change is told.
    pub field: &'static str,
    /// Whether its first value is news as well; a beginning that went well is none.
    pub first: bool,
    /// Whether something is wrong.
    pub warning: bool,
    /// What to say.
    pub what: Remark,
}

/// A reason and what to say about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// From the one table of reasons.
    pub reason: crate::crd::Reason,
    /// What is wrong, where, and what to do.
    pub message: String,
}

impl Remark {
    /// A remark.
    pub fn new(reason: crate::crd::Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}
