//! Objects of any collection.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use http::StatusCode;
use serde_json::{Map, Value};

use super::{answer::Answer, call::Call, caller::Caller, collections::Collection, paging::Paging};
use crate::{
    backend::{
        records::{self, Place, Query},
        store::{self, Transaction, View},
    },
    protocol::{Claim, Code, Create, Page, Permission, Phase, Problem, Project, RawObject, Verb},
};

/// Bytes of stored objects in one page.
const PAGE_BYTES: usize = 4 << 20;

pub(super) async fn list(call: Call, collection: Arc<Collection>) -> Result<Answer, Problem> {
    list_of(call, collection, false).await
}

/// Without superseded objects: those with the same name as a newer one.
pub(super) async fn list_present(call: Call, collection: Arc<Collection>) -> Result<Answer, Problem> {
    list_of(call, collection, true).await
}

async fn list_of(call: Call, collection: Arc<Collection>, present: bool) -> Result<Answer, Problem> {
    let paging = Paging::of(&call)?;
    let filter = Filter::of(&call);
    let (caller, spot) = (call.caller.clone(), Spot::of(&call));
    let look = move |view: &dyn View| {
        let project = caller.enter(view, &spot.project, &[collection.needs(Verb::Read)])?;
        spot.check_parent(view, &project, &collection)?;
        let under = spot.under.as_deref();
        let here = |object: &RawObject| under.is_none_or(|under| object.parent.as_deref() == Some(under));
        let newest = if present { Some(newest(view, &project, &collection)?) } else { None };
        let shown = |object: &RawObject| newest.as_ref().is_none_or(|newest| newest.contains(&object.id));
        let keep = |object: &RawObject| here(object) && shown(object) && filter.keeps(object, collection.name_field);
        let (items, more) = match filter.owned(view, &project, collection.path)? {
            Some(owned) => (owned.into_iter().filter(|object| keep(object)).collect(), false),
            None => {
                let query = Query { under, after: &paging.after, limit: paging.limit, bytes: PAGE_BYTES, keep: &keep };
                records::page(view, &project.id, collection.path, &query)?
            }
        };
        let next = items.last().filter(|_| more).map(|object: &RawObject| Paging::next(&object.id));
        Ok(Page { items, next })
    };
    Answer::ok(&store::read(&*call.api.store, look).await?)
}

/// What is counted about the objects of a project.
pub(super) async fn usage(call: Call, collection: Arc<Collection>) -> Result<Answer, Problem> {
    let (caller, spot) = (call.caller.clone(), Spot::of(&call));
    let counted = Arc::clone(&collection);
    let look = move |view: &dyn View| {
        let project = caller.enter(view, &spot.project, &[counted.needs(Verb::Read)])?;
        let query = Query { under: None, after: "", limit: usize::MAX, bytes: usize::MAX, keep: &|_| true };
        let (objects, _) = records::page(view, &project.id, counted.path, &query)?;
        Ok(objects.into_iter().map(|object| object.id).collect())
    };
    let ids = store::read(&*call.api.store, look).await?;
    let Some(meter) = &collection.meter else { return Err(Problem::not_found("this path")) };
    Answer::ok(&(meter.count)(ids).await?)
}

/// Ids of the newest Live object of each name. Ids are in the order in which they were made.
fn newest(view: &dyn View, project: &Project, collection: &Collection) -> Result<BTreeSet<String>, Problem> {
    let query = Query { under: None, after: "", limit: usize::MAX, bytes: usize::MAX, keep: &|_| true };
    let (objects, _) = records::page(view, &project.id, collection.path, &query)?;
    let name = |object: &RawObject| object.intent.get(collection.name_field).map(Value::to_string).unwrap_or_default();
    let mut newest: BTreeMap<String, String> = BTreeMap::new();
    // One that is being deleted supersedes nothing.
    for object in objects.into_iter().filter(|object| object.phase == Phase::Live) {
        newest.insert(name(&object), object.id);
    }
    Ok(newest.into_values().collect())
}

/// What the query of a list asks for.
struct Filter {
    cluster: Option<String>,
    uid: Option<String>,
    name: Option<String>,
}

impl Filter {
    fn of(call: &Call) -> Self {
        let text = |name| call.query(name).map(str::to_owned);
        Self { cluster: text("owner.cluster"), uid: text("owner.uid"), name: text("name") }
    }

    fn keeps(&self, object: &RawObject, name_field: &str) -> bool {
        let same = |wanted: &Option<String>, is: Option<&str>| wanted.is_none() || wanted.as_deref() == is;
        let owner = object.owner.as_ref();
        same(&self.cluster, owner.map(|owner| owner.cluster.as_str()))
            && same(&self.uid, owner.map(|owner| owner.uid.as_str()))
            && same(&self.name, object.intent.get(name_field).and_then(Value::as_str))
    }

