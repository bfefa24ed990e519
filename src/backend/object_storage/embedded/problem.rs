//! Why the vault refuses, and how S3 says it.

use std::io;

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
    #[error("the body does not have the {0} that the request names")]
    BadDigest(&'static str),
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
            Self::Range => S3ErrorCode::InvalidRange,
            Self::BadDigest(_) => S3ErrorCode::BadDigest,
            Self::Incomplete | Self::Body(_) => S3ErrorCode::IncompleteBody,
            Self::Invalid(_) => S3ErrorCode::InvalidArgument,
            Self::Disk(_) | Self::Store(_) => S3ErrorCode::InternalError,
        }
    }
}

impl From<VaultProblem> for S3Error {
    fn from(problem: VaultProblem) -> Self {
        let code = match problem {
            // What the reader of a signed body found wrong has its own code.
            VaultProblem::Body(cause) => match cause.downcast::<Self>() {
                Ok(known) => return *known,
                Err(cause) => return Self::with_message(S3ErrorCode::IncompleteBody, cause.to_string()),
            },
            ref known => known.code(),
        };
        if matches!(code, S3ErrorCode::InternalError) {
            tracing::error!(%problem, "the object store failed");
        }
        Self::with_message(code, problem.to_string())
    }
}
