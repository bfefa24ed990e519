//! Texts with a grammar of their own: durations, networks, thresholds, statuses, permissions, tokens, entity tags, cursors.

use std::net::SocketAddr;

use loopback_operator::{
    backend::{feed::Position, records::IfMatch, tenants::Credential},
    protocol::{Permission, client::Token},
    rules::{
        cidr, dns, duration,
        monitoring::{ExpectedStatus, Parameter, Threshold, Unit},
        outbound::{Outbound, Profile},
    },
};

use super::length;
use crate::engine::Fuzz;

const fn fuzz<'a>(name: &'static str, words: &'a [&'a str]) -> Fuzz<'a> {
    Fuzz { name, words, inputs: 4_000, memory: 64 << 10 }
}

/// A problem is told to people and stands in statuses.
fn said(problem: &impl std::fmt::Display) -> String {
    let text = problem.to_string();
    assert!(text.len() < 1_500 && !text.is_empty(), "{text}");
    text.chars().rev().take(12).collect()
}

#[test]
fn duration() {
    fuzz("duration", &["h", "m", "s", "ms", "us", "d", "0s", "99999h", "1h1m1s1ms", " ", "."]).run(|input| {
        let Ok(text) = std::str::from_utf8(input) else { return "bytes".into() };
        match duration::parse(text) {
            Ok(read) => {
                if read.as_secs() < 3_600 * 100_000 {
                    assert_eq!(duration::parse(&duration::format(read)), Ok(read));
                }
                assert!(text.len() <= 28 && text.is_ascii(), "{text}");
                format!("ok {}", length(usize::try_from(read.as_millis()).unwrap()))
            }
            Err(problem) => format!("{} {}", said(&problem), dns::parse_ttl(Some(text)).is_ok()),
        }
    });
}

#[test]
fn cidr() {
    fuzz("cidr", &["/32", "/128", "::", "::ffff:", "0.0.0.0/0", "::/0", "10.", "fe80::", "%eth0", "/+8", "/08"]).run(
        |input| {
            let Ok(text) = std::str::from_utf8(input) else { return "bytes".into() };
            match cidr::parse(text) {
                Ok(net) => {
                    assert_eq!(cidr::parse(&net.to_string()), Ok(net));
                    assert_eq!(net.addr(), net.network());
                    let origins = cidr::Origins::new(Some(&[net]), &[]);
                    assert!(origins.admits(net.network()) && origins.admits(net.broadcast()));
                    format!("ok {} {}", net.addr().is_ipv4(), net.prefix_len())
                }
                Err(problem) => said(&problem),
            }
        },
    );
}

#[test]
fn threshold() {
    fuzz("threshold", &["Ki", "Mi", "Gi", "k", "M", "G", "ms", "s", "h", ".", "999999999999", "0.001"]).run(|input| {
        let Ok(text) = std::str::from_utf8(input) else { return "bytes".into() };
        let threshold = Threshold::Text(text.into());
        let read = [Unit::None, Unit::Milliseconds, Unit::Bytes].map(|unit| {
            let read = unit.read(&threshold).map_err(|problem| said(&problem)).ok()?;
            assert!(read.to_thousandths() >= 0);
            let written = unit.write(read);
            if unit == Unit::None {
                assert_eq!(unit.read(&Threshold::Text(written)), Ok(read));
            }
            Some(length(usize::try_from(read.to_thousandths()).unwrap()))
        });
        format!("{read:?}")
    });
}

#[test]
fn status() {
    fuzz("status", &["2xx", "5xx", "200", "599", "\n", "x"]).run(|input| {
        let Ok(text) = std::str::from_utf8(input) else { return "bytes".into() };
        let texts: Vec<String> = text.lines().map(str::to_owned).collect();
        match ExpectedStatus::read(Some(&texts)) {
            Ok(read) => {
                assert!(!read.admits(99) && !read.admits(600));
                let again: Vec<_> = read.to_string().split(" or ").map(str::to_owned).collect();
                assert_eq!(ExpectedStatus::read(Some(&again)), Ok(read));
                format!("ok {}", texts.len())
            }
            Err(problem) => said(&problem),
        }
    });
}

#[test]
fn permission() {
    fuzz("permission", &[":read", ":create", ":update", ":delete", ":execute", "project.", ":", "."]).run(|input| {
        let Ok(text) = std::str::from_utf8(input) else { return "bytes".into() };
        drop(Parameter::read(text).map_err(|problem| said(&problem)));
        match text.parse::<Permission>() {
            Ok(permission) => {
                assert_eq!(permission.to_string(), text);
                format!("ok {}", permission.verb)
            }
            Err(problem) => said(&problem),
        }
    });
}

#[test]
fn token() {
    fuzz("token", &["lbt_", "_", "-", "\n", " ", "tk-"]).run(|input| {
        let Ok(text) = std::str::from_utf8(input) else { return "bytes".into() };
        let (sent, stored) = (Token::new(text), Credential::parse(text));
        if let Some(credential) = &stored {
            let secret = text.rsplit('_').next().unwrap();
            assert!(!format!("{credential:?}").contains(secret), "{credential:?}");
        }
        format!("{} {}", sent.is_some(), stored.is_some())
    });
}

#[test]
fn if_match() {
    fuzz("if_match", &["*", "W/", "\"", ",", "\"\"", " ", "\"a\", \"b\""]).run(|input| {
        let Ok(text) = std::str::from_utf8(input) else { return "bytes".into() };
        match IfMatch::parse(text) {
            Ok(IfMatch::Any) => "any".into(),
            Ok(IfMatch::Tags(tags)) => {
                let again: Vec<_> = tags.iter().map(|tag| format!("\"{tag}\"")).collect();
                if !tags.is_empty() {
                    assert_eq!(IfMatch::parse(&again.join(",")), Ok(IfMatch::Tags(tags.clone())));
                }
                format!("tags {}", length(tags.len()))
            }
            Err(problem) => said(&problem),
        }
    });
}

#[test]
fn cursor() {
    fuzz("cursor", &["ZXA6", "OjE", ":", "==", "-", "_"]).run(|input| {
        let Ok(text) = std::str::from_utf8(input) else { return "bytes".into() };
        match Position::parse(text) {
            Ok(position) => format!("ok {}", length(format!("{position:?}").len())),
            Err(problem) => said(&problem),
        }
    });
}

#[test]
fn outbound() {
    let filter = Outbound { own: vec!["0.0.0.0:8480".parse().unwrap()], ..Outbound::default() };
    fuzz("outbound", &["127.0.0.1", "::1", "::ffff:", "64:ff9b::", "2002:", "[", "]:80", "%1", "169.254.169.254"]).run(
        |input| {
            let Ok(text) = std::str::from_utf8(input) else { return "bytes".into() };
            let Ok(address) = text.parse::<SocketAddr>() else { return "no address".into() };
            let verdicts = [Profile::Url, Profile::BalancerTarget].map(|of| filter.check(of, address));
            if verdicts[0].is_ok() {
                assert!(verdicts[1].is_ok() && !address.ip().is_loopback() && address.port() != 0, "{address}");
            }
            let rules = verdicts.map(|verdict| verdict.map_err(|refusal| (said(&refusal), refusal.rule).1).err());
            format!("{} {rules:?}", address.is_ipv4())
        },
    );
}
