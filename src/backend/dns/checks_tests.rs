use std::{cell::Cell, collections::BTreeMap};

use super::*;
use crate::backend::store::Row;

/// A transaction that nothing can undo, and how many rows were read.
#[derive(Default)]
struct Memory(BTreeMap<(Table, Vec<u8>), Vec<u8>>, Cell<usize>);

impl View for Memory {
    fn revision(&self) -> u64 {
        1
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreProblem> {
        self.1.set(self.1.get() + 1);
        Ok(self.0.get(&(table, key.to_vec())).cloned())
    }

    fn scan(&self, table: Table, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Row>, StoreProblem> {
        let range = (table, from.to_vec())..(table, to.to_vec());
        let rows = self.0.range(range).take(limit).map(|((_, key), value)| (key.clone(), value.clone()));
        let rows: Vec<_> = rows.collect();
        self.1.set(self.1.get() + rows.len());
        Ok(rows)
    }
}

impl Transaction for Memory {
    fn put(&mut self, table: Table, key: &[u8], value: Vec<u8>) -> Result<(), StoreProblem> {
        self.0.insert((table, key.to_vec()), value);
        Ok(())
    }

    fn delete(&mut self, table: Table, key: &[u8]) -> Result<(), StoreProblem> {
        self.0.remove(&(table, key.to_vec()));
        Ok(())
    }
}

fn owner_of(_: &dyn View, domain: &str) -> Result<Option<String>, StoreProblem> {
    let owner = match domain {
        "example.dev" => Some("acme"),
        "given.example.dev" => Some("umbrella"),
        _ => None,
    };
    Ok(owner.map(str::to_owned))
}

fn accept(
    tx: &mut Memory,
    id: &str,
    project: &str,
    domain: &str,
    patterns: &[&str],
    before: Option<&Value>,
) -> Result<Value, Problem> {
    let organization = if project == "lab" { "umbrella" } else { "acme" };
    let project = Project { id: "p".into(), name: project.into(), organization: organization.into() };
    let intent = json!({"name": format!("{id}-zone"), "domain": domain, "patterns": patterns});
    ZoneChecks::new(owner_of).accept(tx, id, &project, &intent, before)
}

fn fails(answer: Result<Value, Problem>, code: Code, field: &str, says: &str) {
    let problem = answer.unwrap_err();
    assert_eq!((problem.code, problem.field.as_deref()), (code, Some(field)), "{}", problem.detail);
    assert!(problem.detail.contains(says), "{}", problem.detail);
}

#[test]
fn only_domains_that_the_organization_owns() {
    let tx = &mut Memory::default();
    assert!(accept(tx, "a", "shop", "Example.dev.", &["a.example.dev"], None).is_ok());
    assert!(accept(tx, "b", "shop", "sub.example.dev", &["*.sub.example.dev"], None).is_ok());
    let not_owned = "the organization acme does not own the domain";
    for domain in ["example.net", "dev", "given.example.dev", "sub.given.example.dev"] {
        let pattern = format!("a.{domain}");
        fails(accept(tx, "c", "shop", domain, &[&pattern], None), Code::Conflict, "/domain", not_owned);
    }
    assert!(accept(tx, "d", "lab", "given.example.dev", &["*.given.example.dev"], None).is_ok());
}

#[test]
fn names_and_patterns() {
    let tx = &mut Memory::default();
    let ok = &["a.example.dev"][..];
    fails(accept(tx, "a", "shop", "", ok, None), Code::Invalid, "/domain", "a name is missing");
    fails(accept(tx, "a", "shop", "*.example.dev", ok, None), Code::Invalid, "/domain", "star");
    let many: Vec<_> = (0..65).map(|n| format!("n{n}.example.dev")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    for (patterns, field, says) in [
        (&[][..], "/patterns", "1 to 64"),
        (&many, "/patterns", "1 to 64"),
        (&["a.example.dev", "a.example.net"], "/patterns/1", "is not in the domain example.dev"),
        (&["*.dev"], "/patterns/0", "is not in the domain"),
        (&["a.*.example.dev"], "/patterns/0", "star"),
        (&["größe.example.dev"], "/patterns/0", "xn--"),
        (&["a.example.dev", "A.example.dev."], "/patterns/1", "twice"),
    ] {
        fails(accept(tx, "a", "shop", "example.dev", patterns, None), Code::Invalid, field, says);
    }
    assert!(tx.0.is_empty(), "what is refused leaves nothing");
}

#[test]
fn overlaps_with_other_projects_are_refused_and_named() {
    let tx = &mut Memory::default();
    let shop = accept(tx, "a", "shop", "example.dev", &["x.example.dev", "*.shop.example.dev"], None).unwrap();
    assert!(accept(tx, "b", "shop", "example.dev", &["*.example.dev"], None).is_ok(), "inside one project");
    let says = "the pattern api.shop.example.dev overlaps *.shop.example.dev of the zone a-zone in the project shop";
    let patterns = &["q.w.example.dev", "api.shop.example.dev"];
    fails(accept(tx, "c", "blog", "example.dev", patterns, None), Code::Conflict, "/patterns/1", says);
    // a domain in the domain, and one above it
    let below = accept(tx, "c", "blog", "shop.example.dev", &["api.shop.example.dev"], None);
    fails(below, Code::Conflict, "/patterns/0", says);
    assert!(accept(tx, "d", "blog", "e.example.dev", &["a.e.example.dev"], None).is_ok());
    let above = accept(tx, "e", "shop", "example.dev", &["*.e.example.dev"], None);
    fails(above, Code::Conflict, "/patterns/0", "the zone d-zone in the project blog");
    // narrowed, and gone
    assert!(accept(tx, "a", "shop", "example.dev", &["x.example.dev"], Some(&shop)).is_ok());
    assert!(accept(tx, "c", "blog", "example.dev", patterns, None).is_ok());
    fails(
        accept(tx, "a", "shop", "example.dev", &["*.shop.example.dev"], Some(&shop)),
        Code::Conflict,
        "/patterns/0",
        "project blog",
    );
    ZoneChecks::new(owner_of).release(tx, "c", &json!({"domain": "example.dev"})).unwrap();
    assert!(accept(tx, "a", "shop", "example.dev", &["*.shop.example.dev"], Some(&shop)).is_ok());
}

/// What is read for a zone among few zones of its domain and among many.
#[test]
fn a_zone_costs_the_same_among_few_and_among_many() {
    let cost = |zones: u32| {
        let tx = &mut Memory::default();
        for n in 0..zones {
            let project = if n % 2 == 0 { "shop" } else { "blog" };
            let patterns = [format!("w{n}.example.dev"), format!("*.s{n}.example.dev")];
            let patterns = patterns.each_ref().map(String::as_str);
            accept(tx, &format!("z{n}"), project, "example.dev", &patterns, None).unwrap();
        }
        tx.1.set(0);
        accept(tx, "last", "shop", "example.dev", &["last.example.dev", "*.last.example.dev"], None).unwrap();
        tx.1.get()
    };
    assert_eq!(cost(10), cost(1000));
}

#[test]
fn what_a_zone_gives_up_leaves_nothing() {
    let tx = &mut Memory::default();
    let chosen = accept(tx, "a", "shop", "example.dev", &["x.example.dev", "*.y.example.dev"], None).unwrap();
    assert_eq!(tx.0.len(), 3);
    accept(tx, "a", "shop", "example.dev", &["X.example.dev"], Some(&chosen)).unwrap();
    assert_eq!(tx.0.len(), 2);
    ZoneChecks::new(owner_of).release(tx, "a", &chosen).unwrap();
    assert!(tx.0.is_empty());
}

#[test]
fn a_zone_keeps_its_domain() {
    let tx = &mut Memory::default();
    let chosen = accept(tx, "a", "shop", "example.dev", &["a.example.dev"], None).unwrap();
    let answer = accept(tx, "a", "shop", "sub.example.dev", &["a.sub.example.dev"], Some(&chosen));
    fails(answer, Code::Invalid, "/domain", "keeps its domain example.dev");
}

#[test]
fn records_are_read_when_they_are_accepted() {
    let tx = &mut Memory::default();
    let project = Project { id: "p".into(), name: "shop".into(), organization: "acme".into() };
    let mut accept = |intent: Value, before: Option<&Value>| RecordChecks.accept(tx, "r", &project, &intent, before);
    let good = json!({"name": "A.example.dev.", "type": "A", "ttl": "60s", "values": ["192.0.2.1"]});
    let chosen = accept(good.clone(), None).unwrap();
    assert_eq!(chosen, json!({"name": "a.example.dev", "type": "A"}));
    for (field, value, at, says) in [
        ("name", json!("a b"), "/name", "is no character"),
        ("name", json!("_a.example.dev"), "/name", "host name"),
        ("ttl", json!("0s"), "/ttl", "from 1s to 168h"),
        ("ttl", json!("1500ms"), "/ttl", "whole number of seconds"),
        ("values", json!([]), "/values", "1 to 256"),
        ("values", json!(["192.0.2.1", "x"]), "/values/1", "192.0.2.10"),
        ("values", json!(["192.0.2.1", "192.0.2.1"]), "/values/1", "twice"),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        fails(accept(bad, None), Code::Invalid, at, says);
    }
    let mut renamed = good.clone();
    renamed["name"] = json!("b.example.dev");
    fails(accept(renamed, Some(&chosen)), Code::Invalid, "/name", "keeps its name");
    assert!(accept(good, Some(&chosen)).is_ok());
}

/// Each wrong record: its field, what stands there, the field that the refusal names, and what it says.
#[test]
fn wrong_records_are_refused_by_field() {
    let tx = &mut Memory::default();
    let project = Project { id: "p".into(), name: "shop".into(), organization: "acme".into() };
    let mut refused = |intent: Value, at: &str, says: &str| {
        let shown = intent.to_string();
        let problem = RecordChecks.accept(tx, "r", &project, &intent, None).expect_err(&shown);
        assert_eq!((problem.code, problem.field.as_deref()), (Code::Invalid, Some(at)), "{shown}: {}", problem.detail);
        assert!(problem.detail.contains(says), "{shown}: {}", problem.detail);
    };
    let long = format!("{}.example.dev", "a".repeat(64));
    let longer = format!("{}example.dev", "abcdefg.".repeat(31));
    for (name, says) in [
        ("", "a name is missing"),
        (".", "an empty label"),
        ("a..example.dev", "an empty label"),
        (".example.dev", "an empty label"),
        ("a b.example.dev", "is no character of"),
        ("a_b.example.dev", "host name"),
        ("-a.example.dev", "hyphen"),
        ("a-.example.dev", "hyphen"),
        ("größe.example.dev", "xn--"),
        ("a.*.example.dev", "leftmost label"),
        ("**.example.dev", "leftmost label"),
        (long.as_str(), "63 bytes"),
        (longer.as_str(), "255 bytes"),
    ] {
        refused(json!({"name": name, "type": "A", "values": ["192.0.2.1"]}), "/name", says);
    }
    for (ttl, says) in [
        ("0s", "from 1s to 168h"),
        ("169h", "from 1s to 168h"),
        ("1500ms", "whole number of seconds"),
        ("60", "60"),
        ("", ""),
    ] {
        refused(json!({"name": "a.example.dev", "type": "A", "ttl": ttl, "values": ["192.0.2.1"]}), "/ttl", says);
    }
    let (text, quoted) = ("x".repeat(255), format!("\"{}\"", "x".repeat(256)));
    let many: Vec<_> = (0..200).map(|n| format!("{n}{text}")).collect();
    for (of, values, at, says) in [
        ("A", json!([]), "/values", "1 to 256 values"),
        ("TXT", json!((0..257).map(|n| n.to_string()).collect::<Vec<_>>()), "/values", "1 to 256 values"),
        ("TXT", json!(many), "/values", "fit into an answer"),
        ("A", json!(["192.0.2.256"]), "/values/0", "an IPv4 address such as"),
        ("A", json!(["192.0.2.1", "::1"]), "/values/1", "value 2: "),
        ("A", json!(["192.0.2.1 "]), "/values/0", "an IPv4 address such as"),
        ("AAAA", json!(["192.0.2.1"]), "/values/0", "an IPv6 address such as"),
        ("AAAA", json!(["fe80::1%1"]), "/values/0", "an IPv6 address such as"),
        ("AAAA", json!(["::1", "0::1"]), "/values/1", "twice"),
        ("CNAME", json!(["a.example.dev", "b.example.dev"]), "/values", "exactly one value"),
        ("CNAME", json!(["*.example.dev"]), "/values/0", "star"),
        ("CNAME", json!(["https://example.dev"]), "/values/0", "is no character of"),
        ("MX", json!(["mail.example.dev"]), "/values/0", "preference and host"),
        ("MX", json!(["65536 mail.example.dev"]), "/values/0", "preference and host"),
        ("MX", json!(["10 mail_1.example.dev"]), "/values/0", "host name"),
        ("MX", json!(["10 Mail.example.dev", "10 mail.example.dev."]), "/values/1", "twice"),
        ("SRV", json!(["10 5 sip.example.dev"]), "/values/0", "priority, weight, port and host"),
        ("SRV", json!(["10 5 65536 sip.example.dev"]), "/values/0", "priority, weight, port and host"),
        ("SRV", json!(["10 -5 5060 sip.example.dev"]), "/values/0", "priority, weight, port and host"),
        ("CAA", json!(["0 issue"]), "/values/0", "flags, tag and value"),
        ("CAA", json!(["256 issue ca.example.net"]), "/values/0", "flags, tag and value"),
        ("CAA", json!(["0 is-sue ca.example.net"]), "/values/0", "flags, tag and value"),
        ("CAA", json!(["0 issue \"ca.example.net"]), "/values/0", "do not match"),
        ("TXT", json!([""]), "/values/0", "strings in quotes"),
        ("TXT", json!(["\"open"]), "/values/0", "do not match"),
        ("TXT", json!(["\"a\" b"]), "/values/0", "do not match"),
        ("TXT", json!(["\"\\999\""]), "/values/0", "do not match"),
        ("TXT", json!([quoted]), "/values/0", "longer than 255 bytes"),
        ("TXT", json!(["a\nb"]), "/values/0", "control character"),
    ] {
        refused(json!({"name": "a.example.dev", "type": of, "values": values}), at, says);
    }
}
