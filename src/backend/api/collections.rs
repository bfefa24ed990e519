//! The registry: one entry a collection drives routes, permissions, validation and documentation.

use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::Value;

use super::shape;
use crate::{
    backend::checks::Checks,
    protocol::{Intent, Members, Object, Page, Permission, Problem, Verb, nested_part},
};

/// JSON schemas of a collection, as references into the generator's definitions.
pub struct Schemas {
    /// What is asked for.
    pub intent: Schema,
    /// The whole object.
    pub object: Schema,
    /// A page of objects.
    pub page: Schema,
}

/// One collection of objects.
pub struct Collection {
    /// Path below the project.
    pub path: &'static str,
    /// First part of its objects' ids.
    pub prefix: &'static str,
    /// Permission key.
    pub permission: &'static str,
    /// Field of the intent with the name that people gave it.
    pub name_field: &'static str,
    /// Maps with permission keys of their own.
    pub members: &'static [Members],
    /// Collection of the objects that these belong to.
    pub parent: Option<&'static str>,
    /// Whether its service mints secrets for its objects ([`Checks::mint`]).
    pub mints: bool,
    /// Whether it is also served under `/v2`.
    pub v2: bool,
    /// Its service's checks.
    pub checks: Arc<dyn Checks>,
    /// Its schemas.
    pub schemas: fn(&mut SchemaGenerator) -> Schemas,
    shape: fn(&Value) -> Result<(), Problem>,
}

impl Collection {
    /// The collection of a service's intents.
    #[must_use]
    pub fn of<I: Intent>(prefix: &'static str, checks: Arc<dyn Checks>) -> Self {
        Self {
            path: I::COLLECTION,
            prefix,
            permission: I::PERMISSION,
            name_field: I::NAME_FIELD,
            members: I::MEMBERS,
            parent: I::PARENT,
            mints: I::MINTS,
            v2: false,
            checks,
            schemas: schemas::<I>,
            shape: shape::typed::<I>,
        }
    }

    /// The same, also served under `/v2/projects/{p}`, where lists hide superseded objects.
    #[must_use]
    pub fn also_v2(self) -> Self {
        Self { v2: true, ..self }
    }

    /// Path of its routes. Below a parent's path they are nested, and the parent's id is in them as `{parent}`.
    #[must_use]
    pub fn route(&self) -> String {
        match (self.parent, nested_part(self.path, self.parent)) {
            (Some(parent), Some(part)) => format!("/v3/projects/{{p}}/{parent}/{{parent}}/{part}"),
            _ => format!("/v3/projects/{{p}}/{}", self.path),
        }
    }

    /// The permission of `verb` on the collection itself.
    #[must_use]
    pub fn needs(&self, verb: Verb) -> Permission {
        Permission::new(self.permission, verb)
    }

    /// Any of these lets a caller change an object in part.
    #[must_use]
    pub fn change_permissions(&self) -> Vec<Permission> {
        let members = self.members.iter().flat_map(|members| {
            [Verb::Create, Verb::Update, Verb::Delete].map(|verb| Permission::new(members.permission, verb))
        });
        std::iter::once(self.needs(Verb::Update)).chain(members).collect()
    }

    /// Refuses an intent that does not have the service's shape.
    ///
    /// # Errors
    /// With the field that is wrong.
    pub fn check_shape(&self, intent: &Value) -> Result<(), Problem> {
        shape::bounded(intent)?;
        (self.shape)(intent)?;
        let name = intent.get(self.name_field).and_then(Value::as_str).unwrap_or_default();
        shape::name(name, &format!("/{}", self.name_field))
    }
}

fn schemas<I: Intent>(generator: &mut SchemaGenerator) -> Schemas {
    fn reference<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<T>()
    }
    Schemas {
        intent: reference::<I>(generator),
        object: reference::<Object<I, I::State>>(generator),
        page: reference::<Page<Object<I, I::State>>>(generator),
    }
}

/// All collections, of all services.
#[derive(Default)]
pub struct Registry {
    /// The collections.
    pub collections: Vec<Arc<Collection>>,
    /// What services tell about themselves.
    pub facts: Vec<Arc<Fact>>,
}

/// Something that a service tells about itself to every known token, for instance which regions it has.
pub struct Fact {
    /// Path of its route, for instance `/v3/object-store-regions`.
    pub path: &'static str,
    /// Name of the operation in the API's description.
    pub name: &'static str,
    /// What it is, for a person.
    pub summary: &'static str,
    /// What it says.
    pub content: Box<dyn Fn() -> Value + Send + Sync>,
}

/// Permission keys that belong to no collection.
const PLATFORM_KEYS: [&str; 5] =
    ["platform.organization", "platform.token", "organization", "organization.project", "organization.domain"];

impl Registry {
    /// Of these collections.
    #[must_use]
    pub fn new(collections: Vec<Collection>) -> Self {
        Self { collections: collections.into_iter().map(Arc::new).collect(), facts: Vec::new() }
    }

    /// The collection at that path.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Arc<Collection>> {
        self.collections.iter().find(|collection| collection.path == path)
    }

    /// Every permission that means something here.
    #[must_use]
    pub fn permissions(&self) -> Vec<Permission> {
        let keys = self.collections.iter().flat_map(|collection| {
            std::iter::once(collection.permission).chain(collection.members.iter().map(|members| members.permission))
        });
        let verbs = [Verb::Read, Verb::Create, Verb::Update, Verb::Delete, Verb::Execute];
        let all = PLATFORM_KEYS.into_iter().chain(keys);
        all.flat_map(|key| verbs.map(|verb| Permission::new(key, verb))).collect()
    }

    /// The permission of `verb` on each collection.
    #[must_use]
    pub fn each(&self, verb: Verb) -> Vec<Permission> {
        self.collections.iter().map(|collection| collection.needs(verb)).collect()
    }
}
