//! From the bytes of a question to the bytes of its answer; knows no sockets.

use hickory_proto::{
    op::{Edns, Message, OpCode, Query, ResponseCode},
    rr::DNSClass,
};

use super::{
    catalog::Catalog,
    wire::{HEADER, Response},
    zone::{CNAME, Found, Path, Wanted, Zone, path},
};

/// What is not known to be taken may not be sent (RFC 1035 section 4.2.1).
const PLAIN_LIMIT: u16 = 512;
/// Most that goes into a datagram, whatever the client would take: it is not cut into fragments on the way (RFC 9715).
pub const UDP_LIMIT: u16 = 1232;
/// Aliases that are followed for one question.
const CHAIN_LIMIT: usize = 16;

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
    let message;
    let (response, taken) = match read {
        Ok(read) => {
            message = read;
            let taken = message.edns.as_ref().map_or(PLAIN_LIMIT, Edns::max_payload);
            (answer(catalog, head, &message), taken)
        }
        Err(code) => (Response::bare(head, code), PLAIN_LIMIT),
    };
    let limit = match transport {
        // values lower than 512 mean 512 (RFC 6891 section 6.2.3)
        Transport::Udp => taken.clamp(PLAIN_LIMIT, UDP_LIMIT),
        Transport::Tcp => u16::MAX,
    };
    Some(response.written(limit.into()))
}

/// What can be read of any request.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    pub id: u16,
    pub opcode: OpCode,
    pub recursion_desired: bool,
    pub checking_disabled: bool,
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
}

fn answer<'a>(catalog: Option<&'a Catalog>, head: Head, request: &'a Message) -> Response<'a> {
    let mut response = Response::bare(head, ResponseCode::NoError);
    response.question = request.queries.first();
    response.edns = request.edns.as_ref().map(|asked| asked.flags().dnssec_ok);
    if request.edns.as_ref().is_some_and(|asked| asked.version() > 0) {
        // RFC 6891 section 6.1.3
        response.code = ResponseCode::BADVERS;
    } else if let Some(question) = response.question {
        fill(&mut response, catalog, question);
    }
    response
}

fn fill<'a>(response: &mut Response<'a>, catalog: Option<&'a Catalog>, question: &Query) {
    let wanted = match wanted(question) {
        Ok(wanted) => wanted,
        Err(code) => return response.code = code,
    };
    let Some(catalog) = catalog else { return response.code = ResponseCode::ServFail };
    let at = path(&question.name);
    match catalog.closest(&at) {
        Some(zone) => look_up(response, catalog, zone, at, wanted),
        // not ours; REFUSED rather than a referral to the root, which would be an amplifier
        None => response.code = ResponseCode::Refused,
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
fn look_up<'a>(response: &mut Response<'a>, catalog: &'a Catalog, zone: &'a Zone, mut at: Path, wanted: Wanted) {
    response.authoritative = true;
    let mut visited = Vec::new();
    loop {
        match zone.find(&at, wanted) {
            Found::Set(of, set) => return response.answers.push((of, set)),
            Found::Alias(set) => {
                response.answers.push((CNAME, set));
                visited.push(at);
                let Some(target) = &set.target else { return };
                let next = path(target);
                let ours = catalog.closest(&next).is_some_and(|closest| std::ptr::eq(closest, zone));
                // outside, the resolver goes on by itself; a loop ends with what there is
                if !ours || visited.len() >= CHAIN_LIMIT || visited.contains(&next) {
                    return;
                }
                at = next;
            }
            // RFC 2308 section 3: the SOA record says how long the absence may be remembered
            Found::NoData => return response.negative = Some(zone),
            Found::NoName => {
                // the code speaks of the last name of the chain (RFC 6604 section 3)
                response.code = ResponseCode::NXDomain;
                return response.negative = Some(zone);
            }
        }
    }
}
