//! From what is wanted and what is there to at most one change: the only source of writes. Pure.

use std::{fmt, sync::Arc};

use serde_json::Value;

use crate::{
    protocol::{ObjectId, Owner, Phase, RawObject},
    rules::patch_between,
};

/// What is wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// Who wants it.
    pub owner: Owner,
    /// The whole intent.
    pub intent: Value,
    /// JSON pointers of parts that stay as the backend has them.
    pub hold: Vec<String>,
    /// The parent's id, for a child.
    pub under: Option<ObjectId>,
}

/// What the backend has that concerns a resource.
#[derive(Clone, Debug, PartialEq)]
pub enum Observed {
    /// Nothing.
    Nothing,
    /// An object that is ours already.
    Ours(Arc<RawObject>),
    /// An object that we may take.
    Takeable(Arc<RawObject>),
    /// An object that is named by the resource, and that another holds.
    Foreign(Arc<RawObject>),
    /// The resource names an object that does not exist.
    Missing(String),
    /// The natural name fits several objects.
    Ambiguous(Vec<String>),
}

impl Observed {
    /// Ids of the objects that stand in the way, or could be taken.
    pub fn others(&self) -> Vec<ObjectId> {
        match self {
            Self::Ambiguous(ids) => ids.clone(),
            Self::Takeable(object) | Self::Foreign(object) => vec![object.id.clone()],
            _ => Vec::new(),
        }
    }
}

/// One change of the backend.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Make the object.
    Create {
        /// Its intent.
        intent: Value,
        /// Its parent.
        under: Option<ObjectId>,
    },
    /// Become the owner of an object.
    Claim {
        /// Which.
        id: String,
        /// Who held it.
        from: Option<Owner>,
    },
    /// Remove it, because it is below another parent than the one that is wanted; it is made anew there.
    Remove {
        /// Which.
        id: String,
        /// The state that was seen.
        etag: String,
    },
    /// Change its intent.
    Patch {
        /// Which.
        id: String,
        /// The state that the patch was made for.
        etag: String,
        /// A merge patch (RFC 7396).
        patch: Value,
    },
}

impl Change {
    /// The object that it is about, which is there already.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Create { .. } => None,
            Self::Claim { id, .. } | Self::Remove { id, .. } | Self::Patch { id, .. } => Some(id),
        }
    }
}

/// The one change that brings `observed` nearer to `wanted`; `None` when there is nothing to do, or nothing that may be done.
#[must_use]
pub fn plan(wanted: &Wanted, observed: &Observed) -> Option<Change> {
    match observed {
        Observed::Nothing => Some(Change::Create { intent: wanted.intent.clone(), under: wanted.under.clone() }),
        Observed::Takeable(object) => Some(Change::Claim { id: object.id.clone(), from: object.owner.clone() }),
        Observed::Ours(object) if object.phase == Phase::Deleting => None,
        Observed::Ours(object) if wanted.under.is_some() && wanted.under != object.parent => {
            Some(Change::Remove { id: object.id.clone(), etag: object.etag.clone() })
        }
        Observed::Ours(object) => difference(wanted, object),
        Observed::Foreign(_) | Observed::Missing(_) | Observed::Ambiguous(_) => None,
    }
}

/// What would have to change in an object to be as wanted.
#[must_use]
pub fn difference(wanted: &Wanted, object: &RawObject) -> Option<Change> {
    let mut intent = wanted.intent.clone();
    for pointer in &wanted.hold {
        hold(&mut intent, &object.intent, pointer);
    }
    let patch = patch_between(&object.intent, &intent)?;
    Some(Change::Patch { id: object.id.clone(), etag: object.etag.clone(), patch })
}

/// Puts what the backend has at `pointer` into the intent, or takes it out when the backend has nothing there.
fn hold(intent: &mut Value, has: &Value, pointer: &str) {
    let Some((parent, field)) = pointer.rsplit_once('/') else { return };
    let field = field.replace("~1", "/").replace("~0", "~");
    let Some(Value::Object(fields)) = intent.pointer_mut(parent) else { return };
    match has.pointer(pointer) {
        Some(value) => fields.insert(field, value.clone()),
        None => fields.remove(&field),
    };
}

/// For people: what a change does, in one line of at most a few hundred characters.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create { .. } => f.write_str("create it"),
            Self::Claim { id, from: None } => write!(f, "take {id}, which nobody owns"),
            Self::Claim { id, from: Some(owner) } => {
                write!(f, "take {id} from {} {}/{} (uid {})", owner.kind, owner.namespace, owner.name, owner.uid)
            }
            Self::Remove { id, .. } => write!(f, "remove {id}, which is below another parent"),
            Self::Patch { patch, .. } => write_patch(f, patch),
        }
    }
}

