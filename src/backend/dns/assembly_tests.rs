use super::*;
use crate::{backend::dns::record::parse, protocol::dns::Record};

fn zone(project: &str, patterns: &[&str]) -> Writer {
    let patterns = patterns.iter().map(|text| (*text).to_owned()).collect();
    let zone = Zone { name: "shop-zone".into(), domain: "example.dev".into(), patterns };
    Writer::read(project, &zone).unwrap()
}

fn record(name: &str, of: RecordType, value: &str) -> Result<Parsed, RecordProblem> {
    parse(&Record { name: name.into(), of, ttl: None, values: vec![value.into()] })
}

fn assembly<const N: usize>(records: [(&str, RecordType, &str); N]) -> Assembly {
    let mut assembly = Assembly::default();
    assembly.put_zone("z1", zone("shop", &["example.dev", "*.example.dev"]));
    for (index, (name, of, value)) in records.into_iter().enumerate() {
        assembly.put_record(&format!("r{index}"), "z1".into(), record(name, of, value));
    }
    assembly
}

fn reasons(assembled: &Assembled) -> Vec<&str> {
    assembled.records.values().map(|standing| standing.reason.as_str()).collect()
}

fn served_names(assembled: &Assembled) -> Vec<(&str, usize)> {
    assembled.names.iter().map(|(name, sets)| (name.key(), sets.len())).collect()
}

#[test]
fn what_excludes_what() {
    use RecordType::{A, AAAA, CNAME, TXT};
    let assembled = assembly([
        ("a.example.dev", A, "192.0.2.1"),
        ("A.example.dev.", A, "192.0.2.2"),
        ("a.example.dev", AAAA, "::1"),
        ("a.example.dev", CNAME, "x.example.dev"),
        ("b.example.dev", CNAME, "x.example.dev"),
        ("b.example.dev", TXT, "text"),
        ("x.y.example.dev", A, "192.0.2.1"),
        ("c.example.dev", A, "192.0.2"),
        ("*.example.dev", TXT, "text"),
        ("example.dev", TXT, "text"),
    ])
    .settle();
    let right = ["", "Conflict", "", "CnameConflict", "", "CnameConflict", "OutsidePatterns", "Invalid", "", ""];
    assert_eq!(reasons(&assembled), right);
    assert_eq!(assembled.names.iter().map(|(_, sets)| sets.len()).sum::<usize>(), 5);
    let report = &assembled.zones["z1"];
    assert_eq!((report.served, report.unserved), (5, 5));
    let listed: Vec<_> = report.members.keys().map(String::as_str).collect();
    assert_eq!(listed, ["a.example.dev/A", "a.example.dev/CNAME", "b.example.dev/TXT", "r7", "x.y.example.dev/A"]);
    assert_eq!(
        assembled.records["r6"].message,
        "x.y.example.dev is covered by no pattern of its zone shop-zone (example.dev, *.example.dev): rename the record, \
         or add a pattern to the zone"
    );
    assert!(assembled.records["r7"].message.starts_with("values: value 1: \"192.0.2\" is no value of A"));
}

#[test]
fn an_apex_takes_no_alias_but_other_records() {
    let assembled = assembly([("example.dev", RecordType::CNAME, "x.example.net")]).settle();
    assert_eq!(reasons(&assembled), ["CnameConflict"]);
    assert_eq!(served_names(&assembled), [("example.dev", 0)]);
}

