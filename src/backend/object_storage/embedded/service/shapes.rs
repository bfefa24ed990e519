//! Between S3's shapes and ours.

use std::time::{Duration, SystemTime};

use data_encoding::BASE64;
use http::HeaderMap;
use s3s::{S3Request, S3Result, TrailingHeaders, dto, s3_error};

use crate::backend::object_storage::embedded::{
    digest::Expected,
    rows::{Algorithm, Checksum, Facts},
};

/// Headers and trailers with checksums.
const CHECKSUMS: [(&str, Algorithm); 5] = [
    ("x-amz-checksum-crc32", Algorithm::Crc32),
    ("x-amz-checksum-crc32c", Algorithm::Crc32c),
    ("x-amz-checksum-crc64nvme", Algorithm::Crc64Nvme),
    ("x-amz-checksum-sha1", Algorithm::Sha1),
    ("x-amz-checksum-sha256", Algorithm::Sha256),
];

/// Most bytes of one body, as S3 has it.
pub(super) const BODY_MOST: u64 = 5 << 30;
/// Most bytes of user metadata, as S3 has it.
const METADATA_MOST: usize = 2048;
/// Most bytes of all that is kept beside the bytes of an object, as S3 has it for all headers: a list reads it a thousand times.
const FACTS_MOST: usize = 8 << 10;

/// A point in time for S3.
pub(super) fn timestamp(milliseconds: i64) -> dto::Timestamp {
    let since = Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0));
    dto::Timestamp::from(SystemTime::UNIX_EPOCH + since)
}

/// An entity tag for S3.
pub(super) fn etag(etag: &str) -> dto::ETag {
    dto::ETag::Strong(etag.to_owned())
}

/// A size for S3.
pub(super) fn size(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

/// A count between 0 and `most`; absent: `most`.
pub(super) fn limit(asked: Option<i32>, most: usize, field: &str) -> S3Result<usize> {
    let Some(asked) = asked else { return Ok(most) };
    let asked = usize::try_from(asked).map_err(|_| s3_error!(InvalidArgument, "{field} must not be negative"))?;
    Ok(asked.min(most))
}

/// A key that can be stored: XML cannot say NUL, and our rows end with it.
pub(super) fn check_key(key: &str) -> S3Result<()> {
    if key.contains('\0') { Err(s3_error!(InvalidArgument, "a key must not contain NUL")) } else { Ok(()) }
}

/// The algorithm by its name.
pub(super) fn algorithm(name: &str) -> S3Result<Algorithm> {
    match name.to_ascii_uppercase().as_str() {
        "CRC32" => Ok(Algorithm::Crc32),
        "CRC32C" => Ok(Algorithm::Crc32c),
        "CRC64NVME" => Ok(Algorithm::Crc64Nvme),
        "SHA1" => Ok(Algorithm::Sha1),
        "SHA256" => Ok(Algorithm::Sha256),
        other => Err(s3_error!(InvalidRequest, "checksum algorithm {other} is not known")),
    }
}

/// Its name.
pub(super) fn algorithm_name(algorithm: Algorithm) -> dto::ChecksumAlgorithm {
    dto::ChecksumAlgorithm::from_static(match algorithm {
        Algorithm::Crc32 => "CRC32",
        Algorithm::Crc32c => "CRC32C",
        Algorithm::Crc64Nvme => "CRC64NVME",
        Algorithm::Sha1 => "SHA1",
        Algorithm::Sha256 => "SHA256",
    })
}

/// What the headers say about the body. The values of checksums come before it, or behind it as trailers.
pub(super) fn expected(headers: &HeaderMap, length: Option<i64>, md5: Option<String>) -> S3Result<Expected> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let mut given = CHECKSUMS.iter().filter_map(|(name, algorithm)| Some((*algorithm, text(name)?.to_owned())));
    let (given, None) = (given.next(), given.next()) else {
        return Err(s3_error!(InvalidRequest, "send one x-amz-checksum- header, not several"));
    };
    if let Some((algorithm, value)) = &given {
        digest_of(value, algorithm.length())
            .ok_or_else(|| s3_error!(InvalidRequest, "the value of the x-amz-checksum- header is not a checksum"))?;
    }
    if md5.as_deref().is_some_and(|md5| digest_of(md5, 16).is_none()) {
        return Err(s3_error!(InvalidDigest, "Content-MD5 is not the base64 of 16 bytes"));
    }
    let named = text("x-amz-sdk-checksum-algorithm").map(algorithm).transpose()?;
    let trailed = text("x-amz-trailer").and_then(|names| {
        let trails = |name: &str| names.split(',').any(|trailer| trailer.trim().eq_ignore_ascii_case(name));
        CHECKSUMS.iter().find_map(|(name, algorithm)| trails(name).then_some(*algorithm))
    });
    // A length that the client knew; what is sent in chunks has its own.
    let length = text("x-amz-decoded-content-length").and_then(|text| text.parse().ok()).or(length);
    let length = length.and_then(|length| u64::try_from(length).ok());
    if length.is_some_and(|length| length > BODY_MOST) {
        return Err(s3_error!(EntityTooLarge, "one request brings at most 5 GiB: upload larger objects in parts"));
    }
    Ok(Expected {
        length,
        md5,
        algorithm: given.as_ref().map(|(algorithm, _)| *algorithm).or(trailed).or(named),
        value: given.map(|(_, value)| value),
        trailed: trailed.is_some(),
    })
}

