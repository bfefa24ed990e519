//! What every store must do, as functions over a way to open one.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Compacted, Ended, Job, Store, StoreProblem, Table, Transaction, View, decode, encode, key, prefix_end, read, write,
};
use crate::protocol::{Code, Problem, Revision};

/// Opens the store under test; again after [`Store::close`] opens what was kept.
pub(super) trait Open: Fn() -> Arc<dyn Store> {}
impl<F: Fn() -> Arc<dyn Store>> Open for F {}

/// All of them.
pub(super) async fn all(fresh: impl Fn() -> Box<dyn Fn() -> Arc<dyn Store>>) {
    a_job_is_atomic_and_reads_its_own_writes(fresh()).await;
    an_aborted_or_panicking_job_leaves_nothing(fresh()).await;
    commits_come_in_the_order_of_revisions(fresh()).await;
    a_view_does_not_move(fresh()).await;
    scans_are_ordered_bounded_and_see_the_overlay(fresh()).await;
    durable_jobs_survive_and_revisions_grow(fresh()).await;
    nothing_changed_takes_no_revision(fresh()).await;
    a_closed_store_says_so(fresh()).await;
}

async fn put(store: &dyn Store, name: &str, value: u64) -> Revision {
    let (name, value) = (key(&[name]), encode(&value).unwrap());
    write(store, true, move |tx| Ok(tx.put(Table::Objects, &name, value.clone())?)).await.unwrap().revision
}

async fn get(store: &dyn Store, name: &str) -> Option<u64> {
    let name = key(&[name]);
    read(store, move |view| Ok(view.get(Table::Objects, &name)?)).await.unwrap().map(|bytes| decode(&bytes).unwrap())
}

async fn a_job_is_atomic_and_reads_its_own_writes(open: impl Open) {
    let store = open();
    let before = store.log().newest();
    let written = write(&*store, true, |tx| {
        tx.put(Table::Objects, b"a", encode(&1)?)?;
        tx.put(Table::Owners, b"a", encode(&2)?)?;
        tx.delete(Table::Objects, b"missing")?;
        assert_eq!(tx.get(Table::Objects, b"a")?, Some(encode(&1)?));
        tx.put(Table::Objects, b"gone", encode(&3)?)?;
        tx.delete(Table::Objects, b"gone")?;
        Ok(tx.get(Table::Objects, b"gone")?)
    });
    let written = written.await.unwrap();
    assert_eq!((written.answer, written.revision), (None, before + 1));
    let commits = store.log().after(before, 10).unwrap();
    assert_eq!(commits.len(), 1);
    let tables: Vec<Table> = commits[0].changes.iter().map(|change| change.table).collect();
    assert_eq!(tables, [Table::Objects, Table::Owners]);
    store.close().await;
}

async fn an_aborted_or_panicking_job_leaves_nothing(open: impl Open) {
    let store = open();
    let before = store.log().newest();
    let refused = write(&*store, true, |tx| -> Result<(), Problem> {
        tx.put(Table::Objects, b"a", encode(&1)?)?;
        Err(Problem::new(Code::Conflict, "no"))
    });
    assert_eq!(refused.await.unwrap_err().code, Code::Conflict);
    let panicked = store.submit(Job {
        durable: true,
        work: Box::new(|tx| {
            tx.put(Table::Objects, b"a", vec![]).unwrap();
            panic!("a defect")
        }),
    });
    assert_eq!(panicked.await, Ok(Ended::Aborted));
    assert_eq!(store.log().newest(), before);
    assert_eq!(read(&*store, |view| Ok(view.get(Table::Objects, b"a")?)).await.unwrap(), None);
    assert_eq!(put(&*store, "b", 1).await, before + 1);
    store.close().await;
}

async fn commits_come_in_the_order_of_revisions(open: impl Open) {
    const WRITERS: u64 = 8;
    const EACH: u64 = 40;
    let store = open();
    let start = store.log().newest();
    let writers = (0..WRITERS).map(|writer| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let mut revisions = BTreeMap::new();
            for n in 0..EACH {
                revisions.insert(put(&*store, &format!("{writer}/{n}"), n).await, format!("{writer}/{n}"));
            }
            revisions
        })
    });
    let mut answered = BTreeMap::new();
    for writer in writers.collect::<Vec<_>>() {
        answered.extend(writer.await.unwrap());
    }
    let mut seen = BTreeMap::new();
    let mut position = start;
    while let Some(last) = store.log().after(position, 7).unwrap().last() {
        for commit in store.log().after(position, 7).unwrap() {
            assert_eq!(commit.revision, position + 1);
            position = commit.revision;
            let name = String::from_utf8(commit.changes[0].key.to_vec()).unwrap();
            seen.insert(position, name.trim_end_matches('\0').to_owned());
        }
        assert_eq!(position, last.revision);
    }
    assert_eq!(seen, answered);
    assert_eq!(seen.len() as u64, WRITERS * EACH);
    store.close().await;
}