#[test]
fn narrower_patterns_mark_records_and_make_room() {
    let mut assembly =
        assembly([("a.example.dev", RecordType::A, "192.0.2.1"), ("b.example.dev", RecordType::A, "192.0.2.1")]);
    assembly.put_zone("z2", zone("shop", &["a.example.dev"]));
    assembly.put_record("r2", "z2".into(), record("a.example.dev", RecordType::A, "192.0.2.2"));
    assert_eq!(reasons(&assembly.settle()), ["", "", "Conflict"]);
    assembly.put_zone("z1", zone("shop", &["b.example.dev"]));
    let narrowed = assembly.settle();
    assert_eq!(reasons(&narrowed), ["OutsidePatterns", "", ""]);
    assert_eq!(narrowed.domains, Moved::default(), "the domains are the same");
    let counts = |report: &ZoneReport| (report.served, report.unserved);
    assert_eq!((counts(&narrowed.zones["z1"]), counts(&narrowed.zones["z2"])), ((1, 1), (1, 0)));
    assembly.remove("z2");
    assert_eq!(reasons(&assembly.settle()), ["OutsidePatterns", "ZoneGone"]);
}

/// What is told of a change is what changes, whatever else there is.
#[test]
fn a_change_touches_its_own_name_only() {
    let mut assembly =
        assembly([("a.example.dev", RecordType::A, "192.0.2.1"), ("b.example.dev", RecordType::A, "192.0.2.1")]);
    assert_eq!(assembly.settle().domains.added.len(), 1);
    assembly.put_record("r1", "z1".into(), record("b.example.dev", RecordType::A, "192.0.2.9"));
    let changed = assembly.settle();
    assert_eq!(served_names(&changed), [("b.example.dev", 1)]);
    assert_eq!((changed.domains, changed.records.len()), (Moved::default(), 1));
    assembly.remove("r1");
    let changed = assembly.settle();
    assert_eq!(served_names(&changed), [("b.example.dev", 0)]);
    assert_eq!(changed.zones["z1"].served, 1);
    let nothing = assembly.settle();
    assert!(nothing.names.is_empty() && nothing.records.is_empty() && nothing.zones.is_empty());
}

#[test]
fn overlaps_are_told_inside_a_project() {
    let mut assembly = assembly([]);
    assembly.put_zone("z2", zone("shop", &["api.example.dev", "x.y.example.dev"]));
    assembly.put_zone("z3", zone("other", &["*.example.dev"]));
    let zones = assembly.settle().zones;
    let overlap =
        |id: &str, pattern: &str| Overlap { id: id.into(), name: "shop-zone".into(), patterns: vec![pattern.into()] };
    assert_eq!(zones["z1"].overlaps, [overlap("z2", "*.example.dev")]);
    assert_eq!(zones["z2"].overlaps, [overlap("z1", "api.example.dev")]);
    assert_eq!(zones["z3"].overlaps, []);
    assembly.remove("z2");
    assert_eq!(assembly.settle().zones["z1"].overlaps, []);
}

/// A domain that comes or goes is told with its own name, where other records may be now; the catalog moves what is in it.
#[test]
fn a_domain_that_moves_touches_its_own_name_only() {
    let mut assembly = assembly([
        ("a.example.dev", RecordType::CNAME, "x.example.net"),
        ("b.example.dev", RecordType::A, "192.0.2.1"),
    ]);
    let domain = Name::parse("A.example.dev", crate::rules::dns::Alphabet::Host).unwrap();
    assert_eq!(assembly.settle().domains.added.len(), 1);
    assembly.put_zone("z2", Writer { domain: domain.clone(), ..zone("shop", &["x.a.example.dev"]) });
    let came = assembly.settle();
    assert_eq!(came.domains, Moved { added: [domain.clone()].into(), ..Moved::default() });
    assert_eq!((served_names(&came), reasons(&came)), (vec![("a.example.dev", 0)], vec!["CnameConflict"]));
    // a second zone of the same domain is no news
    assembly.put_zone("z3", Writer { domain: domain.clone(), ..zone("shop", &["y.a.example.dev"]) });
    assert_eq!(assembly.settle().domains, Moved::default());
    assembly.remove("z2");
    assert_eq!(assembly.settle().domains, Moved::default());
    assembly.remove("z3");
    let went = assembly.settle();
    assert_eq!(went.domains, Moved { removed: [domain].into(), ..Moved::default() });
    assert_eq!((served_names(&went), reasons(&went)), (vec![("a.example.dev", 1)], vec![""]));
}