const SHOWN: usize = 8;

fn write_patch(f: &mut fmt::Formatter<'_>, patch: &Value) -> fmt::Result {
    let mut lines = Vec::new();
    flatten(patch, &mut String::new(), &mut lines);
    let more = lines.len().saturating_sub(SHOWN);
    lines.truncate(SHOWN);
    f.write_str(&lines.join(", "))?;
    if more > 0 { write!(f, " and {more} more") } else { Ok(()) }
}

fn flatten(value: &Value, path: &mut String, lines: &mut Vec<String>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (field, value) in fields {
                let length = path.len();
                path.push_str(if path.is_empty() { "" } else { "." });
                path.push_str(field);
                flatten(value, path, lines);
                path.truncate(length);
            }
        }
        Value::Null => lines.push(format!("remove {path}")),
        value => lines.push(format!("set {path} to {}", shortened(&value.to_string()))),
    }
}

fn shortened(text: &str) -> String {
    const LIMIT: usize = 60;
    if text.chars().count() <= LIMIT {
        text.to_owned()
    } else {
        text.chars().take(LIMIT).chain("...".chars()).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::protocol::Reality;

    fn owner(uid: &str) -> Owner {
        Owner { cluster: "c".into(), kind: "K".into(), namespace: "n".into(), name: "x".into(), uid: uid.into() }
    }

    fn object(intent: Value, phase: Phase) -> Arc<RawObject> {
        let reality = Reality { of: 0, state: Value::Null, members: std::collections::BTreeMap::new() };
        let (id, etag) = ("lb-1".into(), "e".into());
        Arc::new(RawObject {
            parent: None,
            deliveries: vec![],
            id,
            owner: Some(owner("u")),
            etag,
            revision: 1,
            intent_revision: 1,
            phase,
            intent,
            reality,
        })
    }

    fn wanted(intent: Value) -> Wanted {
        Wanted { owner: owner("u"), intent, hold: vec![], under: None }
    }

    #[test]
    fn one_change_for_each_state_of_the_world() {
        let wanted = wanted(json!({"a": 1}));
        assert!(matches!(plan(&wanted, &Observed::Nothing), Some(Change::Create { .. })));
        let takeable = Observed::Takeable(object(json!({}), Phase::Live));
        assert!(matches!(plan(&wanted, &takeable), Some(Change::Claim { .. })));
        let ours = Observed::Ours(object(json!({"b": 2}), Phase::Live));
        let Some(Change::Patch { patch, .. }) = plan(&wanted, &ours) else { panic!("no patch") };
        assert_eq!(patch, json!({"a": 1, "b": null}));
        for idle in [
            Observed::Ours(object(json!({"a": 1}), Phase::Live)),
            Observed::Ours(object(json!({}), Phase::Deleting)),
            Observed::Foreign(object(json!({}), Phase::Live)),
            Observed::Missing("lb-1".into()),
            Observed::Ambiguous(vec![]),
        ] {
            assert_eq!(plan(&wanted, &idle), None, "{idle:?}");
        }
    }

    #[test]
    fn a_child_below_another_parent_is_removed_to_be_made_anew() {
        let below = |parent: &str, phase| {
            let child = RawObject { parent: Some(parent.into()), ..(*object(json!({"a": 1}), phase)).clone() };
            Observed::Ours(Arc::new(child))
        };
        let wanted = Wanted { under: Some("zone-2".into()), ..wanted(json!({"a": 1})) };
        assert!(matches!(plan(&wanted, &below("zone-1", Phase::Live)), Some(Change::Remove { .. })));
        assert_eq!(plan(&wanted, &below("zone-1", Phase::Deleting)), None);
        assert_eq!(plan(&wanted, &below("zone-2", Phase::Live)), None);
    }

    #[test]
    fn held_parts_stay_as_the_backend_has_them() {
        let object = object(json!({"t": {"a": 1, "b": 2}}), Phase::Live);
        let mut wanted = wanted(json!({"t": {"a": 9, "c": 3}}));
        wanted.hold = vec!["/t/b".into(), "/t/c".into()];
        let Some(Change::Patch { patch, .. }) = difference(&wanted, &object) else { panic!("no patch") };
        assert_eq!(patch, json!({"t": {"a": 9}}));
    }

    #[test]
    fn changes_are_printed_for_people() {
        let patch = json!({"services": {"web": {"port": 81}, "old": null}});
        let change = Change::Patch { id: "lb-1".into(), etag: "e".into(), patch };
        assert_eq!(change.to_string(), "remove services.old, set services.web.port to 81");
    }
}
