//! One pass of one resource: desired -> plan -> one call -> plan again -> report. All kinds go through here.

use std::{sync::Arc, time::Duration};

use kube::{ResourceExt, api::DynamicObject};
use serde_json::{Map, Value};

use super::{
    Engine,
    cache::Subject,
    common::{Common, deleting, generation, has_finalizer, owner, paused, typed},
    connections::Connection,
    contest::Reached,
    key::Key,
    kind::{Desired, FieldProblem, Found, Kind, Missing, Remark, Seen},
    link::Link,
    observe::{Search, observe},
    outcome::{Finding, Outcome},
    parents::Parent,
    plan::{Change, Observed, Wanted, difference, plan},
    writes::WriteError,
};
use crate::{
    crd::{ManagementPolicy, Member, Reason},
    protocol::{Intent, ObjectId, Owner, Phase, RawObject, client::Route},
    runtime::queue::Trigger,
};

/// Changes that one pass makes at most; what is left is done by the next.
const STEPS: usize = 8;

/// What one pass works with.
pub(super) struct Work<'a> {
    pub engine: &'a Engine,
    pub key: &'a Key,
    pub object: Arc<DynamicObject>,
    pub common: Common,
    pub owner: Owner,
    pub link: Arc<Link>,
    pub collection: &'static str,
    /// The parent's id in the backend, for a child.
    pub under: Option<ObjectId>,
    /// Whether the routes of the collection name the parent.
    pub nested: bool,
    /// Set when the pass undid what somebody did in the backend.
    pub repaired: Option<String>,
}

/// Brings one resource nearer to what it says and finds out how it stands.
pub(super) async fn pass<K: Kind>(engine: &Engine, key: &Key, object: Arc<DynamicObject>) -> Finding {
    if paused(object.annotations()) {
        return Outcome::Paused.into();
    }
    let resource = match typed::<K::Resource>(&object) {
        Ok(resource) => resource,
        Err(error) => return unreadable(&error.to_string()),
    };
    let common = match Common::of(&object) {
        Ok(common) => common,
        Err(error) => return unreadable(&error.to_string()),
    };
    let parent = match engine.parent(key, &object) {
        Ok(parent) => parent,
        Err(why) => return Outcome::Working(why).into(),
    };
    if let Some(why) = parent.as_ref().and_then(Parent::going).filter(|_| !has_finalizer(&object)) {
        return Outcome::Working(why).into();
    }
    let binding = parent.as_ref().map_or_else(|| common.binding().to_owned(), Parent::binding);
    let link = match engine.connections.of(engine, key, &binding) {
        Connection::Open(link) => link,
        Connection::Down => return Outcome::Down { retry: false }.into(),
        Connection::Waiting(why) => return Outcome::Working(why).into(),
        Connection::Held(_, why) | Connection::Broken(why) => return Outcome::Stalled { why, again: false }.into(),
    };
    let under = match parent.map(|parent| engine.parent_id(&link, &parent)).transpose() {
        Ok(under) => under,
        Err(why) => return Outcome::Working(why).into(),
    };
    let mut work = Work {
        engine,
        key,
        common,
        owner: owner(&engine.cluster, key, &object),
        object,
        link,
        collection: K::Intent::COLLECTION,
        under,
        nested: nested::<K::Intent>(),
        repaired: None,
    };
    let finding = work.reconcile::<K>(&resource).await;
    Finding { repaired: work.repaired, ..finding }
}

/// Whether the routes of a collection name the parent of its objects.
pub(super) fn nested<I: Intent>() -> bool {
    Route::of::<I>(Some("parent")).parent.is_some()
}

