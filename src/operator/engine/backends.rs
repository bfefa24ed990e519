//! LoopbackBackends: an admin's identity at a backend. It is used by bindings; here it is only looked at.

use std::sync::Arc;

use kube::{ResourceExt, api::DynamicObject};

use super::{
    Engine,
    common::{paused, typed},
    key::Key,
    kind::{Lookup, Remark},
    outcome::{Finding, Outcome},
    secrets::Secrets,
};
use crate::crd::{LoopbackBackend, Reason};

/// Kind of the backends.
pub const KIND: &str = "LoopbackBackend";

/// One pass of a backend: can it be used?
pub(super) fn pass(engine: &Engine, key: &Key, object: &Arc<DynamicObject>) -> Finding {
    let backend = match typed::<LoopbackBackend>(object) {
        Ok(backend) => backend,
        Err(error) => return stalled(Reason::InvalidSpec, format!("The object does not fit the schema: {error}")),
    };
    if paused(object.annotations()) {
        return Outcome::Paused.into();
    }
    if backend.spec.url.is_none() && engine.own_backend.is_none() {
        let message =
            "spec.url is absent, and this operator has no backend of its own (its flag --backend-url); set spec.url";
        return stalled(Reason::InvalidSpec, message);
    }
    let secret = &backend.spec.token_secret_ref;
    engine.secrets.keep_only(key, Some((&secret.namespace, &secret.name)));
    engine.cache.note(key, Secrets::subject(&secret.namespace, &secret.name));
    let outcome = match engine.secrets.token(key, &secret.namespace, &secret.name, &secret.key) {
        Ok(Lookup::Found(_)) => Outcome::Ready { degraded: None },
        Ok(Lookup::Unknown) => Outcome::Down { retry: false },
        Ok(Lookup::Absent) => {
            let message =
                format!("There is no Secret {}/{}; create it with key {}", secret.namespace, secret.name, secret.key);
            Outcome::Working(Remark::new(Reason::TokenMissing, message))
        }
        Err(why) => return stalled(Reason::TokenMissing, why),
    };
    let synced = matches!(outcome, Outcome::Ready { .. });
    Finding { outcome, synced, fields: Some(serde_json::Map::new()), repaired: None, tell: None }
}

fn stalled(reason: Reason, message: impl Into<String>) -> Finding {
    Outcome::Stalled { why: Remark::new(reason, message), again: false }.into()
}
