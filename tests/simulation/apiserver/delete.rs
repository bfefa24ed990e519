//! Deletion.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    kinds::NAMESPACES,
    meta, status,
    status::Refusal,
    store::{Object, State},
    write::Target,
};

/// What a deletion answers with: the object that is being deleted, or that it is gone.
pub enum Deleted {
    Pending(Arc<Object>),
    Gone(Value),
}

impl State {
    pub fn delete(&mut self, target: &Target<'_>, options: &Value) -> Result<Deleted, Refusal> {
        let old = self.find(target.id, &target.key, &target.call.name)?;
        preconditions(target, &old, &options["preconditions"])?;
        let policy = options["propagationPolicy"].as_str().unwrap_or(&target.call.query.propagation);
        Ok(self.end(target, &old, policy))
    }

    fn end(&mut self, target: &Target<'_>, old: &Arc<Object>, policy: &str) -> Deleted {
        let (kind, name) = (&target.kind, &target.call.name);
        let mut value = (*old.value).clone();
        own_finalizers(&mut value, policy);
        meta::normalise(&mut value);
        // A namespace is marked first, whatever holds it.
        if meta::released(&value) && (target.id != NAMESPACES || old.deleting()) {
            self.remove(target.id, &target.key);
            return Deleted::Gone(status::deleted(kind, name, old.meta("uid")));
        }
        if !old.deleting() {
            value["metadata"]["deletionTimestamp"] = self.now().into();
            if target.id == NAMESPACES {
                value["status"]["phase"] = "Terminating".into();
            } else {
                value["metadata"]["deletionGracePeriodSeconds"] = 0.into();
            }
            if let Some(generation) = value["metadata"]["generation"].as_i64() {
                value["metadata"]["generation"] = (generation + 1).into();
            }
        }
        if value == *old.value {
            return Deleted::Pending(old.clone());
        }
        Deleted::Pending(self.put(target.id, &target.key, value, old.managers.clone(), false))
    }
}

/// What becomes of dependents is the collector's, which is told by a finalizer.
fn own_finalizers(value: &mut Value, policy: &str) {
    let wanted = match policy {
        "Foreground" => "foregroundDeletion",
        "Orphan" => "orphan",
        _ => return,
    };
    let mut finalizers: Vec<String> = meta::finalizers(value).into_iter().map(str::to_owned).collect();
    if !finalizers.iter().any(|one| one == wanted) {
        finalizers.push(wanted.to_owned());
    }
    value["metadata"]["finalizers"] = json!(finalizers);
}

fn preconditions(target: &Target<'_>, old: &Object, wanted: &Value) -> Result<(), Refusal> {
    let (uid, version) = (wanted["uid"].as_str().unwrap_or(""), wanted["resourceVersion"].as_str().unwrap_or(""));
    let refuse = |field: &str, wanted: &str, found: &str, hint: &str| {
        let why = format!(
            "the {field} in the precondition ({wanted}) does not match the {field} in record ({found}). The object might have been {hint}"
        );
        Err(Refusal::not_meant(&target.kind, &target.call.name, &why))
    };
    if !uid.is_empty() && uid != old.meta("uid") {
        return refuse("UID", uid, old.meta("uid"), "deleted and then recreated");
    }
    if !version.is_empty() && version != old.meta("resourceVersion") {
        return refuse("ResourceVersion", version, old.meta("resourceVersion"), "modified");
    }
    Ok(())
}
