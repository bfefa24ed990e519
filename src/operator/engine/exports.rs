//! Secrets that the backend minted, brought into Kubernetes: fetched as often as it takes, stored, then acknowledged.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::OwnerReference};
use kube::{ResourceExt, api::ObjectMeta};

use super::{
    driver::Work,
    kind::{Datum, Found, Kind, Lookup, Remark, SecretExport, Seen},
    outcome::Outcome,
    secrets::{OURS, Secrets},
    writes::MANAGER,
};
use crate::{
    crd::Reason,
    protocol::{Code, Delivery, DeliveryRef, RawObject, SecretValues, client::CallError},
};

/// Who writes a Secret.
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Which delivery a Secret holds.
const DELIVERY: &str = "loopback.cloud/delivery";

/// What to do about one exported Secret.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Somebody else's Secret is in the way.
    Foreign,
    /// The minted secret waits to be fetched.
    Deliver,
    /// The Secret that held it is gone, and it cannot be fetched again.
    Reissue,
    /// The Secret is ours, but what is not minted differs.
    Amend,
    /// All is as it should be.
    Nothing,
}

fn next(secret: Option<&Secret>, uid: &str, delivery: &Delivery, export: &SecretExport) -> Step {
    let Some(secret) = secret else {
        return if delivery.pending { Step::Deliver } else { Step::Reissue };
    };
    if !controlled_by(secret, uid) {
        return Step::Foreign;
    }
    if delivery.pending {
        return Step::Deliver;
    }
    let same = secret.annotations().get(DELIVERY) == Some(&delivery.id);
    let value = |key: &str| secret.data.as_ref().and_then(|data| data.get(key));
    let complete = export.data.iter().all(|(key, datum)| !matches!(datum, Datum::Minted(_)) || value(key).is_some());
    if !same || !complete {
        return Step::Reissue;
    }
    let equal = |key: &str, text: &str| value(key).is_some_and(|value| value.0 == text.as_bytes());
    let plain = export.data.iter().all(|(key, datum)| match datum {
        Datum::Plain(text) => equal(key, text),
        Datum::Minted(_) => true,
    });
    let carries = within(&labels(export), secret.labels()) && within(&export.annotations, secret.annotations());
    if plain && carries { Step::Nothing } else { Step::Amend }
}

fn within(some: &BTreeMap<String, String>, all: &BTreeMap<String, String>) -> bool {
    some.iter().all(|(key, value)| all.get(key) == Some(value))
}

/// Those that it shall carry; theirs, should they name the same, but the one by which we find it.
fn labels(export: &SecretExport) -> BTreeMap<String, String> {
    let named = [(MANAGED_BY.to_owned(), MANAGER.to_owned())].into_iter().chain(export.labels.clone());
    named.chain([(OURS.to_owned(), "true".to_owned())]).collect()
}

fn with(map: &BTreeMap<String, String>, key: &str, value: &str) -> BTreeMap<String, String> {
    map.clone().into_iter().chain([(key.to_owned(), value.to_owned())]).collect()
}

fn controlled_by(secret: &Secret, uid: &str) -> bool {
    secret.owner_references().iter().any(|owner| owner.controller == Some(true) && owner.uid == uid)
}

