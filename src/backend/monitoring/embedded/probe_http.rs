//! HTTP/1.1: one request, and more only where a redirect leads.

use std::{error::Error, future::poll_fn, io, pin::Pin, sync::Arc};

use http::{HeaderMap, Request, Response, StatusCode, Uri, header};
use hyper::{
    body::{Body, Incoming},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;
use url::{Host, Url};

use super::{
    outcome::{Failure, Trace},
    prober::Prober,
};
use crate::{
    backend::monitoring::settings::{HttpSettings, port_of, read_url},
    protocol::monitoring::Method,
    rules::monitoring::{Measure, Parameter},
};

const MAX_REDIRECTS: usize = 5;
/// Largest head of an answer.
const MAX_HEAD: usize = 64 << 10;
const MAX_HEADERS: usize = 128;
/// What is read of a body.
const MAX_BODY: u64 = 1 << 20;

/// Asks, follows redirects where that is wanted, and judges the last answer.
pub async fn probe(prober: &Prober, http: &HttpSettings, trace: &mut Trace) -> Result<(), Failure> {
    let mut url = http.url.clone();
    for _ in 0..=MAX_REDIRECTS {
        let answer = ask(prober, &url, http, trace).await?;
        match answer.location {
            Some(location) => url = lead(&url, &location)?,
            None if http.expected.admits(answer.status) => return Ok(()),
            None => {
                let message =
                    format!("{} {url} was answered with {}, expected {}", http.method, answer.status, http.expected);
                return Err(Failure::new("BadStatus", message));
            }
        }
    }
    Err(Failure::new("TooManyRedirects", format!("more than {MAX_REDIRECTS} redirects, the last to {url}")))
}

struct Answer {
    status: u16,
    /// Where a redirect leads that is to be followed.
    location: Option<String>,
}

/// Where a redirect leads; what may be probed directly may be led to, and nothing else.
fn lead(from: &Url, location: &str) -> Result<Url, Failure> {
    let wrong =
        |why: String| Failure::new("BadRedirect", format!("{from} redirects to a place that is not probed: {why}"));
    let to = from.join(location).map_err(|why| wrong(why.to_string()))?;
    read_url(to.as_str()).map_err(wrong)
}

async fn ask(prober: &Prober, url: &Url, http: &HttpSettings, trace: &mut Trace) -> Result<Answer, Failure> {
    let Some(host) = url.host().map(|host| host.to_owned()) else {
        return Err(Failure::ours("NoHost", format!("{url} names no host")));
    };
    let stream = prober.connect(&host, port_of(url), trace).await?;
    // the head shall not wait for an acknowledgement of the handshake
    let _ = stream.set_nodelay(true);
    if url.scheme() == "http" {
        return exchange(stream, url, http, trace).await;
    }
    trace.doing = "in the TLS handshake";
    let start = Instant::now();
    let config = prober.tls.as_ref().map_err(|why| Failure::ours("NoTLS", format!("TLS cannot be spoken: {why}")))?;
    let name = server_name(&host)?;
    let connecting = TlsConnector::from(Arc::clone(config)).connect(name, stream).await;
    let stream = connecting.map_err(|why| Failure::new("TLSFailed", format!("{host}: {why}")))?;
    trace.add(Parameter::TimingTls, start.elapsed());
    exchange(stream, url, http, trace).await
}

fn server_name(host: &Host) -> Result<ServerName<'static>, Failure> {
    match host {
        Host::Ipv4(ip) => Ok(ServerName::IpAddress(std::net::IpAddr::from(*ip).into())),
        Host::Ipv6(ip) => Ok(ServerName::IpAddress(std::net::IpAddr::from(*ip).into())),
        Host::Domain(name) => ServerName::try_from(name.clone())
            .map_err(|_| Failure::new("TLSFailed", format!("{name} is no name that a certificate can have"))),
    }
}

/// One request and its answer on an open connection.
async fn exchange<S>(stream: S, url: &Url, http: &HttpSettings, trace: &mut Trace) -> Result<Answer, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let failed = |problem: hyper::Error| failure_of(&problem, url);
    let request = request(url, http.method)?;
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MAX_HEAD).max_headers(MAX_HEADERS);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(failed)?;
    // what goes wrong on it is seen by the request
    let _connection = AbortOnDropHandle::new(tokio::spawn(async move { drop(connection.await) }));
    trace.doing = "waiting for the answer";
    let start = Instant::now();
    let response = sender.send_request(request).await.map_err(failed)?;
    trace.add(Parameter::TimingFirstByte, start.elapsed());
    let status = response.status();
    trace.status = Some(status.as_u16());
    let location = location(status, response.headers()).filter(|_| http.follow);
    if location.is_none() {
        trace.doing = "reading the body";
        let start = Instant::now();
        let size = body_size(response).await.map_err(failed)?;
        trace.add(Parameter::TimingTransfer, start.elapsed());
        trace.set(Parameter::ResponseSize, Measure::whole(i64::try_from(size).unwrap_or(i64::MAX)));
    }
    Ok(Answer { status: status.as_u16(), location })
}

fn request(url: &Url, method: Method) -> Result<Request<String>, Failure> {
    let wrong = |why: http::Error| Failure::ours("BadRequest", format!("{url} cannot be asked for: {why}"));
    let target = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
    let target: Uri = target.parse().map_err(|why: http::uri::InvalidUri| wrong(why.into()))?;
    let host = url.host_str().unwrap_or_default();
    let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    Request::builder()
        .method(method.to_string().as_str())
        .uri(target)
        .header(header::HOST, host)
        .header(header::USER_AGENT, "loopback-probe")
        .header(header::ACCEPT, "*/*")
        // the server closes, so that the ports in TIME_WAIT are not ours
        .header(header::CONNECTION, "close")
        .body(String::new())
        .map_err(wrong)
}

/// Where a redirect leads (RFC 9110 section 15.4).
fn location(status: StatusCode, headers: &HeaderMap) -> Option<String> {
    if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    headers.get(header::LOCATION)?.to_str().ok().map(ToOwned::to_owned)
}

/// The declared length, else what was read; no more than the limit is read.
async fn body_size(response: Response<Incoming>) -> Result<u64, hyper::Error> {
    let declared = response.headers().get(header::CONTENT_LENGTH);
    let declared: Option<u64> = declared.and_then(|length| length.to_str().ok()?.parse().ok());
    let mut body = response.into_body();
    let mut read = 0;
    while read < MAX_BODY {
        let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await else { break };
        read += frame?.data_ref().map_or(0, |data| u64::try_from(data.len()).unwrap_or(u64::MAX));
    }
    Ok(declared.unwrap_or_else(|| read.min(MAX_BODY)))
}

fn failure_of(problem: &hyper::Error, url: &Url) -> Failure {
    let mut source = problem.source();
    while let Some(inner) = source {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            return Failure::io(url.as_str(), io);
        }
        source = inner.source();
    }
    if problem.is_parse() {
        return Failure::new("NotHTTP", format!("{url}: the answer is not HTTP/1.1: {problem}"));
    }
    Failure::new("ConnectionClosed", format!("{url}: {problem}"))
}