fn digest_of(text: &str, length: usize) -> Option<Vec<u8>> {
    BASE64.decode(text.as_bytes()).ok().filter(|bytes| bytes.len() == length)
}

/// The checksum that came behind the body.
pub(super) fn trailed(trailers: Option<TrailingHeaders>) -> Option<String> {
    let trailers = trailers?.take()?;
    CHECKSUMS.iter().find_map(|(name, _)| trailers.get(*name)?.to_str().ok().map(str::to_owned))
}

/// All of S3's checksum fields, one of them filled.
pub(super) fn checksum(checksum: Option<&Checksum>) -> dto::Checksum {
    let mut shown = dto::Checksum::default();
    let Some(checksum) = checksum else { return shown };
    let value = Some(checksum.value.clone());
    match checksum.algorithm {
        Algorithm::Crc32 => shown.checksum_crc32 = value,
        Algorithm::Crc32c => shown.checksum_crc32c = value,
        Algorithm::Crc64Nvme => shown.checksum_crc64nvme = value,
        Algorithm::Sha1 => shown.checksum_sha1 = value,
        Algorithm::Sha256 => shown.checksum_sha256 = value,
    }
    shown.checksum_type = Some(checksum_type(!checksum.composite()));
    shown
}

/// What a checksum is over: all bytes, or the parts' checksums.
pub(super) fn checksum_type(whole: bool) -> dto::ChecksumType {
    let kind = if whole { dto::ChecksumType::FULL_OBJECT } else { dto::ChecksumType::COMPOSITE };
    dto::ChecksumType::from_static(kind)
}

/// User metadata, within S3's limit.
pub(super) fn metadata(given: Option<dto::Metadata>) -> S3Result<std::collections::BTreeMap<String, String>> {
    let metadata: std::collections::BTreeMap<_, _> = given.unwrap_or_default().into_iter().collect();
    let size: usize = metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    if size > METADATA_MOST {
        return Err(s3_error!(MetadataTooLarge, "user metadata has {size} bytes, at most {METADATA_MOST} are kept"));
    }
    Ok(metadata)
}

/// What is said beside the bytes, for the inputs that can say it.
macro_rules! facts {
    ($request:expr) => {
        $crate::backend::object_storage::embedded::service::shapes::bounded(
            $crate::backend::object_storage::embedded::rows::Facts {
                content_type: $request.input.content_type.take(),
                content_encoding: $crate::backend::object_storage::embedded::service::shapes::encoding(
                    $request.input.content_encoding.take(),
                ),
                content_disposition: $request.input.content_disposition.take(),
                content_language: $request.input.content_language.take(),
                cache_control: $request.input.cache_control.take(),
                expires: $crate::backend::object_storage::embedded::service::shapes::expires(&$request),
                metadata: $crate::backend::object_storage::embedded::service::shapes::metadata(
                    $request.input.metadata.take(),
                )?,
            },
        )?
    };
}
pub(super) use facts;

/// What is said beside the bytes, unless it is too much.
pub(super) fn bounded(facts: Facts) -> S3Result<Facts> {
    let Facts { content_type, content_encoding, content_disposition, content_language, cache_control, expires, .. } =
        &facts;
    let texts = [content_type, content_encoding, content_disposition, content_language, cache_control, expires];
    let size: usize = texts.into_iter().flatten().map(String::len).sum();
    if size > FACTS_MOST {
        return Err(s3_error!(MetadataTooLarge, "headers of {size} bytes are to be kept, at most {FACTS_MOST} are"));
    }
    Ok(facts)
}

/// The content's encoding without that of the transfer.
pub(super) fn encoding(given: Option<String>) -> Option<String> {
    let kept: Vec<&str> = given.as_deref()?.split(',').map(str::trim).filter(|name| *name != "aws-chunked").collect();
    let kept = kept.join(", ");
    (!kept.is_empty()).then_some(kept)
}

/// The header as it came.
pub(super) fn expires<T>(request: &S3Request<T>) -> Option<String> {
    request.headers.get(http::header::EXPIRES)?.to_str().ok().map(str::to_owned)
}

/// Whether two sets of facts say the same; used to refuse a copy of an object onto itself that changes nothing.
pub(super) fn replaces(directive: Option<&dto::MetadataDirective>) -> bool {
    directive.is_some_and(|directive| directive.as_str() == dto::MetadataDirective::REPLACE)
}

/// The type that is answered when none was given.
pub(super) fn content_type(facts: &Facts) -> String {
    facts.content_type.clone().unwrap_or_else(|| "binary/octet-stream".to_owned())
}
