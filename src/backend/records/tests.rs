//! The life of objects, without HTTP and without a disk.

use std::{collections::BTreeMap, sync::Mutex};

use serde_json::json;

use super::*;
use crate::{
    backend::store::memory::Memory,
    protocol::{Claim, Create, Member, Owner, Phase, Reality},
};

/// Chooses a number once, counts what was given back, refuses the name `bad`.
#[derive(Default)]
struct Numbers {
    released: Mutex<Vec<String>>,
}

impl Checks for Numbers {
    fn accept(
        &self,
        tx: &mut dyn Transaction,
        id: &str,
        _: &Project,
        intent: &Value,
        before: Option<&Value>,
    ) -> Result<Value, Problem> {
        tx.put(Table::Leases, id.as_bytes(), vec![1])?;
        if intent["name"] == "bad" {
            return Err(Problem::invalid("/name", "bad"));
        }
        Ok(before.cloned().unwrap_or_else(|| json!({"number": tx.revision()})))
    }

    fn release(&self, tx: &mut dyn Transaction, id: &str, _: &Value) -> Result<(), Problem> {
        self.released.lock().unwrap().push(id.to_owned());
        Ok(tx.delete(Table::Leases, id.as_bytes())?)
    }
}

/// `things`, and `things/parts` of them.
struct Things<'a>(&'a Numbers);

impl Families for Things<'_> {
    fn checks(&self, _: &str) -> Option<&dyn Checks> {
        Some(self.0)
    }

    fn parent(&self, collection: &str) -> Option<&'static str> {
        (collection == "things/parts").then_some("things")
    }
}

/// A project with nothing in it.
struct Rig {
    memory: Memory,
    project: Project,
    checks: Numbers,
}

fn anything(_: Option<&Value>, _: &Value) -> Result<(), Problem> {
    Ok(())
}

fn allowed(_: Option<&str>) -> Result<(), Problem> {
    Ok(())
}

fn owner(uid: &str) -> Owner {
    Owner { cluster: "c".into(), kind: "K".into(), namespace: "ns".into(), name: "n".into(), uid: uid.into() }
}

fn place<'a>(project: &'a Project, checks: &'a dyn Checks) -> Place<'a> {
    Place { project, collection: "things", checks, parent: None, under: None }
}

impl Rig {
    fn new() -> Self {
        let project = Project { id: "prj-1".into(), name: "shop".into(), organization: "acme".into() };
        Self { memory: Memory::default(), project, checks: Numbers::default() }
    }

    fn create(&mut self, id: &str, by: Option<Owner>, intent: Value) -> Result<RawObject, Problem> {
        let place = place(&self.project, &self.checks);
        self.memory.job(|tx| create(tx, &place, id, &Create { owner: by, parent: None, intent }, &anything))
    }

    fn patch(&mut self, id: &str, tag: &str, change: Value) -> Result<RawObject, Problem> {
        let place = place(&self.project, &self.checks);
        let if_match = IfMatch::parse(&format!("\"{tag}\"")).unwrap();
        self.memory.job(|tx| patch(tx, &place, id, &if_match, &change, &anything))
    }

    fn claim(&mut self, id: &str, from: Option<Owner>, to: Owner) -> Result<RawObject, Problem> {
        let place = place(&self.project, &self.checks);
        self.memory.job(|tx| claim(tx, &place, id, &Claim { from, to }))
    }

    fn delete(&mut self, id: &str, tag: &str) -> Result<RawObject, Problem> {
        let place = place(&self.project, &self.checks);
        let if_match = IfMatch::parse(&format!("\"{tag}\"")).unwrap();
        self.memory.job(|tx| delete(tx, &place, id, &if_match))
    }

    fn retire(&mut self, uid: &str, purge: bool) -> Result<Option<RawObject>, Problem> {
        match self.memory.job(|tx| retire(tx, "prj-1", ("c", uid), purge, &allowed))? {
            Retirement::Done(object) => Ok(object),
            Retirement::InUse(problem) => Err(problem),
        }
    }

