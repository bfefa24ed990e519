//! The tree against the text of RFC 4592, taken literally.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::backend::dns::zone::{Found, Wanted, path};

#[derive(Debug, PartialEq)]
enum Said {
    Set(String),
    NoData,
    NoName,
}

/// A name exists when it has records or when one below it has (RFC 4592 section 2.2.2); the apex always does. What does not
/// exist comes from the wildcard at its closest encloser, if there is one (section 3.3.1).
fn naive(records: &BTreeSet<(String, RecordType)>, apex: &str, asked: &str, of: RecordType) -> Said {
    let exists = |name: &str| {
        let within = format!(".{name}");
        name == apex || records.iter().any(|(owner, _)| owner == name || owner.ends_with(&within))
    };
    let at = |owner: &str| {
        if records.contains(&(owner.to_owned(), of)) { Said::Set(owner.to_owned()) } else { Said::NoData }
    };
    if exists(asked) {
        return at(asked);
    }
    let ancestors = std::iter::successors(Some(asked), |name| name.split_once('.').map(|(_, rest)| rest));
    let encloser = ancestors.into_iter().find(|name| exists(name)).unwrap();
    let star = format!("*.{encloser}");
    if exists(&star) { at(&star) } else { Said::NoName }
}

fn owners() -> impl Strategy<Value = String> {
    (any::<bool>(), prop::collection::vec("[ab]", 0..3)).prop_map(|(star, labels)| {
        let star = star.then(|| "*".to_owned());
        star.into_iter().chain(labels).chain(["x".to_owned(), "y".to_owned()]).collect::<Vec<_>>().join(".")
    })
}

fn asked() -> impl Strategy<Value = String> {
    prop::collection::vec("[abcAB*]", 0..5)
        .prop_map(|labels| labels.into_iter().chain(["x".to_owned(), "Y".to_owned()]).collect::<Vec<_>>().join("."))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]
    #[test]
    fn as_the_rfc_says(
        records in prop::collection::btree_set(
            (owners(), prop_oneof![Just(RecordType::A), Just(RecordType::TXT)]), 0..8),
        gone in prop::collection::btree_set(owners(), 0..4),
        asked in asked(),
        text in any::<bool>(),
    ) {
        let of = if text { RecordType::TXT } else { RecordType::A };
        let ttl = |owner: &str| records.iter().position(|(name, _)| name == owner).unwrap_or_default() as u32;
        let mut zone = Zone::new(&name("x.y"), 1, &[name("ns.y")]);
        let sets = |owner: &str, of: RecordType| {
            let set = RecordSet { ttl: ttl(owner), values: vec![vec![0]], target: None };
            Sets::from([(of.code(), Arc::new(set))])
        };
        // what was there and has gone leaves nothing behind
        for owner in &gone {
            zone.put(&name(owner), sets(owner, RecordType::A));
        }
        for owner in &gone {
            zone.put(&name(owner), Sets::new());
        }
        for (owner, _) in &records {
            let all = records.iter().filter(|(other, _)| other == owner).flat_map(|(owner, of)| sets(owner, *of));
            zone.put(&name(owner), all.collect());
        }
        let wire = hickory_proto::rr::Name::from_ascii(&asked).unwrap();
        let said = zone.find(&path(&wire), Wanted::Type(of.code()));
        let right = naive(&records, "x.y", &asked.to_ascii_lowercase(), of);
        match (said, &right) {
            (Found::Set(code, set), Said::Set(owner)) => {
                prop_assert_eq!(code, of.code());
                prop_assert_eq!(set.ttl, ttl(owner), "{}", owner);
            }
            (Found::NoData, Said::NoData) | (Found::NoName, Said::NoName) => {}
            (said, right) => prop_assert!(false, "{asked} {of}: {said:?}, not {right:?}"),
        }
    }
}