impl Work<'_> {
    /// How this collection is addressed.
    pub(super) fn route(&self) -> Route<'_> {
        Route { collection: self.collection, parent: self.under.as_deref().filter(|_| self.nested) }
    }

    /// How the collection of an object is addressed: a child may be below another parent than the one that it is to have.
    pub(super) fn route_to<'a>(&'a self, object: Option<&'a RawObject>) -> Route<'a> {
        let parent = object.and_then(|object| object.parent.as_deref()).or(self.under.as_deref());
        Route { collection: self.collection, parent: parent.filter(|_| self.nested) }
    }

    async fn reconcile<K: Kind>(&mut self, resource: &K::Resource) -> Finding {
        for _ in 0..STEPS {
            match self.step::<K>(resource).await {
                Ok(Some(finding)) => return finding,
                Ok(None) => {}
                Err(outcome) => return outcome.into(),
            }
        }
        let why = Remark::new(Reason::Progressing, "The backend keeps changing while it is being changed");
        Outcome::Failed { why, at_least: Duration::ZERO }.into()
    }

    /// One round: `None` when a change was made and it is time to plan again.
    async fn step<K: Kind>(&mut self, resource: &K::Resource) -> Result<Option<Finding>, Outcome> {
        let mut observed = self.observe::<K>(None);
        let mut seen = seen::<K>(&observed)?;
        let found = Found::new(&self.engine.cache, self.key);
        let (intent, hold, problems) = match K::desired(resource, &found, &seen) {
            Desired::Want { intent, hold, problems } => (intent, hold, problems),
            Desired::Wait(missing) => return Ok(Some(waiting(&missing))),
            Desired::Invalid(problems) => return Ok(Some(invalid(&problems))),
        };
        let intent = serde_json::to_value(intent).map_err(|error| broken(&error.to_string()))?;
        let wanted = Wanted { owner: self.owner.clone(), intent, hold, under: self.under.clone() };
        if self.common.management() == ManagementPolicy::Observe {
            let name = wanted.intent.get(K::Intent::NAME_FIELD).and_then(Value::as_str);
            observed = self.observe::<K>(name);
            seen = super::driver::seen::<K>(&observed)?;
            return Ok(Some(self.compare::<K>(resource, &wanted, &observed, &seen, &problems)));
        }
        match plan(&wanted, &observed) {
            None => {
                if matches!(observed, Observed::Ours(_)) {
                    // Somebody may have taken it off.
                    self.ensure_finalizer().await?;
                }
                if let Observed::Ours(object) = &observed
                    && object.phase == Phase::Live
                    && self.export::<K>(resource, &seen, object).await?
                {
                    return Ok(None);
                }
                Ok(Some(self.settle::<K>(resource, &observed, &seen, &problems)))
            }
            Some(change) => {
                let drift = self.drift(&wanted, &change);
                self.contested(&wanted, &change)?;
                self.apply(&change).await?;
                // What follows a removal of our own is no repair: the intent counts as one that was never reached.
                let reached = Some(&wanted.intent).filter(|_| !matches!(change, Change::Remove { .. }));
                self.engine.memory(self.key, |memory| {
                    memory.reached = Some(Reached::next(memory.reached.as_ref(), reached));
                });
                self.repaired = self.repaired.take().or(drift);
                Ok(None)
            }
        }
    }

    fn observe<K: Kind>(&self, name: Option<&str>) -> Observed {
        if let Some(import) = &self.common.import {
            self.engine.cache.note(self.key, Subject::Remote(import.id.clone()));
        }
        if let Some(name) = name {
            self.engine.cache.note(self.key, Subject::RemoteName(self.collection.to_owned(), name.to_owned()));
        }
        let search = Search {
            collection: self.collection,
            name_field: K::Intent::NAME_FIELD,
            name,
            last: self.object.data.pointer("/status/id").and_then(Value::as_str),
            owner: &self.owner,
            common: &self.common,
            vanished: &|owner| {
                // Remembered before it is looked up, or its end in between would wake nobody.
                self.engine.cache.note(self.key, Subject::Object(Key::new(&owner.kind, &owner.namespace, &owner.name)));
                self.engine.vanished(owner)
            },
        };
        self.link.look(|mirror| {
            let observed = observe(mirror, &search);
            let note = |id| self.engine.cache.note(self.key, Subject::Remote(id));
            observed.others().into_iter().for_each(note);
            observed
        })
    }

    /// What to tell when `change` undoes somebody else's: we had reached this very state before.
    fn drift(&self, wanted: &Wanted, change: &Change) -> Option<String> {
        let status = self.object.data.get("status")?;
        if status.get("observedGeneration").and_then(Value::as_i64) != Some(generation(&self.object)) {
            return None;
        }
        let other = |reached: &Reached| !reached.is(&wanted.intent);
        if self.engine.memory(self.key, |memory| memory.reached.as_ref().is_some_and(other)) {
            return None;
        }
        match change {
            Change::Create { .. } => {
                status.get("id")?;
                Some("It was deleted in the backend by somebody else; created again".into())
            }
            Change::Patch { .. } if super::outcome::is_true(status, crate::crd::ConditionType::Synced) => {
                Some(format!("It was changed in the backend by somebody else; repaired: {change}"))
            }
            _ => None,
        }
    }

    /// Nothing is left to do: how does it stand?
    fn settle<K: Kind>(
        &self,
        resource: &K::Resource,
        observed: &Observed,
        seen: &Seen<K>,
        problems: &[Member],
    ) -> Finding {
        let object = match observed {
            Observed::Ours(object) => object,
            other => return unobtainable(other),
        };
        if object.phase == Phase::Deleting {
            let why = "It is being deleted in the backend; it will be created anew once it is gone";
            return Outcome::Working(Remark::new(Reason::Progressing, why)).into();
        }
        self.real::<K>(resource, seen, problems)
    }

    /// The backend holds the spec; is it real?
    fn real<K: Kind>(&self, resource: &K::Resource, seen: &Seen<K>, problems: &[Member]) -> Finding {
        let report = K::report(resource, seen);
        let realised = seen.object.as_ref().is_some_and(crate::protocol::Object::realised);
        let outcome = match report.unreal {
            _ if !realised => {
                Outcome::Working(Remark::new(Reason::Progressing, "The backend holds this spec and is making it real"))
            }
            // the feed tells when what is in the way has gone
            Some(why) if why.reason == Reason::NotServed => Outcome::Stalled { why, again: false },
            Some(why) => Outcome::Working(why),
            None => Outcome::Ready { degraded: report.degraded.or_else(|| wrong(problems)) },
        };
        Finding { outcome, synced: true, fields: fields::<K>(&report.status, seen), repaired: None, tell: report.tell }
    }

    /// Under Observe: what differs?
    fn compare<K: Kind>(
        &self,
        resource: &K::Resource,
        wanted: &Wanted,
        observed: &Observed,
        seen: &Seen<K>,
        problems: &[Member],
    ) -> Finding {
        let object = match observed {
            Observed::Ours(object) | Observed::Takeable(object) | Observed::Foreign(object) => object,
            other => return unobtainable(other),
        };
        if object.phase == Phase::Deleting {
            return Outcome::Working(Remark::new(Reason::Progressing, "It is being deleted in the backend")).into();
        }
        match difference(wanted, object) {
            None => self.real::<K>(resource, seen, problems),
            Some(change) => {
                let fields = fields::<K>(&K::report(resource, seen).status, seen);
                Finding {
                    outcome: Outcome::Differs(change.to_string()),
                    synced: false,
                    fields,
                    repaired: None,
                    tell: None,
                }
            }
        }
    }

    /// Our finalizer is stored before the first write to the backend. Whether that took a call; the resource did not change.
    pub(super) async fn ensure_finalizer(&mut self) -> Result<bool, Outcome> {
        if has_finalizer(&self.object) {
            return Ok(false);
        }
        let now = self.engine.writer.add_finalizer(self.key, &self.object).await.map_err(unwritten)?;
        self.engine.joined(self.key, &now);
        // It is in the cache by now, so that its watch event is no news.
        self.unchanged(&now).inspect_err(|_| self.engine.queue.add(self.key.clone(), Trigger::User))?;
        self.object = now;
        Ok(true)
    }

    /// Makes sure that the resource is as this pass has it, by asking. What is made for one that is gone, or that lets go by
    /// now, stays for ever.
    pub(super) async fn confirm(&self) -> Result<(), Outcome> {
        let live = self.engine.live(self.key, &self.object).await.map_err(unwritten)?;
        self.unchanged(&live)
    }

    fn unchanged(&self, live: &DynamicObject) -> Result<(), Outcome> {
        let same = generation(live) == generation(&self.object) && has_finalizer(live);
        if same && !deleting(live) && !paused(live.annotations()) {
            return Ok(());
        }
        let why = Remark::new(Reason::Progressing, "The resource changed while it was being looked at");
        Err(Outcome::Failed { why, at_least: Duration::ZERO })
    }
}

