//! From a ProjectBinding's spec to an address and a token, before anything is sent.

use kube::{ResourceExt, api::DynamicObject};
use serde_json::Value;
use url::Url;

use super::{
    Engine,
    bindings::identity_of,
    common::paused,
    grants,
    key::Key,
    kind::{Lookup, Remark},
    secrets::Secrets,
};
use crate::{
    crd::{LoopbackBackend, ProjectBindingSpec, Reason, SecretKeyReference, project_binding::Connection as Spelled},
    protocol::client::Token,
};

/// What a binding's spec leads to before anything is sent.
pub(super) struct Resolved {
    pub url: Url,
    pub token: Token,
    pub checked: bool,
    /// Why it must not be used for anything but deletions.
    pub held: Option<Remark>,
}

/// A binding whose spec does not lead anywhere (yet).
pub(super) enum Unresolved {
    Waiting(Remark),
    Broken(Remark),
    Unknown,
}

pub(super) fn broken(reason: Reason, message: impl Into<String>) -> Unresolved {
    Unresolved::Broken(Remark::new(reason, message))
}

fn waiting(reason: Reason, message: impl Into<String>) -> Unresolved {
    Unresolved::Waiting(Remark::new(reason, message))
}

/// Where a binding leads, and with which token.
pub(super) fn resolve(
    engine: &Engine,
    key: &Key,
    object: &DynamicObject,
    spec: &ProjectBindingSpec,
) -> Result<Resolved, Unresolved> {
    match spec.connection() {
        Spelled::TokenMissing => {
            engine.secrets.keep_only(key, None);
            let message = "A binding that names its own url brings its own token: set spec.tokenSecretRef";
            Err(broken(Reason::TokenMissing, message))
        }
        Spelled::Own { url, token } => own(engine, key, url, token),
        Spelled::Lent { backend } => lent(engine, key, object, spec, backend),
    }
}

fn own(engine: &Engine, key: &Key, url: Option<&str>, token: &SecretKeyReference) -> Result<Resolved, Unresolved> {
    let checked = url.is_some();
    let url = address(engine, url)?;
    if checked {
        engine.outbound(&url).map_err(|why| broken(Reason::InvalidSpec, format!("spec.url: {why}")))?;
    }
    let token = read_token(engine, key, &key.namespace, &token.name, &token.key)?;
    Ok(Resolved { url, token, checked, held: None })
}

fn lent(
    engine: &Engine,
    key: &Key,
    object: &DynamicObject,
    spec: &ProjectBindingSpec,
    name: &str,
) -> Result<Resolved, Unresolved> {
    if !engine.sees_grants() {
        let message = "This operator watches single namespaces and sees no LoopbackBackend; set spec.tokenSecretRef (and spec.url)";
        return Err(broken(Reason::NotGranted, message));
    }
    let backend: LoopbackBackend = match engine.cache.read(key, &Key::new("LoopbackBackend", "", name)) {
        Lookup::Found(backend) => backend,
        Lookup::Unknown => return Err(Unresolved::Unknown),
        Lookup::Absent => {
            return Err(waiting(
                Reason::ReferenceMissing,
                format!("There is no LoopbackBackend {name}; ask an administrator"),
            ));
        }
    };
    let labels = match engine.namespace_labels(key) {
        Lookup::Found(labels) => labels,
        _ => return Err(Unresolved::Unknown),
    };
    let granted = grants::covers(&backend.spec, &spec.organization, &spec.project, &labels);
    let held =
        if granted { asleep("LoopbackBackend", &backend) } else { Some(ungranted(engine, key, object, spec, name)?) };
    let url = address(engine, backend.spec.url.as_deref())?;
    let secret = &backend.spec.token_secret_ref;
    let token = read_token(engine, key, &secret.namespace, &secret.name, &secret.key)?;
    Ok(Resolved { url, token, checked: false, held })
}

/// A connection that somebody paused: what goes through it is held.
pub(super) fn asleep(kind: &str, object: &impl ResourceExt) -> Option<Remark> {
    let message = format!("{kind} {} is paused: only deletions are carried out", object.name_any());
    paused(object.annotations()).then(|| Remark::new(Reason::Paused, message))
}

/// No grant covers the binding. One that had been granted is held; of one that never was nothing is sent anywhere.
fn ungranted(
    engine: &Engine,
    key: &Key,
    object: &DynamicObject,
    spec: &ProjectBindingSpec,
    backend: &str,
) -> Result<Remark, Unresolved> {
    let message = format!(
        "No grant of LoopbackBackend {backend} lets namespace {} bind project {} of organization {}; ask an administrator",
        key.namespace, spec.project, spec.organization
    );
    // Status is ours alone, unlike annotations: a tenant cannot make us believe in a grant that never was.
    let was = object.data.pointer("/status/projectId").and_then(Value::as_str);
    let same = identity_of(object).is_some_and(|identity| identity.rsplit('/').next() == was);
    if was.is_some() && same {
        return Ok(Remark::new(Reason::NotGranted, message));
    }
    engine.secrets.keep_only(key, None);
    Err(broken(Reason::NotGranted, message))
}

fn address(engine: &Engine, url: Option<&str>) -> Result<Url, Unresolved> {
    match url {
        Some(url) => Url::parse(url)
            .map_err(|error| broken(Reason::InvalidSpec, format!("The url {url:?} cannot be used: {error}"))),
        None => engine.own_backend.clone().ok_or_else(|| {
            let message =
                "No url is given, and this operator has no backend of its own (its flag --backend-url); set the url";
            broken(Reason::InvalidSpec, message)
        }),
    }
}

fn read_token(engine: &Engine, key: &Key, namespace: &str, name: &str, field: &str) -> Result<Token, Unresolved> {
    engine.secrets.keep_only(key, Some((namespace, name)));
    engine.cache.note(key, Secrets::subject(namespace, name));
    match engine.secrets.token(key, namespace, name, field) {
        Ok(Lookup::Found(token)) => Ok(token),
        Ok(Lookup::Unknown) => Err(Unresolved::Unknown),
        Ok(Lookup::Absent) => Err(waiting(
            Reason::TokenMissing,
            format!("There is no Secret {namespace}/{name}; create it with key {field}"),
        )),
        Err(why) => Err(broken(Reason::TokenMissing, why)),
    }
}
