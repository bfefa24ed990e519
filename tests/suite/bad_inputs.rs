//! What people get wrong, as a table: each manifest must be refused by the API server with a message that names the field
//! and says what is right, and a good object beside it must not notice.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod backends;
mod balancers;
mod bindings;
mod buckets;
mod conditions;
mod dns;
mod probes;
mod values;

use http::Request;
use kube::{Client, Error};
use serde_json::{Value, json};

use crate::rig::{Scene, rig};

/// One wrong manifest.
pub struct Case {
    /// What is wrong, in a few words.
    name: &'static str,
    /// Made wrong when the object is created, or later when it is changed.
    when: When,
    /// What turns the good manifest into the wrong one.
    changes: Vec<Change>,
    /// What the refusal must say: the field, and what is right.
    says: Vec<&'static str>,
}

enum When {
    Created,
    /// The object is created with these changes first.
    Changed(Vec<Change>),
}

/// One change of a manifest.
pub enum Change {
    Set(&'static str, Value),
    Remove(&'static str),
}

/// A kind, a good manifest of it, its wrong ones, and changes that must be taken, so that no rule is too strict.
struct Table {
    plural: &'static str,
    namespaced: bool,
    good: Value,
    cases: Vec<Case>,
    allowed: Vec<Allowed>,
}

/// What is created, and what is then changed.
struct Allowed {
    name: &'static str,
    first: Vec<Change>,
    then: Vec<Change>,
}

/// A good object is created with the first changes, and the second ones are taken.
fn allow(name: &'static str, first: impl Into<Vec<Change>>, then: impl Into<Vec<Change>>) -> Allowed {
    Allowed { name, first: first.into(), then: then.into() }
}

/// A case that is refused at creation.
fn create(name: &'static str, changes: impl Into<Vec<Change>>, says: &[&'static str]) -> Case {
    Case { name, when: When::Created, changes: changes.into(), says: says.to_vec() }
}

/// A case where a good object is created with the first changes, and the second ones are refused.
fn change(
    name: &'static str,
    first: impl Into<Vec<Change>>,
    then: impl Into<Vec<Change>>,
    says: &[&'static str],
) -> Case {
    Case { name, when: When::Changed(first.into()), changes: then.into(), says: says.to_vec() }
}

fn set(pointer: &'static str, value: Value) -> Change {
    Change::Set(pointer, value)
}

fn remove(pointer: &'static str) -> Change {
    Change::Remove(pointer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_refused_at_once() {
    let (rig, _peace) = rig().await;
    let scene = Scene::unbound(rig, "bad-inputs").await;
    run(scene.client.clone(), &scene.name).await;
}

/// Tries every case; panics with all that were not refused as they should be.
async fn run(client: Client, namespace: &str) {
    let mut failures = Vec::new();
    let mut tried = 0;
    let tables = [
        balancers::table(),
        bindings::table(),
        backends::table(),
        probes::table(),
        conditions::table(),
        dns::zones(),
        dns::records(),
        buckets::buckets(),
        buckets::credentials(),
    ];
    for table in tables {
        let api = Collection::new(client.clone(), &table, namespace);
        let beside = api.create(&named(&table.good, "bad-inputs-beside")).await.expect("the good manifest is taken");
        for (index, case) in table.cases.iter().enumerate() {
            tried += 1;
            if let Err(problem) = try_case(&api, &table.good, index, case).await {
                failures.push(format!("{}: {}: {problem}", table.plural, case.name));
            }
        }
        for (index, case) in table.allowed.iter().enumerate() {
            if let Err(error) = try_allowed(&api, &table.good, index, case).await {
                failures.push(format!("{}: {}: {error}", table.plural, case.name));
            }
        }
        let after = api.get("bad-inputs-beside").await;
        assert_eq!(written(&after), written(&beside), "the object beside was disturbed");
        api.delete("bad-inputs-beside").await;
    }
    assert!(tried >= 120, "only {tried} cases");
    assert!(failures.is_empty(), "{} of {tried} cases:\n{}", failures.len(), failures.join("\n"));
}

async fn try_case(api: &Collection, good: &Value, index: usize, case: &Case) -> Result<(), String> {
    let name = format!("bad-inputs-{index}");
    let manifest = named(good, &name);
    let answer = match &case.when {
        When::Created => api.create(&changed(manifest, &case.changes)).await,
        When::Changed(first) => {
            let before = api.create(&changed(manifest, first)).await;
            let before = before.map_err(|error| format!("the object to change was refused: {error}"))?;
            let answer = api.replace(&name, &changed(before.clone(), &case.changes)).await;
            if answer.is_err() && written(&api.get(&name).await) != written(&before) {
                return Err("the refused change left a trace".to_owned());
            }
            api.delete(&name).await;
            answer
        }
    };
    if answer.is_ok() && matches!(case.when, When::Created) {
        api.delete(&name).await;
    }
    refused(answer, &case.says)
}

async fn try_allowed(api: &Collection, good: &Value, index: usize, case: &Allowed) -> Result<(), Error> {
    let name = format!("bad-inputs-allowed-{index}");
    let before = api.create(&changed(named(good, &name), &case.first)).await?;
    let answer = api.replace(&name, &changed(before, &case.then)).await;
    api.delete(&name).await;
    answer.map(drop)
}

/// Whether the answer is a refusal that says all of it.
fn refused(answer: Result<Value, Error>, says: &[&str]) -> Result<(), String> {
    let status = match answer {
        Ok(_) => return Err("was taken".to_owned()),
        Err(Error::Api(status)) if status.code == 422 || status.code == 400 => status,
        Err(error) => return Err(format!("answered otherwise: {error}")),
    };
    let missing: Vec<_> = says.iter().filter(|text| !status.message.contains(**text)).collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("does not say {missing:?}: {}", status.message)) }
}

fn named(good: &Value, name: &str) -> Value {
    let mut manifest = good.clone();
    manifest["metadata"]["name"] = json!(name);
    manifest
}

/// What people wrote: the operator adds a finalizer and a status at any time.
fn written(object: &Value) -> [&Value; 3] {
    [&object["metadata"]["uid"], &object["metadata"]["generation"], &object["spec"]]
}

fn changed(mut manifest: Value, changes: &[Change]) -> Value {
    for change in changes {
        let (Change::Set(pointer, _) | Change::Remove(pointer)) = change;
        let (parent, field) = pointer.rsplit_once('/').expect("a pointer");
        let parent = manifest.pointer_mut(parent).unwrap_or_else(|| panic!("nothing at {pointer}"));
        match (change, parent) {
            (Change::Set(_, value), Value::Object(object)) => drop(object.insert(field.to_owned(), value.clone())),
            (Change::Set(_, value), Value::Array(array)) => {
                let index: usize = field.parse().expect("an index");
                if index < array.len() { array[index] = value.clone() } else { array.push(value.clone()) }
            }
            (Change::Remove(_), Value::Object(object)) => drop(object.remove(field)),
            (Change::Remove(_), Value::Array(array)) => drop(array.remove(field.parse().expect("an index"))),
            _ => panic!("{pointer} is no place for a change"),
        }
    }
    manifest
}

/// One kind's objects, spoken to as kubectl does: unknown fields are refused.
struct Collection {
    client: Client,
    path: String,
}

impl Collection {
    fn new(client: Client, table: &Table, namespace: &str) -> Self {
        let scope = if table.namespaced { format!("/namespaces/{namespace}") } else { String::new() };
        Self { client, path: format!("/apis/loopback.cloud/v1alpha1{scope}/{}", table.plural) }
    }

    async fn create(&self, manifest: &Value) -> Result<Value, Error> {
        self.send("POST", &format!("{}?fieldValidation=Strict", self.path), manifest.to_string()).await
    }

    /// Replaces the spec, whatever the operator writes meanwhile.
    async fn replace(&self, name: &str, manifest: &Value) -> Result<Value, Error> {
        loop {
            let mut now = self.get(name).await;
            now["spec"] = manifest["spec"].clone();
            let answer =
                self.send("PUT", &format!("{}/{name}?fieldValidation=Strict", self.path), now.to_string()).await;
            if !matches!(&answer, Err(Error::Api(status)) if status.code == 409) {
                return answer;
            }
        }
    }

    async fn get(&self, name: &str) -> Value {
        self.send("GET", &format!("{}/{name}", self.path), String::new()).await.expect("the object is there")
    }

    async fn delete(&self, name: &str) {
        let answer = self.send("DELETE", &format!("{}/{name}", self.path), String::new()).await;
        drop(answer.expect("the object can be deleted"));
    }

    async fn send(&self, method: &str, uri: &str, body: String) -> Result<Value, Error> {
        let request = Request::builder().method(method).uri(uri).header("content-type", "application/json");
        self.client.request(request.body(body.into_bytes()).expect("a request")).await
    }
}
