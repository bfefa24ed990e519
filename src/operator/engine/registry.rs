//! The kinds that this operator knows, each by one line.

use std::{pin::Pin, sync::Arc};

use kube::{
    Resource,
    api::{ApiResource, DynamicObject},
};

use super::{
    Engine,
    common::deleting,
    deletion, driver,
    key::Key,
    kind::{Kind, ParentOf},
    outcome::Finding,
};
use crate::protocol::{Intent, Members, Permission, Verb};

type Running<'a> = Pin<Box<dyn Future<Output = Finding> + Send + 'a>>;

/// A kind, its types forgotten.
#[derive(Clone)]
pub struct Registered {
    /// How Kubernetes serves it.
    pub resource: ApiResource,
    /// Its collection in the backend.
    pub collection: &'static str,
    /// What it belongs to.
    pub parent: Option<ParentOf>,
    /// All that its token must be allowed to do in the backend.
    pub permissions: Vec<Permission>,
    /// Field of the intent with the natural name.
    pub name_field: &'static str,
    run: for<'a> fn(&'a Engine, &'a Key, Arc<DynamicObject>) -> Running<'a>,
}

impl Registered {
    /// The kind `K`.
    #[must_use]
    pub fn new<K: Kind>() -> Self {
        Self {
            resource: ApiResource::erase::<K::Resource>(&()),
            collection: K::Intent::COLLECTION,
            parent: K::PARENT,
            permissions: permissions(K::Intent::PERMISSION, K::Intent::MEMBERS, K::Intent::MINTS),
            name_field: K::Intent::NAME_FIELD,
            run: |engine, key, object| Box::pin(one::<K>(engine, key, object)),
        }
    }

    pub(super) fn run<'a>(&self, engine: &'a Engine, key: &'a Key, object: Arc<DynamicObject>) -> Running<'a> {
        (self.run)(engine, key, object)
    }

    /// Its kind in Kubernetes.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.resource.kind
    }
}

fn permissions(key: &str, members: &[Members], mints: bool) -> Vec<Permission> {
    let changes = [Verb::Create, Verb::Update, Verb::Delete];
    let on = |key: &str, verb| Permission::new(key, verb);
    let mut all = vec![on(key, Verb::Read)];
    // Members are read with their parent.
    for key in std::iter::once(key).chain(members.iter().map(|members| members.permission)) {
        all.extend(changes.map(|verb| on(key, verb)));
    }
    // Whoever may read an object reads no secret.
    all.extend(mints.then(|| on(key, Verb::Execute)));
    all
}

async fn one<K: Kind>(engine: &Engine, key: &Key, object: Arc<DynamicObject>) -> Finding {
    if deleting(&object) {
        return deletion::pass(engine, key, object, K::Intent::COLLECTION).await.into();
    }
    driver::pass::<K>(engine, key, object).await
}

/// The plural of a kind, for the name of its CRD.
#[must_use]
pub fn crd_name(resource: &ApiResource) -> String {
    format!("{}.{}", resource.plural, resource.group)
}

/// How Kubernetes serves a built-in kind.
#[must_use]
pub fn api_resource<K: Resource<DynamicType = ()>>() -> ApiResource {
    ApiResource::erase::<K>(&())
}
