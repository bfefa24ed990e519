//! An S3 client made by hand: it signs with version 4, and nothing more. The fuzzing of S3 has it, too.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use reqwest::{Method, Response};
use sha2::{Digest, Sha256};

pub struct Client {
    pub http: reqwest::Client,
    pub endpoint: String,
    pub key: String,
    pub secret: String,
    pub region: &'static str,
    /// Seconds that its clock is ahead.
    pub ahead: i64,
}

/// An answer, read to its end.
pub struct Answer {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> String {
        self.headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    }

    /// The texts of all elements with this name.
    pub fn all(&self, element: &str) -> Vec<String> {
        let text = self.text();
        let (open, close) = (format!("<{element}>"), format!("</{element}>"));
        text.split(&open).skip(1).filter_map(|rest| Some(rest.split_once(&close)?.0.to_owned())).collect()
    }

    pub fn one(&self, element: &str) -> String {
        self.all(element).into_iter().next().unwrap_or_default()
    }

    pub fn code(&self) -> String {
        self.one("Code")
    }
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut block = [0_u8; 64];
    if key.len() > 64 {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let pad = |with: u8| block.map(|byte| byte ^ with);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().to_vec()
}

pub fn encode(text: &str, slash: bool) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (slash && byte == b'/');
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

pub fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

impl Client {
    pub fn host(&self) -> &str {
        self.endpoint.strip_prefix("http://").unwrap()
    }

    pub fn scope(&self, date: &str) -> String {
        format!("{}/{}/s3/aws4_request", &date[..8], self.region)
    }

    pub fn signature(&self, date: &str, canonical: &str) -> String {
        self.sign(date, &format!("AWS4-HMAC-SHA256\n{date}\n{}\n{}", self.scope(date), hex(canonical.as_bytes())))
    }

    pub fn sign(&self, date: &str, text: &str) -> String {
        let key = [&date[..8], self.region, "s3", "aws4_request"]
            .iter()
            .fold(format!("AWS4{}", self.secret).into_bytes(), |key, part| hmac(&key, part));
        HEXLOWER.encode(&hmac(&key, text))
    }

    fn query(pairs: &[(&str, &str)]) -> String {
        let sorted: BTreeMap<String, String> =
            pairs.iter().map(|(name, value)| (encode(name, false), encode(value, false))).collect();
        sorted.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
    }

    pub fn date(&self) -> String {
        let now = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(self.ahead);
        now.strftime("%Y%m%dT%H%M%SZ").to_string()
    }

    /// Sends a signed request whose body's hash is `hash`.
    pub async fn send_hashed(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        headers: &[(&str, &str)],
        hash: &str,
        body: reqwest::Body,
    ) -> reqwest::Result<Response> {
        self.request(method, path, query, headers, hash).0.body(body).send().await
    }

    /// A signed request that only lacks its body, its date and its signature.
    fn request(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        headers: &[(&str, &str)],
        hash: &str,
    ) -> (reqwest::RequestBuilder, String, String) {
        let (date, path, query) = (self.date(), encode(path, true), Self::query(query));
        let mut all: BTreeMap<String, String> =
            headers.iter().map(|(name, value)| (name.to_lowercase(), (*value).to_owned())).collect();
        all.insert("host".into(), self.host().into());
        all.insert("x-amz-date".into(), date.clone());
        all.insert("x-amz-content-sha256".into(), hash.into());
        let names = all.keys().cloned().collect::<Vec<_>>().join(";");
        let lines: String = all.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
        let canonical = format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{hash}");
        let signature = self.signature(&date, &canonical);
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{}, SignedHeaders={names}, Signature={signature}",
            self.key,
            self.scope(&date),
        );
        let mut request = self.http.request(method, format!("{}{path}?{query}", self.endpoint));
        for (name, value) in all.iter().filter(|(name, _)| *name != "host") {
            request = request.header(name, value);
        }
        (request.header("authorization", authorization), date, signature)
    }

    pub async fn call(
        &self,
        method: &str,
        path: &str,
        query: &[(&str, &str)],
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> Answer {
        let body = body.into();
        let (method, hash) = (method.parse().unwrap(), hex(&body));
        let response = self.send_hashed(method, path, query, headers, &hash, body.into()).await.unwrap();
        read(response).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], &[], "").await
    }

    pub async fn put(&self, path: &str, body: impl Into<Vec<u8>>) -> Answer {
        self.call("PUT", path, &[], &[], body).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, &[], &[], "").await
    }

    /// Puts a body in signed chunks, the last of them with a wrong signature when `forge` says so.
    pub async fn put_chunks(&self, path: &str, chunks: &[&[u8]], forge: bool) -> Answer {
        let length = chunks.concat().len().to_string();
        let headers = [("x-amz-decoded-content-length", length.as_str()), ("content-encoding", "aws-chunked")];
        let hash = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
        let (request, date, mut previous) = self.request(Method::PUT, path, &[], &headers, hash);
        let mut body = Vec::new();
        for (n, chunk) in chunks.iter().chain([&&b""[..]]).enumerate() {
            let scope = self.scope(&date);
            let text = format!("AWS4-HMAC-SHA256-PAYLOAD\n{date}\n{scope}\n{previous}\n{}\n{}", hex(b""), hex(chunk));
            previous = if forge && n + 1 == chunks.len() { "0".repeat(64) } else { self.sign(&date, &text) };
            body.extend(format!("{:x};chunk-signature={previous}\r\n", chunk.len()).into_bytes());
            body.extend([chunk, &b"\r\n"[..]].concat());
        }
        read(request.body(body).send().await.unwrap()).await
    }

    /// Puts a body in one unsigned chunk, with a checksum behind it.
    pub async fn put_trailed(&self, path: &str, body: &[u8], checksum: (&str, &str)) -> Answer {
        let length = body.len().to_string();
        let headers = [
            ("x-amz-decoded-content-length", length.as_str()),
            ("x-amz-trailer", checksum.0),
            ("content-encoding", "aws-chunked"),
        ];
        let trailer = format!("\r\n0\r\n{}:{}\r\n\r\n", checksum.0, checksum.1);
        let framed = [format!("{:x}\r\n", body.len()).as_bytes(), body, trailer.as_bytes()].concat();
        let hash = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
        read(self.send_hashed(Method::PUT, path, &[], &headers, hash, framed.into()).await.unwrap()).await
    }

    /// A presigned URL.
    pub fn presign(&self, method: &str, path: &str, seconds: u64) -> String {
        let date = self.date();
        let credential = format!("{}/{}", self.key, self.scope(&date));
        let expires = seconds.to_string();
        let query = Self::query(&[
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Credential", &credential),
            ("X-Amz-Date", &date),
            ("X-Amz-Expires", &expires),
            ("X-Amz-SignedHeaders", "host"),
        ]);
        let path = encode(path, true);
        let canonical = format!("{method}\n{path}\n{query}\nhost:{}\n\nhost\nUNSIGNED-PAYLOAD", self.host());
        format!("{}{path}?{query}&X-Amz-Signature={}", self.endpoint, self.signature(&date, &canonical))
    }
}

pub async fn read(response: Response) -> Answer {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer { status, headers, body: response.bytes().await.unwrap().to_vec() }
}