    fn released(&mut self, id: &str) {
        let Self { memory, checks, .. } = self;
        memory.job(|tx| released(tx, "prj-1", &Things(checks), "things", id)).unwrap();
    }

    fn report(&mut self, id: &str, of: u64, state: Value) {
        let members = BTreeMap::from([("m".to_owned(), Member { state: "Fine".into(), ..Member::default() })]);
        let report = Report { of, state, members };
        self.memory.job(|tx| Ok(super::report(tx, "prj-1", "things", id, &report)?)).unwrap();
    }

    fn stored(&self, id: &str) -> Option<Stored> {
        get(&self.memory, "prj-1", "things", id).unwrap()
    }
}

fn code<T>(result: Result<T, Problem>) -> Result<T, Code> {
    result.map_err(|problem| problem.code)
}

#[test]
fn intent_is_kept_as_it_was_sent() {
    let mut rig = Rig::new();
    let intent = json!({"name": "a", "null": null, "empty": {}, "number": 1.0, "text": "ä\u{1F600}"});
    let made = rig.create("t-1", Some(owner("u1")), intent.clone()).unwrap();
    assert_eq!(rig.stored("t-1").unwrap().object, made);
    assert_eq!((made.intent.clone(), made.phase), (intent, Phase::Live));
    assert_eq!(made.reality, Reality::default());
    assert_eq!((made.revision, made.intent_revision), (1, 1));
    assert_eq!(rig.stored("t-1").unwrap().chosen, json!({"number": 1}));
}

#[test]
fn one_object_an_owner() {
    let mut rig = Rig::new();
    rig.create("t-1", Some(owner("u1")), json!({})).unwrap();
    let again = rig.create("t-2", Some(owner("u1")), json!({"other": 1})).unwrap_err();
    assert_eq!((again.code, again.id.as_deref()), (Code::Exists, Some("t-1")));
    assert!(rig.stored("t-2").is_none());
    let elsewhere = Owner { cluster: "d".into(), ..owner("u1") };
    rig.create("t-3", Some(elsewhere), json!({})).unwrap();
    rig.create("t-4", None, json!({})).unwrap();
    rig.create("t-5", None, json!({})).unwrap();
}

#[test]
fn owners_have_bounds() {
    let mut rig = Rig::new();
    let long = "x".repeat(254);
    for (bad, field) in [
        (Owner { uid: String::new(), ..owner("u") }, "/owner/uid"),
        (Owner { cluster: "a\0b".into(), ..owner("u") }, "/owner/cluster"),
        (Owner { name: long.clone(), ..owner("u") }, "/owner/name"),
        (Owner { kind: String::new(), ..owner("u") }, "/owner/kind"),
        (Owner { namespace: long, ..owner("u") }, "/owner/namespace"),
    ] {
        assert_eq!(rig.create("t-1", Some(bad), json!({})).unwrap_err().field.as_deref(), Some(field));
    }
    rig.create("t-1", Some(Owner { namespace: String::new(), ..owner("u") }), json!({})).unwrap();
    assert_eq!(code(rig.retire("", false)), Err(Code::Invalid));
    assert_eq!(code(rig.retire("a\0b", false)), Err(Code::Invalid));
}

#[test]
fn what_is_refused_leaves_nothing() {
    let mut rig = Rig::new();
    assert_eq!(code(rig.create("t-1", Some(owner("u1")), json!({"name": "bad"}))), Err(Code::Invalid));
    assert_eq!(rig.memory.revision(), 0);
    assert!(rig.memory.get(Table::Leases, b"t-1").unwrap().is_none());
    let made = rig.create("t-1", Some(owner("u1")), json!({"name": "a"})).unwrap();
    assert_eq!(code(rig.patch("t-1", &made.etag, json!({"name": "bad"}))), Err(Code::Invalid));
    assert_eq!(rig.stored("t-1").unwrap().object, made);
}