/// Outcome of a write to Kubernetes that did not happen.
pub(super) fn unwritten(error: WriteError) -> Outcome {
    match error {
        WriteError::Gone => Outcome::Gone,
        error => Outcome::Failed { why: Remark::new(Reason::Error, error.to_string()), at_least: Duration::ZERO },
    }
}

fn seen<K: Kind>(observed: &Observed) -> Result<Seen<K>, Outcome> {
    let object = match observed {
        Observed::Ours(object) | Observed::Takeable(object) | Observed::Foreign(object) => Some(object),
        _ => None,
    };
    Seen::new(object).map_err(|error| broken(&error.to_string()))
}

/// The backend speaks of fields that this version does not know: better to stop than to overwrite them.
fn broken(error: &str) -> Outcome {
    let message = format!("The object in the backend cannot be understood by this version of the operator: {error}");
    Outcome::Stalled { why: Remark::new(Reason::Error, message), again: true }
}

fn unreadable(error: &str) -> Finding {
    let message = format!("The object does not fit the schema of this version of the operator: {error}");
    Outcome::Stalled { why: Remark::new(Reason::InvalidSpec, message), again: false }.into()
}

fn waiting(missing: &[Missing]) -> Finding {
    let all: Vec<String> =
        missing.iter().map(|missing| format!("{}: {} does not exist", missing.field, missing.what)).collect();
    Outcome::Working(Remark::new(Reason::ReferenceMissing, all.join("; "))).into()
}

