//! From the bytes of a question to the bytes of its answer; knows no sockets.

use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query, ResponseCode},
    rr::{DNSClass, Name, RData, Record, RecordType, rdata::NULL},
};

use super::zone::{Catalog, Found, Path, RecordSet, SOA, Wanted, Zone, path};

/// What is not known to be taken may not be sent (RFC 1035 section 4.2.1).
const PLAIN_LIMIT: u16 = 512;
/// Most that goes into a datagram, whatever the client would take: it is not cut into fragments on the way (RFC 9715).
pub const UDP_LIMIT: u16 = 1232;
/// Aliases that are followed for one question.
const CHAIN_LIMIT: usize = 16;
const HEADER: usize = 12;

/// How a question came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// In a datagram: the answer may be too large.
    Udp,
    /// Over a connection.
    Tcp,
}

/// The answer to a request; none to what is no request. Without a catalog the answer is that the server cannot answer yet.
#[must_use]
pub fn respond(catalog: Option<&Catalog>, request: &[u8], transport: Transport) -> Option<Vec<u8>> {
    let head = Head::read(request)?;
    let read = match head.problem() {
        Some(code) => Err(code),
        None => Message::from_vec(request).map_err(|_| ResponseCode::FormErr),
    };
    let (response, taken) = match read {
        Ok(message) => {
            let taken = message.edns.as_ref().map_or(PLAIN_LIMIT, Edns::max_payload);
            (answer(catalog, &head, message), taken)
        }
        Err(code) => (head.bare(code), PLAIN_LIMIT),
    };
    let limit = match transport {
        // values lower than 512 mean 512 (RFC 6891 section 6.2.3)
        Transport::Udp => taken.clamp(PLAIN_LIMIT, UDP_LIMIT),
        Transport::Tcp => u16::MAX,
    };
    written(&response, limit.into())
}

/// What can be read of any request.
struct Head {
    id: u16,
    opcode: OpCode,
    recursion_desired: bool,
    checking_disabled: bool,
    questions: u16,
}

impl Head {
    /// None for what is too short, and for answers: two servers must not talk to each other for ever.
    fn read(request: &[u8]) -> Option<Self> {
        let [a, b, c, d, e, f] = *request.get(..HEADER)?.first_chunk()?;
        (c & 0x80 == 0).then(|| Self {
            id: u16::from_be_bytes([a, b]),
            opcode: OpCode::from_u8((c >> 3) & 0x0f),
            recursion_desired: c & 0x01 != 0,
            checking_disabled: d & 0x10 != 0,
            questions: u16::from_be_bytes([e, f]),
        })
    }

    /// What is wrong with it before its sections are read.
    fn problem(&self) -> Option<ResponseCode> {
        match (self.opcode, self.questions) {
            (OpCode::Query, 1) => None,
            // RFC 9619: exactly one question
            (OpCode::Query, _) => Some(ResponseCode::FormErr),
            _ => Some(ResponseCode::NotImp),
        }
    }

    /// A response with nothing in it.
    fn bare(&self, code: ResponseCode) -> Message {
        let mut message = Message::new(self.id, MessageType::Response, self.opcode);
        message.metadata.recursion_desired = self.recursion_desired;
        message.metadata.checking_disabled = self.checking_disabled;
        message.metadata.response_code = code;
        message
    }
}

fn answer(catalog: Option<&Catalog>, head: &Head, request: Message) -> Message {
    let mut response = head.bare(ResponseCode::NoError);
    let version = request.edns.as_ref().map(Edns::version);
    if let Some(asked) = &request.edns {
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_LIMIT).set_version(0).set_dnssec_ok(asked.flags().dnssec_ok);
        response.set_edns(edns);
    }
    let question = request.queries.into_iter().next();
    if version.is_some_and(|version| version > 0) {
        // RFC 6891 section 6.1.3
        response.metadata.response_code = ResponseCode::BADVERS;
    } else if let Some(question) = &question {
        fill(&mut response, catalog, question);
    }
    response.queries.extend(question);
    response
}

fn fill(response: &mut Message, catalog: Option<&Catalog>, question: &Query) {
    let wanted = match wanted(question) {
        Ok(wanted) => wanted,
        Err(code) => return response.metadata.response_code = code,
    };
    let Some(catalog) = catalog else { return response.metadata.response_code = ResponseCode::ServFail };
    let at = path(&question.name);
    match catalog.closest(&at) {
        Some(zone) => look_up(response, catalog, zone, question.name.clone(), at, wanted),
        // not ours; REFUSED rather than a referral to the root, which would be an amplifier
        None => response.metadata.response_code = ResponseCode::Refused,
    }
}

fn wanted(question: &Query) -> Result<Wanted, ResponseCode> {
    if !matches!(question.query_class, DNSClass::IN | DNSClass::ANY) {
        return Err(ResponseCode::Refused);
    }
    match u16::from(question.query_type) {
        // OPT is no type of a question (RFC 6891 section 6.1.1); 0 is reserved (RFC 6895 section 3.1)
        0 | 41 => Err(ResponseCode::FormErr),
        // transfers are not offered
        251 | 252 => Err(ResponseCode::Refused),
        255 => Ok(Wanted::Any),
        // other meta types (RFC 6895 section 3.1)
        128..=254 => Err(ResponseCode::NotImp),
        of => Ok(Wanted::Type(of)),
    }
}

/// Follows aliases inside the zone (RFC 1034 section 4.3.2, step 3a). `at` is the path of the name.
fn look_up(response: &mut Message, catalog: &Catalog, zone: &Zone, mut name: Name, mut at: Path, wanted: Wanted) {
    response.metadata.authoritative = true;
    let mut visited = Vec::new();
    loop {
        match zone.find(&at, wanted) {
            Found::Set(of, set) => return response.answers.extend(records(&name, of, set)),
            Found::Alias(set) => {
                response.answers.extend(records(&name, super::zone::CNAME, set));
                visited.push(at);
                let Some(target) = &set.target else { return };
                let next = path(target);
                let ours = catalog.closest(&next).is_some_and(|closest| std::ptr::eq(closest, zone));
                // outside, the resolver goes on by itself; a loop ends with what there is
                if !ours || visited.len() >= CHAIN_LIMIT || visited.contains(&next) {
                    return;
                }
                (name, at) = (target.clone(), next);
            }
            Found::NoData => return negative(response, zone),
            Found::NoName => {
                // the code speaks of the last name of the chain (RFC 6604 section 3)
                response.metadata.response_code = ResponseCode::NXDomain;
                return negative(response, zone);
            }
        }
    }
}

/// RFC 2308 section 3: the SOA record says how long the absence may be remembered.
fn negative(response: &mut Message, zone: &Zone) {
    response.authorities.extend(records(&zone.apex, SOA, &zone.negative));
}

fn records<'a>(name: &'a Name, of: u16, set: &'a RecordSet) -> impl Iterator<Item = Record> + 'a {
    let code = RecordType::from(of);
    set.values.iter().map(move |value| {
        let rdata = NULL::with(value.clone());
        Record::from_rdata(name.clone(), set.ttl, RData::Unknown { code, rdata })
    })
}

/// The message, or, when it is too large, one that says so and has no records: half a set would be taken for a whole one
/// (RFC 2181 section 9).
fn written(response: &Message, limit: usize) -> Option<Vec<u8>> {
    match response.to_vec() {
        Ok(bytes) if bytes.len() <= limit => Some(bytes),
        _ => response.truncate().to_vec().ok(),
    }
}