    /// With a whole owner there is at most one object, and an index that knows it.
    fn owned(
        &self,
        view: &dyn View,
        project: &Project,
        collection: &str,
    ) -> Result<Option<Option<RawObject>>, Problem> {
        let (Some(cluster), Some(uid)) = (&self.cluster, &self.uid) else { return Ok(None) };
        match records::owned_by(view, &project.id, cluster, uid)? {
            Some((place, id)) if place == collection => {
                Ok(Some(records::get(view, &project.id, collection, &id)?.map(|stored| stored.object)))
            }
            _ => Ok(Some(None)),
        }
    }
}

pub(super) async fn get(call: Call, collection: Arc<Collection>) -> Result<Answer, Problem> {
    let (caller, spot) = (call.caller.clone(), Spot::of(&call));
    let look = move |view: &dyn View| {
        let project = caller.enter(view, &spot.project, &[collection.needs(Verb::Read)])?;
        records::find(view, &spot.place(&project, &collection), &spot.id)
    };
    Answer::object(StatusCode::OK, &store::read(&*call.api.store, look).await?)
}

pub(super) async fn create(call: Call, collection: Arc<Collection>) -> Result<Answer, Problem> {
    let mut body: Create = call.json()?;
    let id = call.api.world.id(collection.prefix);
    let (caller, spot) = (call.caller.clone(), Spot::of(&call));
    if let Some(under) = &spot.under
        && body.parent.replace(under.clone()).is_some_and(|parent| parent != *under)
    {
        return Err(Problem::invalid("/parent", "is not the one in the path; leave it out"));
    }
    let work = move |tx: &mut dyn Transaction| {
        let project = caller.enter(tx, &spot.project, &[collection.needs(Verb::Create)])?;
        let judge = |before: Option<&Value>, after: &Value| judge(&caller, &project, &collection, before, after);
        records::create(tx, &spot.place(&project, &collection), &id, &body, &judge)
    };
    Answer::object(StatusCode::CREATED, &store::write(&*call.api.store, true, work).await?.answer)
}

pub(super) async fn patch(call: Call, collection: Arc<Collection>) -> Result<Answer, Problem> {
    let patch = Value::Object(call.json::<Map<String, Value>>()?);
    let (caller, spot) = (call.caller.clone(), Spot::of(&call));
    let if_match = call.if_match();
    let work = move |tx: &mut dyn Transaction| {
        let project = caller.enter(tx, &spot.project, &collection.change_permissions())?;
        let judge = |before: Option<&Value>, after: &Value| judge(&caller, &project, &collection, before, after);
        records::patch(tx, &spot.place(&project, &collection), &spot.id, &if_match.clone()?, &patch, &judge)
    };
    Answer::object(StatusCode::OK, &store::write(&*call.api.store, true, work).await?.answer)
}

pub(super) async fn delete(call: Call, collection: Arc<Collection>) -> Result<Answer, Problem> {
    let (caller, spot) = (call.caller.clone(), Spot::of(&call));
    let if_match = call.if_match();
    let work = move |tx: &mut dyn Transaction| {
        let project = caller.enter(tx, &spot.project, &[collection.needs(Verb::Delete)])?;
        records::delete(tx, &spot.place(&project, &collection), &spot.id, &if_match.clone()?)
    };
    Answer::object(StatusCode::OK, &store::write(&*call.api.store, true, work).await?.answer)
}

pub(super) async fn claim(call: Call, collection: Arc<Collection>) -> Result<Answer, Problem> {
    let claim: Claim = call.json()?;
    let (caller, spot) = (call.caller.clone(), Spot::of(&call));
    let work = move |tx: &mut dyn Transaction| {
        let project = caller.enter(tx, &spot.project, &[collection.needs(Verb::Update)])?;
        records::claim(tx, &spot.place(&project, &collection), &spot.id, &claim)
    };
    Answer::object(StatusCode::OK, &store::write(&*call.api.store, true, work).await?.answer)
}

/// Where a call's objects are: project and parent by name, and the id of one.
#[derive(Clone)]
pub(super) struct Spot {
    pub(super) project: String,
    under: Option<String>,
    pub(super) id: String,
}

impl Spot {
    pub(super) fn of(call: &Call) -> Self {
        let text = |name| call.path(name).to_owned();
        Self { project: text("p"), under: Some(text("parent")).filter(|parent| !parent.is_empty()), id: text("id") }
    }

    /// A list below a parent that does not exist is not empty but missing.
    fn check_parent(&self, view: &dyn View, project: &Project, collection: &Collection) -> Result<(), Problem> {
        let (Some(under), Some(above)) = (&self.under, collection.parent) else { return Ok(()) };
        let parent = records::get(view, &project.id, above, under)?;
        parent.map(drop).ok_or_else(|| Problem::not_found(format_args!("object {under:?}")))
    }

