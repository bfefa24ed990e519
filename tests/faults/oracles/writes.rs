//! S1, S3, S4: what was done in the backend, and to whom it belonged.

use std::collections::{BTreeMap, BTreeSet};

use loopback_operator::protocol::{Owner, Phase};

use super::{Evidence, Violation, history::History};
use crate::{
    plan::Side,
    proxy::{Call, lets_go},
    stage,
    workloads::Trait,
};

/// S1: never two objects that live for one UID.
pub fn one_object_for_each(evidence: &Evidence<'_>) -> Vec<Violation> {
    let mut live: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut found = Vec::new();
    for entry in &evidence.journal {
        live.values_mut().for_each(|ids| ids.retain(|id| *id != entry.id));
        let lives = entry.object.as_ref().is_some_and(|object| object.phase == Phase::Live);
        let Some(owner) = entry.owner.as_ref().filter(|_| lives) else { continue };
        let ids = live.entry(owner.uid.clone()).or_default();
        ids.insert(entry.id.clone());
        if ids.len() > 1 {
            found.push(Violation::new("S1", format!("{} {} has {ids:?}", owner.kind, owner.name)));
        }
    }
    found
}

/// Calls that the backend carried out.
fn done<'a>(evidence: &'a Evidence<'_>) -> impl Iterator<Item = &'a Call> {
    let calls = evidence.calls.iter().filter(|call| call.point.side == Side::Backend && call.writes());
    calls.filter(|call| call.code.is_some_and(|code| code < 300))
}

fn parts(call: &Call) -> Vec<&str> {
    let path = call.path.split('?').next().unwrap_or_default();
    path.trim_start_matches('/').split('/').skip(3).collect()
}

/// S3: nothing of others is written to, nothing is deleted whose resource is not, and what is changed is what was seen.
pub fn owners(evidence: &Evidence<'_>, history: &History) -> Vec<Violation> {
    done(evidence).filter_map(|call| wrong(evidence, history, call)).map(|what| Violation::new("S3", what)).collect()
}

fn wrong(evidence: &Evidence<'_>, history: &History, call: &Call) -> Option<String> {
    let parts = parts(call);
    let point = &call.point;
    if let ["owners", cluster, uid] = parts.as_slice() {
        let gone = evidence.workload.trait_ == Trait::Namespace || deleted(history, uid, call);
        return (*cluster != evidence.run.cluster || !gone)
            .then(|| format!("{point}: the owner {cluster}/{uid} was retired, and its resource was not deleted"));
    }
    if call.method == "POST" && !matches!(parts.last(), Some(&"acknowledge" | &"reissue")) {
        let owner = call.json()["owner"].clone();
        let (namespace, cluster) = (&evidence.run.name, &evidence.run.cluster);
        let right =
            owner["namespace"] == namespace.as_str() && owner["cluster"] == cluster.as_str() && history.knows(&owner);
        return (!right).then(|| format!("{point}: made with the owner {owner}, which is no resource here"));
    }
    let id = parts.iter().rev().find(|part| part.rsplit_once('-').is_some_and(|(_, id)| id.len() == 26))?;
    if call.method == "PUT" {
        // The backend compares the one that is named with the one that has it.
        let (from, to) = (&call.json()["from"], &call.json()["to"]);
        let namesake = from.is_object() && to["kind"] == from["kind"] && to["name"] == from["name"];
        return (!namesake).then(|| format!("{point}: {id} was taken, which no namesake had"));
    }
    let Some(owner) = owner_of(evidence, id, call) else { return Some(format!("{point}: {id} belongs to nobody")) };
    if owner.cluster != evidence.run.cluster || !history.0.contains_key(&owner.uid) {
        return Some(format!("{point}: {id} belongs to {}/{}", owner.cluster, owner.name));
    }
    if call.method == "DELETE" && !deleted(history, &owner.uid, call) {
        return Some(format!("{point}: {id} was deleted, and its resource was not"));
    }
    if call.method == "PATCH" && call.condition.as_ref().is_none_or(|condition| condition.contains('*')) {
        return Some(format!("{point}: {id} was changed whatever it was (If-Match: {:?})", call.condition));
    }
    None
}

/// Whether the deletion of a resource was asked for before a call was sent. Both clocks are this machine's.
fn deleted(history: &History, uid: &str, call: &Call) -> bool {
    history.0.get(uid).and_then(|life| life.deleted).is_some_and(|deleted| deleted <= call.sent)
}

/// Whose an object was that a call was about: as the answer has it, else whose it was last.
fn owner_of(evidence: &Evidence<'_>, id: &str, call: &Call) -> Option<Owner> {
    let answer = call.answer();
    if answer["id"] == id {
        return serde_json::from_value::<Option<Owner>>(answer["owner"].clone()).unwrap_or_default();
    }
    evidence.journal.iter().rfind(|entry| entry.id == id).and_then(|entry| entry.owner.clone())
}

/// S4: who makes something in the backend has been told before that our finalizer is stored.
pub fn finalizer_first(evidence: &Evidence<'_>) -> Vec<Violation> {
    let creates = done(evidence).filter(|call| call.method == "POST" && !call.json()["owner"].is_null());
    let early = creates.filter(|call| !call.finalized).map(|call| {
        format!("{}: made before the finalizer of {} was stored", call.point, call.json()["owner"]["name"])
    });
    early.map(|what| Violation::new("S4", what)).collect()
}

/// S2: while the backend holds something of a resource, our finalizer stays.
pub fn released_last(evidence: &Evidence<'_>) -> Vec<Violation> {
    let ours = evidence.calls.iter().filter(|call| call.point.side == Side::Kubernetes && call.code == Some(200));
    let early = ours.filter(|call| lets_go(&call.json())).filter_map(|call| {
        let left = call.held.as_ref()?.first()?;
        Some(format!("{}: the finalizer went while the backend holds {}", call.point, left.id))
    });
    early.map(|what| Violation::new("S2", what)).collect()
}

/// S4: a key is in its Secret before the backend forgets it.
pub fn stored_before_acknowledged(evidence: &Evidence<'_>) -> Vec<Violation> {
    let mut stored = false;
    let mut found = Vec::new();
    for call in evidence.calls.iter().filter(|call| call.code.is_some_and(|code| code < 300)) {
        let role = call.point.role.as_str();
        match call.point.side {
            Side::Kubernetes => stored |= call.writes() && role.contains(":secrets") && !stage::holds_token(role),
            Side::Backend if role.ends_with("/acknowledge") && !stored => {
                found.push(Violation::new("S4", format!("{}: acknowledged before it was stored", call.point)));
            }
            Side::Backend => {}
        }
    }
    found
}