fn invalid(problems: &[FieldProblem]) -> Finding {
    let all: Vec<String> = problems.iter().map(|problem| format!("{}: {}", problem.field, problem.message)).collect();
    Outcome::Stalled { why: Remark::new(Reason::InvalidSpec, all.join("; ")), again: false }.into()
}

fn wrong(problems: &[Member]) -> Option<Remark> {
    let first = problems.first()?;
    let more = if problems.len() > 1 { format!(" and {} more", problems.len() - 1) } else { String::new() };
    Some(Remark::new(Reason::MembersUnhealthy, format!("{}: {}{more}", first.name, first.message)))
}

/// There is an object that we may not take, or none where there should be one.
fn unobtainable(observed: &Observed) -> Finding {
    let why = match observed {
        Observed::Foreign(object) => {
            let holder = object.owner.as_ref().map_or_else(
                || "nobody".to_owned(),
                |o| format!("{} {}/{} of cluster {} (uid {})", o.kind, o.namespace, o.name, o.cluster, o.uid),
            );
            let hint = "delete that resource with deletionPolicy Retain to hand it over; if its cluster is gone for good, create this one anew with spec.import.fromCluster";
            Remark::new(Reason::OwnedByAnother, format!("{} is owned by {holder}; {hint}", object.id))
        }
        Observed::Missing(id) => {
            Remark::new(Reason::ImportNotFound, format!("spec.import.id: the project has no object {id}"))
        }
        Observed::Ambiguous(ids) => {
            let ids = ids.join(", ");
            Remark::new(
                Reason::Ambiguous,
                format!("Several objects in the backend have this name ({ids}); set spec.import.id"),
            )
        }
        _ => Remark::new(
            Reason::ImportNotFound,
            "The backend has no object of this name; create it there, or set spec.import.id",
        ),
    };
    Outcome::Stalled { why, again: true }.into()
}

/// The kind's part of the status, and the id.
fn fields<K: Kind>(status: &K::Status, seen: &Seen<K>) -> Option<Map<String, Value>> {
    let Ok(Value::Object(mut fields)) = serde_json::to_value(status) else { return None };
    if let Some(object) = &seen.object {
        fields.insert("id".into(), object.id.clone().into());
    }
    Some(fields)
}
