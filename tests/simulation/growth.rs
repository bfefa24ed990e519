//! What objects cost, in calls, where no machine is too slow to count them: each on its way to Ready, and all of them at rest.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    journal::{Entry, Side},
    kinds::KINDS,
    line::OPERATOR,
    plan::{Deed, Wish},
    world::{Calls, LONG, Script, run},
};

/// What one operator did for a project of so many families.
struct Cost {
    objects: usize,
    calls: Calls,
    /// Writes by side and name of the object; what is written for the binding and the backend is not in it.
    writes: BTreeMap<(Side, String), usize>,
}

/// One parent of each kind of parents, and of each other kind so many objects.
fn wishes(families: usize) -> Vec<Wish> {
    let parents = ["projectdnszones", "objectbuckets", "monitoringobjects"].map(|plural| Wish::plain(plural, "a"));
    let others = KINDS.iter().filter(|kind| kind.plural != "projectdnszones");
    let others = others.flat_map(|kind| {
        (0..families).map(|number| Wish::plain(kind.plural, &format!("{}-{number}", kind.kind.to_lowercase())))
    });
    parents.into_iter().chain(others).collect()
}

fn cost(families: usize) -> Cost {
    let wishes = wishes(families);
    let first = [Deed::Namespace, Deed::Backend, Deed::TokenSecrets, Deed::Binding { own: false }];
    // Users are not done in no time.
    let then =
        wishes.iter().enumerate().map(|(n, wish)| (Duration::from_millis(20 * n as u64), Deed::Create(wish.clone())));
    let deeds = first.into_iter().map(|deed| (Duration::ZERO, deed)).chain(then).collect();
    let mut writes = BTreeMap::new();
    let ended = run(Script { seed: LONG, ..Script::written(deeds, vec![]) }, None, |entries| {
        let own = entries.iter().filter(|entry| entry.who == OPERATOR && entry.done());
        own.filter_map(about).for_each(|about| *writes.entry(about).or_default() += 1);
    });
    assert_eq!(ended.broken, Vec::<String>::new());
    Cost { objects: wishes.len(), calls: ended.calls, writes }
}

/// Which object a write is about; a Secret is its credential's.
fn about(entry: &Entry) -> Option<(Side, String)> {
    let name = match (entry.side, entry.verb.as_str()) {
        (Side::Kube, _) => entry.path.split('/').find(|part| part.contains('-') && !part.contains('.'))?.to_owned(),
        (Side::Wire, "POST") => entry.body.pointer("/owner/name")?.as_str()?.to_owned(),
        (Side::Wire, _) => return None,
    };
    name.contains(|c: char| c.is_ascii_digit()).then_some((entry.side, name))
}

#[test]
fn an_object_costs_the_same_among_few_as_among_many() {
    let [few, more, many] = [5, 15, 45].map(cost);
    for ((side, name), count) in few.writes.iter().chain(&more.writes).chain(&many.writes) {
        // In Kubernetes its finalizer, its status, and "working" where it is not made real within a second.
        let right = if *side == Side::Kube { 2..=3 } else { 1..=1 };
        assert!(right.contains(count), "{side:?} {name}: {count} writes");
    }
    #[allow(clippy::cast_precision_loss, reason = "a few hundred calls")]
    let each = |from: &Cost, to: &Cost| {
        (to.calls.until_calm - from.calls.until_calm) as f64 / (to.objects - from.objects) as f64
    };
    let (first, then) = (each(&few, &more), each(&more, &many));
    println!("{first:.2} calls an object among few, {then:.2} among many; at rest {:?}", many.calls);
    assert!(then <= first * 1.1 && then < 6.0, "{first:.2} calls an object among few, {then:.2} among many");
}

#[test]
fn at_rest_nothing_is_asked_for_each_object() {
    let [few, many] = [5, 45].map(cost);
    let more = many.calls.at_rest.abs_diff(few.calls.at_rest);
    assert!(
        more <= 2,
        "{} calls at rest with {}, {} with {}",
        few.calls.at_rest,
        few.objects,
        many.calls.at_rest,
        many.objects
    );
}
