use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::*;
use crate::backend::store::{Row, StoreProblem, View};

/// A transaction that nothing can undo.
#[derive(Default)]
struct Memory(BTreeMap<(Table, Vec<u8>), Vec<u8>>);

impl View for Memory {
    fn revision(&self) -> u64 {
        1
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreProblem> {
        Ok(self.0.get(&(table, key.to_vec())).cloned())
    }

    fn scan(&self, table: Table, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Row>, StoreProblem> {
        let range = (table, from.to_vec())..(table, to.to_vec());
        Ok(self.0.range(range).take(limit).map(|((_, key), value)| (key.clone(), value.clone())).collect())
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

fn accept(
    checks: LoadBalancingChecks,
    tx: &mut Memory,
    id: &str,
    families: &[&str],
    before: Option<&Value>,
) -> Result<Value, Problem> {
    let project = Project { id: "p-1".into(), name: "shop".into(), organization: "acme".into() };
    let intent = json!({"name": id, "services": {"web": {"port": 80}}, "addressFamilies": families});
    checks.accept(tx, id, &project, &intent, before)
}

fn addresses(chosen: &Value) -> Vec<String> {
    read_chosen(chosen).unwrap().addresses.iter().map(|held| held.address.to_string()).collect()
}

fn small(pool: &str) -> LoadBalancingChecks {
    LoadBalancingChecks::new(pool.parse().unwrap(), IPV6)
}

#[test]
fn an_address_is_kept_for_life_and_given_back_at_the_end() {
    let (checks, mut tx) = (small("127.10.0.0/16"), Memory::default());
    let first = accept(checks, &mut tx, "lb-1", &["IPv4"], None).unwrap();
    let second = accept(checks, &mut tx, "lb-2", &["IPv4"], None).unwrap();
    assert_eq!((addresses(&first), addresses(&second)), (vec!["127.10.0.1".into()], vec!["127.10.0.2".into()]));
    assert_eq!(accept(checks, &mut tx, "lb-2", &["IPv4"], Some(&second)), Ok(second.clone()));
    assert_eq!(accept(small("10.0.0.0/8"), &mut tx, "lb-2", &["IPv4"], Some(&second)), Ok(second.clone()));
    checks.release(&mut tx, "lb-1", &first).unwrap();
    checks.release(&mut tx, "lb-1", &second).unwrap(); // not its own: stays
    let third = accept(checks, &mut tx, "lb-3", &["IPv4"], None).unwrap();
    assert_eq!(addresses(&third), ["127.10.0.1"]);
    checks.release(&mut tx, "lb-2", &second).unwrap();
    checks.release(&mut tx, "lb-3", &third).unwrap();
    checks.release(&mut tx, "lb-4", &Value::Null).unwrap();
    assert!(tx.0.is_empty());
}

#[test]
fn families_come_and_go() {
    let (checks, mut tx) = (small("127.10.0.0/30"), Memory::default());
    let both = accept(checks, &mut tx, "lb-1", &["IPv6", "IPv4"], None).unwrap();
    assert_eq!(addresses(&both), ["127.10.0.1", "::1"]);
    let six = accept(checks, &mut tx, "lb-1", &["IPv6"], Some(&both)).unwrap();
    assert_eq!(addresses(&six), ["::1"]);
    assert!(tx.0.is_empty());
    let both = accept(checks, &mut tx, "lb-1", &["IPv4", "IPv6"], Some(&six)).unwrap();
    assert_eq!(addresses(&both), ["127.10.0.1", "::1"]);
}

#[test]
fn an_exhausted_pool_says_what_to_do() {
    let (checks, mut tx) = (small("127.10.0.0/29"), Memory::default());
    let given: BTreeSet<_> = (0..6)
        .flat_map(|i| addresses(&accept(checks, &mut tx, &format!("lb-{i}"), &["IPv4"], None).unwrap()))
        .collect();
    let right: BTreeSet<_> = (1..=6).map(|i| format!("127.10.0.{i}")).collect();
    assert_eq!(given, right);
    let problem = accept(checks, &mut tx, "lb-x", &["IPv4"], None).unwrap_err();
    assert_eq!(problem.code, Code::Quota);
    assert!(problem.detail.contains("127.10.0.0/29") && problem.detail.contains("larger pool"), "{problem}");
    assert!(accept(checks, &mut tx, "lb-x", &["IPv6"], None).is_ok());
}

#[test]
fn every_address_of_a_large_pool_is_found_once() {
    let (checks, mut tx) = (small("127.10.0.0/22"), Memory::default());
    let mut given = BTreeSet::new();
    for i in 0..1022 {
        given.extend(addresses(&accept(checks, &mut tx, &format!("lb-{i}"), &["IPv4"], None).unwrap()));
    }
    assert_eq!(given.len(), 1022);
    assert!(!given.contains("127.10.0.0") && !given.contains("127.10.3.255"));
    assert_eq!(accept(checks, &mut tx, "lb-x", &["IPv4"], None).unwrap_err().code, Code::Quota);
}

#[test]
fn pools_of_one_and_two_addresses_work() {
    for (pool, count) in [("127.10.0.7/32", 1), ("127.10.0.6/31", 2)] {
        let (checks, mut tx) = (small(pool), Memory::default());
        for i in 0..count {
            accept(checks, &mut tx, &format!("lb-{i}"), &["IPv4"], None).unwrap();
        }
        assert_eq!(accept(checks, &mut tx, "lb-x", &["IPv4"], None).unwrap_err().code, Code::Quota, "{pool}");
    }
}