#[test]
fn too_large_an_intent_is_refused_also_when_it_grows() {
    let mut rig = Rig::new();
    let large = "x".repeat(INTENT_LIMIT - 100);
    assert_eq!(code(rig.create("t-1", None, json!({"a": large, "b": "x".repeat(100)}))), Err(Code::TooLarge));
    let made = rig.create("t-1", None, json!({"a": large})).unwrap();
    assert_eq!(code(rig.patch("t-1", &made.etag, json!({"b": "x".repeat(100)}))), Err(Code::TooLarge));
}

#[test]
fn patch_moves_tag_and_revisions_unless_it_changes_nothing() {
    let mut rig = Rig::new();
    let made = rig.create("t-1", None, json!({"a": {"b": 1, "c": 2}})).unwrap();
    let patched = rig.patch("t-1", &made.etag, json!({"a": {"b": null}, "d": [1]})).unwrap();
    assert_eq!(patched.intent, json!({"a": {"c": 2}, "d": [1]}));
    assert_ne!(patched.etag, made.etag);
    assert_eq!((patched.revision, patched.intent_revision), (2, 2));
    assert_eq!(rig.stored("t-1").unwrap().chosen, json!({"number": 1}), "what was chosen stays");
    let same = rig.patch("t-1", &patched.etag, json!({"a": {"c": 2}, "x": null})).unwrap();
    assert_eq!((same, rig.memory.revision()), (patched, 2));
    assert_eq!(code(rig.patch("t-1", &made.etag, json!({"z": 1}))), Err(Code::Stale));
    assert_eq!(code(rig.patch("t-9", &made.etag, json!({"z": 1}))), Err(Code::NotFound));
}

#[test]
fn claim_is_compare_and_set() {
    let mut rig = Rig::new();
    let made = rig.create("t-1", Some(owner("u1")), json!({})).unwrap();
    let wrong = rig.claim("t-1", Some(owner("u9")), owner("u2")).unwrap_err();
    assert_eq!((wrong.code, wrong.holder.as_deref()), (Code::Owned, Some(&owner("u1"))));
    assert_eq!(code(rig.claim("t-1", None, owner("u2"))), Err(Code::Owned));
    let claimed = rig.claim("t-1", Some(owner("u1")), owner("u2")).unwrap();
    assert_eq!(claimed.owner, Some(owner("u2")));
    assert_ne!(claimed.etag, made.etag);
    assert_eq!((claimed.revision, claimed.intent_revision), (2, 1));
    assert_eq!(rig.claim("t-1", Some(owner("u1")), owner("u2")).unwrap(), claimed, "the same result twice");
    assert_eq!(rig.memory.revision(), 2);
    rig.create("t-2", Some(owner("u1")), json!({})).unwrap();
    let busy = rig.claim("t-1", Some(owner("u2")), owner("u1")).unwrap_err();
    assert_eq!((busy.code, busy.id.as_deref()), (Code::Exists, Some("t-2")));
    rig.create("t-3", None, json!({})).unwrap();
    assert_eq!(code(rig.claim("t-3", Some(owner("u2")), owner("u3"))), Err(Code::Stale));
    rig.claim("t-3", None, owner("u3")).unwrap();
    let renamed = Owner { name: "renamed".into(), ..owner("u3") };
    assert_eq!(rig.claim("t-3", Some(owner("u3")), renamed.clone()).unwrap().owner, Some(renamed));
}

