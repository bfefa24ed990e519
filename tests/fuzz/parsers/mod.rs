//! One harness a parser.

mod api;
mod cli;
mod client;
mod dns;
mod json;
mod rules;
mod store;

/// The beginning of a text as a class: letters and digits stand for their kind, so that what was quoted does not make one.
fn shape(text: &str) -> String {
    let kind = |c: char| match c {
        '0'..='9' => '9',
        c if c.is_ascii() => c,
        _ => 'U',
    };
    let mut shape: String = text.chars().map(kind).take(24).collect();
    while shape.contains("99") {
        shape = shape.replace("99", "9");
    }
    shape
}

/// How long it is, roughly.
fn length(of: usize) -> u32 {
    of.checked_ilog2().map_or(0, |log| log + 1)
}

/// With another text in the place of each one.
pub fn replaced(text: &[u8], from: &[u8], to: &str) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::with_capacity(text.len()), text);
    while let Some(at) = rest.windows(from.len()).position(|part| part == from) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(to.as_bytes());
        rest = &rest[at + from.len()..];
    }
    out.extend_from_slice(rest);
    out
}
