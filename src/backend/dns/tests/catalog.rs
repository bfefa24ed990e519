//! Domains that come and go: what is served is the same as if all had been there from the start.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::backend::dns::zone::{Wanted, path};

const BASE: &str = "x.y";
const DOMAINS: [&str; 5] = ["a.x.y", "b.a.x.y", "a.b.a.x.y", "b.x.y", "a.b.x.y"];

#[derive(Clone, Debug)]
enum Step {
    /// A domain comes, or goes.
    Domain(&'static str),
    /// A name has a record, or nothing.
    Name(String, bool),
}

fn owners() -> impl Strategy<Value = String> {
    let labels = prop::collection::vec(prop::sample::select(vec!["a", "b", "c", "*"]), 0..5);
    labels.prop_map(|labels| {
        let star = |(at, label): (usize, &'static str)| if at > 0 && label == "*" { "c" } else { label };
        labels.into_iter().enumerate().map(star).chain([BASE]).collect::<Vec<_>>().join(".")
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => prop::sample::select(DOMAINS.to_vec()).prop_map(Step::Domain),
        3 => (owners(), any::<bool>()).prop_map(|(owner, there)| Step::Name(owner, there)),
    ];
    prop::collection::vec(step, 0..25)
}

fn add(catalog: &mut Catalog, domain: &str, serial: u32) {
    catalog.add(&name(domain), serial, &[name("ns.y")]);
}

/// What is said of a name: by which domain, and what.
fn said(catalog: &Catalog, owner: &str) -> String {
    let path = path(&WireName::from_ascii(owner).unwrap());
    let zone = catalog.closest(&path).unwrap();
    let [text, servers] = [RecordType::TXT.code(), 2].map(|of| zone.find(&path, Wanted::Type(of)));
    format!("{} {text:?} {servers:?}", zone.apex)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn is_the_same_as_from_the_start(steps in steps(), asked in prop::collection::vec(owners(), 30)) {
        let mut catalog = Catalog::default();
        add(&mut catalog, BASE, 1);
        let (mut domains, mut names) = (BTreeSet::from([BASE]), BTreeMap::new());
        for (serial, step) in (2..).zip(steps) {
            match step {
                Step::Domain(domain) if domains.insert(domain) => add(&mut catalog, domain, serial),
                Step::Domain(domain) => {
                    domains.remove(domain);
                    catalog.remove(&name(domain), serial);
                }
                Step::Name(owner, there) => {
                    let sets = || Sets::from([(RecordType::TXT.code(), set(RecordType::TXT, &[&owner]))]);
                    let sets = if there { sets() } else { Sets::new() };
                    names.insert(owner.clone(), sets.clone());
                    catalog.change([(name(&owner), sets)], serial);
                }
            }
        }
        let mut fresh = Catalog::default();
        domains.iter().for_each(|domain| add(&mut fresh, domain, 1));
        fresh.change(names.iter().map(|(owner, sets)| (name(owner), sets.clone())), 1);
        for owner in asked.iter().chain(names.keys()).map(String::as_str).chain(DOMAINS) {
            prop_assert_eq!(said(&catalog, owner), said(&fresh, owner), "{}", owner);
        }
    }
}

#[test]
fn a_domain_in_another_takes_its_names_and_gives_them_back() {
    let mut catalog = Catalog::default();
    add(&mut catalog, BASE, 1);
    fill(&mut catalog, &[("n.a.x.y", RecordType::TXT, &["text"])]);
    let by = |catalog: &Catalog| said(catalog, "n.a.x.y").split(' ').next().unwrap().to_owned();
    let serial = |catalog: &Catalog| catalog.closest(&path(&WireName::from_ascii("q.x.y").unwrap())).unwrap().serial;
    let before = said(&catalog, "n.a.x.y");
    assert_eq!((by(&catalog), serial(&catalog)), ("x.y.".into(), 7));
    add(&mut catalog, "a.x.y", 8);
    assert_eq!((by(&catalog), serial(&catalog)), ("a.x.y.".into(), 8));
    catalog.remove(&name("a.x.y"), 9);
    assert_eq!((said(&catalog, "n.a.x.y"), serial(&catalog)), (before, 9));
    // without one above it, it takes along what it had
    catalog.remove(&name(BASE), 10);
    assert!(catalog.closest(&path(&WireName::from_ascii("n.a.x.y").unwrap())).is_none());
}