impl Work<'_> {
    /// Brings a minted secret one step nearer to its Secret; true when a step was made.
    pub(super) async fn export<K: Kind>(
        &self,
        resource: &K::Resource,
        seen: &Seen<K>,
        object: &RawObject,
    ) -> Result<bool, Outcome> {
        let found = Found::new(&self.engine.cache, self.key);
        let (Some(export), Some(delivery)) = (K::exports(resource, seen, &found), object.deliveries.last()) else {
            return Ok(false);
        };
        let namespace = &self.key.namespace;
        self.engine.cache.note(self.key, Secrets::subject(namespace, &export.name));
        self.engine.secrets.keep_only(self.key, Some((namespace, &export.name)));
        let secret = match self.engine.secrets.ours(self.key, namespace, &export.name) {
            Ok(Lookup::Found(secret)) => Some(secret),
            Ok(Lookup::Absent) => None,
            // An API server takes a second to say that there is none. It is made, which changes none that is there.
            Ok(Lookup::Unknown) if delivery.pending => None,
            Ok(Lookup::Unknown) => return Err(looking()),
            Err(why) => return Err(Outcome::Stalled { why: Remark::new(Reason::SecretConflict, why), again: true }),
        };
        match next(secret.as_deref(), &self.owner.uid, delivery, &export) {
            Step::Nothing => {
                self.engine.secrets.is_ours(self.key, namespace, &export.name);
                Ok(false)
            }
            Step::Foreign => Err(self.taken(&export.name)),
            Step::Deliver => self.deliver(&export, object, secret.is_some()).await,
            Step::Reissue => self.reissue(&export, object, delivery).await,
            Step::Amend => self.amend(&export, delivery).await,
        }
    }

    async fn deliver(&self, export: &SecretExport, object: &RawObject, present: bool) -> Result<bool, Outcome> {
        let delivered = match self.link.client.fetch_secret(self.route(), &object.id).await {
            Ok(delivered) => delivered,
            Err(error) => return self.unfinished(&object.id, error).await,
        };
        let secret = self.manifest(export, &delivered.id, Some(&delivered.values));
        let stored = match present {
            true => self.engine.secrets.apply(&secret).await,
            false => self.engine.secrets.create(&secret).await,
        };
        stored.map_err(|problem| self.unstored(&export.name, problem))?;
        // Only now: until then it can be fetched again.
        let delivery = DeliveryRef { id: delivered.id };
        match self.link.client.acknowledge(self.route(), &object.id, &delivery).await {
            Ok(object) => {
                self.link.fold(self.collection, object);
                Ok(true)
            }
            Err(error) => self.unfinished(&object.id, error).await,
        }
    }

    async fn reissue(&self, export: &SecretExport, object: &RawObject, delivery: &Delivery) -> Result<bool, Outcome> {
        // The watch may be behind our own write: a working secret is not revoked for that.
        let secret = self.engine.secrets.look(&self.key.namespace, &export.name).await;
        let secret = secret.map_err(|message| failed(&message))?;
        if next(secret.as_deref(), &self.owner.uid, delivery, export) != Step::Reissue {
            return Ok(true);
        }
        self.confirm().await?;
        tracing::info!(secret = export.name, "what the Secret held is lost: it is revoked and issued anew");
        let delivery = DeliveryRef { id: delivery.id.clone() };
        match self.link.client.reissue(self.route(), &object.id, &delivery).await {
            Ok(object) => {
                self.link.fold(self.collection, object);
                Ok(true)
            }
            Err(error) => self.unfinished(&object.id, error).await,
        }
    }

    async fn amend(&self, export: &SecretExport, delivery: &Delivery) -> Result<bool, Outcome> {
        let secret = self.manifest(export, &delivery.id, None);
        let stored = self.engine.secrets.merge(&secret).await;
        stored.map(|()| true).map_err(|problem| self.unstored(&export.name, problem))
    }

    /// A step whose call did not go well: read how the object stands, and go on from there.
    async fn unfinished(&self, id: &str, error: CallError) -> Result<bool, Outcome> {
        match error {
            CallError::Refused(problem) if matches!(problem.code, Code::Stale | Code::NotFound | Code::Conflict) => {
                self.read(id).await.map(|_| true)
            }
            error => Err(self.unanswered(&error)),
        }
    }

    /// `values: None` leaves out what is minted.
    fn manifest(&self, export: &SecretExport, delivery: &str, values: Option<&SecretValues>) -> Secret {
        let value = |datum: &Datum| match datum {
            Datum::Plain(text) => Some(text.clone()),
            Datum::Minted(name) => values?.0.get(*name).cloned(),
        };
        let data = export.data.iter().filter_map(|(key, datum)| Some((key.clone(), ByteString(value(datum)?.into()))));
        let types = self.object.types.clone().unwrap_or_default();
        let owner = OwnerReference {
            api_version: types.api_version,
            kind: types.kind,
            name: self.key.name.to_string(),
            uid: self.owner.uid.clone(),
            controller: Some(true),
            block_owner_deletion: None,
        };
        Secret {
            metadata: ObjectMeta {
                name: Some(export.name.clone()),
                namespace: Some(self.key.namespace.to_string()),
                annotations: Some(with(&export.annotations, DELIVERY, delivery)),
                labels: Some(labels(export)),
                owner_references: Some(vec![owner]),
                ..ObjectMeta::default()
            },
            data: Some(data.collect()),
            type_: Some("Opaque".into()),
            ..Secret::default()
        }
    }

    fn unstored(&self, name: &str, problem: StoreProblem) -> Outcome {
        match problem {
            // It may be our own, made while a list of ours was under way: its own watch tells.
            StoreProblem::Exists => match self.engine.secrets.named(self.key, &self.key.namespace, name) {
                Ok(Lookup::Unknown) => looking(),
                _ => conflict(&self.key.namespace, name),
            },
            StoreProblem::Failed(message) => failed(&message),
        }
    }

    /// Another's Secret is in the way: its end is to wake us.
    fn taken(&self, name: &str) -> Outcome {
        drop(self.engine.secrets.named(self.key, &self.key.namespace, name));
        conflict(&self.key.namespace, name)
    }
}

