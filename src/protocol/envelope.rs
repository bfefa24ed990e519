//! The envelope that every object of every service travels in.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::Delivery;

/// A backend object's id, for instance `lb-01hxyz...`: stable for its life, never used again.
pub type ObjectId = String;
/// Position in the backend's one sequence of changes; only grows, also across restarts.
pub type Revision = u64;
/// Strong entity tag (RFC 9110 section 8.8.3) over intent and owner, without the quotes. What is real does not move it.
pub type Etag = String;

/// Which Kubernetes object a backend object belongs to. Unique in the backend by (project, cluster, uid).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Owner {
    /// The cluster's identity: `--cluster-id`, else the UID of its `kube-system` namespace.
    pub cluster: String,
    /// Kind of the custom resource, for instance `ProjectLoadBalancer`.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID: a resource re-created under the same name is another owner.
    pub uid: String,
}

/// Where in its life an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::Display)]
pub enum Phase {
    /// The plane makes it real.
    Live,
    /// Deletion was accepted; the plane releases what it holds, then the object is gone.
    Deleting,
}

/// One part of an object whose state can differ from the whole's: a listener, a target, a record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Member {
    /// One CamelCase word, for instance `Healthy`.
    pub state: String,
    /// Why, as one CamelCase word; empty when there is nothing to say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// For a person: what is wrong and what to do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// What the data plane made of an intent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reality<S> {
    /// The `intentRevision` that this realises; 0 while nothing has been realised.
    #[serde(default)]
    pub of: Revision,
    /// What the backend chose or computed.
    pub state: S,
    /// State of each member by its path, for instance `web` or `web/a`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub members: BTreeMap<String, Member>,
}

/// One object of one service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Object<I, S> {
    /// Identity in the backend.
    pub id: ObjectId,
    /// The object that it belongs to, in the collection [`Intent::PARENT`]; never changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<ObjectId>,
    /// Who may change it; absent for an object that no cluster has taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    /// Moves with intent and owner.
    pub etag: Etag,
    /// Moves with everything, reality included.
    pub revision: Revision,
    /// The revision at which what the plane shall do last changed: the intent, or a minted secret. Compare with `reality.of`.
    pub intent_revision: Revision,
    /// Live or on its way out.
    pub phase: Phase,
    /// What was asked for, exactly as it was sent.
    pub intent: I,
    /// What is.
    pub reality: Reality<S>,
    /// Secrets that the backend minted for it, without their values. The newest stands last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deliveries: Vec<Delivery>,
}

/// An object whose service is not known to the code that handles it.
pub type RawObject = Object<Value, Value>;

/// A map by name in an intent whose entries have a permission key of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Members {
    /// Field of the intent.
    pub field: &'static str,
    /// Permission key.
    pub permission: &'static str,
}

/// The intent of one service's objects, and where they live in the API.
pub trait Intent: Clone + PartialEq + Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// What the plane reports for the whole object.
    type State: Clone + Default + PartialEq + Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static;
    /// Path below the project, for instance `load-balancers`.
    const COLLECTION: &'static str;
    /// The permission key that guards it, for instance `project.load_balancer`.
    const PERMISSION: &'static str;
    /// Maps by name in the intent whose members have permission keys of their own.
    const MEMBERS: &'static [Members];
    /// Field of the intent that holds the name people gave it.
    const NAME_FIELD: &'static str;
    /// The collection of the object that each of these belongs to. Below its path (`dns-zones` and `dns-zones/records`) the
    /// routes are nested and name the parent; else they are flat, and create names it.
    const PARENT: Option<&'static str> = None;
    /// Whether the backend mints a secret for each, which its holder fetches.
    const MINTS: bool = false;
}

/// The last part of a collection's path whose routes are nested below its parent's objects.
#[must_use]
pub fn nested_part<'a>(collection: &'a str, parent: Option<&str>) -> Option<&'a str> {
    collection.strip_prefix(parent?)?.strip_prefix('/')
}

impl RawObject {
    /// The same object with its service's types.
    ///
    /// # Errors
    /// When intent or state do not have the shape of `I`.
    pub fn typed<I: Intent>(&self) -> Result<Object<I, I::State>, serde_json::Error> {
        let state = match &self.reality.state {
            Value::Null => I::State::default(),
            state => I::State::deserialize(state)?,
        };
        Ok(Object {
            id: self.id.clone(),
            parent: self.parent.clone(),
            owner: self.owner.clone(),
            etag: self.etag.clone(),
            revision: self.revision,
            intent_revision: self.intent_revision,
            phase: self.phase,
            intent: I::deserialize(&self.intent)?,
            reality: Reality { of: self.reality.of, state, members: self.reality.members.clone() },
            deliveries: self.deliveries.clone(),
        })
    }
}

impl<I, S> Object<I, S> {
    /// Whether the plane has made the present intent real.
    #[must_use]
    pub fn realised(&self) -> bool {
        self.reality.of == self.intent_revision
    }
}
