//! Hostile requests that are signed as they should be: nothing of them is refused for its signature alone.

use sha2::{Digest, Sha256};

use super::client::{Client, encode, hex};

const HASH: &str = "x-amz-content-sha256";
/// Most bytes that a case becomes.
const MOST: usize = 8 << 20;

/// A request line, headers, an empty line and a body.
///
/// A header whose name begins with `!` is sent and not signed. In the body, `{sign}` is the signature of the chunk that
/// begins behind its line, `{trail}` that of the trailers before it, and `{500 times abc}` is that text so often.
pub struct Case {
    method: String,
    target: String,
    headers: Vec<Header>,
    body: Vec<u8>,
    /// Whether the case says itself where its body ends.
    pub framed: bool,
}

struct Header {
    name: String,
    value: Vec<u8>,
    signed: bool,
}

impl Case {
    /// `None` when it is none.
    pub fn read(input: &[u8]) -> Option<Self> {
        let end = input.windows(2).position(|two| two == b"\n\n")?;
        let mut lines = input[..end].split(|byte| *byte == b'\n');
        let line = String::from_utf8_lossy(lines.next()?).into_owned();
        let (method, target) = line.split_once(' ')?;
        let mut case = Self {
            method: method.into(),
            target: target.into(),
            headers: Vec::new(),
            body: repeated(&input[end + 2..]),
            framed: false,
        };
        for line in lines {
            let at = line.iter().position(|byte| *byte == b':')?;
            let name = String::from_utf8_lossy(&line[..at]).into_owned();
            let signed = !name.starts_with('!');
            let name = name.trim_start_matches('!').to_owned();
            case.framed |= ["content-length", "transfer-encoding"].iter().any(|other| name.eq_ignore_ascii_case(other));
            if !["connection", "host"].iter().any(|other| name.eq_ignore_ascii_case(other)) {
                case.headers.push(Header { name, value: line[at + 1..].trim_ascii().to_vec(), signed });
            }
        }
        Some(case)
    }

    /// Method, and the first name of the query: what it is about.
    pub fn about(&self) -> String {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        let name = query.split(['&', '=']).next().unwrap_or_default();
        let copies = if self.value("x-amz-copy-source").is_some() { " copy" } else { "" };
        let known = ["uploads", "uploadId", "delete", "list-type", "versions", "partNumber", "attributes", "tagging"];
        format!("{} {}{copies}", self.method, if known.contains(&name) { name } else { "" })
    }

    fn value(&self, name: &str) -> Option<String> {
        let header = self.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        Some(String::from_utf8_lossy(&header.value).into_owned())
    }

