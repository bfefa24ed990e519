//! The end of a resource: its owner is retired in the backend, the plane lets go, then our finalizer goes.

use std::{sync::Arc, time::Duration};

use kube::api::DynamicObject;
use tokio::time::Instant;

use super::{
    Engine,
    common::{Common, has_finalizer, owner, uid},
    connections::Connection,
    driver::{Work, unwritten},
    key::Key,
    kind::Remark,
    outcome::Outcome,
    parents::{in_use, unknown_users},
    watch::only_cached,
};
use crate::{
    crd::{BucketDeletionPolicy as Policy, ManagementPolicy, Reason},
    protocol::{Phase, RawObject, RetireOptions, client::CallError, object_storage::member},
};

/// One pass of a resource that is being deleted.
pub(super) async fn pass(engine: &Engine, key: &Key, object: Arc<DynamicObject>, collection: &'static str) -> Outcome {
    if !has_finalizer(&object) {
        return Outcome::Gone;
    }
    // A spec that cannot be read must not keep its object for ever.
    let common = Common::of(&object).unwrap_or_default();
    let keep = common.deletion() == Policy::Retain || common.management() == ManagementPolicy::Observe;
    if keep {
        return release(engine, key, &object).await;
    }
    // Once retired there is no way back, so this is asked before the first time only.
    if engine.memory(key, |memory| memory.retired.is_none()) {
        match engine.crd_deleting(&key.kind).await {
            Ok(false) => {}
            Ok(true) => return release(engine, key, &object).await,
            Err(message) => {
                return Outcome::Failed { why: Remark::new(Reason::Deleting, message), at_least: Duration::ZERO };
            }
        }
    }
    let link = match engine.connection_of_deleted(key, &object, collection) {
        Connection::Open(link) | Connection::Held(link, _) => link,
        Connection::Down => return Outcome::Unknown(Remark::new(Reason::BindingNotReady, "Waiting for the backend")),
        Connection::Waiting(why) => return Outcome::Deleting(why),
        Connection::Broken(why) => return unreachable(&why),
    };
    if let Some(kind) = engine.unlisted(key, engine.child_kinds(&key.kind)) {
        return Outcome::Deleting(unknown_users(kind));
    }
    let children = engine.children(key);
    if !children.is_empty() {
        return Outcome::Deleting(in_use(&children));
    }
    let owner = owner(&engine.cluster, key, &object);
    let work =
        Work { engine, key, object, common, owner, link, collection, under: None, nested: false, repaired: None };
    match work.retire().await {
        Ok(None) => release(engine, key, &work.object).await,
        Ok(Some(held)) => work.waiting(&held),
        // One that came between the look at the children and the call: its end is what wakes us.
        Err(outcome) => match engine.children(key) {
            children if children.is_empty() => outcome,
            children => Outcome::Deleting(in_use(&children)),
        },
    }
}

impl Work<'_> {
    /// What the backend still has of this owner; `None` once it has nothing and never will.
    async fn retire(&self) -> Result<Option<Arc<RawObject>>, Outcome> {
        let options = RetireOptions { purge: self.purges() };
        // A backend that was started on an older copy of its store has forgotten that it was told.
        let forgotten = self.held().is_some_and(|object| object.phase == Phase::Live);
        // Purge may be given while the deletion waits already.
        if forgotten || self.engine.memory(self.key, |memory| memory.retired.as_ref() != Some(&options)) {
            let began = Instant::now();
            let answer = self.link.client.retire(&self.owner, &options).await;
            self.engine.count("retire", &answer, began.elapsed());
            let retired = answer.map_err(|error| match error {
                CallError::Refused(problem) => self.judge(&problem),
                _ => self.lost(),
            })?;
            self.engine.memory(self.key, |memory| memory.retired = Some(options));
            match retired.object {
                Some(object) => self.link.fold(self.collection, object),
                // The answer is newer than the mirror.
                None => return Ok(None),
            }
        }
        Ok(self.held())
    }

    fn held(&self) -> Option<Arc<RawObject>> {
        self.link.look(|mirror| mirror.of_owner(self.collection, &self.owner.cluster, &self.owner.uid))
    }

    fn purges(&self) -> bool {
        self.common.deletion() == Policy::Purge
    }

    /// The backend takes its time, or waits for a person.
    fn waiting(&self, held: &RawObject) -> Outcome {
        let blocked = held.reality.members.values().find(|found| found.state == member::BLOCKED);
        match blocked.filter(|_| !self.purges()) {
            Some(blocked) => {
                Outcome::Stalled { why: Remark::new(Reason::NotEmpty, blocked.message.clone()), again: false }
            }
            None => Outcome::Deleting(Remark::new(Reason::Deleting, "The backend is letting go of what it holds")),
        }
    }
}

async fn release(engine: &Engine, key: &Key, object: &DynamicObject) -> Outcome {
    match engine.writer.remove_finalizer(key, object).await {
        Ok(true) => Outcome::Gone,
        Ok(false) => {
            if only_cached(object) {
                engine.gone(key, Some(uid(object)));
            }
            Outcome::Gone
        }
        Err(super::writes::WriteError::Changed) => Outcome::Failed {
            why: Remark::new(Reason::Deleting, "The object changed while it was being released"),
            at_least: Duration::ZERO,
        },
        Err(error) => unwritten(error),
    }
}

fn unreachable(why: &Remark) -> Outcome {
    let message = format!(
        "It cannot be deleted in the backend: {}. Mend that, or set spec.deletionPolicy to Retain to leave it there",
        why.message
    );
    Outcome::Stalled { why: Remark::new(why.reason, message), again: true }
}
