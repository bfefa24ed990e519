//! One change of the backend: the call, and what its answer means.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    contest::Reached,
    driver::Work,
    kind::Remark,
    link::LONGEST_PAUSE,
    outcome::Outcome,
    plan::{Change, Wanted},
};
use crate::{
    crd::Reason,
    protocol::{Claim, Code, Create, Problem, RawObject, client::CallError},
};

impl Work<'_> {
    /// Makes a change and folds the answer into the mirror. `Ok` means: plan again.
    pub(super) async fn apply(&mut self, change: &Change) -> Result<(), Outcome> {
        // A patch is undone by the next one; all else gives an object to this resource, or takes it away.
        if !self.ensure_finalizer().await? && !matches!(change, Change::Patch { .. }) {
            self.confirm().await?;
        }
        tracing::debug!(%change, "changing the backend");
        let (client, began) = (&self.link.client, Instant::now());
        let answer = match change {
            Change::Create { intent, under } => {
                let create = Create { owner: Some(self.owner.clone()), parent: under.clone(), intent: intent.clone() };
                client.create(self.route(), &create).await
            }
            Change::Claim { id, from } => {
                let claim = Claim { from: from.clone(), to: self.owner.clone() };
                client.claim(self.route_to(self.known(id).as_deref()), id, &claim).await
            }
            Change::Remove { id, etag } => client.delete(self.route_to(self.known(id).as_deref()), id, etag).await,
            Change::Patch { id, etag, patch } => client.patch(self.route(), id, etag, patch).await,
        };
        self.engine.count(operation(change), &answer, began.elapsed());
        match answer {
            Ok(object) => {
                self.link.fold(self.collection, object);
                Ok(())
            }
            Err(CallError::Refused(problem)) => self.refused(change, *problem).await,
            Err(CallError::Doubtful(_)) => self.look_again(change).await,
            Err(error) => Err(self.unanswered(&error)),
        }
    }

    /// Somebody may change it back as often as we change it: then each time waits longer than the one before.
    pub(super) fn contested(&self, wanted: &Wanted, change: &Change) -> Result<(), Outcome> {
        let pause = |reached: &Reached| reached.pause(&wanted.intent);
        let at_least = self.engine.memory(self.key, |memory| memory.reached.as_ref().map_or(Duration::ZERO, pause));
        if at_least.is_zero() {
            return Ok(());
        }
        let message =
            format!("Somebody else changes it in the backend again and again; it waits before it repairs: {change}");
        Err(Outcome::Failed { why: Remark::new(Reason::DriftFound, message), at_least })
    }

    async fn refused(&self, change: &Change, problem: Problem) -> Result<(), Outcome> {
        let id = change.id().map(str::to_owned).or_else(|| problem.id.clone());
        match (problem.code, id) {
            // The world is not as the mirror had it: read, fold, plan again.
            (Code::Exists | Code::Stale | Code::Owned | Code::NotFound, Some(id)) => {
                let found = self.read(&id).await?;
                if undone(change, found.as_ref()) { Err(unheard()) } else { Ok(()) }
            }
            _ => Err(self.judge(&problem)),
        }
    }

    /// Reads an object and folds it into the mirror.
    pub(super) async fn read(&self, id: &str) -> Result<Option<RawObject>, Outcome> {
        match self.link.client.get(self.route_to(self.known(id).as_deref()), id).await {
            Ok(object) => {
                self.take(id, object.clone());
                Ok(object)
            }
            Err(error) => Err(self.unanswered(&error)),
        }
    }

    /// An object as the mirror has it.
    fn known(&self, id: &str) -> Option<Arc<RawObject>> {
        self.link.look(|mirror| mirror.get(self.collection, id))
    }

    fn take(&self, id: &str, object: Option<RawObject>) {
        match object {
            Some(object) => self.link.fold(self.collection, object),
            None => self.link.fold_gone(self.collection, id),
        }
    }

    /// After a doubtful answer only a read tells what happened. What it does not show may still come: pause before the next try.
    async fn look_again(&self, change: &Change) -> Result<(), Outcome> {
        match self.link.client.owned_by(self.route(), &self.owner).await {
            Ok(found) if undone(change, found.as_ref()) => Err(unheard()),
            Ok(Some(object)) => {
                self.link.fold(self.collection, object);
                Ok(())
            }
            // What was to be changed or removed is not ours any more.
            Ok(None) => match change.id() {
                Some(id) => self.read(id).await.map(drop),
                None => Err(unheard()),
            },
            Err(error) => Err(self.unanswered(&error)),
        }
    }

    /// What a call that did not go well means for the resource. Whether it concerns all, the link finds out.
    pub(super) fn unanswered(&self, error: &CallError) -> Outcome {
        match error {
            CallError::Refused(problem) => self.judge(problem),
            CallError::Unreachable(_) => {
                self.link.suspect();
                Outcome::Down { retry: true }
            }
            CallError::Doubtful(_) => {
                self.link.suspect();
                unheard()
            }
        }
    }

    /// What a refusal means for the resource.
    fn judge(&self, problem: &Problem) -> Outcome {
        if later(problem.code) {
            self.link.suspect();
        }
        judge(problem)
    }
}

