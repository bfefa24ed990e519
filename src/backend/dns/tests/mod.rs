#![allow(clippy::cast_possible_truncation)]

mod answers;
mod catalog;
mod lookup;
mod plane;
mod sockets;

use std::{collections::BTreeMap, sync::Arc};

use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query},
    rr::{Name as WireName, RData, RecordType as WireType},
};

use super::{
    catalog::Catalog,
    zone::{RecordSet, Sets, Zone},
};
use crate::rules::dns::{Alphabet, Name, RecordType, parse_set};

pub fn name(text: &str) -> Name {
    Name::parse_owner(text, Alphabet::Underscore).unwrap()
}

pub fn set(of: RecordType, values: &[&str]) -> Arc<RecordSet> {
    let values: Vec<_> = values.iter().map(|value| (*value).to_owned()).collect();
    Arc::new(RecordSet::new(60, &parse_set(of, &values).unwrap()))
}

/// Records of a domain that is served.
pub fn fill(catalog: &mut Catalog, records: &[(&str, RecordType, &[&str])]) {
    let mut names = BTreeMap::<Name, Sets>::new();
    for (owner, of, values) in records {
        names.entry(name(owner)).or_default().insert(of.code(), set(*of, values));
    }
    catalog.change(names, 7);
}

/// RFC 4592 section 2.2.1's example, and more.
pub fn catalog() -> Catalog {
    use RecordType::{A, AAAA, CAA, CNAME, MX, SRV, TXT};
    let sixty: Vec<_> = (0..60).map(|n| format!("192.0.2.{n}")).collect();
    let sixty: Vec<_> = sixty.iter().map(String::as_str).collect();
    let long = "x".repeat(2000);
    let mut catalog = Catalog::default();
    for domain in ["example.dev", "x.below.example.dev"] {
        catalog.add(&name(domain), 7, &[name("ns.localhost")]);
    }
    fill(
        &mut catalog,
        &[
            ("example.dev", TXT, &["apex"]),
            ("*.example.dev", TXT, &["this is a wildcard"]),
            ("*.example.dev", MX, &["10 host1.example.dev"]),
            ("sub.star.example.dev", TXT, &["this is not a wildcard"]),
            ("host1.example.dev", A, &["192.0.2.1"]),
            ("host1.example.dev", AAAA, &["2001:db8::1"]),
            ("_ssh._tcp.host1.example.dev", SRV, &["0 0 22 host1.example.dev"]),
            ("caa.example.dev", CAA, &["0 issue \"ca.example.net\""]),
            ("alias.example.dev", CNAME, &["Host1.Example.dev"]),
            ("alias2.example.dev", CNAME, &["alias.example.dev"]),
            ("dangling.example.dev", CNAME, &["no.host1.example.dev"]),
            ("empty.example.dev", CNAME, &["caa.example.dev"]),
            ("out.example.dev", CNAME, &["www.example.net"]),
            ("down.example.dev", CNAME, &["a.below.example.dev"]),
            ("loop1.example.dev", CNAME, &["loop2.example.dev"]),
            ("loop2.example.dev", CNAME, &["loop1.example.dev"]),
            ("*.wild.example.dev", CNAME, &["host1.example.dev"]),
            ("sixty.example.dev", A, &sixty),
            ("long.example.dev", TXT, &[&long]),
            ("x.below.example.dev", A, &["192.0.2.9"]),
        ],
    );
    catalog
}

pub fn question(name: &str, of: u16) -> Message {
    let mut message = Message::new(4711, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(WireName::from_ascii(name).unwrap(), WireType::from(of)));
    message
}

pub fn with_edns(mut message: Message, size: u16) -> Message {
    let mut edns = Edns::new();
    edns.set_max_payload(size).set_version(0);
    message.set_edns(edns);
    message
}

/// Records of a section as `name TYPE`, with addresses and targets in short.
pub fn texts(records: &[hickory_proto::rr::Record]) -> Vec<String> {
    let data = |data: &RData| match data {
        RData::A(address) => address.to_string(),
        RData::CNAME(target) => target.to_string(),
        RData::SOA(soa) => soa.serial.to_string(),
        other => other.record_type().to_string(),
    };
    records.iter().map(|record| format!("{} {} {}", record.name, record.record_type(), data(&record.data))).collect()
}