async fn a_view_does_not_move(open: impl Open) {
    let store = open();
    put(&*store, "a", 1).await;
    let (entered, wait) = (tokio::sync::oneshot::channel::<Revision>(), std::sync::mpsc::channel::<()>());
    let reader = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            let look = read(&*store, move |view| {
                entered.0.send(view.revision()).unwrap();
                wait.1.recv().unwrap();
                Ok(view.get(Table::Objects, &key(&["a"]))?)
            });
            look.await.unwrap()
        }
    });
    let seen = entered.1.await.unwrap();
    assert_eq!(put(&*store, "a", 2).await, seen + 1);
    wait.0.send(()).unwrap();
    assert_eq!(reader.await.unwrap(), Some(encode(&1).unwrap()));
    assert_eq!(get(&*store, "a").await, Some(2));
    store.close().await;
}

fn names(rows: Vec<super::Row>) -> Vec<String> {
    rows.into_iter().map(|(key, _)| String::from_utf8(key).unwrap().replace('\0', "/")).collect()
}

async fn scans_are_ordered_bounded_and_see_the_overlay(open: impl Open) {
    let store = open();
    for name in ["b", "d", "f", "h"] {
        put(&*store, name, 1).await;
    }
    let scanned = write(&*store, false, |tx| {
        tx.put(Table::Objects, &key(&["c"]), encode(&2)?)?;
        tx.delete(Table::Objects, &key(&["b"]))?;
        tx.delete(Table::Objects, &key(&["d"]))?;
        tx.put(Table::Objects, &key(&["z"]), encode(&2)?)?;
        tx.put(Table::Owners, &key(&["c"]), encode(&2)?)?;
        let bounded = tx.scan(Table::Objects, &key(&["a"]), &key(&["z"]), 2)?;
        let all = tx.scan(Table::Objects, b"", b"", usize::MAX)?;
        let backwards = tx.scan(Table::Objects, b"z", b"a", 9)?;
        Ok((bounded, all, backwards))
    });
    let (bounded, all, backwards) = scanned.await.unwrap().answer;
    assert_eq!(names(bounded), ["c/", "f/"]);
    assert_eq!(names(all), ["c/", "f/", "h/", "z/"]);
    assert!(backwards.is_empty());
    let look = |view: &dyn View| Ok(view.scan(Table::Objects, &key(&["f"]), &prefix_end(&key(&["h"])), 9)?);
    assert_eq!(names(read(&*store, look).await.unwrap()), ["f/", "h/"]);
    store.close().await;
}

async fn durable_jobs_survive_and_revisions_grow(open: impl Open) {
    let store = open();
    let first = store.identity().clone();
    let revision = put(&*store, "a", 7).await;
    assert!(revision > 1 << 20, "the first start leaps too");
    store.close().await;
    drop(store);
    let store = open();
    assert_eq!(get(&*store, "a").await, Some(7));
    assert_eq!(store.identity().store, first.store);
    assert_ne!(store.identity().epoch, first.epoch);
    assert!(put(&*store, "b", 1).await > revision + (1 << 19));
    assert_eq!(store.log().after(revision, 1), Err(Compacted));
    store.close().await;
}

async fn nothing_changed_takes_no_revision(open: impl Open) {
    let store = open();
    let revision = put(&*store, "a", 7).await;
    assert_eq!(put(&*store, "a", 7).await, revision);
    let same = |tx: &mut dyn Transaction| {
        tx.delete(Table::Objects, &key(&["a"]))?;
        Ok(tx.put(Table::Objects, &key(&["a"]), encode(&7_u64)?)?)
    };
    assert_eq!(write(&*store, true, same).await.unwrap().revision, revision);
    assert_eq!(store.log().newest(), revision);
    store.close().await;
}

async fn a_closed_store_says_so(open: impl Open) {
    let store = open();
    store.close().await;
    let job = Job { durable: true, work: Box::new(|_| Ok(())) };
    assert_eq!(store.submit(job).await, Err(StoreProblem::Closed));
    assert_eq!(store.look(Box::new(|_| ())).await, Err(StoreProblem::Closed));
}
