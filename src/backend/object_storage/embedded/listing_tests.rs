use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn scan(keys: &BTreeSet<String>) -> impl Fn(&[u8], usize) -> Result<Vec<(String, ())>, VaultProblem> {
    move |from, limit| {
        Ok(keys.iter().filter(|key| key.as_bytes() >= from).take(limit).map(|key| (key.clone(), ())).collect())
    }
}

/// All entries, computed the slow way.
fn naive(keys: &BTreeSet<String>, prefix: &str, delimiter: Option<&str>, after: &str) -> Vec<String> {
    let mut entries: Vec<String> = Vec::new();
    for key in keys.iter().filter(|key| key.starts_with(prefix) && key.as_str() > after) {
        let rest = &key[prefix.len()..];
        let entry = match delimiter.and_then(|delimiter| rest.find(delimiter).map(|at| at + delimiter.len())) {
            Some(end) => format!("{prefix}{}", &rest[..end]),
            None => key.clone(),
        };
        if entries.last() != Some(&entry) {
            entries.push(entry);
        }
    }
    entries
}

fn text<T>(entry: &Entry<T>) -> String {
    match entry {
        Entry::Row(key, _) => key.clone(),
        Entry::Prefix(prefix) => prefix.clone(),
    }
}

fn all_pages(keys: &BTreeSet<String>, mut query: Query, v1: bool) -> Vec<String> {
    let mut entries = Vec::new();
    for _ in 0..1000 {
        let page = list(&query, scan(keys)).unwrap();
        assert!(page.entries.len() <= query.limit);
        entries.extend(page.entries.iter().map(text));
        let Some(next) = page.next else { return entries };
        assert_eq!(page.entries.len(), query.limit, "a page that is not the last is full");
        query.after = if v1 {
            let marker = page.entries.last().map(text).unwrap();
            behind(&marker, &query.prefix, query.delimiter.as_deref())
        } else {
            next
        };
    }
    panic!("the listing does not end");
}

proptest! {
    #[test]
    fn pages_together_are_the_whole_listing(
        keys in prop::collection::btree_set("[ab/é-]{1,6}", 0..60),
        prefix in "[ab/]{0,2}",
        delimiter in prop::option::of(prop::sample::select(vec!["/", "-", "a/", "é"])),
        after in "[ab/]{0,3}",
        limit in 1_usize..7,
    ) {
        let query = Query {
            prefix: prefix.clone(),
            delimiter: delimiter.map(str::to_owned),
            after: if after.is_empty() { After::Start } else { After::Key(after.clone()) },
            limit,
        };
        let expected = naive(&keys, &prefix, delimiter, &after);
        prop_assert_eq!(all_pages(&keys, query.clone(), false), expected);
        let query = Query { after: After::Start, ..query };
        prop_assert_eq!(all_pages(&keys, query, true), naive(&keys, &prefix, delimiter, ""));
    }
}

#[test]
fn what_a_delimiter_hides_is_not_read() {
    let keys: BTreeSet<String> =
        (0..10_000).map(|n| format!("a/{n:05}")).chain((0..3).map(|n| format!("b{n}"))).collect();
    let read = std::cell::Cell::new(0);
    let counting = |from: &[u8], limit: usize| {
        let rows = scan(&keys)(from, limit)?;
        read.set(read.get() + rows.len());
        Ok(rows)
    };
    let query = Query { delimiter: Some("/".to_owned()), limit: 1000, ..Query::default() };
    let page = list(&query, counting).unwrap();
    assert_eq!(page.entries.iter().map(text).collect::<Vec<_>>(), ["a/", "b0", "b1", "b2"]);
    assert!(read.get() < 200, "{}", read.get());
}

#[test]
fn a_page_of_nothing() {
    let keys = BTreeSet::from(["a".to_owned()]);
    let page = list(&Query::default(), scan(&keys)).unwrap();
    assert_eq!((page.entries.len(), page.next), (0, None));
}
