//! Messages of the DNS, names, and values of records.

use std::sync::Arc;

use hickory_proto::{
    op::{Message, MessageType, ResponseCode},
    rr::{Name as WireName, RData, RecordType as WireType},
    serialize::binary::{BinDecodable as _, BinDecoder, Restrict},
};
use loopback_operator::{
    backend::dns::{Catalog, RecordSet, Transport, respond},
    rules::dns::{Alphabet, Name, Pattern, RecordData, RecordType, parse_set},
};
use strum::VariantArray as _;

use super::length;
use crate::engine::Fuzz;

/// What a datagram may hold.
const UDP: usize = 1232;

fn name(text: &str) -> Name {
    Name::parse_owner(text, Alphabet::Underscore).unwrap()
}

fn catalog() -> Catalog {
    let domain = name("example.dev");
    let mut catalog = Catalog::default();
    catalog.add(&domain, 7, &[name("ns.example.net")]);
    let long = "x".repeat(200);
    let many: Vec<String> = (0..200).map(|n| format!("{n}{long}")).collect();
    let mut put = |owner: &str, of: RecordType, values: &[&str]| {
        let values: Vec<_> = values.iter().map(|value| (*value).to_owned()).collect();
        let set = Arc::new(RecordSet::new(60, &parse_set(of, &values).unwrap()));
        catalog.change([(name(owner), [(of.code(), set)].into())], 7);
    };
    put("www.example.dev", RecordType::A, &["192.0.2.1", "192.0.2.2"]);
    put("*.wild.example.dev", RecordType::TXT, &["found"]);
    put("alias.example.dev", RecordType::CNAME, &["www.example.dev"]);
    put("loop.example.dev", RecordType::CNAME, &["back.example.dev"]);
    put("back.example.dev", RecordType::CNAME, &["loop.example.dev"]);
    put("out.example.dev", RecordType::CNAME, &["elsewhere.example.net"]);
    put("large.example.dev", RecordType::TXT, &many.iter().map(String::as_str).collect::<Vec<_>>());
    catalog
}

/// What an answer must be, whatever was asked.
fn check(request: &[u8], answer: &[u8], most: usize) -> String {
    assert!(answer.len() <= most, "{} bytes", answer.len());
    let message = Message::from_vec(answer).expect("an answer that can be read");
    assert_eq!(message.metadata.message_type, MessageType::Response);
    assert_eq!(answer[..2], request[..2], "the id");
    assert_eq!(Message::from_vec(&message.to_vec().unwrap()).unwrap(), message);
    let code = message.metadata.response_code;
    if code == ResponseCode::NoError && message.answers.is_empty() && !message.metadata.truncation {
        assert!(!message.authorities.is_empty() || message.queries.is_empty(), "nothing, and no word how long");
    }
    assert!(message.answers.is_empty() || message.metadata.authoritative);
    format!("{code} {} {} {}", message.metadata.truncation, length(message.answers.len()), message.edns.is_some())
}

#[test]
fn dns_message() {
    let catalog = catalog();
    let words = [
        "\x03www\x07example\x03dev\0",
        "\x05large\x07example\x03dev\0",
        "\x05alias\x07example\x03dev\0",
        "\x04loop",
        "\x01*\x04wild",
        "\0\x01\0\x01",
        "\0\x10\0\x01",
        "\0\u{1}\0\x01",
        "\0\0)\x10\0\0\0\0\0\0\0",
        "\0\0)\0\0\0\0\0\0\0\0",
    ];
    Fuzz { name: "dns_message", words: &words, inputs: 6_000, memory: 4 << 20 }.run(|input| {
        let over_udp = respond(Some(&catalog), input, Transport::Udp);
        let over_tcp = respond(Some(&catalog), input, Transport::Tcp);
        assert_eq!(over_udp.is_some(), over_tcp.is_some());
        let (Some(short), Some(long)) = (over_udp, over_tcp) else { return "nothing".into() };
        assert!(input[2] & 0x80 == 0, "an answer was answered");
        assert!(respond(Some(&catalog), &short, Transport::Udp).is_none(), "servers would talk to each other for ever");
        assert!(respond(None, input, Transport::Udp).is_some());
        format!("{} / {}", check(input, &short, UDP), check(input, &long, usize::from(u16::MAX)))
    });
}

