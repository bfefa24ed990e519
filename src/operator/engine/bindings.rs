//! ProjectBindings: from a namespace to a project of a backend, and who may use it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::future::try_join_all;
use kube::{ResourceExt, api::DynamicObject};
use serde_json::{Map, Value, json};

use super::{
    Engine,
    common::{deleting, generation, has_finalizer, paused, requested_at, typed},
    connections::{Bound, Target},
    driver::unwritten,
    key::Key,
    kind::Remark,
    link::{Health, Link, Listener},
    outcome::{Finding, Outcome},
    parents::{in_use, unknown_users},
    resolve::{Unresolved, asleep, broken, resolve},
    writes::WriteError,
};
use crate::{
    crd::{ProjectBinding, ProjectBindingSpec, Reason, annotation, project_binding::Connection as Spelled},
    protocol::Permission,
    runtime::queue::Trigger,
};

/// Kind of the bindings.
pub const KIND: &str = "ProjectBinding";

/// One pass of a binding.
pub(super) async fn pass(engine: &Arc<Engine>, key: &Key, object: Arc<DynamicObject>) -> Finding {
    let binding = match typed::<ProjectBinding>(&object) {
        Ok(binding) => binding,
        Err(error) => {
            let why = Remark::new(Reason::InvalidSpec, format!("The object does not fit the schema: {error}"));
            engine.bind(key, Some(Bound::Broken(why.clone())));
            return Outcome::Stalled { why, again: false }.into();
        }
    };
    let finding = connect(engine, key, &object, &binding).await;
    if deleting(&object) {
        return retire(engine, key, &object, &binding.spec).await.into();
    }
    finding
}

/// A binding that is gone.
pub(super) fn gone(engine: &Engine, key: &Key) {
    engine.links.close(key);
    engine.secrets.keep_only(key, None);
    engine.bind(key, None);
}

async fn connect(engine: &Arc<Engine>, key: &Key, object: &Arc<DynamicObject>, binding: &ProjectBinding) -> Finding {
    if !deleting(object)
        && held_secret(object).is_some()
        && let Err(outcome) = note_secret(engine, key, object, &binding.spec).await
    {
        return outcome.into();
    }
    let resolved = match resolve(engine, key, object, &binding.spec) {
        Ok(resolved) => resolved,
        Err(unresolved) => return nowhere(engine, key, unresolved),
    };
    if !deleting(object)
        && let Err(outcome) = hold(engine, key, object, &binding.spec).await
    {
        return outcome.into();
    }
    let project = binding.spec.project.clone();
    let target = Target { url: resolved.url, project, token: resolved.token, checked: resolved.checked };
    let exchange = |checked| engine.exchange(checked);
    match engine.links.open(key, target, exchange, || listener(engine), &engine.world, &engine.drain) {
        Ok(link) => {
            if asked(object) {
                link.ask_again();
            }
            met(engine, key, object, binding, &link, resolved.held.or_else(|| asleep(KIND, &**object))).await
        }
        Err(error) => nowhere(engine, key, broken(Reason::InvalidSpec, format!("spec.url: {error}"))),
    }
}

fn nowhere(engine: &Engine, key: &Key, unresolved: Unresolved) -> Finding {
    let (bound, outcome) = match unresolved {
        Unresolved::Waiting(why) => (Bound::Waiting(binding_says(key, &why)), Outcome::Working(why)),
        Unresolved::Broken(why) => (Bound::Broken(binding_says(key, &why)), Outcome::Stalled { why, again: true }),
        Unresolved::Unknown => (Bound::Connecting, Outcome::Down { retry: false }),
    };
    engine.links.close(key);
    engine.bind(key, Some(bound));
    outcome.into()
}

/// What the binding's users say about it.
fn binding_says(key: &Key, why: &Remark) -> Remark {
    Remark::new(why.reason, format!("ProjectBinding {}: {}", key.name, why.message))
}