#[test]
fn deletion_has_two_phases() {
    let mut rig = Rig::new();
    let made = rig.create("t-1", Some(owner("u1")), json!({})).unwrap();
    assert_eq!(code(rig.delete("t-1", "0000")), Err(Code::Stale));
    rig.released("t-1");
    assert!(rig.stored("t-1").is_some(), "a Live object cannot be released");
    let deleting = rig.delete("t-1", &made.etag).unwrap();
    assert_eq!((deleting.phase, deleting.etag.clone(), deleting.revision), (Phase::Deleting, made.etag.clone(), 2));
    assert_eq!(rig.delete("t-1", &made.etag).unwrap(), deleting);
    assert_eq!(code(rig.patch("t-1", &made.etag, json!({"a": 1}))), Err(Code::Conflict));
    assert_eq!(code(rig.patch("t-1", &made.etag, json!({}))), Err(Code::Conflict));
    assert_eq!(code(rig.claim("t-1", Some(owner("u1")), owner("u2"))), Err(Code::Conflict));
    assert_eq!(code(rig.create("t-2", Some(owner("u1")), json!({}))), Err(Code::Exists));
    rig.released("t-1");
    assert!(rig.stored("t-1").is_none());
    assert_eq!(*rig.checks.released.lock().unwrap(), ["t-1"]);
    rig.released("t-1");
    assert_eq!(code(rig.delete("t-1", &made.etag)), Err(Code::NotFound));
    rig.create("t-2", Some(owner("u1")), json!({})).unwrap();
}

#[test]
fn a_retired_owner_is_retired_for_good() {
    let mut rig = Rig::new();
    rig.create("t-1", Some(owner("u1")), json!({})).unwrap();
    assert_eq!(rig.retire("u1", false).unwrap().unwrap().phase, Phase::Deleting);
    let revision = rig.memory.revision();
    assert_eq!(rig.retire("u1", false).unwrap().unwrap().id, "t-1");
    assert_eq!(rig.memory.revision(), revision);
    rig.retire("u1", true).unwrap();
    assert!(rig.stored("t-1").unwrap().purge, "purge may be given later");
    rig.retire("u1", false).unwrap();
    assert!(rig.stored("t-1").unwrap().purge, "and is not taken back");
    assert_eq!(code(rig.create("t-2", Some(owner("u1")), json!({}))), Err(Code::OwnerRetired));
    rig.released("t-1");
    assert_eq!(code(rig.create("t-2", Some(owner("u1")), json!({}))), Err(Code::OwnerRetired));
    assert_eq!(rig.retire("u1", false).unwrap(), None);
    // Without ever having had an object.
    assert_eq!(rig.retire("u2", false).unwrap(), None);
    assert_eq!(code(rig.create("t-2", Some(owner("u2")), json!({}))), Err(Code::OwnerRetired));
    rig.create("t-3", Some(owner("u3")), json!({})).unwrap();
    assert_eq!(code(rig.claim("t-3", Some(owner("u3")), owner("u2"))), Err(Code::OwnerRetired));
}

#[test]
fn retire_that_is_not_allowed_changes_nothing() {
    let mut rig = Rig::new();
    rig.create("t-1", Some(owner("u1")), json!({})).unwrap();
    let refuse = |collection: Option<&str>| match collection {
        Some("things") => Err(Problem::new(Code::Forbidden, "no")),
        _ => Ok(()),
    };
    assert_eq!(code(rig.memory.job(|tx| retire(tx, "prj-1", ("c", "u1"), false, &refuse))), Err(Code::Forbidden));
    assert_eq!(rig.stored("t-1").unwrap().object.phase, Phase::Live);
    rig.memory.job(|tx| retire(tx, "prj-2", ("c", "u1"), false, &allowed)).unwrap();
    assert_eq!(rig.stored("t-1").unwrap().object.phase, Phase::Live, "another project's owner");
}

