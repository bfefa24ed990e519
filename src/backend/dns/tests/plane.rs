//! From a commit in a real store to the answer of a real socket.

use std::{
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::net::UdpSocket;

use super::*;
use crate::{
    backend::{
        api::collections::Collection,
        dns::{self, DnsPlane, Listeners, Options},
        hub,
        plane::Plane,
        records,
        store::{self, RedbStore, Store, StoreProblem, Transaction, View},
        tenants,
    },
    protocol::{Create, Intent, Problem, Project, RawObject, dns as wire},
    runtime::{Drain, World},
};

const SOON: Duration = Duration::from_secs(5);

struct Rig {
    store: Arc<dyn Store>,
    collections: Arc<[Arc<Collection>]>,
    project: Project,
    drain: Drain,
    server: SocketAddr,
    client: UdpSocket,
}

/// The store, as soon as whoever had it before has let go of it.
async fn opened(folder: &Path) -> Arc<dyn Store> {
    let start = Instant::now();
    loop {
        match RedbStore::open(&folder.join("store"), &World::real()) {
            Ok(store) => return Arc::new(store),
            Err(problem) => assert!(start.elapsed() < SOON, "{problem}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn anything(_: Option<&Value>, _: &Value) -> Result<(), Problem> {
    Ok(())
}

fn owner_of(_: &dyn View, domain: &str) -> Result<Option<String>, StoreProblem> {
    Ok((domain == "example.dev").then(|| "acme".to_owned()))
}

impl Rig {
    async fn new(folder: &Path) -> Self {
        let store: Arc<dyn Store> = opened(folder).await;
        let work = |tx: &mut dyn Transaction| {
            tenants::ensure_organization(tx, "org-1", "acme")?;
            Ok(tenants::ensure_project(tx, "prj-1", "acme", "shop")?.0)
        };
        let project = store::write(&*store, true, work).await.unwrap().answer;
        let collections: Arc<[_]> = dns::collections(owner_of).into_iter().map(Arc::new).collect();
        let drain = Drain::new();
        let listeners = Listeners::bind(&["127.0.0.1:0".parse().unwrap()]).unwrap();
        let server = listeners.addresses()[0];
        let (intents, reporter) = hub::connect(&store, &collections, &drain);
        let plane = DnsPlane::new(listeners, Options { name_servers: vec![name("ns.localhost")] });
        drain.spawn(plane.run(intents, reporter, drain.clone()));
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        Self { store, collections, project, drain, server, client }
    }

    async fn change<T: Send + 'static>(
        &self,
        collection: &'static str,
        under: Option<&'static str>,
        work: impl Fn(&mut dyn Transaction, &records::Place<'_>) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Box<Problem>> {
        let project = self.project.clone();
        let collection = self.collections.iter().find(|c| c.path == collection).map(Arc::clone).unwrap();
        let work = move |tx: &mut dyn Transaction| {
            let place = records::Place {
                project: &project,
                collection: collection.path,
                checks: &*collection.checks,
                parent: collection.parent,
                under,
            };
            work(tx, &place)
        };
        store::write(&*self.store, true, work).await.map(|written| written.answer).map_err(Box::new)
    }

    async fn zone(&self, id: &'static str, patterns: &[&str]) -> RawObject {
        let intent = json!({"name": id, "domain": "example.dev", "patterns": patterns});
        let create = Create { owner: None, parent: None, intent };
        let work = move |tx: &mut dyn Transaction, place: &records::Place<'_>| {
            records::create(tx, place, id, &create, &anything)
        };
        self.change(wire::Zone::COLLECTION, None, work).await.unwrap()
    }

    async fn record(&self, id: String, zone: &'static str, intent: Value) -> RawObject {
        let create = Create { owner: None, parent: Some(zone.into()), intent };
        let work = move |tx: &mut dyn Transaction, place: &records::Place<'_>| {
            records::create(tx, place, &id, &create, &anything)
        };
        self.change(wire::Record::COLLECTION, Some(zone), work).await.unwrap()
    }

    async fn patch(&self, collection: &'static str, under: Option<&'static str>, id: &'static str, patch: Value) {
        let work = move |tx: &mut dyn Transaction, place: &records::Place<'_>| {
            records::patch(tx, place, id, &records::IfMatch::Any, &patch, &anything)
        };
        self.change(collection, under, work).await.unwrap();
    }

    async fn delete(&self, collection: &'static str, under: Option<&'static str>, id: &'static str) {
        let work = move |tx: &mut dyn Transaction, place: &records::Place<'_>| {
            records::delete(tx, place, id, &records::IfMatch::Any).map(drop)
        };
        self.change(collection, under, work).await.unwrap();
    }

    async fn object(&self, collection: &'static str, id: &'static str) -> Option<RawObject> {
        let project = self.project.id.clone();
        let look = move |view: &dyn View| Ok(records::get(view, &project, collection, id)?);
        store::read(&*self.store, look).await.unwrap().map(|stored| stored.object)
    }

    async fn ask(&self, asked: &str, of: u16) -> Message {
        self.client.send_to(&question(asked, of).to_vec().unwrap(), self.server).await.unwrap();
        let mut buffer = [0; 2048];
        let length = tokio::time::timeout(SOON, self.client.recv(&mut buffer)).await.unwrap().unwrap();
        Message::from_vec(&buffer[..length]).unwrap()
    }

    /// How long until the answer is as it shall be.
    async fn until(&self, asked: &str, of: u16, right: impl Fn(&Message) -> bool) -> Duration {
        let start = Instant::now();
        loop {
            let answer = self.ask(asked, of).await;
            if right(&answer) {
                return start.elapsed();
            }
            assert!(start.elapsed() < SOON, "{asked} {of}: {answer}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn until_object(&self, collection: &'static str, id: &'static str, right: impl Fn(&RawObject) -> bool) {
        let start = Instant::now();
        while !self.object(collection, id).await.is_some_and(|object| object.realised() && right(&object)) {
            assert!(start.elapsed() < SOON, "{:?}", self.object(collection, id).await);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn a(name: &str, values: &[&str]) -> Value {
    json!({"name": name, "type": "A", "values": values})
}

fn serial(answer: &Message) -> u32 {
    match answer.answers.first().map(|record| &record.data) {
        Some(RData::SOA(soa)) => soa.serial,
        _ => 0,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zones_and_records_are_served_and_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let rig = Rig::new(folder.path()).await;
    rig.until("example.dev.", 6, |answer| u16::from(answer.metadata.response_code) == 5).await;
    rig.zone("dz-1", &["*.example.dev"]).await;
    rig.until("example.dev.", 6, |answer| serial(answer) > 0).await;
    let first = serial(&rig.ask("example.dev.", 6).await);
    rig.record("dr-1".into(), "dz-1", a("a.example.dev", &["192.0.2.1"])).await;
    let took = rig.until("a.example.dev.", 1, |answer| answer.answers.len() == 1).await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!(serial(&rig.ask("example.dev.", 6).await) > first);
    rig.until_object("dns-zones/records", "dr-1", |object| object.reality.state["state"] == "Served").await;
    // a second record of the name, which waits, and takes over when the first is gone
    rig.record("dr-2".into(), "dz-1", a("A.example.dev.", &["192.0.2.2", "192.0.2.3"])).await;
    rig.until_object("dns-zones/records", "dr-2", |object| object.reality.state["reason"] == "Conflict").await;
    let listed = |object: &RawObject| object.reality.members.keys().cloned().collect::<Vec<_>>();
    rig.until_object("dns-zones", "dz-1", |zone| listed(zone) == ["a.example.dev/A"]).await;
    rig.delete("dns-zones/records", Some("dz-1"), "dr-1").await;
    rig.until("a.example.dev.", 1, |answer| answer.answers.len() == 2).await;
    rig.until_object("dns-zones/records", "dr-2", |object| object.reality.state["state"] == "Served").await;
    let state = json!({"records": 1, "nameServers": ["ns.localhost"]});
    rig.until_object("dns-zones", "dz-1", |zone| {
        zone.reality.state["records"] == state["records"] && zone.reality.state["nameServers"] == state["nameServers"]
    })
    .await;
    // narrowed: the record stays, and says why it is not served
    rig.patch("dns-zones", None, "dz-1", json!({"patterns": ["b.example.dev"]})).await;
    rig.until("a.example.dev.", 1, |answer| u16::from(answer.metadata.response_code) == 3).await;
    rig.until_object("dns-zones/records", "dr-2", |object| object.reality.state["reason"] == "OutsidePatterns").await;
    rig.patch("dns-zones", None, "dz-1", json!({"patterns": ["*.example.dev"]})).await;
    rig.until("a.example.dev.", 1, |answer| answer.answers.len() == 2).await;
    // all gone
    rig.delete("dns-zones/records", Some("dz-1"), "dr-2").await;
    rig.until("a.example.dev.", 1, |answer| u16::from(answer.metadata.response_code) == 3).await;
    let start = Instant::now();
    while rig.object("dns-zones/records", "dr-2").await.is_some() {
        assert!(start.elapsed() < SOON);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    rig.delete("dns-zones", None, "dz-1").await;
    rig.until("example.dev.", 6, |answer| u16::from(answer.metadata.response_code) == 5).await;
    assert!(rig.drain.finish(SOON).await);
}

/// The round that a set of addresses belongs to, which must be whole.
fn round(answer: &Message) -> u8 {
    let rounds: Vec<_> = answer
        .answers
        .iter()
        .map(|record| match &record.data {
            RData::A(address) => address.octets()[2],
            other => panic!("{other}"),
        })
        .collect();
    assert!(rounds.len() == 20 && rounds.iter().all(|round| *round == rounds[0]), "half a set: {rounds:?}");
    rounds[0]
}

/// A change of a set is seen whole: either all old values or all new ones, by whoever asks meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_set_changes_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let rig = Rig::new(folder.path()).await;
    rig.zone("dz-1", &["*.example.dev"]).await;
    let values = |round: u8| (0..20).map(|n| format!("192.0.{round}.{n}")).collect::<Vec<_>>();
    rig.record("dr-1".into(), "dz-1", json!({"name": "a.example.dev", "type": "A", "values": values(0)})).await;
    rig.until("a.example.dev.", 1, |answer| answer.answers.len() == 20).await;
    let others: Vec<_> = (0..8).map(|_| tokio::spawn(asks_without_end(rig.server))).collect();
    for now in 1..=20_u8 {
        rig.patch("dns-zones/records", Some("dz-1"), "dr-1", json!({"values": values(now)})).await;
        let took = rig.until("a.example.dev.", 1, |answer| round(answer) == now).await;
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
    for other in others {
        other.abort();
        // whoever saw half a set has panicked
        assert!(other.await.unwrap_err().is_cancelled());
    }
}

async fn asks_without_end(server: SocketAddr) {
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let asked = question("a.example.dev.", 1).to_vec().unwrap();
    let (mut buffer, mut last) = ([0; 2048], 0);
    loop {
        client.send_to(&asked, server).await.unwrap();
        let length = tokio::time::timeout(SOON, client.recv(&mut buffer)).await.unwrap().unwrap();
        let now = round(&Message::from_vec(&buffer[..length]).unwrap());
        assert!(now >= last, "an older set came back");
        last = now;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_many_records_a_new_one_is_served_soon() {
    let folder = tempfile::tempdir().unwrap();
    let rig = Rig::new(folder.path()).await;
    rig.zone("dz-1", &["*.example.dev"]).await;
    for n in 0..300 {
        rig.record(format!("dr-{n}"), "dz-1", a(&format!("n{n}.example.dev"), &["192.0.2.1"])).await;
    }
    rig.until("n299.example.dev.", 1, |answer| answer.answers.len() == 1).await;
    rig.record("ds-1".into(), "dz-1", a("new.example.dev", &["192.0.2.1"])).await;
    let took = rig.until("new.example.dev.", 1, |answer| answer.answers.len() == 1).await;
    // ten times what is promised: the machine may be busy
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_answers_the_same_and_the_serial_number_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let rig = Rig::new(folder.path()).await;
    rig.zone("dz-1", &["*.example.dev"]).await;
    // far more changes than seconds
    for n in 0..60 {
        rig.record(format!("dr-{n}"), "dz-1", a(&format!("n{n}.example.dev"), &["192.0.2.1"])).await;
    }
    rig.until("n59.example.dev.", 1, |answer| answer.answers.len() == 1).await;
    // the newest goes: no object that is left knows its revision
    rig.delete("dns-zones/records", Some("dz-1"), "dr-59").await;
    rig.until("n59.example.dev.", 1, |answer| u16::from(answer.metadata.response_code) == 3).await;
    let asked = ["n0.example.dev.", "n58.example.dev.", "n59.example.dev.", "none.example.dev."];
    let mut before = Vec::new();
    for name in asked {
        before.push(texts(&rig.ask(name, 1).await.answers));
    }
    let last = serial(&rig.ask("example.dev.", 6).await);
    assert!(rig.drain.finish(SOON).await);
    drop(rig);
    let rig = Rig::new(folder.path()).await;
    rig.until("example.dev.", 6, |answer| serial(answer) > 0).await;
    let next = serial(&rig.ask("example.dev.", 6).await);
    assert!(next > last, "{next} after {last}");
    for (name, before) in asked.into_iter().zip(before) {
        assert_eq!(texts(&rig.ask(name, 1).await.answers), before, "{name}");
    }
}

/// What one change of a record costs among few and among many.
#[test]
fn a_change_costs_the_same_among_few_and_among_many() {
    use crate::backend::dns::{assembly::*, record::parse, served::Served};
    let record = |n: u32, last: u32| {
        let values = vec![format!("192.0.2.{last}")];
        parse(&wire::Record { name: format!("n{n}.example.dev"), of: RecordType::A, ttl: None, values })
    };
    let zone = wire::Zone { name: "z".into(), domain: "example.dev".into(), patterns: vec!["*.example.dev".into()] };
    let cost = |records: u32| {
        let (mut assembly, served) = (Assembly::default(), Served::default());
        assembly.put_zone("z", Writer::read("shop", &zone).unwrap());
        (0..records).for_each(|n| assembly.put_record(&format!("r{n}"), "z".into(), record(n, 1)));
        let start = Instant::now();
        served.change(|catalog| catalog.add(&name("example.dev"), 1, &[name("ns.y")]));
        served.change(|catalog| catalog.change(assembly.settle().names, 2));
        let all = start.elapsed();
        // the least of many: other work of the machine shows in the others
        let one = (0..200).map(|n| {
            let start = Instant::now();
            assembly.put_record("r7", "z".into(), record(7, n % 250));
            served.change(|catalog| catalog.change(assembly.settle().names, 3 + n));
            start.elapsed()
        });
        let one = one.min().unwrap();
        println!("{records} records: all {all:?}, one change {one:?}");
        one
    };
    let (few, many) = (cost(100), cost(30_000));
    cost(10_000);
    // three hundred times as many
    assert!(many < few * 30, "{many:?} instead of {few:?}");
}

/// Thousands of children go with their parent: what one costs does not grow with their number.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zone_with_many_records_goes_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let rig = Rig::new(folder.path()).await;
    rig.zone("dz-1", &["*.example.dev"]).await;
    let work = |tx: &mut dyn Transaction, place: &records::Place<'_>| {
        (0..5000).try_for_each(|n| {
            let intent = a(&format!("n{n}.example.dev"), &["192.0.2.1"]);
            let create = Create { owner: None, parent: Some("dz-1".into()), intent };
            records::create(tx, place, &format!("dr-{n}"), &create, &anything).map(drop)
        })
    };
    rig.change(wire::Record::COLLECTION, Some("dz-1"), work).await.unwrap();
    rig.until("n4999.example.dev.", 1, |answer| answer.answers.len() == 1).await;
    rig.until_object("dns-zones", "dz-1", |zone| zone.reality.state["records"] == 5000).await;
    let start = Instant::now();
    rig.delete("dns-zones", None, "dz-1").await;
    while rig.object("dns-zones", "dz-1").await.is_some() {
        assert!(start.elapsed() < 2 * SOON, "some are still there");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    println!("a zone and 5000 records: gone after {:?}", start.elapsed());
    rig.until("n1.example.dev.", 1, |answer| u16::from(answer.metadata.response_code) == 5).await;
}