#[test]
fn dns_name() {
    let words = [".", "..", "*.", "xn--", "_", "-", "example.dev", "example.dev.", "*", "\u{ad}"];
    Fuzz { name: "dns_name", words: &words, inputs: 6_000, memory: 64 << 10 }.run(|input| {
        let Ok(text) = std::str::from_utf8(input) else { return "bytes".into() };
        let host = Name::parse(text, Alphabet::Host);
        let owner = Name::parse_owner(text, Alphabet::Underscore);
        assert!(host.is_err() || owner.as_ref() == host.as_ref(), "each host is an owner");
        match &owner {
            Ok(name) => {
                assert!(name.wire().len() <= 255 && name.as_str().is_ascii() && name.is_within(name));
                assert_eq!(Name::parse_owner(&format!("{name}."), Alphabet::Underscore).as_ref(), Ok(name));
                assert_eq!(Name::parse_owner(name.key(), Alphabet::Underscore).as_ref(), Ok(name));
                let pattern = Pattern::parse(text).unwrap();
                assert!(pattern.matches(name) && pattern.overlaps(&pattern), "{pattern}");
                let wire = WireName::from_bytes(&name.wire()).unwrap();
                assert_eq!(wire.num_labels() as usize + usize::from(name.is_wildcard()), name.labels().count());
                format!("ok {} {} {}", host.is_ok(), name.is_wildcard(), length(name.labels().count()))
            }
            Err(problem) => {
                let text = problem.to_string();
                assert!(text.len() < 1_500, "{text}");
                text.chars().rev().take(16).collect()
            }
        }
    });
}

#[test]
fn dns_value() {
    let words = [
        "A\n",
        "AAAA\n",
        "CNAME\n",
        "TXT\n",
        "MX\n",
        "SRV\n",
        "CAA\n",
        "\n",
        "\"",
        "\\",
        "\\\"",
        "\\000",
        "\\255",
        "\\256",
        "\" \"",
        "10 mail.example.dev",
        "0 issue ",
        "0 0 .",
        ".",
        "192.0.2.1",
        "::ffff:1.2.3.4",
        "10 5 5060 sip.example.dev",
    ];
    Fuzz { name: "dns_value", words: &words, inputs: 8_000, memory: 1 << 20 }.run(|input| {
        let Ok(text) = std::str::from_utf8(input) else { return "bytes".into() };
        let mut lines = text.split('\n').map(str::to_owned);
        let first = lines.next().unwrap_or_default();
        let Some(of) = RecordType::VARIANTS.iter().find(|of| of.to_string() == first) else { return "no type".into() };
        let values: Vec<String> = lines.collect();
        match parse_set(*of, &values) {
            Ok(set) => {
                for (value, text) in set.iter().zip(&values) {
                    check_value(*of, value, text);
                }
                format!("ok {of} {} {}", length(set.len()), length(set[0].wire().len()))
            }
            Err(problem) => {
                let text = problem.to_string();
                assert!(text.len() < 1_500, "{text}");
                format!("{of} {}", text.chars().rev().take(16).collect::<String>())
            }
        }
    });
}

/// What goes on the wire can be read by others, and means the same when it is read again.
fn check_value(of: RecordType, value: &RecordData, text: &str) {
    let wire = value.wire();
    assert!(wire.len() <= usize::from(u16::MAX));
    let mut decoder = BinDecoder::new(&wire);
    let kind = WireType::from(of.code());
    let read = RData::read(&mut decoder, kind, Restrict::new(u16::try_from(wire.len()).unwrap()));
    assert!(read.is_ok(), "{of} {text:?} goes out as {wire:?}, which is none: {read:?}");
    assert_eq!(RecordData::parse(of, text).as_ref(), Ok(value));
    assert_eq!(value.canonical().len(), wire.len(), "{of} {text:?}");
}
