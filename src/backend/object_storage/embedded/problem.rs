//! Why the vault refuses, and how S3 says it.

use std::{borrow::Cow, io};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use s3s::{S3Error, S3ErrorCode};

use crate::backend::store::StoreProblem;

/// Why the vault did not do it.
#[derive(Debug, thiserror::Error)]
pub(super) enum VaultProblem {
    #[error("the bucket does not exist")]
    NoSuchBucket,
    #[error("the object does not exist")]
    NoSuchKey,
    #[error("the upload does not exist: it was completed or aborted, or never begun")]
    NoSuchUpload,
    #[error("part {0} was not uploaded, or its ETag or checksum is another")]
    InvalidPart(u32),
    #[error("parts must be listed in ascending order, each once")]
    InvalidPartOrder,
    #[error("every part but the last needs at least 5 MiB")]
    PartTooSmall,
    #[error("the condition {0} does not hold")]
    Precondition(&'static str),
    #[error("not modified")]
    NotModified,
    #[error("the range cannot be satisfied")]
    Range,
    #[error("ask for a range or for a part, not for both")]
    Both,
    #[error("the object has no part {0}")]
    PartNumber(i32),
    #[error("the parts do not have the size that the request names")]
    Size,
    #[error("the body does not have the {0} that the request names")]
    BadDigest(&'static str),
    #[error("the checksum that x-amz-trailer announces did not come behind the body")]
    Trailer,
    #[error("the body ended early")]
    Incomplete,
    #[error("the body cannot be read: {0}")]
    Body(s3s::StdError),
    #[error("{0}")]
    Invalid(&'static str),
    #[error("the object store's disk failed: {0}")]
    Disk(#[from] io::Error),
    #[error(transparent)]
    Store(#[from] StoreProblem),
}

impl VaultProblem {
    /// Whether it may have happened all the same.
    pub(super) fn doubtful(&self) -> bool {
        matches!(self, Self::Store(_))
    }

    fn code(&self) -> S3ErrorCode {
        match self {
            Self::NoSuchBucket => S3ErrorCode::NoSuchBucket,
            Self::NoSuchKey => S3ErrorCode::NoSuchKey,
            Self::NoSuchUpload => S3ErrorCode::NoSuchUpload,
            Self::InvalidPart(_) => S3ErrorCode::InvalidPart,
            Self::InvalidPartOrder => S3ErrorCode::InvalidPartOrder,
            Self::PartTooSmall => S3ErrorCode::EntityTooSmall,
            Self::Precondition(_) => S3ErrorCode::PreconditionFailed,
            Self::NotModified => S3ErrorCode::NotModified,
            Self::Range | Self::PartNumber(_) => S3ErrorCode::InvalidRange,
            Self::Size | Self::Both | Self::Trailer => S3ErrorCode::InvalidRequest,
            Self::BadDigest(_) => S3ErrorCode::BadDigest,
            Self::Incomplete | Self::Body(_) => S3ErrorCode::IncompleteBody,
            Self::Invalid(_) => S3ErrorCode::InvalidArgument,
            Self::Disk(_) | Self::Store(_) => S3ErrorCode::InternalError,
        }
    }
}

/// What the reader of a signed body found wrong. Its errors are no types of the library's interface, only texts.
fn body(cause: &s3s::StdError) -> S3Error {
    let text = cause.to_string();
    if text.ends_with("SignatureMismatch") {
        return S3Error::with_message(S3ErrorCode::SignatureDoesNotMatch, "the signature of a chunk is wrong");
    }
    if text.ends_with("Sha256Mismatch") {
        let message = "the body does not have the hash that x-amz-content-sha256 names";
        return other("XAmzContentSHA256Mismatch", StatusCode::BAD_REQUEST, message);
    }
    S3Error::with_message(S3ErrorCode::IncompleteBody, text)
}

/// A code that the library has no name for.
fn other(code: &'static str, status: StatusCode, message: impl Into<Cow<'static, str>>) -> S3Error {
    let mut error = S3Error::with_message(S3ErrorCode::Custom(code.into()), message);
    error.set_status_code(status);
    error
}

/// Marks a failure as the vault's, for the door. The library answers as a failure, too, that a body could not be read.
pub(super) const FAILED: HeaderName = HeaderName::from_static("x-loopback-failed");

impl From<VaultProblem> for S3Error {
    fn from(problem: VaultProblem) -> Self {
        match problem {
            VaultProblem::Body(cause) => return body(&cause),
            VaultProblem::PartNumber(_) => {
                return other("InvalidPartNumber", StatusCode::RANGE_NOT_SATISFIABLE, problem.to_string());
            }
            VaultProblem::Disk(_) | VaultProblem::Store(_) => {
                tracing::error!(%problem, "the object store failed");
                let mut error = Self::with_message(problem.code(), problem.to_string());
                error.set_headers(HeaderMap::from_iter([(FAILED, HeaderValue::from_static("true"))]));
                return error;
            }
            _ => {}
        }
        Self::with_message(problem.code(), problem.to_string())
    }
}
