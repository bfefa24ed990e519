//! In how many ways a secret can be written, and whether one of them is somewhere.

use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};
use serde_json::Value;

/// So much of a secret is one.
const SHOWN: usize = 8;

/// How the beginning of a secret is written: as it is, in hexadecimal, in base64, in a URL, in JSON.
fn spellings(secret: &str) -> Vec<String> {
    let start = &secret.as_bytes()[..secret.len().min(SHOWN + 4)];
    let shown = &start[..SHOWN.min(start.len())];
    let text = String::from_utf8_lossy(shown).into_owned();
    let mut spellings = vec![text, HEXLOWER.encode(shown), HEXUPPER.encode(shown)];
    // In the middle of something encoded it begins at any of three places; what its neighbours have part in is left out.
    for (before, skip) in [(0, 0), (1, 2), (2, 3)] {
        let padded: Vec<u8> = std::iter::repeat_n(0, before).chain(start.iter().copied()).collect();
        let whole = padded.len() / 3 * 4;
        for alphabet in [&BASE64_NOPAD, &BASE64URL_NOPAD] {
            spellings.push(alphabet.encode(&padded)[skip..whole.min(skip + 12)].to_owned());
        }
    }
    let each = |how: fn(u8) -> String| shown.iter().map(|byte| how(*byte)).collect::<String>();
    spellings.extend([
        each(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).into() } else { format!("%{byte:02X}") }),
        each(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).into() } else { format!("%{byte:02x}") }),
        each(|byte| format!("%{byte:02X}")),
        each(|byte| format!("\\u{byte:04x}")),
        each(|byte| format!("\\u{byte:04X}")),
        each(|byte| match byte {
            b'"' | b'\\' | b'/' => format!("\\{}", char::from(byte)),
            byte => char::from(byte).to_string(),
        }),
    ]);
    spellings.retain(|spelling| spelling.len() >= SHOWN);
    spellings.sort();
    spellings.dedup();
    spellings
}

/// Finds any of many secrets in one pass over a text.
#[derive(Debug, Default)]
pub struct Finder {
    spellings: Vec<String>,
    /// A bit for the first two bytes of each, so that most places in a text need no more than one look.
    begins: Vec<u64>,
}

impl Finder {
    /// Looks for this one, too.
    pub fn add(&mut self, secret: &str) {
        self.begins.resize(1 << 10, 0);
        for spelling in spellings(secret) {
            let at = begin(spelling.as_bytes());
            self.begins[at >> 6] |= 1 << (at & 63);
            self.spellings.push(spelling);
        }
    }

    /// Whether one of them is in there.
    pub fn finds(&self, text: &str) -> bool {
        let bytes = text.as_bytes();
        let begun = |at: usize| self.begins.get(at >> 6).is_some_and(|bits| bits >> (at & 63) & 1 == 1);
        let mut places = bytes.windows(2).enumerate().filter(|(_, two)| begun(begin(two)));
        places.any(|(at, _)| self.spellings.iter().any(|spelling| bytes[at..].starts_with(spelling.as_bytes())))
    }
}

fn begin(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 8 | usize::from(bytes[1])
}

#[test]
fn a_leak_is_found_in_each_spelling() {
    // One as the backend mints them, one with all that has to be escaped somewhere, a token's.
    for secret in ["wJalr/UtnFEMI+K7MDENG", "a/+\"b=c\\d/e", "0f3kq9v2xw7h"] {
        let mut finder = Finder::default();
        finder.add(secret);
        let each = |how: fn(u8) -> String| secret.bytes().map(how).collect::<String>();
        let mut written = vec![
            secret.to_owned(),
            secret[..8].to_owned(),
            HEXLOWER.encode(secret.as_bytes()),
            HEXUPPER.encode(secret.as_bytes()),
            each(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).into() } else { format!("%{byte:02X}") }),
            each(|byte| format!("%{byte:02X}")),
            each(|byte| format!("\\u{byte:04x}")),
            Value::from(secret).to_string().replace('/', "\\/"),
        ];
        for before in ["", "x", "xy", "xyz"] {
            let text = format!("{before}{secret}");
            written.extend([BASE64_NOPAD.encode(text.as_bytes()), BASE64URL_NOPAD.encode(text.as_bytes())]);
        }
        for text in written {
            assert!(finder.finds(&format!("key={text}.")), "{text} {:?}", finder.spellings);
        }
        assert!(!finder.finds("an innocent line"));
    }
}
