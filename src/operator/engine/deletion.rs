//! The end of a resource: its owner is retired in the backend, the plane lets go, then our finalizer goes.

use std::{sync::Arc, time::Duration};

use kube::api::DynamicObject;
use tokio::time::Instant;

use super::{
    Engine,
    cache::Subject,
    common::{Common, deleting, has_finalizer, owner, uid},
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
    protocol::{Phase, RawObject, RetireOptions, Verb, object_storage::member},
};

/// How a resource ends.
enum End<'a> {
    /// Its object stays in the backend.
    Retain,
    /// Its object goes with it.
    Retire(Box<Work<'a>>),
}

/// One pass of a resource that is being deleted.
pub(super) async fn pass(engine: &Engine, key: &Key, object: Arc<DynamicObject>, collection: &'static str) -> Outcome {
    if !has_finalizer(&object) {
        return Outcome::Gone;
    }
    ended(engine, key, object, collection).await.unwrap_or_else(|outcome| outcome)
}

async fn ended(
    engine: &Engine,
    key: &Key,
    object: Arc<DynamicObject>,
    collection: &'static str,
) -> Result<Outcome, Outcome> {
    let mut end = decide(engine, key, object.clone(), collection).await?;
    let mut latest = object;
    if !only_cached(&latest) && !end.is_sure(engine, key) {
        let live = engine.live(key, &latest).await.map_err(unwritten)?;
        // Gone, or not on its way out at all, since the API server's store was restored.
        if !has_finalizer(&live) || !deleting(&live) {
            return Ok(Outcome::Gone);
        }
        if live.metadata.resource_version != latest.metadata.resource_version {
            end = decide(engine, key, live.clone(), collection).await?;
        }
        latest = live;
    }
    match end {
        End::Retain => Ok(release(engine, key, &latest).await),
        End::Retire(work) => Ok(work.end().await),
    }
}

/// What is to be done about the end of a resource, as far as is known. `Err`: nothing yet, or it is not to be found out.
async fn decide<'a>(
    engine: &'a Engine,
    key: &'a Key,
    object: Arc<DynamicObject>,
    collection: &'static str,
) -> Result<End<'a>, Outcome> {
    // A spec that cannot be read must not keep its object for ever.
    let common = Common::of(&object).unwrap_or_default();
    if common.deletion() == Policy::Retain || common.management() == ManagementPolicy::Observe {
        return Ok(End::Retain);
    }
    // Once retired there is no way back, so this is asked before the first time only.
    if engine.memory(key, |memory| memory.retired.is_none()) {
        match engine.crd_deleting(&key.kind).await {
            Ok(false) => {}
            Ok(true) => return Ok(End::Retain),
            Err(message) => {
                let why = Remark::new(Reason::Deleting, message);
                return Err(Outcome::Failed { why, at_least: Duration::ZERO });
            }
        }
    }
    let link = match engine.connection_of_deleted(key, &object, collection) {
        Connection::Open(link) | Connection::Held(link, _) => link,
        Connection::Down => {
            return Err(Outcome::Unknown(Remark::new(Reason::BindingNotReady, "Waiting for the backend")));
        }
        Connection::Waiting(why) => return Err(Outcome::Deleting(why)),
        Connection::Broken(why) => return Err(unreachable(&why)),
    };
    if let Some(kind) = engine.unlisted(key, engine.child_kinds(&key.kind)) {
        return Err(Outcome::Deleting(unknown_users(kind)));
    }
    let children = engine.children(key);
    if !children.is_empty() {
        return Err(Outcome::Deleting(in_use(&children)));
    }
    let owner = owner(&engine.cluster, key, &object);
    Ok(End::Retire(Box::new(Work {
        engine,
        key,
        object,
        common,
        owner,
        link,
        collection,
        under: None,
        nested: false,
        repaired: None,
    })))
}

impl End<'_> {
    /// Whether nothing is done now that could not be undone: the owner was retired so by this process.
    fn is_sure(&self, engine: &Engine, key: &Key) -> bool {
        engine.memory(key, |memory| match self {
            Self::Retain => memory.retired.is_some(),
            Self::Retire(work) => memory.retired.as_ref() == Some(&work.options()),
        })
    }
}

impl Work<'_> {
    async fn end(&self) -> Outcome {
        match self.retire().await {
            Ok(None) => release(self.engine, self.key, &self.object).await,
            Ok(Some(held)) => self.waiting(&held),
            // One that came between the look at the children and the call: its end is what wakes us.
            Err(outcome) => match self.engine.children(self.key) {
                children if children.is_empty() => {
                    if matches!(&outcome, Outcome::Stalled { why, .. } if why.reason == Reason::InUse) {
                        self.note_children();
                    }
                    outcome
                }
                children => Outcome::Deleting(in_use(&children)),
            },
        }
    }

    /// What is under it in the backend without a resource here keeps it too: the pass comes again when that goes.
    fn note_children(&self) {
        let Some(held) = self.held() else { return };
        for kind in self.engine.child_kinds(&self.key.kind).filter_map(|kind| self.engine.kinds.get(kind)) {
            let note = |child: Arc<RawObject>| self.engine.cache.note(self.key, Subject::Remote(child.id.clone()));
            let under = |child: &Arc<RawObject>| child.parent.as_ref() == Some(&held.id);
            self.link.look(|mirror| mirror.all(kind.collection).filter(under).for_each(note));
        }
    }

    fn options(&self) -> RetireOptions {
        RetireOptions { purge: self.purges() }
    }

    /// What the backend still has of this owner; `None` once it has nothing and never will.
    async fn retire(&self) -> Result<Option<Arc<RawObject>>, Outcome> {
        let options = self.options();
        // A backend that was started on an older copy of its store has forgotten that it was told.
        let forgotten = self.held().is_some_and(|object| object.phase == Phase::Live);
        let unseen = self.held().is_none() && !self.sees();
        // Purge may be given while the deletion waits already.
        if forgotten || unseen || self.engine.memory(self.key, |memory| memory.retired.as_ref() != Some(&options)) {
            let began = Instant::now();
            let answer = self.link.client.retire(&self.owner, &options).await;
            self.engine.count("retire", &answer, began.elapsed());
            let retired = answer.map_err(|error| self.unanswered(&error))?;
            self.engine.memory(self.key, |memory| memory.retired = Some(options));
            match retired.object {
                Some(_) if unseen => return Err(unreadable()),
                Some(object) => self.link.fold(self.collection, object),
                // The answer is newer than the mirror.
                None => return Ok(None),
            }
        }
        Ok(self.held())
    }

    /// Whether the token may read what the kind holds in the backend: what it may not read looks as if it were not there.
    fn sees(&self) -> bool {
        let Some((view, kind)) = self.link.view().zip(self.engine.kinds.get(&*self.key.kind)) else { return false };
        let mut read = kind.permissions.iter().filter(|permission| permission.verb == Verb::Read);
        read.all(|permission| view.permissions.contains(permission))
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

fn unreadable() -> Outcome {
    let message = "The backend is letting go of what it holds, and the token of this namespace's ProjectBinding may not read \
                   whether it has: give it the permission, or wait";
    Outcome::Stalled { why: Remark::new(Reason::Denied, message), again: true }
}

fn unreachable(why: &Remark) -> Outcome {
    let message = format!(
        "It cannot be deleted in the backend: {}. Mend that, or set spec.deletionPolicy to Retain to leave it there",
        why.message
    );
    Outcome::Stalled { why: Remark::new(why.reason, message), again: true }
}