/// Why a Secret was not stored.
#[derive(Debug)]
pub(super) enum StoreProblem {
    /// There is one of this name already.
    Exists,
    /// Anything else, for people.
    Failed(String),
}

fn looking() -> Outcome {
    Outcome::Unknown(Remark::new(Reason::Progressing, "Looking for the Secret"))
}

fn conflict(namespace: &str, name: &str) -> Outcome {
    let message =
        format!("Secret {namespace}/{name} exists and is not ours; delete it, or choose another spec.secretName");
    Outcome::Stalled { why: Remark::new(Reason::SecretConflict, message), again: true }
}

fn failed(message: &str) -> Outcome {
    Outcome::Failed { why: Remark::new(Reason::Error, message), at_least: std::time::Duration::ZERO }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn export() -> SecretExport {
        let data = [("KEY".to_owned(), Datum::Minted("key")), ("REGION".to_owned(), Datum::Plain("local-1".into()))];
        let labels = [("team".to_owned(), "shop".to_owned())].into();
        SecretExport { name: "s".into(), data: data.into(), labels, annotations: BTreeMap::new() }
    }

    fn secret(uid: &str, delivery: &str, data: &[(&str, &str)]) -> Secret {
        let owner = OwnerReference { controller: Some(true), uid: uid.into(), ..OwnerReference::default() };
        Secret {
            metadata: ObjectMeta {
                owner_references: Some(vec![owner]),
                annotations: Some([(DELIVERY.to_owned(), delivery.to_owned())].into()),
                labels: Some(labels(&export()).into_iter().chain([("more".to_owned(), String::new())]).collect()),
                ..ObjectMeta::default()
            },
            data: Some(data.iter().map(|(key, text)| ((*key).to_owned(), ByteString((*text).into()))).collect()),
            ..Secret::default()
        }
    }

    #[test]
    fn a_secret_is_delivered_kept_and_issued_anew_only_when_it_is_lost() {
        let delivery = |pending| Delivery { id: "d".into(), pending };
        let whole = [("KEY", "k"), ("REGION", "local-1")];
        for (secret, pending, step) in [
            (None, true, Step::Deliver),
            (None, false, Step::Reissue),
            (Some(secret("other", "d", &whole)), true, Step::Foreign),
            (Some(secret("other", "d", &whole)), false, Step::Foreign),
            (Some(secret("u", "old", &whole)), true, Step::Deliver),
            (Some(secret("u", "old", &whole)), false, Step::Reissue),
            (Some(secret("u", "d", &whole)), false, Step::Nothing),
            (Some(secret("u", "d", &[("REGION", "local-1")])), false, Step::Reissue),
            (Some(secret("u", "d", &[("KEY", "k"), ("REGION", "x")])), false, Step::Amend),
        ] {
            assert_eq!(next(secret.as_ref(), "u", &delivery(pending), &export()), step, "{secret:?} {pending}");
        }
        let mut bare = secret("u", "d", &whole);
        bare.metadata.labels.as_mut().unwrap().remove(OURS);
        assert_eq!(next(Some(&bare), "u", &delivery(false), &export()), Step::Amend, "the watch would not show it");
        let theirs = SecretExport { labels: [(OURS.to_owned(), "no".to_owned())].into(), ..export() };
        assert_eq!(labels(&theirs)[OURS], "true");
    }
}
