//! Values of records: from the presentation format (RFC 1035 section 5.1) to what goes on the wire.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, Ipv6Addr},
};

use super::{
    RecordType,
    name::{Alphabet, Name, NameProblem},
};

/// Most values of one record.
pub const MOST_VALUES: usize = 256;
/// Most bytes of all values of one record: with their headers they must fit into one message over TCP.
const MOST_BYTES: usize = 48 * 1024;
/// Longest character string (RFC 1035 section 3.3).
const STRING_LIMIT: usize = 255;

/// One value of a record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::upper_case_acronyms, reason = "the names of the types in the DNS")]
pub enum RecordData {
    /// RFC 1035 section 3.4.1.
    A(Ipv4Addr),
    /// RFC 3596.
    AAAA(Ipv6Addr),
    /// RFC 1035 section 3.3.1.
    CNAME(Name),
    /// RFC 1035 section 3.3.14.
    TXT(Vec<Vec<u8>>),
    /// RFC 1035 section 3.3.9; no exchange: the null MX of RFC 7505.
    MX {
        /// Lower is tried first.
        preference: u16,
        /// The mail server.
        exchange: Option<Name>,
    },
    /// RFC 2782; no target: the service is not available.
    SRV {
        /// Lower is tried first.
        priority: u16,
        /// Share among those of one priority.
        weight: u16,
        /// Port of the service.
        port: u16,
        /// Host of the service.
        target: Option<Name>,
    },
    /// RFC 8659.
    CAA {
        /// 128: the issuer must understand the tag.
        flags: u8,
        /// What the value is.
        tag: String,
        /// The value.
        value: Vec<u8>,
    },
}

/// Why a text is no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueProblem {
    /// Another shape.
    #[error("{text:?} is no value of {of}: write {right}")]
    Shape {
        /// What was written.
        text: String,
        /// The type.
        of: RecordType,
        /// An example of what is right.
        right: &'static str,
    },
    /// A name in it.
    #[error(transparent)]
    Name(#[from] NameProblem),
    /// A quoted string.
    #[error("a quoted string is longer than 255 bytes: write several, each in quotes, or the text without quotes")]
    LongString,
    /// Quotes and backslashes.
    #[error(
        "the quotes or backslashes of {0:?} do not match: write \"text\", \\\" for a quote, \\\\ for a backslash, \\DDD for a byte"
    )]
    Quotes(String),
    /// A control character.
    #[error("the text has a control character: write it as \\DDD in a quoted string")]
    Control,
}

/// Why values make no record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetProblem {
    /// None or too many.
    #[error("a record has 1 to {MOST_VALUES} values, not {0}")]
    Count(usize),
    /// One does not parse.
    #[error("value {}: {problem}", index + 1)]
    Value {
        /// Its place, from 0.
        index: usize,
        /// Why.
        problem: ValueProblem,
    },
    /// RFC 2181 section 5.
    #[error("value {} stands there twice: write each value once", .0 + 1)]
    Twice(usize),
    /// RFC 1034 section 3.6.2.
    #[error("a CNAME has exactly one value, not {0}")]
    SeveralCnames(usize),
    /// Too much for a message.
    #[error("the values take {0} bytes, and at most {MOST_BYTES} fit into an answer: write fewer or shorter ones")]
    Large(usize),
}

/// Reads all values of a record.
///
/// # Errors
/// The first that is wrong, or what is wrong with all.
pub fn parse_set(of: RecordType, values: &[String]) -> Result<Vec<RecordData>, SetProblem> {
    if values.is_empty() || values.len() > MOST_VALUES {
        return Err(SetProblem::Count(values.len()));
    }
    let (mut set, mut seen, mut bytes) = (Vec::with_capacity(values.len()), BTreeSet::new(), 0);
    for (index, text) in values.iter().enumerate() {
        let value = RecordData::parse(of, text).map_err(|problem| SetProblem::Value { index, problem })?;
        let wire = value.canonical();
        bytes += wire.len();
        if !seen.insert(wire) {
            return Err(SetProblem::Twice(index));
        }
        set.push(value);
    }
    if of == RecordType::CNAME && set.len() > 1 {
        return Err(SetProblem::SeveralCnames(set.len()));
    }
    if bytes > MOST_BYTES { Err(SetProblem::Large(bytes)) } else { Ok(set) }
}

