//! In how many ways a secret can be written: raw, Base64, hexadecimal, as in a URL, as in JSON; of each the beginning is enough.

use data_encoding::{BASE64_NOPAD, HEXLOWER};
use serde_json::Value;

/// So much of a secret is one.
const SHOWN: usize = 8;

/// Ways to write the beginning of a secret.
pub fn spellings(secret: &str) -> Vec<String> {
    let start = &secret.as_bytes()[..secret.len().min(SHOWN + 4)];
    let mut spellings = vec![secret.chars().take(SHOWN).collect(), HEXLOWER.encode(&start[..SHOWN.min(start.len())])];
    // In the middle of something encoded it begins at any of three places; what its neighbours have part in is left out.
    for (before, skip) in [(0, 0), (1, 2), (2, 3)] {
        let padded: Vec<u8> = std::iter::repeat_n(0, before).chain(start.iter().copied()).collect();
        let encoded = BASE64_NOPAD.encode(&padded);
        let whole = padded.len() / 3 * 4;
        spellings.push(encoded[skip..whole.min(skip + 12)].to_owned());
    }
    let plain = |byte: &u8| byte.is_ascii_alphanumeric();
    let shown = &start[..SHOWN.min(start.len())];
    let url = shown.iter().map(|byte| if plain(byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") });
    spellings.push(url.collect());
    let json = Value::from(String::from_utf8_lossy(shown).into_owned()).to_string();
    spellings.push(json.trim_matches('"').replace('/', "\\/"));
    spellings.retain(|spelling| spelling.len() >= SHOWN);
    spellings.sort();
    spellings.dedup();
    spellings
}

#[test]
fn a_leak_is_found_in_each_spelling() {
    let secret = "wJalr/UtnFEMI+K7MDENG";
    let spellings = spellings(secret);
    let url: String = secret
        .bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect();
    let mut written = vec![
        secret.to_owned(),
        HEXLOWER.encode(secret.as_bytes()),
        url,
        secret.replace('/', "\\/"),
        secret[..8].to_owned(),
    ];
    written.extend(["", "x", "xy", "xyz"].map(|before| BASE64_NOPAD.encode(format!("{before}{secret}").as_bytes())));
    for text in written {
        assert!(spellings.iter().any(|spelling| text.contains(spelling)), "{text} {spellings:?}");
    }
    assert!(!spellings.iter().any(|spelling| "an innocent line".contains(spelling)));
}