/// Changes one by one come to the same as all at once.
mod incremental {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Zone(u8, bool, Vec<&'static str>),
        Record(u8, u8, &'static str, RecordType),
        Remove(&'static str, u8),
        Settle,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let names =
            prop::sample::select(vec!["example.dev", "a.example.dev", "b.example.dev", "x.a.example.dev", "b b"]);
        let patterns =
            prop::sample::subsequence(vec!["example.dev", "*.example.dev", "a.example.dev", "*.a.example.dev"], 1..4);
        let of = prop::sample::select(vec![RecordType::A, RecordType::TXT, RecordType::CNAME]);
        let step = prop_oneof![
            2 => (0..3_u8, any::<bool>(), patterns).prop_map(|(id, low, patterns)| Step::Zone(id, low, patterns)),
            5 => (0..6_u8, 0..3_u8, names, of).prop_map(|(id, zone, name, of)| Step::Record(id, zone, name, of)),
            2 => (prop::sample::select(vec!["z", "r"]), 0..6_u8).prop_map(|(kind, id)| Step::Remove(kind, id)),
            2 => Just(Step::Settle),
        ];
        prop::collection::vec(step, 0..30)
    }

    fn take(assembly: &mut Assembly, step: &Step) {
        match step {
            Step::Zone(id, low, patterns) => {
                let domain = if *low { "a.example.dev" } else { "example.dev" };
                let domain = Name::parse(domain, crate::rules::dns::Alphabet::Host).unwrap();
                assembly.put_zone(&format!("z{id}"), Writer { domain, ..zone("shop", patterns) });
            }
            Step::Record(id, zone, name, of) => {
                let value = if *of == RecordType::A { "192.0.2.1" } else { "x.example.net" };
                assembly.put_record(&format!("r{id}"), format!("z{zone}"), record(name, *of, value));
            }
            Step::Remove(kind, id) => assembly.remove(&format!("{kind}{id}")),
            Step::Settle => {}
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        #[test]
        fn is_the_same_as_all_at_once(steps in steps()) {
            let (mut assembly, mut last, mut all) = (Assembly::default(), BTreeMap::new(), Assembled::default());
            let (mut names, mut domains) = (BTreeMap::new(), BTreeSet::new());
            for step in steps.iter().chain([&Step::Settle]) {
                take(&mut assembly, step);
                match step {
                    Step::Zone(id, ..) => drop(last.insert(format!("z{id}"), step.clone())),
                    Step::Record(id, ..) => drop(last.insert(format!("r{id}"), step.clone())),
                    Step::Remove(kind, id) => {
                        let id = format!("{kind}{id}");
                        last.remove(&id);
                        all.records.remove(&id);
                        all.zones.remove(&id);
                    }
                    Step::Settle => {
                        let news = assembly.settle();
                        prop_assert!(news.domains.added.is_disjoint(&domains));
                        prop_assert!(news.domains.removed.is_subset(&domains));
                        domains.extend(news.domains.added);
                        domains.retain(|domain| !news.domains.removed.contains(domain));
                        names.extend(news.names);
                        all.records.extend(news.records);
                        all.zones.extend(news.zones);
                    }
                }
            }
            let mut fresh = Assembly::default();
            last.values().for_each(|step| take(&mut fresh, step));
            let fresh = fresh.settle();
            names.retain(|_, sets| !sets.is_empty());
            let right: BTreeMap<_, _> = fresh.names.into_iter().filter(|(_, sets)| !sets.is_empty()).collect();
            prop_assert_eq!(names, right);
            let right = Moved { added: domains, ..Moved::default() };
            prop_assert_eq!((right, all.records, all.zones), (fresh.domains, fresh.records, fresh.zones));
        }
    }
}
