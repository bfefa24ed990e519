//! Every rule of the answers as a table.

use hickory_proto::op::ResponseCode::{self, FormErr, NXDomain, NoError, NotImp, Refused, ServFail};
use proptest::prelude::*;

use super::*;
use crate::backend::dns::answer::{Transport, respond};

fn ask(message: &Message, transport: Transport) -> Message {
    let bytes = respond(Some(&catalog()), &message.to_vec().unwrap(), transport).unwrap();
    Message::from_vec(&bytes).unwrap()
}

fn udp(name: &str, of: u16) -> Message {
    ask(&question(name, of), Transport::Udp)
}

/// Name, type, code, answers, authorities.
type Row = (&'static str, u16, ResponseCode, &'static [&'static str], &'static [&'static str]);

const SOA: &[&str] = &["example.dev. SOA 7"];

const ROWS: &[Row] = &[
    // what is there
    ("host1.example.dev.", 1, NoError, &["host1.example.dev. A 192.0.2.1"], &[]),
    ("HOST1.eXample.dev.", 1, NoError, &["HOST1.eXample.dev. A 192.0.2.1"], &[]),
    ("example.dev.", 6, NoError, SOA, &[]),
    ("example.dev.", 2, NoError, &["example.dev. NS NS"], &[]),
    ("example.dev.", 16, NoError, &["example.dev. TXT TXT"], &[]),
    // no data: name of a record, apex, empty non-terminals, wildcard (RFC 2308, RFC 4592 section 2.2.2)
    ("host1.example.dev.", 16, NoError, &[], SOA),
    ("example.dev.", 1, NoError, &[], SOA),
    ("star.example.dev.", 16, NoError, &[], SOA),
    ("_tcp.host1.example.dev.", 33, NoError, &[], SOA),
    ("below.example.dev.", 16, NoError, &[], SOA),
    ("host3.example.dev.", 1, NoError, &[], SOA),
    ("host3.example.dev.", 43, NoError, &[], SOA),
    // the wildcard (RFC 4592 section 2.2.1)
    ("host3.example.dev.", 15, NoError, &["host3.example.dev. MX MX"], &[]),
    ("foo.bar.example.dev.", 16, NoError, &["foo.bar.example.dev. TXT TXT"], &[]),
    ("*.example.dev.", 16, NoError, &["*.example.dev. TXT TXT"], &[]),
    (
        "a.wild.example.dev.",
        1,
        NoError,
        &["a.wild.example.dev. CNAME host1.example.dev.", "host1.example.dev. A 192.0.2.1"],
        &[],
    ),
    // no name: the closest encloser has no wildcard
    ("_telnet._tcp.host1.example.dev.", 33, NXDomain, &[], SOA),
    ("ghost.*.example.dev.", 15, NXDomain, &[], SOA),
    ("no.star.example.dev.", 16, NXDomain, &[], SOA),
    ("ghost.HOST1.eXample.dev.", 1, NXDomain, &[], &["eXample.dev. SOA 7"]),
    // aliases
    (
        "alias.example.dev.",
        1,
        NoError,
        &["alias.example.dev. CNAME Host1.Example.dev.", "Host1.Example.dev. A 192.0.2.1"],
        &[],
    ),
    ("alias.example.dev.", 5, NoError, &["alias.example.dev. CNAME Host1.Example.dev."], &[]),
    (
        "alias2.example.dev.",
        1,
        NoError,
        &[
            "alias2.example.dev. CNAME alias.example.dev.",
            "alias.example.dev. CNAME Host1.Example.dev.",
            "Host1.Example.dev. A 192.0.2.1",
        ],
        &[],
    ),
    ("dangling.example.dev.", 1, NXDomain, &["dangling.example.dev. CNAME no.host1.example.dev."], SOA),
    ("empty.example.dev.", 1, NoError, &["empty.example.dev. CNAME caa.example.dev."], SOA),
    ("out.example.dev.", 1, NoError, &["out.example.dev. CNAME www.example.net."], &[]),
    ("down.example.dev.", 1, NXDomain, &["down.example.dev. CNAME a.below.example.dev."], SOA),
    (
        "loop1.example.dev.",
        1,
        NoError,
        &["loop1.example.dev. CNAME loop2.example.dev.", "loop2.example.dev. CNAME loop1.example.dev."],
        &[],
    ),
    // the longest domain
    ("x.below.example.dev.", 1, NoError, &["x.below.example.dev. A 192.0.2.9"], &[]),
    ("a.x.below.example.dev.", 1, NXDomain, &[], &["x.below.example.dev. SOA 7"]),
    // ANY: one set (RFC 8482)
    ("host1.example.dev.", 255, NoError, &["host1.example.dev. A 192.0.2.1"], &[]),
    ("alias.example.dev.", 255, NoError, &["alias.example.dev. CNAME Host1.Example.dev."], &[]),
    ("star.example.dev.", 255, NoError, &[], SOA),
    // not ours, not offered
    ("example.net.", 1, Refused, &[], &[]),
    ("dev.", 1, Refused, &[], &[]),
    (".", 2, Refused, &[], &[]),
    ("badexample.dev.", 1, Refused, &[], &[]),
    ("example.dev.", 252, Refused, &[], &[]),
    ("example.dev.", 251, Refused, &[], &[]),
    ("example.dev.", 253, NotImp, &[], &[]),
    ("example.dev.", 41, FormErr, &[], &[]),
    ("example.dev.", 0, FormErr, &[], &[]),
];

#[test]
fn table() {
    for (name, of, code, answers, authorities) in ROWS {
        let response = udp(name, *of);
        let row = format!("{name} {of}");
        assert_eq!(response.metadata.response_code, *code, "{row}");
        assert_eq!(texts(&response.answers), *answers, "{row}");
        assert_eq!(texts(&response.authorities), *authorities, "{row}");
        assert_eq!(response.metadata.authoritative, matches!(code, NoError | NXDomain), "{row}");
        assert!(response.metadata.recursion_desired && !response.metadata.recursion_available, "{row}");
        assert_eq!((response.metadata.id, response.metadata.message_type), (4711, MessageType::Response), "{row}");
        assert_eq!(response.queries[0].name.to_ascii(), *name, "the case is kept");
        assert!(response.edns.is_none() && !response.metadata.truncation, "{row}");
    }
}

#[test]
fn absence_is_remembered_for_a_minute() {
    assert_eq!(udp("example.dev.", 6).answers[0].ttl, 3600);
    assert_eq!(udp("host1.example.dev.", 16).authorities[0].ttl, 60);
    assert_eq!(udp("host1.example.dev.", 1).answers[0].ttl, 60);
}

#[test]
fn sizes() {
    // name, size that the client takes, whether it fits
    for (name, of, edns, fits) in [
        ("sixty.example.dev.", 1, None, false),
        ("sixty.example.dev.", 1, Some(512), false),
        ("sixty.example.dev.", 1, Some(100), false),
        ("sixty.example.dev.", 1, Some(1232), true),
        ("sixty.example.dev.", 1, Some(4096), true),
        ("long.example.dev.", 16, Some(4096), false),
        ("long.example.dev.", 16, Some(65535), false),
        ("host1.example.dev.", 1, Some(0), true),
    ] {
        let asked = question(name, of);
        let asked = edns.map_or(asked.clone(), |size| with_edns(asked, size));
        let bytes = respond(Some(&catalog()), &asked.to_vec().unwrap(), Transport::Udp).unwrap();
        let limit = edns.unwrap_or(512).clamp(512, 1232);
        assert!(bytes.len() <= limit.into(), "{name} {edns:?}: {}", bytes.len());
        let response = Message::from_vec(&bytes).unwrap();
        assert_eq!(response.metadata.truncation, !fits, "{name} {edns:?}");
        assert_eq!(response.answers.is_empty(), !fits, "{name} {edns:?}");
        assert_eq!(response.edns.as_ref().map(Edns::max_payload), edns.map(|_| 1232));
        let whole = ask(&asked, Transport::Tcp);
        assert!(!whole.metadata.truncation && !whole.answers.is_empty());
    }
    assert_eq!(ask(&question("sixty.example.dev.", 1), Transport::Tcp).answers.len(), 60);
}

#[test]
fn edns() {
    let mut asked = with_edns(question("host1.example.dev.", 1), 1232);
    asked.edns.as_mut().unwrap().set_dnssec_ok(true);
    let response = ask(&asked, Transport::Udp);
    assert!(response.edns.as_ref().unwrap().flags().dnssec_ok, "RFC 3225 section 3");
    asked.edns.as_mut().unwrap().set_version(1);
    let response = ask(&asked, Transport::Udp);
    // BADVERS; in signatures the number has another name
    assert_eq!(u16::from(response.metadata.response_code), 16);
    assert_eq!(response.edns.as_ref().map(Edns::version), Some(0));
    assert!(response.answers.is_empty());
    // two OPT records (RFC 6891 section 6.1.1)
    let mut twice = asked.to_vec().unwrap();
    let opt = twice.split_off(twice.len() - 11);
    twice = [&twice[..], &opt, &opt].concat();
    twice[11] = 2;
    let response = respond(Some(&catalog()), &twice, Transport::Udp).unwrap();
    assert_eq!(Message::from_vec(&response).unwrap().metadata.response_code, FormErr);
}

#[test]
fn what_is_no_question() {
    let good = question("host1.example.dev.", 1).to_vec().unwrap();
    let answered = |bytes: &[u8]| respond(Some(&catalog()), bytes, Transport::Udp);
    let code = |bytes: &[u8]| Message::from_vec(&answered(bytes).unwrap()).unwrap().metadata.response_code;
    let changed = |at: usize, to: u8| {
        let mut bytes = good.clone();
        bytes[at] = to;
        bytes
    };
    assert_eq!(answered(&[]), None);
    assert_eq!(answered(&good[..11]), None);
    assert_eq!(answered(&changed(2, 0x81)), None, "an answer");
    assert_eq!(code(&good[..12]), FormErr, "the question is missing");
    assert_eq!(code(&good[..20]), FormErr);
    assert_eq!(code(&changed(5, 0)), FormErr, "no question");
    assert_eq!(code(&changed(5, 2)), FormErr, "two questions");
    assert_eq!(code(&changed(7, 1)), FormErr, "a record is missing");
    assert_eq!(code(&changed(12, 0xc0)), FormErr, "a pointer to itself");
    for opcode in [1, 2, 3, 4, 5, 6, 15] {
        assert_eq!(code(&changed(2, opcode << 3)), NotImp, "{opcode}");
    }
    let mut chaos = question("host1.example.dev.", 1);
    chaos.queries[0].query_class = hickory_proto::rr::DNSClass::CH;
    assert_eq!(code(&chaos.to_vec().unwrap()), Refused);
    let before = respond(None, &good, Transport::Udp).unwrap();
    assert_eq!(Message::from_vec(&before).unwrap().metadata.response_code, ServFail);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..80), at in 0..40_usize, flip in any::<u8>()) {
        let catalog = catalog();
        let mut near = with_edns(question("host1.example.dev.", 1), 1232).to_vec().unwrap();
        near[at] ^= flip;
        for request in [&bytes, &near] {
            for transport in [Transport::Udp, Transport::Tcp] {
                let Some(answer) = respond(Some(&catalog), request, transport) else { continue };
                prop_assert!(answer.len() <= 1232);
                prop_assert_eq!(&answer[..2], &request[..2]);
                prop_assert!(answer[2] & 0x80 != 0);
            }
        }
    }
}