#[test]
fn reality_moves_the_revision_and_nothing_else() {
    let mut rig = Rig::new();
    let made = rig.create("t-1", Some(owner("u1")), json!({"a": 1})).unwrap();
    rig.report("t-1", 1, json!({"x": 1}));
    let seen = rig.stored("t-1").unwrap().object;
    assert_eq!((seen.revision, seen.intent_revision, &seen.etag), (2, 1, &made.etag));
    assert!(seen.realised());
    rig.report("t-1", 1, json!({"x": 1}));
    assert_eq!(rig.memory.revision(), 2, "nothing new costs nothing");
    let patched = rig.patch("t-1", &made.etag, json!({"a": 2})).unwrap();
    assert!(!patched.realised());
    assert_eq!(patched.reality, seen.reality);
    rig.report("t-1", patched.intent_revision, json!({"x": 2}));
    rig.report("t-1", 1, json!({"x": 3}));
    assert_eq!(rig.stored("t-1").unwrap().object.reality.state, json!({"x": 2}), "of an older intent");
    rig.report("t-1", 99, json!({"x": 4}));
    assert_eq!(rig.stored("t-1").unwrap().object.reality.state, json!({"x": 2}), "of an intent that is not known");
    rig.report("t-9", 1, json!({}));
}

#[test]
fn pages_are_bounded_by_count_and_by_bytes() {
    let mut rig = Rig::new();
    for n in 0..150 {
        rig.create(&format!("t-{n:03}"), None, json!({"n": n, "pad": "x".repeat(1000)})).unwrap();
    }
    let page = |after: &str, limit, bytes, keep: &dyn Fn(&RawObject) -> bool| {
        let query = Query { under: None, after, limit, bytes, keep };
        let (found, more) = super::page(&rig.memory, "prj-1", "things", &query).unwrap();
        (found.first().map(|o| o.id.clone()), found.len(), more)
    };
    let all = |_: &RawObject| true;
    assert_eq!(page("", 500, usize::MAX, &all), (Some("t-000".into()), 150, false));
    assert_eq!(page("", 150, usize::MAX, &all), (Some("t-000".into()), 150, false));
    assert_eq!(page("", 149, usize::MAX, &all), (Some("t-000".into()), 149, true));
    assert_eq!(page("t-099", 100, usize::MAX, &all), (Some("t-100".into()), 50, false));
    assert_eq!(page("t-149", 100, usize::MAX, &all), (None, 0, false));
    assert_eq!(page("", 500, 1, &all), (Some("t-000".into()), 1, true));
    let even = |object: &RawObject| object.intent["n"].as_u64().unwrap().is_multiple_of(2);
    assert_eq!(page("", 74, usize::MAX, &even), (Some("t-000".into()), 74, true));
    assert_eq!(page("", 75, usize::MAX, &even), (Some("t-000".into()), 75, false));
}

#[test]
fn a_parent_that_was_released_goes_with_its_last_child() {
    let mut rig = Rig::new();
    let made = rig.create("t-1", None, json!({})).unwrap();
    for id in ["p-1", "p-2"] {
        let Rig { memory, project, checks } = &mut rig;
        let parts = Place { collection: "things/parts", parent: Some("things"), ..place(project, checks) };
        let create = Create { owner: None, parent: Some("t-1".into()), intent: json!({}) };
        memory.job(|tx| super::create(tx, &parts, id, &create, &anything)).unwrap();
    }
    rig.delete("t-1", &made.etag).unwrap();
    rig.released("t-1");
    let waiting = rig.stored("t-1").unwrap();
    assert!(waiting.released && waiting.object.phase == Phase::Deleting);
    let revision = rig.memory.revision();
    rig.released("t-1");
    assert_eq!(rig.memory.revision(), revision, "said again it changes nothing");
    let release = |rig: &mut Rig, id: &str| {
        let Rig { memory, checks, .. } = rig;
        memory.job(|tx| super::released(tx, "prj-1", &Things(checks), "things/parts", id)).unwrap();
    };
    release(&mut rig, "p-1");
    assert!(rig.stored("t-1").is_some());
    release(&mut rig, "p-2");
    assert!(rig.stored("t-1").is_none());
    assert_eq!(*rig.checks.released.lock().unwrap(), ["p-1", "p-2", "t-1"]);
    assert!(rig.memory.scan(Table::Children, b"", b"", 9).unwrap().is_empty());
}
