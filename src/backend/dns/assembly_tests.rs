use super::*;

fn zone(project: &str, patterns: &[&str]) -> Writer {
    let patterns = patterns.iter().map(|text| (*text).to_owned()).collect();
    let zone = Zone { name: "shop-zone".into(), domain: "example.dev".into(), patterns };
    Writer::read(project, &zone).unwrap()
}

fn record(name: &str, of: RecordType, value: &str) -> (ObjectId, Result<Parsed, RecordProblem>) {
    ("z1".into(), parse(&Record { name: name.into(), of, ttl: None, values: vec![value.into()] }))
}

fn assembly<const N: usize>(records: [(&str, RecordType, &str); N]) -> Assembly {
    let mut assembly = Assembly::default();
    assembly.zones.insert("z1".into(), zone("shop", &["example.dev", "*.example.dev"]));
    for (index, (name, of, value)) in records.into_iter().enumerate() {
        assembly.records.insert(format!("r{index}"), record(name, of, value));
    }
    assembly
}

fn reasons(assembled: &Assembled) -> Vec<&str> {
    assembled.records.values().map(|standing| standing.reason.as_str()).collect()
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
    .assemble();
    let right = ["", "Conflict", "", "CnameConflict", "", "CnameConflict", "OutsidePatterns", "Invalid", "", ""];
    assert_eq!(reasons(&assembled), right);
    let contents = assembled.domains.first_key_value().unwrap().1;
    assert_eq!(contents.len(), 5);
    let report = &assembled.zones["z1"];
    assert_eq!(report.served, 5);
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
    let assembled = assembly([("example.dev", RecordType::CNAME, "x.example.net")]).assemble();
    assert_eq!(reasons(&assembled), ["CnameConflict"]);
    assert!(assembled.domains.first_key_value().unwrap().1.is_empty());
}

#[test]
fn narrower_patterns_mark_records_and_make_room() {
    let mut assembly =
        assembly([("a.example.dev", RecordType::A, "192.0.2.1"), ("a.example.dev", RecordType::A, "192.0.2.2")]);
    let (_, parsed) = record("a.example.dev", RecordType::A, "192.0.2.2");
    assembly.records.insert("r1".into(), ("z2".into(), parsed));
    assembly.zones.insert("z2".into(), zone("shop", &["a.example.dev"]));
    assert_eq!(reasons(&assembly.assemble()), ["", "Conflict"]);
    assembly.zones.insert("z1".into(), zone("shop", &["b.example.dev"]));
    assert_eq!(reasons(&assembly.assemble()), ["OutsidePatterns", ""]);
    assembly.zones.remove("z2");
    assert_eq!(reasons(&assembly.assemble()), ["OutsidePatterns", "ZoneGone"]);
}

#[test]
fn overlaps_are_told_inside_a_project() {
    let mut assembly = assembly([]);
    assembly.zones.insert("z2".into(), zone("shop", &["api.example.dev", "x.y.example.dev"]));
    assembly.zones.insert("z3".into(), zone("other", &["*.example.dev"]));
    let zones = assembly.assemble().zones;
    let overlap =
        |id: &str, pattern: &str| Overlap { id: id.into(), name: "shop-zone".into(), patterns: vec![pattern.into()] };
    assert_eq!(zones["z1"].overlaps, [overlap("z2", "*.example.dev")]);
    assert_eq!(zones["z2"].overlaps, [overlap("z1", "api.example.dev")]);
    assert_eq!(zones["z3"].overlaps, []);
}

#[test]
fn the_longest_domain_has_the_record() {
    let mut assembly = assembly([("a.example.dev", RecordType::A, "192.0.2.1")]);
    let domain = Name::parse("A.example.dev", crate::rules::dns::Alphabet::Host).unwrap();
    assembly.zones.insert("z2".into(), Writer { domain: domain.clone(), ..zone("shop", &["a.example.dev"]) });
    let assembled = assembly.assemble();
    assert_eq!(assembled.domains[&domain].len(), 1);
    assert_eq!(assembled.domains.len(), 2);
}
