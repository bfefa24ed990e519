//! Who reads what the operator says. An answer that refuses something for good is believed: the object says that a person must
//! act, or that the backend has asked for patience. The person sees to it that the refusal was none, and asks for a pass.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    plan::Fault,
    stage::{Stage, is_ours},
};

/// Acts while a story is told that had a false refusal in it. Never ends.
pub async fn acts(stage: &Stage) {
    let refused = stage.run.plan.as_ref().is_some_and(|(_, fault)| matches!(fault, Fault::Code(..)));
    let (mut news, mut heard) = (stage.run.news.subscribe(), BTreeSet::new());
    while refused && news.changed().await.is_ok() {
        for ((kind, name), object) in stage.run.objects().into_iter().filter(|((kind, _), _)| is_ours(kind)) {
            let Some(words) = asks_for_a_person(&object) else { continue };
            let request = format!("{}", heard.len() + 1);
            if heard.insert((kind.clone(), name.clone(), words)) {
                // One that has gone meanwhile needs nobody.
                drop(stage.ask_again(&kind, &name, &request).await);
            }
        }
    }
    std::future::pending::<()>().await;
}

/// What an object says to people, with what it says it of.
fn asks_for_a_person(object: &Value) -> Option<String> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    let asks = |one: &&Value| one["status"] == "True" && (one["type"] == "Stalled" || one["reason"] == "Throttled");
    let said = conditions.iter().find(asks)?;
    Some(format!("{} {} {}", object["metadata"]["uid"], said["reason"], said["message"]))
}

/// What the person leaves behind in what is compared.
pub const TRACE: &str = "lastHandledReconcileAt";