/// Our finalizers on the binding and on its own token: both are needed to delete what was made under it.
async fn hold(engine: &Engine, key: &Key, object: &DynamicObject, spec: &ProjectBindingSpec) -> Result<(), Outcome> {
    if !has_finalizer(object) {
        engine.writer.add_finalizer(key, object).await.map_err(unwritten)?;
    }
    note_secret(engine, key, object, spec).await?;
    let Some(name) = own_secret(spec) else { return Ok(()) };
    if engine.secrets.unheld(&key.namespace, name) {
        // A binding that is gone, in a view that is old, would hold what nobody lets go.
        let live = engine.live(key, object).await.map_err(unwritten)?;
        if !has_finalizer(&live) {
            engine.writer.add_finalizer(key, &live).await.map_err(unwritten)?;
        }
    }
    engine.secrets.hold(&key.namespace, name).await.map_err(unheld)
}

/// The Secret that a spec has its own token from.
fn own_secret(spec: &ProjectBindingSpec) -> Option<&str> {
    match spec.connection() {
        Spelled::Own { token, .. } => Some(&token.name),
        _ => None,
    }
}

/// The Secret that has, or may have, our finalizer because of a binding.
fn held_secret(object: &DynamicObject) -> Option<&str> {
    object.annotations().get(annotation::TOKEN_SECRET).map(String::as_str)
}

/// Before a Secret gets our finalizer, the binding has its name: a spec may name another one at any time, also while nobody
/// looks, and the one before it must not keep the finalizer for ever.
async fn note_secret(
    engine: &Engine,
    key: &Key,
    object: &DynamicObject,
    spec: &ProjectBindingSpec,
) -> Result<(), Outcome> {
    let (held, wanted) = (held_secret(object), own_secret(spec));
    if held == wanted {
        return Ok(());
    }
    if let Some(name) = held {
        let_go(engine, key, name).await?;
    }
    engine.writer.annotate(key, object, annotation::TOKEN_SECRET, wanted).await.map_err(unwritten)
}

/// Takes our finalizer off a Secret, unless another binding needs its token: the last one does it. Of two that are being deleted
/// at the same time the last one is the one whose name comes first.
async fn let_go(engine: &Engine, key: &Key, name: &str) -> Result<(), Outcome> {
    if let Some(kind) = engine.unlisted(key, [KIND].into_iter()) {
        return Err(Outcome::Unknown(unknown_users(kind)));
    }
    let sharing = |other: &Key, object: &DynamicObject| {
        other != key && has_finalizer(object) && held_secret(object) == Some(name)
    };
    let sharing = engine.cache.those(key, KIND, sharing);
    let leaving = |other: &&Key| other.name > key.name && engine.cache.get(other).is_some_and(|other| deleting(&other));
    if let Some(first) = sharing.iter().find(leaving) {
        let message = format!("Waiting for ProjectBinding {}, which has its token from the same Secret", first.name);
        return Err(Outcome::Deleting(Remark::new(Reason::Deleting, message)));
    }
    if sharing.is_empty() {
        engine.secrets.let_go(&key.namespace, name).await.map_err(unheld)?;
    }
    Ok(())
}

fn unheld(message: String) -> Outcome {
    Outcome::Failed { why: Remark::new(Reason::Error, message), at_least: Duration::ZERO }
}

/// There is a link; where does it lead?
async fn met(
    engine: &Engine,
    key: &Key,
    object: &DynamicObject,
    binding: &ProjectBinding,
    link: &Arc<Link>,
    held: Option<Remark>,
) -> Finding {
    if let Some(outcome) = unwell(link, object, &binding.spec) {
        // Users keep what they know of the link: its health is theirs to see as well.
        if !matches!(engine.connections.get(key), Some(Bound::To { link: known, .. }) if Arc::ptr_eq(&known, link)) {
            engine.bind(key, Some(Bound::Connecting));
        }
        return outcome.into();
    }
    let Some(view) = link.view() else { return Outcome::Down { retry: false }.into() };
    if view.project.organization != binding.spec.organization {
        let message =
            format!("Project {} does not belong to organization {}", view.project.name, binding.spec.organization);
        return nowhere(engine, key, broken(Reason::ProjectNotFound, message));
    }
    let identity = format!("{}/{}", view.store, view.project.id);
    if let Err(finding) = recognise(engine, key, object, &identity).await {
        return *finding;
    }
    engine.bind(key, Some(Bound::To { link: link.clone(), identity, held: held.clone() }));
    let missing = missing(engine, &view.permissions.iter().collect());
    let fields = fields(&view.project.id, &missing);
    let outcome = match held {
        Some(_) if paused(object.annotations()) => Outcome::Paused,
        Some(why) => Outcome::Stalled { why, again: false },
        None => Outcome::Ready { degraded: lacking(&missing) },
    };
    Finding { outcome, synced: true, fields: Some(fields), repaired: None, tell: None }
}