/// Whether a read after a change shows the object as it was before, or none where one was to be made.
fn undone(change: &Change, now: Option<&RawObject>) -> bool {
    match (change, now) {
        (Change::Create { .. }, now) => now.is_none(),
        (Change::Claim { .. }, None) => true,
        (Change::Remove { .. } | Change::Patch { .. }, None) => false,
        (Change::Claim { from, .. }, Some(now)) => now.owner == *from,
        (Change::Remove { etag, .. } | Change::Patch { etag, .. }, Some(now)) => now.etag == *etag,
    }
}

/// The backend answers, so its binding is well and says nothing: the object has to. Tried again after a pause, because what
/// was sent may still come, and because it may never be answered better.
fn unheard() -> Outcome {
    let why = Remark::new(Reason::Error, "The backend answers, but not to this call in a way that can be used");
    Outcome::Failed { why, at_least: Duration::ZERO }
}

fn judge(problem: &Problem) -> Outcome {
    let stalled = |reason, message: String| Outcome::Stalled { why: Remark::new(reason, message), again: true };
    let at_least = problem.retry_after.map_or(Duration::ZERO, Duration::from_secs).min(LONGEST_PAUSE);
    match problem.code {
        Code::Forbidden => stalled(Reason::Denied, denied(problem)),
        Code::Quota => stalled(Reason::QuotaExceeded, problem.detail.clone()),
        Code::InUse => stalled(Reason::InUse, problem.detail.clone()),
        Code::OwnerRetired => {
            let hint = "this resource was deleted in the backend for good; delete it and create it again";
            stalled(Reason::Refused, format!("{}; {hint}", problem.detail))
        }
        // Mostly the link fails as well a moment later, and its binding says why. If it does not, the object has to.
        code if later(code) => {
            let why =
                Remark::new(Reason::BackendUnavailable, format!("The backend answers {code}: {}", problem.detail));
            Outcome::Failed { why, at_least }
        }
        Code::Throttled => {
            let why = Remark::new(Reason::Throttled, "The backend asks for fewer calls");
            Outcome::Failed { why, at_least }
        }
        _ => stalled(Reason::Refused, field_first(problem)),
    }
}

/// Whether a refusal may be about more than this change, and over by itself.
fn later(code: Code) -> bool {
    matches!(code, Code::Unauthenticated | Code::Unavailable | Code::NotFound)
}

fn denied(problem: &Problem) -> String {
    match &problem.permission {
        Some(permission) => {
            format!("The token of this namespace's ProjectBinding lacks the permission {permission}; ask for it")
        }
        None => problem.detail.clone(),
    }
}

