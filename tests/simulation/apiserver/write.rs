//! Create, update, patch, apply.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    apply::{self, Author, Managers},
    call::{Call, Verb},
    kinds::{DEFINITIONS, Kind, KindId, NAMESPACES},
    meta,
    status::Refusal,
    store::{Object, State, key},
};

/// Answer to a write: 200 or 201, and the object.
pub type Written = Result<(u16, Arc<Object>), Refusal>;

/// What a write is about.
pub struct Target<'a> {
    pub call: &'a Call,
    pub id: KindId,
    pub kind: Arc<Kind>,
    pub key: String,
    now: String,
}

impl<'a> Target<'a> {
    pub fn new(state: &State, call: &'a Call, id: KindId) -> Self {
        Self { call, id, kind: state.kind(id), key: key(&call.namespace, &call.name), now: state.now() }
    }

    fn author(&self) -> Author<'_> {
        Author {
            name: self.call.manager(),
            applies: self.call.verb == Verb::Apply,
            subresource: &self.call.subresource,
            force: self.call.query.force,
            time: &self.now,
            split: self.kind.status,
            custom: self.kind.custom,
        }
    }

    fn status(&self) -> bool {
        self.call.subresource == "status"
    }
}

impl State {
    pub fn create(&mut self, target: &Target<'_>, mut value: Value) -> Written {
        let (kind, call) = (&target.kind, target.call);
        meta::check_type(kind, &value)?;
        meta::check_namespace(kind, &value, &call.namespace)?;
        let name = self.named(&mut value, kind)?;
        self.admitted(kind, &name, &call.namespace)?;
        let key = key(&call.namespace, &name);
        if !meta::text(&value, "resourceVersion").is_empty() {
            return Err(Refusal::internal("resourceVersion should not be set on objects to be created"));
        }
        if let Some(present) = self.get(target.id, &key) {
            return Err(Refusal::exists(kind, &name, present.deleting()));
        }
        let applied = (call.verb == Verb::Apply).then(|| value.clone());
        self.prepare(&mut value, target.id, kind, &call.namespace);
        let managers = match applied {
            Some(applied) => {
                let nothing = json!({"metadata": {}});
                apply::apply(&nothing, &applied, &kind.schema, &Managers::default(), &target.author())?.1
            }
            None if !self.tracked => Managers::default(),
            None => apply::updated(None, &value, &kind.schema, &Managers::default(), &target.author()),
        };
        let bare = begin(&mut value, target);
        let object = self.put(target.id, &key, value, managers, bare);
        self.created(target.id, &object);
        Ok((201, object))
    }

    fn named(&mut self, value: &mut Value, kind: &Kind) -> Result<String, Refusal> {
        let name = meta::text(value, "name");
        if !name.is_empty() {
            return Ok(name);
        }
        let prefix = meta::text(value, "generateName");
        if prefix.is_empty() {
            let cause =
                ("FieldValueRequired", "metadata.name", "Required value: name or generateName is required".into());
            return Err(Refusal::invalid(kind, "", &[cause]));
        }
        let name = format!("{prefix}{}", self.suffix());
        value["metadata"]["name"] = name.clone().into();
        Ok(name)
    }

    /// Nothing new where there is no namespace, or no longer one.
    fn admitted(&self, kind: &Kind, name: &str, namespace: &str) -> Result<(), Refusal> {
        if !kind.namespaced {
            return Ok(());
        }
        let Some(found) = self.get(NAMESPACES, namespace) else {
            return Err(Refusal::not_found(self.kinds.get(NAMESPACES), namespace));
        };
        if found.deleting() { Err(Refusal::terminating(kind, name, namespace)) } else { Ok(()) }
    }

    fn prepare(&mut self, value: &mut Value, id: KindId, kind: &Kind, namespace: &str) {
        let (uid, now) = (self.uid(), self.now());
        meta::fresh(value, kind, namespace, &uid, &now);
        if id == NAMESPACES {
            let name = meta::text(value, "name");
            value["metadata"]["labels"]["kubernetes.io/metadata.name"] = name.into();
        }
        meta::built_in(value, kind);
        kind.schema.prune(value);
    }

    /// A definition brings its kind.
    fn created(&mut self, id: KindId, object: &Object) {
        if id == DEFINITIONS {
            let metadata = super::schema::Schema::metadata();
            if let Some(kind) = Kind::custom(&object.value, &metadata) {
                self.register(kind);
            }
        }
    }

    pub fn replace(&mut self, target: &Target<'_>, value: Value) -> Written {
        let (kind, call) = (&target.kind, target.call);
        meta::check_type(kind, &value)?;
        meta::check_namespace(kind, &value, &call.namespace)?;
        meta::check_name(&value, &call.name)?;
        let Some(old) = self.get(target.id, &target.key).cloned() else {
            if kind.put_creates && call.subresource.is_empty() {
                return self.create(target, value);
            }
            return Err(Refusal::not_found(kind, &call.name));
        };
        let (uid, version) = (meta::text(&value, "uid"), meta::text(&value, "resourceVersion"));
        if !uid.is_empty() && uid != old.meta("uid") {
            return Err(meta::precondition(kind, &target.key, &call.name, &uid, old.meta("uid")));
        }
        if version.is_empty() && !kind.unconditional {
            return Err(meta::no_version(kind, &call.name));
        }
        self.update(target, &old, value, None).map(|object| (200, object))
    }