fn unwell(link: &Link, object: &DynamicObject, spec: &ProjectBindingSpec) -> Option<Outcome> {
    match link.health() {
        Health::Up => None,
        // After a restart all bindings connect at once, which takes its time and is no news.
        Health::Starting if told(object) => Some(Outcome::Down { retry: false }),
        Health::Starting => Some(Outcome::Working(Remark::new(Reason::Progressing, "Connecting to the backend"))),
        Health::Down(why) => {
            let message = format!("No answer from {}: {why}. Tried again every second", whom(spec));
            Some(Outcome::Working(Remark::new(Reason::BackendUnavailable, message)))
        }
        Health::Denied(problem) => {
            let reason = match problem.status {
                401 => Reason::TokenInvalid,
                404 => Reason::ProjectNotFound,
                _ => Reason::Denied,
            };
            // A project that does not exist is refused like one that may not be seen: a misspelt name must show.
            let message = match problem.status {
                401 => refused_token(spec),
                _ => format!("Project {} of organization {}: {}", spec.project, spec.organization, problem.detail),
            };
            Some(Outcome::Stalled { why: Remark::new(reason, message), again: true })
        }
    }
}

/// Where a binding leads, in the words of its spec.
fn whom(spec: &ProjectBindingSpec) -> String {
    match spec.connection() {
        Spelled::Own { url: Some(url), .. } => format!("the backend at {url}"),
        Spelled::Lent { backend } => format!("the backend of LoopbackBackend {backend}"),
        Spelled::Own { url: None, .. } | Spelled::TokenMissing => "the operator's own backend".to_owned(),
    }
}

fn refused_token(spec: &ProjectBindingSpec) -> String {
    let (holder, put) = match spec.connection() {
        Spelled::Own { token, .. } => (format!("Secret {}, key {},", token.name, token.key), "put"),
        _ => ("the Secret that its spec.tokenSecretRef names".to_owned(), "have an administrator put"),
    };
    format!("The token in {holder} is not accepted by {}; {put} one there that exists and was not revoked", whom(spec))
}

/// Whether somebody has asked for a pass and has no answer yet.
fn asked(object: &DynamicObject) -> bool {
    let answered = object.data.pointer("/status/lastHandledReconcileAt").and_then(Value::as_str);
    requested_at(object).is_some_and(|request| answered != Some(request))
}

/// Whether the status speaks of the present spec already.
fn told(object: &DynamicObject) -> bool {
    let observed = object.data.pointer("/status/observedGeneration").and_then(Value::as_i64);
    observed == Some(generation(object))
}

pub(super) fn identity_of(object: &DynamicObject) -> Option<&str> {
    object.annotations().get(annotation::STORE).map(String::as_str)
}

/// The first contact is remembered on the binding; another store or project later is not touched.
async fn recognise(engine: &Engine, key: &Key, object: &DynamicObject, identity: &str) -> Result<(), Box<Finding>> {
    match identity_of(object) {
        Some(known) if known == identity => Ok(()),
        Some(known) => {
            let message = format!(
                "The backend is not the one that this binding first met (store/project {known}, now {identity}): nothing is \
                 written. If that is meant, remove the annotation {}",
                annotation::STORE
            );
            Err(Box::new(nowhere(engine, key, broken(Reason::WrongStore, message))))
        }
        None => match engine.writer.annotate(key, object, annotation::STORE, Some(identity)).await {
            Ok(()) => Ok(()),
            Err(error) => Err(Box::new(unwritten(error).into())),
        },
    }
}