    /// The bytes to send.
    pub fn request(mut self, client: &Client) -> Vec<u8> {
        let date = client.date();
        let hash = self.value(HASH).unwrap_or_else(|| {
            self.add(HASH, &hex(&self.body));
            hex(&self.body)
        });
        self.add("x-amz-date", &date);
        let (names, signature) = self.signature(client, &date, &hash);
        let body = self.signed_body(client, &date, &signature);
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{}, SignedHeaders={names}, Signature={signature}",
            client.key,
            client.scope(&date)
        );
        self.add("authorization", &authorization);
        if !self.framed {
            self.add("content-length", &body.len().to_string());
        }
        let (method, target, host) = (&self.method, &self.target, client.host());
        let mut out = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n").into_bytes();
        for header in &self.headers {
            out.extend([header.name.as_bytes(), b": ", &header.value, b"\r\n"].concat());
        }
        [&out[..], b"\r\n", &body].concat()
    }

    fn add(&mut self, name: &str, value: &str) {
        if self.value(name).is_none() {
            self.headers.push(Header { name: name.into(), value: value.into(), signed: true });
        }
    }

    /// Names of the signed headers, and the signature.
    fn signature(&self, client: &Client, date: &str, hash: &str) -> (String, String) {
        let mut lines = vec![("host".to_owned(), client.host().to_owned())];
        for header in self.headers.iter().filter(|header| header.signed) {
            let (name, value) = (header.name.to_lowercase(), String::from_utf8_lossy(&header.value).into_owned());
            match lines.iter_mut().find(|(other, _)| *other == name) {
                Some((_, values)) => *values += &format!(",{value}"),
                None => lines.push((name, value)),
            }
        }
        lines.sort();
        let names = lines.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";");
        let lines: String = lines.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        let pairs =
            query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let mut pairs: Vec<(String, String)> = pairs
            .map(|(name, value)| (again(&name.replace('+', " "), false), again(&value.replace('+', " "), false)))
            .collect();
        pairs.sort_by(|one, other| one.0.cmp(&other.0));
        let query = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
        let canonical = format!("{}\n{}\n{query}\n{lines}\n{names}\n{hash}", self.method, again(path, true));
        (names, client.signature(date, &canonical))
    }

    /// The body with the signatures that belong where it says so.
    fn signed_body(&self, client: &Client, date: &str, seed: &str) -> Vec<u8> {
        let (mut out, mut rest, mut previous) = (Vec::new(), &self.body[..], seed.to_owned());
        let scope = client.scope(date);
        while let Some(at) = find(rest, b"{sign}") {
            out.extend_from_slice(&rest[..at]);
            rest = &rest[at + b"{sign}".len()..];
            let start = find(rest, b"\r\n").map_or(0, |at| at + 2);
            let next = find(rest, b"{sign}").unwrap_or(rest.len());
            let line = rest[..next].windows(2).rposition(|two| two == b"\r\n").unwrap_or(start);
            // the chunk ends with the line end before the next line
            let chunk = &rest[start.min(line)..line.max(start.min(line))];
            let text = format!("AWS4-HMAC-SHA256-PAYLOAD\n{date}\n{scope}\n{previous}\n{}\n{}", hex(b""), hex(chunk));
            previous = client.sign(date, &text);
            out.extend_from_slice(previous.as_bytes());
        }
        if let Some(at) = find(rest, b"{trail}") {
            let before = &rest[..at];
            let lines = before.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
            let named = |line: &&[u8]| line.contains(&b':') && !line.starts_with(b"x-amz-trailer-signature");
            let trailers: Vec<u8> = lines.filter(named).flat_map(|line| [line, b"\n"].concat()).collect();
            let text = format!("AWS4-HMAC-SHA256-TRAILER\n{date}\n{scope}\n{previous}\n{}", hex(&trailers));
            out.extend_from_slice(before);
            out.extend_from_slice(client.sign(date, &text).as_bytes());
            rest = &rest[at + b"{trail}".len()..];
        }
        [&out[..], rest].concat()
    }
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|part| part == what)
}

/// Decoded and encoded again, as whoever checks the signature does.
fn again(text: &str, slash: bool) -> String {
    let (bytes, mut decoded, mut at) = (text.as_bytes(), Vec::new(), 0);
    while let Some(byte) = bytes.get(at) {
        let hex = bytes.get(at + 1..at + 3).filter(|_| *byte == b'%').and_then(|two| std::str::from_utf8(two).ok());
        match hex.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    encode(&String::from_utf8_lossy(&decoded), slash)
}

/// With `{N times TEXT}` written out.
fn repeated(body: &[u8]) -> Vec<u8> {
    let parts = || {
        let at = find(body, b" times ")?;
        let open = body[..at].iter().rposition(|byte| *byte == b'{')?;
        let close = at + body[at..].iter().position(|byte| *byte == b'}')?;
        let times: usize = std::str::from_utf8(&body[open + 1..at]).ok()?.parse().ok()?;
        let text = &body[at + b" times ".len()..close];
        let times = times.min(MOST / text.len().max(1));
        Some([&body[..open], &text.repeat(times), &body[close + 1..]].concat())
    };
    parts().unwrap_or_else(|| body.to_vec())
}

/// MD5 of an object as its ETag says it.
pub fn etag(body: &[u8]) -> String {
    use s3s::crypto::{Checksum as _, Md5};
    let mut md5 = Md5::new();
    md5.update(body);
    format!("\"{}\"", data_encoding::HEXLOWER.encode(&md5.finalize()))
}

/// Short for what is compared again and again.
pub fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}
