//! What the backend holds at the moment when the operator says so, or lets go of it: asked of the backend itself.

use http::Method;
use loopback_operator::protocol::RawObject;
use serde_json::Value;

use super::{Request, Run};
use crate::{journal, plan::Side, status};

/// What the backend holds of whom a status says Ready, or whose finalizer is removed. `None`: nobody needs to know, or the
/// backend did not say.
pub(super) async fn held(run: &Run, request: &Request) -> Option<Vec<RawObject>> {
    if request.side != Side::Kubernetes || request.method != Method::PATCH {
        return None;
    }
    let body = request.json();
    if !says_ready(request, &body) && !lets_go(&body) {
        return None;
    }
    let uid = status::uid(&body)?;
    let owned = |object: &RawObject| object.owner.as_ref().is_some_and(|owner| owner.uid == uid);
    // The journal is heard a moment after it is written: what it knows is asked for by its id, what it does not is looked for.
    let known = run.journal.inventory().into_values().find(|(_, object)| owned(object));
    if let Some((collection, object)) = known {
        let path = format!("/v3/projects/{}/{}", run.name, journal::path(&collection, &object));
        let now = run.admin.ask(Method::GET, &path, None).await.ok();
        if let Some(now) = now.and_then(|now| serde_json::from_value::<RawObject>(now).ok()) {
            return Some(vec![now]);
        }
    }
    let all = run.journal.snapshot().await?;
    Some(all.into_iter().map(|(_, object)| object).filter(owned).collect())
}

fn says_ready(request: &Request, body: &Value) -> bool {
    let conditions = status::conditions(body).filter(|_| request.plain_path().ends_with("/status"));
    conditions.is_some_and(|all| all.iter().any(|one| one["type"] == "Ready" && one["status"] == "True"))
}

/// Whether a patch removes a finalizer.
pub fn lets_go(body: &Value) -> bool {
    let finalizers = |step: &Value| step["path"].as_str().is_some_and(|path| path.starts_with("/metadata/finalizers"));
    body.as_array().is_some_and(|steps| steps.iter().any(|step| step["op"] == "remove" && finalizers(step)))
}