impl RecordData {
    /// Reads one value in the presentation format of its type. Names are absolute, their trailing dot is optional.
    ///
    /// # Errors
    /// Why it is none, and what would be.
    pub fn parse(of: RecordType, text: &str) -> Result<Self, ValueProblem> {
        let wrong = |right| ValueProblem::Shape { text: text.chars().take(80).collect(), of, right };
        match of {
            RecordType::A => text.parse().map(Self::A).map_err(|_| wrong("an IPv4 address such as 192.0.2.10")),
            RecordType::AAAA => text.parse().map(Self::AAAA).map_err(|_| wrong("an IPv6 address such as 2001:db8::10")),
            RecordType::CNAME => Ok(Self::CNAME(Name::parse(text, Alphabet::Underscore)?)),
            RecordType::TXT => text_strings(text).map(Self::TXT),
            RecordType::MX => mail(text, &|| wrong("preference and host, such as 10 mail.example.dev")),
            RecordType::SRV => {
                service(text, &|| wrong("priority, weight, port and host, such as 10 5 5060 sip.example.dev"))
            }
            RecordType::CAA => authority(text, &|| wrong("flags, tag and value, such as 0 issue \"ca.example.net\"")),
        }
    }

    /// The value as it goes on the wire, names not compressed and in the case in which they were written.
    #[must_use]
    pub fn wire(&self) -> Vec<u8> {
        match self {
            Self::A(address) => address.octets().into(),
            Self::AAAA(address) => address.octets().into(),
            Self::CNAME(name) => name.wire(),
            Self::TXT(strings) => strings.iter().flat_map(|string| character_string(string)).collect(),
            Self::MX { preference, exchange } => {
                [&preference.to_be_bytes()[..], &wire_or_root(exchange.as_ref())].concat()
            }
            Self::SRV { priority, weight, port, target } => {
                [&numbers(&[*priority, *weight, *port])[..], &wire_or_root(target.as_ref())].concat()
            }
            Self::CAA { flags, tag, value } => [&[*flags], &character_string(tag.as_bytes())[..], value].concat(),
        }
    }

    /// As [`Self::wire`], the same for all values that mean the same (RFC 4034 section 6.2: names in lower case).
    #[must_use]
    pub fn canonical(&self) -> Vec<u8> {
        let lower = |name: &Name| Name::parse(&name.key(), Alphabet::Underscore).unwrap_or_else(|_| name.clone());
        match self {
            Self::CNAME(name) => lower(name).wire(),
            Self::MX { preference, exchange } => {
                Self::MX { preference: *preference, exchange: exchange.as_ref().map(lower) }.wire()
            }
            Self::SRV { priority, weight, port, target } => {
                let target = target.as_ref().map(lower);
                Self::SRV { priority: *priority, weight: *weight, port: *port, target }.wire()
            }
            // tags match in any case (RFC 8659 section 4.1)
            Self::CAA { flags, tag, value } => {
                Self::CAA { flags: *flags, tag: tag.to_ascii_lowercase(), value: value.clone() }.wire()
            }
            Self::A(_) | Self::AAAA(_) | Self::TXT(_) => self.wire(),
        }
    }
}

type Wrong<'a> = &'a dyn Fn() -> ValueProblem;

fn mail(text: &str, wrong: Wrong) -> Result<RecordData, ValueProblem> {
    let parts: Vec<_> = text.split_ascii_whitespace().collect();
    let [preference, exchange] = parts[..] else { return Err(wrong()) };
    let preference = number(preference).ok_or_else(wrong)?;
    Ok(RecordData::MX { preference, exchange: host_or_root(exchange)? })
}

fn service(text: &str, wrong: Wrong) -> Result<RecordData, ValueProblem> {
    let parts: Vec<_> = text.split_ascii_whitespace().collect();
    let [priority, weight, port, target] = parts[..] else { return Err(wrong()) };
    let number = |text| number(text).ok_or_else(wrong);
    let (priority, weight, port) = (number(priority)?, number(weight)?, number(port)?);
    Ok(RecordData::SRV { priority, weight, port, target: host_or_root(target)? })
}

