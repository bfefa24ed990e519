//! An answer on the wire (RFC 1035 section 4.1). Names of records are compressed (section 4.1.4): each is the question's, the end
//! of it, or what an alias before it points to. Written here, as much of the time of an answer went into a general encoder.

use hickory_proto::op::{Query, ResponseCode};

use super::{
    answer::{Head, UDP_LIMIT},
    zone::{CNAME, RecordSet, SOA, Zone},
};

/// Bytes before the question.
pub const HEADER: usize = 12;
/// Number of the class IN.
const IN: u16 = 1;
/// Number of the type OPT.
const OPT: u16 = 41;
/// Enough for most answers.
const ROOM: usize = 256;
/// What marks a pointer; the rest is where it points to.
const POINTER: u16 = 0xc000;

/// An answer before it is written.
#[derive(Debug)]
pub struct Response<'a> {
    pub head: Head,
    pub code: ResponseCode,
    pub authoritative: bool,
    pub question: Option<&'a Query>,
    /// Present if the request has EDNS, and whether it has DO then.
    pub edns: Option<bool>,
    /// Sets and the numbers of their types; each but the last is an alias, and the next belongs to where it points to.
    pub answers: Vec<(u16, &'a RecordSet)>,
    /// Whose SOA record says how long the absence may be remembered.
    pub negative: Option<&'a Zone>,
}

impl<'a> Response<'a> {
    /// A response with nothing in it.
    pub fn bare(head: Head, code: ResponseCode) -> Self {
        Self { head, code, authoritative: false, question: None, edns: None, answers: Vec::new(), negative: None }
    }

    /// The message, or, when it is longer than `limit`, one that says so and has no records: half a set would be taken for a
    /// whole one (RFC 2181 section 9).
    pub fn written(&self, limit: usize) -> Vec<u8> {
        let message = self.message(false);
        if message.len() <= limit { message } else { self.message(true) }
    }

    fn message(&self, cut: bool) -> Vec<u8> {
        let mut message = Vec::with_capacity(ROOM);
        message.resize(HEADER, 0);
        if let Some(question) = self.question {
            for label in question.name.iter() {
                // a label that was read has at most 63 bytes
                message.push(u8::try_from(label.len()).unwrap_or_default());
                message.extend(label);
            }
            message.push(0);
            put(&mut message, &[question.query_type.into(), question.query_class.into()]);
        }
        let (mut answers, mut authorities) = (0, 0);
        if !cut {
            answers = self.put_answers(&mut message);
            authorities = self.put_negative(&mut message);
        }
        self.put_edns(&mut message);
        let counts = [self.question.is_some().into(), answers, authorities, self.edns.is_some().into()];
        if let Some(header) = message.first_chunk_mut() {
            *header = self.header(cut, counts);
        }
        message
    }

    fn header(&self, cut: bool, counts: [u16; 4]) -> [u8; HEADER] {
        let Head { id, opcode, recursion_desired, checking_disabled, .. } = self.head;
        let bit = |set: bool, at: u16| u16::from(set) << at;
        let flags = bit(true, 15)
            | u16::from(u8::from(opcode)) << 11
            | bit(self.authoritative, 10)
            | bit(cut, 9)
            | bit(recursion_desired, 8)
            | bit(checking_disabled, 4)
            | u16::from(self.code) & 0x0f;
        let mut header = [0; HEADER];
        let words = [id, flags].into_iter().chain(counts);
        for (place, byte) in header.iter_mut().zip(words.flat_map(u16::to_be_bytes)) {
            *place = byte;
        }
        header
    }

    /// A pointer reaches 16 KiB far: a chain of aliases before the last set is shorter.
    fn put_answers(&self, message: &mut Vec<u8>) -> u16 {
        let (mut owner, mut count) = (HEADER, 0_u16);
        for (of, set) in &self.answers {
            for value in &set.values {
                put_record(message, owner, *of, set.ttl, value);
                count = count.saturating_add(1);
                if *of == CNAME {
                    owner = message.len() - value.len();
                }
            }
        }
        count
    }

    fn put_negative(&self, message: &mut Vec<u8>) -> u16 {
        let (Some(zone), Some(question)) = (self.negative, self.question) else { return 0 };
        let labels = question.name.iter().count();
        let above = question.name.iter().take(labels.saturating_sub(zone.labels()));
        let apex = HEADER + above.map(|label| label.len() + 1).sum::<usize>();
        for value in &zone.negative.values {
            put_record(message, apex, SOA, zone.negative.ttl, value);
        }
        1
    }

    /// RFC 6891 section 6.1.
    fn put_edns(&self, message: &mut Vec<u8>) {
        if let Some(dnssec_ok) = self.edns {
            // the root's name
            message.push(0);
            let extended = u16::from(self.code) >> 4 << 8;
            put(message, &[OPT, UDP_LIMIT, extended, u16::from(dnssec_ok) << 15, 0]);
        }
    }
}

/// What does not fit into its field makes a message that is longer than any limit.
fn put_record(message: &mut Vec<u8>, owner: usize, of: u16, ttl: u32, value: &[u8]) {
    let owner = u16::try_from(owner).unwrap_or(u16::MAX);
    put(message, &[POINTER | owner, of, IN]);
    message.extend(ttl.to_be_bytes());
    put(message, &[u16::try_from(value.len()).unwrap_or(u16::MAX)]);
    message.extend(value);
}

fn put(message: &mut Vec<u8>, numbers: &[u16]) {
    message.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
}
