//! What stands before the library that speaks S3: refusals that it cannot say, or says too late, bodies cut so that it never
//! holds much of one, and a line in the log when we failed.

use futures::{FutureExt, StreamExt, future::BoxFuture, stream};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use hyper::body::{Body as _, Incoming};
use s3s::{Body, HttpError, HttpResponse, dto::StreamingBlob, service::S3Service};

use super::{
    access::{Directory, Tables},
    frames::Frames,
    problem::FAILED,
};

/// A body in signed chunks.
const SIGNED_CHUNKS: [&str; 2] = ["STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"];
/// A body in chunks that are not signed.
const PLAIN_CHUNKS: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
/// Most tags of a body in XML: it takes much more memory than its bytes once it is read. 10,000 parts have fewer.
const TAGS_MOST: usize = 100_000;

/// The service of one connection.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) service: S3Service,
    pub(super) directory: Directory,
}

impl hyper::service::Service<Request<Incoming>> for Door {
    type Response = HttpResponse;
    type Error = HttpError;
    type Future = BoxFuture<'static, Result<HttpResponse, HttpError>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let query = request.uri().query().unwrap_or_default();
        if let Some(refusal) = self.directory.look(|tables| refuse(request.headers(), query, tables)) {
            return futures::future::ready(Ok(refusal.answer())).boxed();
        }
        let service = self.service.clone();
        async move {
            // Without the query: in a presigned URL it is as good as a key.
            let (method, path) = (request.method().clone(), request.uri().path().to_owned());
            let (chunks, sends) = (chunks(request.headers()), !request.body().is_end_stream());
            let request = request.map(|body| match (chunks, &method) {
                (Some(frames), _) => cut(Body::from(body), frames),
                (None, &Method::POST) if sends => few_tags(Body::from(body)),
                (None, _) => Body::from(body),
            });
            let mut answer = service.call(request).await;
            if let Ok(answer) = &mut answer {
                partial(answer);
                unread(answer, sends);
                if sends && !answer.status().is_success() {
                    // What is left of the body is not read, so that the connection cannot go on.
                    answer.headers_mut().insert(header::CONNECTION, http::HeaderValue::from_static("close"));
                }
            }
            let status = answer.as_ref().map_or(StatusCode::INTERNAL_SERVER_ERROR, Response::status);
            if status == StatusCode::INTERNAL_SERVER_ERROR {
                tracing::warn!(%method, path, "an S3 request failed");
            } else {
                tracing::debug!(%method, path, status = status.as_u16(), "an S3 request was answered");
            }
            answer
        }
        .boxed()
    }
}

/// The library says 206 for the bytes of a range, but not for their head.
fn partial(answer: &mut HttpResponse) {
    if answer.status() == StatusCode::OK && answer.headers().contains_key(header::CONTENT_RANGE) {
        *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
}

/// A failure that is not the vault's: the body of a request whose answer needs all of it broke off, or is not what its hash
/// says. The library has no other word for it.
fn unread(answer: &mut HttpResponse, sends: bool) {
    let ours = answer.headers_mut().remove(FAILED).is_some();
    if ours || !sends || answer.status() != StatusCode::INTERNAL_SERVER_ERROR {
        return;
    }
    let message = "the body cannot be read: it broke off, or is not what its length, its hash or its signatures say";
    let refusal =
        Refusal { status: StatusCode::BAD_REQUEST, code: "IncompleteBody", message: message.to_owned(), region: None };
    *answer = refusal.answer();
}

/// How the body comes in chunks, when it does.
fn chunks(headers: &HeaderMap) -> Option<Frames> {
    match headers.get("x-amz-content-sha256")?.to_str().ok()? {
        PLAIN_CHUNKS => Some(Frames::plain()),
        hash if SIGNED_CHUNKS.contains(&hash) => Some(Frames::signed()),
        _ => None,
    }
}

/// The same body in chunks of a bounded size.
fn cut(body: Body, mut frames: Frames) -> Body {
    let pieces = StreamingBlob::from(body).map(Some).chain(stream::iter([None])).flat_map(move |piece| {
        let cut = match piece {
            Some(Ok(piece)) => frames.cut(piece),
            Some(Err(problem)) => Err(std::io::Error::other(problem)),
            None => frames.end().map(|()| Vec::new()),
        };
        stream::iter(match cut {
            Ok(pieces) => pieces.into_iter().map(Ok).collect::<Vec<_>>(),
            Err(problem) => vec![Err(problem)],
        })
    });
    StreamingBlob::wrap(pieces).into()
}

/// The same body, which breaks off when it has too many tags.
fn few_tags(body: Body) -> Body {
    let mut tags = 0;
    let pieces = StreamingBlob::from(body).map(move |piece| {
        let piece = piece.map_err(std::io::Error::other)?;
        tags += piece.iter().filter(|byte| **byte == b'<').count();
        let few = tags <= TAGS_MOST;
        few.then_some(piece).ok_or_else(|| std::io::Error::other(format!("more than {TAGS_MOST} tags")))
    });
    StreamingBlob::wrap(pieces).into()
}

/// A refusal that names the region, which clients take up.
#[derive(Debug, PartialEq, Eq)]
struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
    region: Option<String>,
}

impl Refusal {
    fn answer(self) -> HttpResponse {
        let Self { status, code, message, region } = self;
        let element = region.as_deref().map(|region| format!("<Region>{region}</Region>")).unwrap_or_default();
        let xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message>{element}</Error>"
        );
        let mut answer = Response::new(Body::from(xml));
        *answer.status_mut() = status;
        // A body may come, and is not read.
        answer.headers_mut().insert(header::CONNECTION, http::HeaderValue::from_static("close"));
        answer.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static("application/xml"));
        if let Some(region) = region.and_then(|region| region.parse().ok()) {
            answer.headers_mut().insert("x-amz-bucket-region", region);
        }
        answer
    }
}

/// Forms of browsers, which would be held in memory before their sender is known, and signatures for another region.
fn refuse(headers: &HeaderMap, query: &str, tables: &Tables) -> Option<Refusal> {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if text(header::CONTENT_TYPE).trim_start().to_ascii_lowercase().starts_with("multipart/form-data") {
        let message = "uploads by HTML form are not offered: use PUT".to_owned();
        return Some(Refusal { status: StatusCode::NOT_IMPLEMENTED, code: "NotImplemented", message, region: None });
    }
    let (scope, code) = match text(header::AUTHORIZATION).split_once("Credential=") {
        Some((_, scope)) => (scope.split(',').next().unwrap_or_default().to_owned(), "AuthorizationHeaderMalformed"),
        None => {
            let mut pairs = url::form_urlencoded::parse(query.as_bytes());
            let (_, scope) = pairs.find(|(name, _)| name.eq_ignore_ascii_case("X-Amz-Credential"))?;
            (scope.into_owned(), "AuthorizationQueryParametersError")
        }
    };
    let mut parts = scope.trim().split('/');
    let grant = tables.grants.get(parts.next()?)?;
    let named = parts.nth(1)?;
    let region = &tables.buckets.get(&grant.bucket)?.region;
    let message = format!("the region that the request is signed for is wrong; expecting '{region}'");
    (named != region).then(|| Refusal { status: StatusCode::BAD_REQUEST, code, message, region: Some(region.clone()) })
}