fn authority(text: &str, wrong: Wrong) -> Result<RecordData, ValueProblem> {
    let (flags, rest) = text.trim().split_once([' ', '\t']).ok_or_else(wrong)?;
    let (tag, value) = rest.trim_start().split_once([' ', '\t']).ok_or_else(wrong)?;
    let flags = number(flags).and_then(|flags| u8::try_from(flags).ok()).ok_or_else(wrong)?;
    // RFC 8659 section 4.1: letters and digits; section 4.1.1 recommends at most 15
    if tag.len() > 15 || !tag.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(wrong());
    }
    let value = value.trim();
    let value = if value.starts_with('"') {
        let strings = quoted_strings(value)?;
        let [string] = &strings[..] else { return Err(wrong()) };
        string.clone()
    } else if value.is_empty() || value.contains(|c: char| c.is_whitespace() || c == '"' || !c.is_ascii_graphic()) {
        return Err(wrong());
    } else {
        value.as_bytes().to_vec()
    };
    Ok(RecordData::CAA { flags, tag: tag.to_owned(), value })
}

/// Decimal digits, nothing else.
fn number(text: &str) -> Option<u16> {
    let digits = (1..=5).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn host_or_root(text: &str) -> Result<Option<Name>, NameProblem> {
    if text == "." { Ok(None) } else { Name::parse(text, Alphabet::Host).map(Some) }
}

/// Strings in quotes; text without quotes is one string, split where the wire needs it.
fn text_strings(text: &str) -> Result<Vec<Vec<u8>>, ValueProblem> {
    if text.trim_start().starts_with('"') {
        return quoted_strings(text);
    }
    if text.chars().any(char::is_control) {
        return Err(ValueProblem::Control);
    }
    if text.is_empty() {
        let right = "text, or strings in quotes such as \"v=spf1 -all\"";
        return Err(ValueProblem::Shape { text: String::new(), of: RecordType::TXT, right });
    }
    Ok(text.as_bytes().chunks(STRING_LIMIT).map(<[u8]>::to_vec).collect())
}

fn quoted_strings(text: &str) -> Result<Vec<Vec<u8>>, ValueProblem> {
    let wrong = || ValueProblem::Quotes(text.chars().take(80).collect());
    let (mut strings, mut rest) = (Vec::new(), text.trim().as_bytes());
    while let Some((b'"', inner)) = rest.split_first() {
        let (string, after) = quoted_string(inner).ok_or_else(wrong)?;
        if string.len() > STRING_LIMIT {
            return Err(ValueProblem::LongString);
        }
        strings.push(string);
        rest = after.trim_ascii_start();
        // strings are separate words
        if rest.len() == after.len() && !rest.is_empty() {
            return Err(wrong());
        }
    }
    if rest.is_empty() && !strings.is_empty() { Ok(strings) } else { Err(wrong()) }
}

/// The string up to its closing quote, and what follows.
fn quoted_string(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut string = Vec::new();
    loop {
        let (byte, after) = rest.split_first()?;
        rest = after;
        match byte {
            b'"' => return Some((string, rest)),
            b'\\' => {
                let (byte, after) = escaped(rest)?;
                string.push(byte);
                rest = after;
            }
            byte if byte.is_ascii_control() => return None,
            byte => string.push(*byte),
        }
    }
}

/// What stands behind a backslash: three digits are a byte, anything else is itself.
fn escaped(rest: &[u8]) -> Option<(u8, &[u8])> {
    let (first, after) = rest.split_first()?;
    if !first.is_ascii_digit() {
        return (!first.is_ascii_control()).then_some((*first, after));
    }
    let (digits, after) = rest.split_at_checked(3)?;
    let value = digits
        .iter()
        .try_fold(0_u16, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + u16::from(digit - b'0')))?;
    Some((u8::try_from(value).ok()?, after))
}

fn character_string(string: &[u8]) -> Vec<u8> {
    let length = u8::try_from(string.len()).unwrap_or(u8::MAX);
    let mut wire = vec![length];
    wire.extend_from_slice(string.get(..length.into()).unwrap_or(string));
    wire
}

fn numbers(numbers: &[u16]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

fn wire_or_root(name: Option<&Name>) -> Vec<u8> {
    name.map_or_else(|| vec![0], Name::wire)
}

#[cfg(test)]
#[path = "value_tests.rs"]
mod tests;