    pub fn patch(&mut self, target: &Target<'_>, patch: &Value) -> Written {
        let (kind, call) = (&target.kind, target.call);
        let old = self.find(target.id, &target.key, &call.name)?;
        let mut value = (*old.value).clone();
        match call.content.as_str() {
            "application/json-patch+json" => {
                let read: Result<json_patch::Patch, _> = json_patch::Patch::deserialize(patch);
                let patch = read.map_err(|error| Refusal::bad(&error.to_string()))?;
                json_patch::patch(&mut value, &patch).map_err(|error| Refusal::patch(&error.to_string()))?;
            }
            "application/merge-patch+json" => json_patch::merge(&mut value, patch),
            _ => {
                let accepted =
                    "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
                return Err(Refusal::media_type(accepted));
            }
        }
        meta::check_type(kind, &value)?;
        meta::check_name(&value, &call.name)?;
        self.update(target, &old, value, None).map(|object| (200, object))
    }

    pub fn apply(&mut self, target: &Target<'_>, mut configuration: Value) -> Written {
        let (kind, call) = (&target.kind, target.call);
        meta::check_apply(kind, &configuration, call)?;
        let uid = meta::text(&configuration, "uid");
        configuration["metadata"]["name"] = call.name.clone().into();
        let Some(old) = self.get(target.id, &target.key).cloned() else {
            if !call.subresource.is_empty() {
                return Err(Refusal::not_found(kind, &call.name));
            }
            if !uid.is_empty() {
                let why =
                    format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found");
                return Err(Refusal::conflict(kind, &call.name, &why));
            }
            return self.create(target, configuration);
        };
        let version = meta::text(&configuration, "resourceVersion");
        if !version.is_empty() && version != old.meta("resourceVersion") {
            return Err(Refusal::modified(kind, &call.name));
        }
        meta::strings_to_data(&mut configuration, kind);
        let configuration = meta::part_applied(configuration, kind, &call.subresource);
        let (value, managers) =
            apply::apply(&old.value, &configuration, &kind.schema, &old.managers, &target.author())?;
        self.update(target, &old, value, Some(managers)).map(|object| (200, object))
    }

    /// Stores a new version, if it is one. `managers` are given when they have been worked out already.
    fn update(
        &mut self,
        target: &Target<'_>,
        old: &Arc<Object>,
        mut value: Value,
        managers: Option<Managers>,
    ) -> Result<Arc<Object>, Refusal> {
        let (kind, name) = (&target.kind, &target.call.name);
        meta::check_identity(kind, name, old, &value, target.status())?;
        meta::keep(&mut value, &old.value);
        meta::strings_to_data(&mut value, kind);
        meta::normalise(&mut value);
        kind.schema.prune(&mut value);
        let finalize = target.call.subresource == "finalize";
        let managers = managers
            .or_else(|| finalize.then(|| old.managers.clone()))
            .unwrap_or_else(|| apply::updated(Some(&old.value), &value, &kind.schema, &old.managers, &target.author()));
        if kind.status || finalize {
            separate(&mut value, &old.value, target);
        }
        kind.schema.fill(&mut value);
        if kind.generation && !target.status() && meta::intent_changed(&old.value, &value, kind) {
            let generation = old.value["metadata"]["generation"].as_i64().unwrap_or(0);
            value["metadata"]["generation"] = (generation + 1).into();
        }
        meta::check_finalizers(kind, name, old, &value)?;
        if old.deleting() && meta::released(&value) && !target.status() {
            self.remove(target.id, &target.key);
            return Ok(Object::new(value, managers, false));
        }
        let same = value == *old.value && same_owners(&managers, &old.managers) && !old.bare;
        if same {
            return Ok(old.clone());
        }
        Ok(self.put(target.id, &target.key, value, managers, false))
    }

    /// Takes an object away, and what hangs on it.
    pub fn remove(&mut self, id: KindId, key: &str) {
        self.take(id, key);
    }
}

/// The status of a new object, and what is absent and has a default. Whether that is shown but not stored.
fn begin(value: &mut Value, target: &Target<'_>) -> bool {
    if target.kind.status {
        value.as_object_mut().unwrap().remove("status");
    }
    if target.id == NAMESPACES {
        value["spec"] = json!({"finalizers": ["kubernetes"]});
        value["status"] = json!({"phase": "Active"});
    }
    let stored = value.clone();
    target.kind.schema.fill(value);
    *value != stored
}

fn same_owners(one: &Managers, other: &Managers) -> bool {
    if Arc::ptr_eq(one, other) {
        return true;
    }
    let same = |(one, other): (&apply::Manager, &apply::Manager)| {
        one.name == other.name
            && one.applies == other.applies
            && one.subresource == other.subresource
            && one.fields == other.fields
    };
    one.len() == other.len() && one.iter().zip(other.iter()).all(same)
}

/// A write of the one part leaves the other as it was.
fn separate(value: &mut Value, old: &Value, target: &Target<'_>) {
    if target.call.subresource.is_empty() {
        meta::copy(value, old, "status");
        return;
    }
    let written = if target.status() { "status" } else { "spec" };
    let part = value.get(written).cloned();
    *value = old.clone();
    match part {
        // The last finalizer of a namespace leaves nothing behind.
        Some(part) if part["finalizers"].as_array().is_some_and(Vec::is_empty) => value[written] = json!({}),
        Some(part) if !part.is_null() => value[written] = part,
        _ => drop(value.as_object_mut().unwrap().remove(written)),
    }
}