    pub(super) fn place<'a>(&'a self, project: &'a Project, collection: &'a Collection) -> Place<'a> {
        let Collection { path, checks, parent, .. } = collection;
        Place { project, collection: path, checks: &**checks, parent: *parent, under: self.under.as_deref() }
    }
}

/// Permissions first, so that who may not change it learns nothing from what is wrong with it.
fn judge(
    caller: &Caller,
    project: &Project,
    collection: &Collection,
    before: Option<&Value>,
    after: &Value,
) -> Result<(), Problem> {
    for permission in needed(collection, before, after) {
        caller.require_in(&permission, project)?;
    }
    collection.check_shape(after)
}

/// What it takes to make an intent of another: the collection's own key for the rest, the members' keys for members. A change
/// of nothing takes the right to read, since the answer shows the object.
fn needed(collection: &Collection, before: Option<&Value>, after: &Value) -> Vec<Permission> {
    let mut needed = Vec::new();
    match before {
        None => needed.push(collection.needs(Verb::Create)),
        Some(before) if before == after => return vec![collection.needs(Verb::Read)],
        Some(before) if rest(collection, before) != rest(collection, after) => {
            needed.push(collection.needs(Verb::Update));
        }
        Some(_) => {}
    }
    for members in collection.members {
        let none = Map::new();
        let map = |intent: Option<&Value>| intent.and_then(|intent| intent.get(members.field)?.as_object().cloned());
        let (old, new) = (map(before).unwrap_or_else(|| none.clone()), map(Some(after)).unwrap_or(none));
        let verbs = [
            (Verb::Create, new.keys().any(|name| !old.contains_key(name))),
            (Verb::Update, old.iter().any(|(name, member)| new.get(name).is_some_and(|now| now != member))),
            (Verb::Delete, old.keys().any(|name| !new.contains_key(name))),
        ];
        let used = verbs.into_iter().filter(|(_, used)| *used);
        needed.extend(used.map(|(verb, _)| Permission::new(members.permission, verb)));
    }
    needed
}

/// An intent without its members. A map of members that is absent or empty is the same to permissions; one that is no map
/// at all is no members, and will be refused for its shape.
fn rest<'a>(collection: &Collection, intent: &'a Value) -> BTreeMap<&'a str, &'a Value> {
    let members =
        |name: &str, value: &Value| value.is_object() && collection.members.iter().any(|members| members.field == name);
    let fields = intent.as_object().into_iter().flatten();
    fields.filter(|(name, value)| !members(name, value)).map(|(name, value)| (name.as_str(), value)).collect()
}

/// Body of a page that a collection does not have.
pub(super) fn unknown_collection(name: &str) -> Problem {
    Problem::new(Code::Internal, format!("an object is stored in the unknown collection {name:?}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::backend::{api::collections::Registry, checks::NoChecks, load_balancing};

    #[test]
    fn members_have_keys_of_their_own() {
        let registry = Registry::new(load_balancing::collections(Arc::new(NoChecks)));
        let collection = registry.get("load-balancers").unwrap();
        let base = json!({"name": "a", "services": {"web": {"port": 1}}, "targets": {"t": {"port": 1}}});
        let with = |patch: Value| crate::rules::merge_patch(&base, &patch);
        for (before, after, keys) in [
            (None, json!({"name": "a"}), &["project.load_balancer:create"][..]),
            (
                None,
                base.clone(),
                &[
                    "project.load_balancer:create",
                    "project.load_balancer.service:create",
                    "project.load_balancer.target:create",
                ],
            ),
            (Some(&base), base.clone(), &["project.load_balancer:read"]),
            (Some(&base), with(json!({"name": "b"})), &["project.load_balancer:update"]),
            (Some(&base), with(json!({"targets": {"u": {}}})), &["project.load_balancer.target:create"]),
            (Some(&base), with(json!({"targets": {"t": {"port": 2}}})), &["project.load_balancer.target:update"]),
            (Some(&base), with(json!({"targets": {"t": null}})), &["project.load_balancer.target:delete"]),
            (Some(&base), with(json!({"targets": null})), &["project.load_balancer.target:delete"]),
            (
                Some(&base),
                with(json!({"name": "b", "services": {"web": null, "x": {}}})),
                &[
                    "project.load_balancer:update",
                    "project.load_balancer.service:create",
                    "project.load_balancer.service:delete",
                ],
            ),
            (
                Some(&base),
                with(json!({"targets": 7})),
                &["project.load_balancer:update", "project.load_balancer.target:delete"],
            ),
        ] {
            let found: Vec<String> = needed(collection, before, &after).iter().map(ToString::to_string).collect();
            assert_eq!(found, keys, "{after}");
        }
        let empty = json!({"name": "a", "services": {}});
        let found = needed(collection, Some(&json!({"name": "a"})), &empty);
        assert!(found.is_empty(), "an empty map of members is not a change of the rest");
    }
}
