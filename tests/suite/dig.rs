//! What `dig` gets for each type, over UDP and TCP.

use std::process::Command;

use serde_json::{Value, json};

use crate::rig::{DOMAIN, Rig, Scene, alone, rig, until};

/// What `dig` prints with these arguments, `{zone}` being the scene's part of the domain.
fn dig(rig: &Rig, zone: &str, arguments: &str) -> String {
    let arguments = arguments.replace("{zone}", zone);
    let output = Command::new("dig")
        .args([&format!("@{}", rig.dns.ip()), "-p", &rig.dns.port().to_string(), "+time=5", "+tries=3"])
        .args(arguments.split(' '))
        .output()
        .expect("dig is installed");
    assert!(output.status.success(), "dig {arguments}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// One question: a name and a type, the code, flags that stand there, the records of the answer, and whether the SOA record
/// stands in the authority section.
struct Row(&'static str, &'static str, &'static [&'static str], bool);

const ROWS: &[Row] = &[
    // each type
    Row("a.{zone} A", "NOERROR", &["a.{zone}. 60 IN A 192.0.2.1", "a.{zone}. 60 IN A 192.0.2.2"], false),
    Row("a.{zone} AAAA", "NOERROR", &["a.{zone}. 60 IN AAAA 2001:db8::1"], false),
    Row(
        "txt.{zone} TXT",
        "NOERROR",
        &[r#"txt.{zone}. 60 IN TXT "v=spf1 -all""#, r#"txt.{zone}. 60 IN TXT "a" "b\"c""#],
        false,
    ),
    Row("a.{zone} MX", "NOERROR", &["a.{zone}. 60 IN MX 10 mail.example.test."], false),
    Row("_sip._tcp.{zone} SRV", "NOERROR", &["_sip._tcp.{zone}. 60 IN SRV 10 5 5060 sip.example.test."], false),
    Row("a.{zone} CAA", "NOERROR", &[r#"a.{zone}. 60 IN CAA 0 issue "ca.example.net""#], false),
    Row("alias.{zone} CNAME", "NOERROR", &["alias.{zone}. 60 IN CNAME A.{zone}."], false),
    // an alias of an alias, followed inside the zone with its case kept
    Row(
        "alias2.{zone} AAAA",
        "NOERROR",
        &[
            "alias2.{zone}. 60 IN CNAME alias.{zone}.",
            "alias.{zone}. 60 IN CNAME A.{zone}.",
            "A.{zone}. 60 IN AAAA 2001:db8::1",
        ],
        false,
    ),
    // the wildcard, which covers deeper names, but none below a name that exists
    Row("any.w.{zone} TXT", "NOERROR", &[r#"any.w.{zone}. 60 IN TXT "wild""#], false),
    Row("x.y.w.{zone} TXT", "NOERROR", &[r#"x.y.w.{zone}. 60 IN TXT "wild""#], false),
    Row("any.w.{zone} A", "NOERROR", &[], true),
    Row("x.here.w.{zone} TXT", "NXDOMAIN", &[], true),
    // a missing name, a missing type, a name that only has something below it
    Row("nothing.{zone} A", "NXDOMAIN", &[], true),
    Row("a.{zone} SRV", "NOERROR", &[], true),
    Row("_tcp.{zone} SRV", "NOERROR", &[], true),
    // the case of the question, any type, a domain of somebody else
    Row(
        "TxT.{zone} TXT",
        "NOERROR",
        &[r#"TxT.{zone}. 60 IN TXT "v=spf1 -all""#, r#"TxT.{zone}. 60 IN TXT "a" "b\"c""#],
        false,
    ),
    Row("alias.{zone} ANY", "NOERROR", &["alias.{zone}. 60 IN CNAME A.{zone}."], false),
    Row("www.example.net A", "REFUSED", &[], false),
];

async fn records(scene: &Scene, zone: &str) {
    let patterns: Vec<_> =
        ["", "*.", "*._tcp.", "_sip._tcp.", "*.w.", "here.w."].iter().map(|start| format!("{start}{zone}")).collect();
    scene.apply(scene.manifest("ProjectDnsZone", "z", json!({"domain": DOMAIN, "patterns": patterns}))).await;
    let sixty: Vec<_> = (1..=60).map(|n| format!("192.0.2.{n}")).collect();
    let all: [(&str, &str, &str, Value); 12] = [
        ("a", "a", "A", json!(["192.0.2.1", "192.0.2.2"])),
        ("aaaa", "a", "AAAA", json!(["2001:db8::1"])),
        ("mx", "a", "MX", json!(["10 mail.example.test"])),
        ("caa", "a", "CAA", json!(["0 issue \"ca.example.net\""])),
        ("txt", "txt", "TXT", json!(["v=spf1 -all", "\"a\" \"b\\\"c\""])),
        ("srv", "_sip._tcp", "SRV", json!(["10 5 5060 sip.example.test."])),
        ("alias", "alias", "CNAME", json!([format!("A.{zone}")])),
        ("alias2", "alias2", "CNAME", json!([format!("alias.{zone}")])),
        ("wild", "*.w", "TXT", json!(["wild"])),
        ("here", "here.w", "A", json!(["192.0.2.1"])),
        ("sixty", "sixty", "A", json!(sixty)),
        ("long", "long", "TXT", json!((0..20).map(|n| format!("{n}{}", "x".repeat(200))).collect::<Vec<_>>())),
    ];
    for (name, label, of, values) in all {
        let spec = json!({"zoneRef": {"name": "z"}, "name": format!("{label}.{zone}"), "type": of, "ttl": "60s", "values": values});
        scene.apply(scene.manifest("DnsRecord", name, spec)).await;
        scene.until_ready("DnsRecord", name).await;
    }
}

/// Lines of `dig` without comments, words one space apart.
fn lines(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with(';'));
    let mut lines: Vec<_> = lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    lines.sort();
    lines
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dig_gets_every_type_over_udp_and_tcp() {
    let (rig, _peace) = rig().await;
    let scene = Scene::new(rig, "dig").await;
    let zone = format!("{}.{DOMAIN}", scene.name);
    records(&scene, &zone).await;
    for over in ["+notcp", "+tcp"] {
        for Row(asked, code, answers, soa) in ROWS {
            let head = dig(rig, &zone, &format!("{over} +noall +comments {asked}"));
            assert!(head.contains(&format!("status: {code}")), "{over} {asked}: {head}");
            assert_eq!(head.contains(" aa "), *code != "REFUSED", "{over} {asked}: {head}");
            let mut right: Vec<_> = answers.iter().map(|line| line.replace("{zone}", &zone)).collect();
            right.sort();
            assert_eq!(lines(&dig(rig, &zone, &format!("{over} +noall +answer {asked}"))), right, "{over} {asked}");
            let authority = lines(&dig(rig, &zone, &format!("{over} +noall +authority {asked}")));
            assert_eq!(authority.len(), usize::from(*soa), "{over} {asked}: {authority:?}");
            let start = format!("{DOMAIN}. 60 IN SOA ns.localhost. hostmaster.{DOMAIN}. ");
            assert!(authority.iter().all(|line| line.starts_with(&start)), "{authority:?}");
        }
        let apex = dig(rig, &zone, &format!("{over} +short {DOMAIN} SOA"));
        assert!(apex.starts_with("ns.localhost. hostmaster."), "{apex}");
        assert_eq!(dig(rig, &zone, &format!("{over} +short {DOMAIN} NS")), "ns.localhost.\n");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_for_a_datagram_comes_whole_over_tcp() {
    let (rig, _peace) = rig().await;
    let scene = Scene::new(rig, "digsize").await;
    let zone = format!("{}.{DOMAIN}", scene.name);
    records(&scene, &zone).await;
    // without EDNS 512 bytes are taken, with it what is said, up to 1232
    for (options, of, cut) in [
        ("+noedns", "sixty.{zone} A", true),
        ("+bufsize=512", "sixty.{zone} A", true),
        ("+bufsize=1232", "sixty.{zone} A", false),
        ("+bufsize=4096", "sixty.{zone} A", false),
        ("+bufsize=4096", "long.{zone} TXT", true),
    ] {
        let head = dig(rig, &zone, &format!("{options} +ignore +notcp +noall +comments {of}"));
        let flags = head.lines().find(|line| line.contains("flags:")).expect("flags");
        assert_eq!(flags.contains(" tc"), cut, "{options} {of}: {head}");
        let cut_answers = lines(&dig(rig, &zone, &format!("{options} +ignore +notcp +noall +answer {of}")));
        let number = if of.starts_with("sixty") { 60 } else { 20 };
        assert_eq!(cut_answers.len(), if cut { 0 } else { number }, "{options} {of}");
        // dig goes on over TCP by itself
        assert_eq!(lines(&dig(rig, &zone, &format!("{options} +noall +answer {of}"))).len(), number, "{options} {of}");
    }
    // what is not known is not minded: options of EDNS, a cookie, a version, a class, opcodes, flags
    for (arguments, code) in [
        ("+ednsopt=65001:aabb +cookie=0123456789abcdef a.{zone} A", "NOERROR"),
        ("+dnssec +cdflag +adflag a.{zone} A", "NOERROR"),
        ("+norecurse a.{zone} A", "NOERROR"),
        ("+edns=1 +noednsnegotiation a.{zone} A", "BADVERS"),
        ("-c CH a.{zone} TXT", "REFUSED"),
        ("+opcode=NOTIFY a.{zone} SOA", "NOTIMP"),
        ("+opcode=UPDATE a.{zone} SOA", "NOTIMP"),
        ("+opcode=9 a.{zone} A", "NOTIMP"),
        ("+header-only a.{zone} A", "FORMERR"),
    ] {
        let head = dig(rig, &zone, &format!("+noall +comments {arguments}"));
        assert!(head.contains(&format!("status: {code}")), "{arguments}: {head}");
        let rd = head.lines().any(|line| line.contains("flags: ") && line.contains(" rd"));
        assert_eq!(rd, !arguments.contains("+norecurse"), "{arguments}: {head}");
        assert!(!head.contains(" ra;"), "nothing is looked up elsewhere: {head}");
    }
    let transfer = dig(rig, &zone, &format!("{DOMAIN} AXFR"));
    assert!(transfer.contains("Transfer failed"), "{transfer}");
    until("dig gets the answer of a connection that stays open", async || {
        dig(rig, &zone, "+tcp +keepopen +short a.{zone} AAAA a.{zone} AAAA").lines().count() == 2
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_backend_answers_the_same_and_its_serial_number_goes_on() {
    let (rig, _alone) = alone().await;
    let scene = Scene::new(rig, "digkill").await;
    let zone = format!("{}.{DOMAIN}", scene.name);
    records(&scene, &zone).await;
    let answers = || {
        let all = ROWS.iter().map(|row| lines(&dig(rig, &zone, &format!("+noall +answer {}", row.0))));
        all.collect::<Vec<_>>()
    };
    let serial = || {
        let soa = dig(rig, &zone, &format!("+short {DOMAIN} SOA"));
        soa.split(' ').nth(2).map(|serial| serial.parse::<u32>().expect("a number"))
    };
    let (before, first) = (answers(), serial());
    rig.restart_backend().await;
    // until all is read it says that it cannot answer yet
    until("the zone is served", async || serial().is_some()).await;
    assert_eq!(answers(), before);
    assert!(serial() > first, "{:?} after {first:?}", serial());
    scene.delete("DnsRecord", "a").await;
    until("changes are served again", async || lines(&dig(rig, &zone, "+noall +answer a.{zone} A")).is_empty()).await;
}
