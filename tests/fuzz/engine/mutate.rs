//! Makes new inputs of old ones.

use super::Random;

/// Bytes that lie at borders.
const BYTES: &[u8] = &[0, 1, b'\t', b'\n', b'\r', b' ', b'"', b'*', b'.', b'/', b'0', 0x7f, 0x80, 0xc0, 0xff];
/// Numbers that lie at borders, as length fields have them.
const NUMBERS: &[u64] = &[
    0,
    1,
    2,
    0x3f,
    0x40,
    0x7f,
    0x80,
    0xfe,
    0xff,
    0x100,
    0x1ff,
    0x3ff,
    0x7fff,
    0x8000,
    0xc000,
    0xc00c,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    i64::MAX as u64,
    u64::MAX,
];
/// Numbers that lie at borders, as texts have them.
const DIGITS: &[&str] = &[
    "0",
    "-0",
    "-1",
    "+5",
    "00",
    "007",
    "0x10",
    "1e3",
    "1e999",
    "0.5",
    "63",
    "64",
    "253",
    "255",
    "256",
    "65535",
    "65536",
    "99999",
    "100000",
    "2147483648",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "NaN",
    "٣",
];
/// Text that is more than it seems, and bytes that are no text.
const UNICODE: &[&[u8]] = &[
    b"\0",
    "\u{feff}".as_bytes(),
    "e\u{301}".as_bytes(),
    "\u{202e}".as_bytes(),
    "\u{2028}".as_bytes(),
    "\u{200d}".as_bytes(),
    "\u{a0}".as_bytes(),
    "İ".as_bytes(),
    "ß".as_bytes(),
    "ſ".as_bytes(),
    "K".as_bytes(),
    "\u{3002}".as_bytes(),
    "\u{ff0e}".as_bytes(),
    "\u{1f600}".as_bytes(),
    "\u{10ffff}".as_bytes(),
    b"\xed\xa0\x80",
    b"\xc0\x80",
    b"\xf4\x90\x80\x80",
    b"\xff\xfe",
    b"\\ud800",
    b"%00",
    b"%ff",
    b"%c0%af",
];

/// An input made of one of the pool.
pub fn mutant(random: &mut Random, pool: &[Vec<u8>], words: &[&str], most: usize) -> Vec<u8> {
    let mut input = random.pick(pool).clone();
    for _ in 0..=random.size(7) {
        change(random, &mut input, pool, words);
    }
    input.truncate(most);
    input
}

fn change(random: &mut Random, input: &mut Vec<u8>, pool: &[Vec<u8>], words: &[&str]) {
    match random.below(16) {
        0 | 1 => flip(random, input),
        2 | 3 => {
            let byte = if random.once_in(2) { random.byte() } else { *random.pick(BYTES) };
            replace(random, input, &[byte]);
        }
        4 => {
            let bytes: Vec<u8> = (0..=random.size(15)).map(|_| random.byte()).collect();
            insert(random, input, &bytes);
        }
        5 => drop(cut(random, input)),
        6 => {
            let part = part(random, input).to_vec();
            insert(random, input, &part);
        }
        7 => splice(random, input, pool),
        8 | 9 if !words.is_empty() => {
            let word = *random.pick(words);
            insert(random, input, word.as_bytes());
        }
        10 if !words.is_empty() => {
            let word = *random.pick(words);
            replace(random, input, word.as_bytes());
        }
        11 => number(random, input),
        12 => digits(random, input),
        13 => run(random, input),
        14 => {
            let bytes = *random.pick(UNICODE);
            insert(random, input, bytes);
        }
        _ => case(random, input),
    }
}

fn flip(random: &mut Random, input: &mut [u8]) {
    if !input.is_empty() {
        let at = random.below(input.len());
        input[at] ^= 1 << random.below(8);
    }
}

fn insert(random: &mut Random, input: &mut Vec<u8>, bytes: &[u8]) {
    let at = random.below(input.len() + 1);
    input.splice(at..at, bytes.iter().copied());
}

/// Over what stands there.
fn replace(random: &mut Random, input: &mut Vec<u8>, bytes: &[u8]) {
    let at = random.below(input.len() + 1);
    let end = (at + bytes.len()).min(input.len());
    input.splice(at..end, bytes.iter().copied());
}

fn range(random: &mut Random, length: usize) -> std::ops::Range<usize> {
    let at = random.below(length);
    at..at + random.size(length - at)
}

fn part<'a>(random: &mut Random, input: &'a [u8]) -> &'a [u8] {
    &input[range(random, input.len())]
}

fn cut(random: &mut Random, input: &mut Vec<u8>) -> Vec<u8> {
    let range = range(random, input.len());
    input.drain(range).collect()
}

/// The beginning of one, the end of another.
fn splice(random: &mut Random, input: &mut Vec<u8>, pool: &[Vec<u8>]) {
    let other = random.pick(pool);
    input.truncate(random.below(input.len() + 1));
    input.extend_from_slice(&other[random.below(other.len() + 1)..]);
}

/// A length field, as it may stand in a message.
fn number(random: &mut Random, input: &mut Vec<u8>) {
    let bytes = random.pick(NUMBERS).to_be_bytes();
    let width = *random.pick(&[1, 2, 2, 4, 8]);
    replace(random, input, &bytes[8 - width..]);
}

/// Another number where one stands in the text.
fn digits(random: &mut Random, input: &mut Vec<u8>) {
    let starts: Vec<usize> = (0..input.len())
        .filter(|at| input[*at].is_ascii_digit() && at.checked_sub(1).is_none_or(|b| !input[b].is_ascii_digit()))
        .collect();
    if starts.is_empty() {
        return;
    }
    let start = *random.pick(&starts);
    let end = (start..input.len()).find(|at| !input[*at].is_ascii_digit()).unwrap_or(input.len());
    input.splice(start..end, random.pick(DIGITS).bytes());
}

/// The same again and again.
fn run(random: &mut Random, input: &mut Vec<u8>) {
    let part = part(random, input);
    let part = if part.is_empty() { b"a" } else { &part[..part.len().min(32)] };
    let most = if random.once_in(20) { 70_000 } else { 600 };
    let run = part.repeat(1 + random.size(most) / part.len());
    insert(random, input, &run);
}

fn case(random: &mut Random, input: &mut [u8]) {
    let range = range(random, input.len());
    for byte in &mut input[range] {
        *byte = if byte.is_ascii_lowercase() { byte.to_ascii_uppercase() } else { byte.to_ascii_lowercase() };
    }
}