/// Permissions that the kinds of this operator need and the token lacks.
fn missing(engine: &Engine, has: &BTreeSet<&Permission>) -> Vec<String> {
    engine.permissions().filter(|permission| !has.contains(permission)).map(ToString::to_string).collect()
}

fn lacking(missing: &[String]) -> Option<Remark> {
    let message = format!("The token lacks permissions that some kinds need: {}", missing.join(", "));
    (!missing.is_empty()).then(|| Remark::new(Reason::PermissionsMissing, message))
}

fn fields(project_id: &str, missing: &[String]) -> Map<String, Value> {
    let mut fields = Map::new();
    fields.insert("projectId".into(), project_id.into());
    if !missing.is_empty() {
        fields.insert("permissions".into(), json!({"missing": missing}));
    }
    fields
}

/// A binding in deletion waits for its users, whose deletion needs it.
async fn retire(engine: &Engine, key: &Key, object: &DynamicObject, spec: &ProjectBindingSpec) -> Outcome {
    if !has_finalizer(object) {
        return Outcome::Gone;
    }
    // A process that has just begun may not know them yet.
    if let Some(kind) = engine.unlisted(key, engine.kinds()) {
        return waits(engine, key, object, spec, unknown_users(kind)).await;
    }
    let users = users(engine, key);
    if !users.is_empty() {
        return waits(engine, key, object, spec, in_use(&users)).await;
    }
    // Nobody begins anything through it any more; who has begun meanwhile needs it, and has it back with the next pass.
    engine.bind(key, None);
    if let Err(error) = look_for_users(engine, key).await {
        return unwritten(error);
    }
    let users = self::users(engine, key);
    if !users.is_empty() {
        return Outcome::Failed { why: in_use(&users), at_least: Duration::ZERO };
    }
    if let Some(name) = held_secret(object)
        && let Err(outcome) = let_go(engine, key, name).await
    {
        return outcome;
    }
    match engine.writer.remove_finalizer(key, object).await {
        Ok(_) => Outcome::Gone,
        Err(error) => unwritten(error),
    }
}

/// As long as it waits it needs its token; it may have been deleted before that was held.
async fn waits(engine: &Engine, key: &Key, object: &DynamicObject, spec: &ProjectBindingSpec, why: Remark) -> Outcome {
    match hold(engine, key, object, spec).await {
        Ok(()) => Outcome::Deleting(why),
        Err(outcome) => outcome,
    }
}

/// Objects of our kinds in the binding's namespace that go through it. Their ends wake the binding.
fn users(engine: &Engine, key: &Key) -> Vec<Key> {
    let user =
        |user: &Key, object: &DynamicObject| has_finalizer(object) && engine.binding_of(user, object) == *key.name;
    engine.kinds().flat_map(|kind| engine.cache.those(key, kind, user)).collect()
}

impl Engine {
    /// This object needs its binding from now on: one that is being deleted names it among those that it waits for.
    pub(super) fn joined(&self, key: &Key, object: &DynamicObject) {
        let binding = Key::new(KIND, &key.namespace, &self.binding_of(key, object));
        if self.cache.get(&binding).is_some_and(|binding| deleting(&binding)) {
            self.queue.add(binding, Trigger::Dependency);
        }
    }
}

/// Lists that are asked for at the same time: an API server under load takes seconds for each.
const LISTS: usize = 4;

/// A watch may be behind without anybody knowing, and who is left behind without the binding could not be deleted any more.
async fn look_for_users(engine: &Engine, key: &Key) -> Result<(), WriteError> {
    let kinds: Vec<&str> = engine.kinds().collect();
    for some in kinds.chunks(LISTS) {
        let lists = try_join_all(some.iter().map(|kind| engine.writer.list(kind, &key.namespace))).await?;
        for (kind, list) in some.iter().zip(lists) {
            for object in list {
                engine.shown(&Key::new(kind, &key.namespace, &object.name_any()), Arc::new(object), Trigger::User);
            }
        }
    }
    Ok(())
}

fn listener(engine: &Arc<Engine>) -> Listener {
    let engine = Arc::downgrade(engine);
    Arc::new(move |link, event| {
        if let Some(engine) = engine.upgrade() {
            engine.heard(link, event);
        }
    })
}