/// A JSON pointer as people write a field.
pub(super) fn dotted(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".")
}

fn field_first(problem: &Problem) -> String {
    match &problem.field {
        Some(field) if !field.is_empty() => {
            format!("The backend refuses {}: {}", dotted(&format!("/spec{field}")), problem.detail)
        }
        Some(_) => format!("The backend refuses the spec: {}", problem.detail),
        None => format!("The backend refuses: {}", problem.detail),
    }
}

fn operation(change: &Change) -> &'static str {
    match change {
        Change::Create { .. } => "create",
        Change::Claim { .. } => "claim",
        Change::Remove { .. } => "delete",
        Change::Patch { .. } => "patch",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_read_shows_undone_is_not_repeated_without_a_pause() {
        let owner = |uid: &str| -> crate::protocol::Owner {
            let owner = json!({"cluster": "c", "kind": "K", "namespace": "n", "name": "x", "uid": uid});
            serde_json::from_value(owner).unwrap()
        };
        let found = |uid: &str, etag: &str| {
            let reality = json!({"of": 0, "state": null, "members": {}});
            let object = json!({"id": "lb-1", "owner": owner(uid), "etag": etag, "revision": 1, "intentRevision": 1,
                "phase": "Live", "intent": {}, "reality": reality});
            serde_json::from_value::<RawObject>(object).unwrap()
        };
        let (id, etag) = ("lb-1".to_owned(), "e1".to_owned());
        let create = Change::Create { intent: json!({}), under: None };
        let claim = Change::Claim { id: id.clone(), from: Some(owner("theirs")) };
        let remove = Change::Remove { id: id.clone(), etag: etag.clone() };
        let patch = Change::Patch { id, etag, patch: json!({}) };
        assert!(undone(&create, None) && !undone(&create, Some(&found("ours", "e1"))));
        assert!(undone(&claim, None) && undone(&claim, Some(&found("theirs", "e2"))));
        assert!(!undone(&claim, Some(&found("ours", "e1"))));
        for change in [remove, patch] {
            assert!(undone(&change, Some(&found("ours", "e1"))) && !undone(&change, Some(&found("ours", "e2"))));
            assert!(!undone(&change, None), "it is gone: that is news");
        }
        let Outcome::Failed { why, .. } = unheard() else { panic!("its binding would have to say so, which is well") };
        assert_eq!(why.reason, Reason::Error);
    }

    #[test]
    fn a_missing_permission_is_passed_on_and_tried_again_slowly() {
        let problem = Problem::forbidden("project.load_balancer.target:create".parse().unwrap());
        let Outcome::Stalled { why, again: true } = judge(&problem) else { panic!("not stalled") };
        assert_eq!(why.reason, Reason::Denied);
        assert!(why.message.contains("project.load_balancer.target:create"), "{}", why.message);
    }

    #[test]
    fn a_refusal_of_a_backend_that_is_well_is_said_on_the_object() {
        for code in [Code::Unavailable, Code::NotFound, Code::Unauthenticated] {
            let problem = Problem { retry_after: Some(7), ..Problem::new(code, "read-only") };
            let Outcome::Failed { why, at_least } = judge(&problem) else { panic!("{code} is not said") };
            assert!(why.message.contains("read-only"), "{}", why.message);
            assert_eq!(at_least, Duration::from_secs(7));
        }
    }

    #[test]
    fn a_field_is_named_and_retry_after_is_honoured() {
        let Outcome::Stalled { why, .. } = judge(&Problem::invalid("/services/web/port", "no")) else { panic!() };
        assert!(why.message.contains("spec.services.web.port"), "{}", why.message);
        for (asked, right) in [(7, 7), (31_536_000, 60)] {
            let slow = Problem { retry_after: Some(asked), ..Problem::new(Code::Throttled, "slow") };
            assert!(matches!(judge(&slow), Outcome::Failed { at_least, .. } if at_least == Duration::from_secs(right)));
        }
    }
}
