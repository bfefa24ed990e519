//! S5: no secret leaves the Secret that it belongs in, in any spelling.

use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};
use serde_json::Value;

use super::{Evidence, Violation};
use crate::plan::Side;

/// So much of a secret is one.
const SHOWN: usize = 8;

/// How the beginning of a secret is written: as it is, in hexadecimal, in base64, in a URL, in JSON.
pub fn spellings(secret: &str) -> Vec<String> {
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

/// The secrets of a run: tokens without their id, and what the backend minted.
fn canaries(evidence: &Evidence<'_>) -> Vec<String> {
    let tokens = evidence.tokens.iter().filter_map(|token| token.rsplit_once('_').map(|(_, secret)| secret.to_owned()));
    let fetched = evidence.calls.iter().filter(|call| call.method == "GET" && call.point.role.ends_with("/secret"));
    let minted = fetched.filter_map(|call| call.answer()["values"]["secretAccessKey"].as_str().map(str::to_owned));
    tokens.chain(minted).collect()
}

/// Whatever left, and where it was seen.
fn outgoing(evidence: &Evidence<'_>) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut seen: Vec<(String, String)> =
        evidence.prints.iter().map(|print| ("a print".to_owned(), print.clone())).collect();
    for call in &evidence.calls {
        let about = call.point.to_string();
        let secret =
            (call.point.side == Side::Kubernetes && call.point.role.contains(":secrets")) || about.contains("/secret#");
        if !secret {
            seen.push((format!("what {about} sent"), format!("{}\n{}", call.path, text(&call.body))));
        }
        if secret && call.code.is_none_or(|code| code < 300) {
            continue;
        }
        seen.push((format!("the answer to {about}"), text(&call.answer)));
    }
    seen.extend(evidence.audit.iter().map(|entry| ("the audit log".to_owned(), entry.line.clone())));
    seen
}

/// Finds any of many texts in one pass.
struct Finder {
    spellings: Vec<String>,
    /// Whether one begins with these two bytes.
    begins: Vec<bool>,
}

impl Finder {
    fn of(spellings: Vec<String>) -> Self {
        let mut begins = vec![false; 1 << 16];
        for spelling in &spellings {
            begins[pair(spelling.as_bytes())] = true;
        }
        Self { spellings, begins }
    }

    fn finds(&self, text: &str) -> bool {
        let bytes = text.as_bytes();
        let here = |at: usize| self.spellings.iter().any(|spelling| bytes[at..].starts_with(spelling.as_bytes()));
        bytes.windows(2).enumerate().any(|(at, two)| self.begins[pair(two)] && here(at))
    }
}

fn pair(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 8 | usize::from(bytes[1])
}

/// S5.
pub fn kept(evidence: &Evidence<'_>) -> Vec<Violation> {
    let finder = Finder::of(canaries(evidence).iter().flat_map(|secret| spellings(secret)).collect());
    let leaks = outgoing(evidence).into_iter().filter(|(_, text)| finder.finds(text));
    leaks.map(|(place, _)| Violation::new("S5", format!("a secret is in {place}"))).collect()
}

#[test]
fn a_leak_is_found_in_each_spelling() {
    // One as the backend mints them, one with all that has to be escaped somewhere, a token's.
    for secret in ["wJalr/UtnFEMI+K7MDENG", "a/+\"b=c\\d/e", "0f3kq9v2xw7h"] {
        let finder = Finder::of(spellings(secret));
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
