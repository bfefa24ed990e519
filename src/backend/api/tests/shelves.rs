//! A service with collections that belong to others, secrets, facts and a second version of its routes.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use data_encoding::HEXLOWER;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::{
    backend::{
        Service,
        api::collections::{Collection, Fact},
        checks::{Checks, NoChecks},
        plane::{BoxedPlane, IntentChange, Intents, Plane, PlaneProblem, Reporter},
        store::Transaction,
    },
    protocol::{Intent, Members, Phase, Problem, Project, RawObject, SecretValues},
    runtime::{Drain, World},
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Shelf {
    name: String,
    /// Whether it holds something, so that only a purge lets it go.
    #[serde(default)]
    full: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Book {
    name: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Label {
    name: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct State {
    access_key_id: Option<String>,
}

macro_rules! intent {
    ($intent:ty, $collection:expr, $permission:expr, $parent:expr, $mints:expr) => {
        impl Intent for $intent {
            type State = State;
            const COLLECTION: &'static str = $collection;
            const PERMISSION: &'static str = $permission;
            const MEMBERS: &'static [Members] = &[];
            const NAME_FIELD: &'static str = "name";
            const PARENT: Option<&'static str> = $parent;
            const MINTS: bool = $mints;
        }
    };
}
intent!(Shelf, "shelves", "project.shelf", None, false);
intent!(Book, "shelves/books", "project.shelf.book", Some("shelves"), true);
intent!(Label, "signs/labels", "project.label", Some("shelves"), false);

/// What every minted secret has in it.
pub(super) const SECRET: &str = "hush-hush";

struct Minting(World);

impl Checks for Minting {
    fn accept(
        &self,
        _: &mut dyn Transaction,
        _: &str,
        _: &Project,
        _: &Value,
        _: Option<&Value>,
    ) -> Result<Value, Problem> {
        Ok(Value::Null)
    }

    fn mint(&self, _: &mut dyn Transaction, _: &str, _: &Value) -> Result<Option<SecretValues>, Problem> {
        let text = HEXLOWER.encode(&self.0.secret());
        let (id, key) = (format!("AK{}", &text[..8]), format!("{SECRET}-{text}"));
        Ok(Some(SecretValues(BTreeMap::from([("accessKeyId".into(), id), ("secretAccessKey".into(), key)]))))
    }

    fn release(&self, _: &mut dyn Transaction, _: &str, _: &Value) -> Result<(), Problem> {
        Ok(())
    }
}

/// What the plane was told: `+id`, `~id` (Deleting), `~!id` (Deleting, with purge), `-collection id`, `.`.
pub(super) type Told = Arc<Mutex<Vec<String>>>;

struct Shelving {
    release: watch::Receiver<bool>,
    told: Told,
}

impl Shelving {
    fn tell(&self, text: String) {
        self.told.lock().unwrap().push(text);
    }

    async fn live(&self, object: &RawObject, secret: Option<SecretValues>, reality: &Reporter) {
        self.tell(format!("+{}", object.id));
        let key = secret.and_then(|secret| secret.0.get("accessKeyId").cloned());
        reality.report(&object.id, object.intent_revision, json!({"accessKeyId": key}), BTreeMap::new()).await;
    }
}

impl Plane for Shelving {
    async fn run(mut self, mut intents: Intents, reality: Reporter, drain: Drain) -> Result<(), PlaneProblem> {
        let mut deleting = Vec::new();
        loop {
            tokio::select! {
                biased;
                () = drain.wait() => return Ok(()),
                Ok(()) = self.release.changed() => {}
                Some(change) = intents.recv() => match change {
                    IntentChange::Present { object, secret, collection, project, purge, .. } => {
                        assert_eq!(project.name, "shop");
                        assert_eq!(object.parent.is_some(), collection != "shelves");
                        match object.phase {
                            Phase::Live => self.live(&object, secret, &reality).await,
                            Phase::Deleting => {
                                self.tell(format!("~{}{}", if purge { "!" } else { "" }, object.id));
                                if purge || object.intent["full"] != true {
                                    deleting.push(object.id);
                                }
                            }
                        }
                    }
                    IntentChange::Gone { collection, id } => self.tell(format!("-{collection} {id}")),
                    IntentChange::Synced => self.tell(".".to_owned()),
                },
            }
            if *self.release.borrow() {
                for id in deleting.drain(..) {
                    reality.released(&id).await;
                }
            }
        }
    }
}

pub(super) fn collections() -> Vec<Collection> {
    vec![
        Collection::of::<Shelf>("shelf", Arc::new(NoChecks)).also_v2(),
        Collection::of::<Book>("book", Arc::new(Minting(World::real()))),
        Collection::of::<Label>("label", Arc::new(NoChecks)),
    ]
}

pub(super) fn facts() -> Vec<Fact> {
    let content = Box::new(|| json!({"sizes": ["small", "large"]}));
    vec![Fact { path: "/v3/shelf-sizes", name: "shelfSizes", summary: "Sizes of shelves", content }]
}

pub(super) fn service(release: watch::Receiver<bool>, told: Told) -> Service {
    Service { collections: collections(), facts: facts(), plane: BoxedPlane::new(Shelving { release, told }) }
}
