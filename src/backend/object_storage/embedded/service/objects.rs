//! Put, get, head and delete.

use std::sync::Arc;

use s3s::{
    S3Error, S3Request, S3Result,
    dto::{self, ETagCondition, Timestamp},
    s3_error,
};

use super::{Service, bucket_of, shapes};
use crate::backend::object_storage::embedded::{
    conditions::{Conditions, seconds},
    intake::{open, receive},
    problem::VaultProblem,
    rows::{Checksum, ObjectRow, Segment},
    uploads::part_range,
    vault::cut,
};

/// Most keys of one batch.
const BATCH_MOST: usize = 1000;

pub(super) async fn put(
    service: &Service,
    mut request: S3Request<dto::PutObjectInput>,
) -> S3Result<dto::PutObjectOutput> {
    let bucket = bucket_of(&request)?;
    shapes::check_key(&request.input.key)?;
    let facts = shapes::facts!(request);
    let input = request.input;
    let conditions = Conditions { matches: input.if_match, none_matches: input.if_none_match, ..Conditions::default() };
    // Looks before the body comes; what counts is the look in the transaction.
    if conditions.matches.is_some() || conditions.none_matches.is_some() {
        let present = service.vault.head(&bucket.id, &input.key).await;
        conditions.write(present.ok().as_ref())?;
    }
    let expected = shapes::expected(&request.headers, input.content_length, input.content_md5)?;
    let trailers = request.trailing_headers;
    let body = receive(&service.vault.blobs, input.body, expected, || shapes::trailed(trailers)).await?;
    let condition = Arc::new(move |present: Option<&ObjectRow>| conditions.write(present));
    let row = service.vault.put(&bucket.id, &input.key, facts, body, condition).await?;
    let checksum = shapes::checksum(row.checksum.as_ref());
    Ok(dto::PutObjectOutput {
        e_tag: Some(shapes::etag(&row.etag)),
        checksum_crc32: checksum.checksum_crc32,
        checksum_crc32c: checksum.checksum_crc32c,
        checksum_crc64nvme: checksum.checksum_crc64nvme,
        checksum_sha1: checksum.checksum_sha1,
        checksum_sha256: checksum.checksum_sha256,
        checksum_type: checksum.checksum_type,
        ..Default::default()
    })
}

/// The conditions of a read.
fn reading(
    matches: Option<ETagCondition>,
    none_matches: Option<ETagCondition>,
    since: Option<Timestamp>,
    unmodified: Option<Timestamp>,
) -> Conditions {
    let (modified_since, unmodified_since) = (since.as_ref().map(seconds), unmodified.as_ref().map(seconds));
    Conditions { matches, none_matches, modified_since, unmodified_since }
}

/// What a read wants of the bytes.
struct Wish {
    range: Option<dto::Range>,
    part: Option<i32>,
}

/// The bytes that are wanted, and the header that says which they are.
fn wanted(
    row: &ObjectRow,
    segments: &[Segment],
    wish: &Wish,
) -> Result<(std::ops::Range<u64>, Option<String>), VaultProblem> {
    let wanted = match (wish.range, wish.part) {
        (None, None) => return Ok((0..row.size, None)),
        (Some(_), Some(_)) => return Err(VaultProblem::Both),
        // A suffix of an empty object would be an empty range, which no header can say.
        (Some(range), None) => {
            range.check(row.size).ok().filter(|wanted| !wanted.is_empty()).ok_or(VaultProblem::Range)?
        }
        (None, Some(part)) => part_range(row, segments, part)?,
    };
    let header = (!wanted.is_empty()).then(|| format!("bytes {}-{}/{}", wanted.start, wanted.end - 1, row.size));
    Ok((wanted, header))
}

/// Refuses a read whose conditions do not hold. Who has the object already is told which one it is.
fn check(conditions: &Conditions, row: &ObjectRow) -> S3Result<()> {
    let Err(problem) = conditions.read(row) else { return Ok(()) };
    let same = matches!(problem, VaultProblem::NotModified);
    let mut refusal = S3Error::from(problem);
    if let (true, Ok(etag)) = (same, http::HeaderValue::from_str(&format!("\"{}\"", row.etag))) {
        refusal.set_headers([(http::header::ETAG, etag)].into_iter().collect());
    }
    Err(refusal)
}

/// There is one version of each object, and it has no id.
fn version(asked: Option<&str>) -> S3Result<()> {
    match asked {
        None | Some("null") => Ok(()),
        Some(_) => Err(s3_error!(NoSuchVersion, "buckets keep no versions")),
    }
}

fn shown(row: &ObjectRow, mode: Option<&dto::ChecksumMode>, whole: bool) -> dto::Checksum {
    let asked = whole && mode.is_some_and(|mode| mode.as_str() == dto::ChecksumMode::ENABLED);
    shapes::checksum(row.checksum.as_ref().filter(|_: &&Checksum| asked))
}

/// Fills what get and head answer alike.
macro_rules! described {
    ($output:ident, $row:expr, $wanted:expr, $header:expr, $checksum:expr, $parts:expr) => {{
        let (row, checksum) = (&$row, $checksum);
        dto::$output {
            accept_ranges: Some("bytes".to_owned()),
            content_length: Some(shapes::size($wanted.end - $wanted.start)),
            content_range: $header,
            content_type: Some(shapes::content_type(&row.facts)),
            content_encoding: row.facts.content_encoding.clone(),
            content_disposition: row.facts.content_disposition.clone(),
            content_language: row.facts.content_language.clone(),
            cache_control: row.facts.cache_control.clone(),
            expires: row
                .facts
                .expires
                .as_deref()
                .and_then(|text| dto::Timestamp::parse(dto::TimestampFormat::HttpDate, text).ok()),
            metadata: Some(row.facts.metadata.clone().into_iter().collect()),
            e_tag: Some(shapes::etag(&row.etag)),
            last_modified: Some(shapes::timestamp(row.modified)),
            parts_count: $parts.and_then(|parts| i32::try_from(parts).ok()),
            checksum_crc32: checksum.checksum_crc32,
            checksum_crc32c: checksum.checksum_crc32c,
            checksum_crc64nvme: checksum.checksum_crc64nvme,
            checksum_sha1: checksum.checksum_sha1,
            checksum_sha256: checksum.checksum_sha256,
            checksum_type: checksum.checksum_type,
            ..Default::default()
        }
    }};
}

pub(super) async fn get(service: &Service, request: S3Request<dto::GetObjectInput>) -> S3Result<dto::GetObjectOutput> {
    let bucket = bucket_of(&request)?;
    let input = request.input;
    version(input.version_id.as_deref())?;
    let found = service.vault.find(&bucket.id, &input.key).await?;
    let conditions = reading(input.if_match, input.if_none_match, input.if_modified_since, input.if_unmodified_since);
    check(&conditions, &found.row)?;
    let wish = Wish { range: input.range, part: input.part_number };
    let (range, header) = wanted(&found.row, &found.segments, &wish)?;
    let checksum = shown(&found.row, input.checksum_mode.as_ref(), header.is_none());
    let parts = found.row.parts.filter(|_| wish.part.is_some());
    let mut output = described!(GetObjectOutput, found.row, range, header, checksum, parts);
    let pieces = cut(&found.segments, range);
    output.body = Some(open(Arc::clone(&service.vault.blobs), found, pieces).await?);
    Ok(output)
}

pub(super) async fn head(
    service: &Service,
    request: S3Request<dto::HeadObjectInput>,
) -> S3Result<dto::HeadObjectOutput> {
    let bucket = bucket_of(&request)?;
    let input = request.input;
    version(input.version_id.as_deref())?;
    let wish = Wish { range: input.range, part: input.part_number };
    let (row, segments) = if wish.part.is_some() {
        let found = service.vault.find(&bucket.id, &input.key).await?;
        (found.row.clone(), found.segments.clone())
    } else {
        (service.vault.head(&bucket.id, &input.key).await?, Vec::new())
    };
    let conditions = reading(input.if_match, input.if_none_match, input.if_modified_since, input.if_unmodified_since);
    check(&conditions, &row)?;
    let (range, header) = wanted(&row, &segments, &wish)?;
    let checksum = shown(&row, input.checksum_mode.as_ref(), header.is_none());
    let parts = row.parts.filter(|_| wish.part.is_some());
    Ok(described!(HeadObjectOutput, row, range, header, checksum, parts))
}

pub(super) async fn delete(
    service: &Service,
    request: S3Request<dto::DeleteObjectInput>,
) -> S3Result<dto::DeleteObjectOutput> {
    let bucket = bucket_of(&request)?;
    version(request.input.version_id.as_deref())?;
    service.vault.delete(&bucket.id, vec![request.input.key]).await?;
    Ok(dto::DeleteObjectOutput::default())
}

pub(super) async fn delete_many(
    service: &Service,
    request: S3Request<dto::DeleteObjectsInput>,
) -> S3Result<dto::DeleteObjectsOutput> {
    let bucket = bucket_of(&request)?;
    let dto::Delete { objects, quiet } = request.input.delete;
    if objects.is_empty() || objects.len() > BATCH_MOST {
        return Err(s3_error!(MalformedXML, "name 1 to {BATCH_MOST} keys"));
    }
    let keys: Vec<String> = objects.into_iter().map(|object| object.key).collect();
    service.vault.delete(&bucket.id, keys.clone()).await?;
    let deleted = |key| dto::DeletedObject { key: Some(key), ..Default::default() };
    let told = (quiet != Some(true)).then(|| keys.into_iter().map(deleted).collect());
    Ok(dto::DeleteObjectsOutput { deleted: told, ..Default::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (range, size, expected) in [
            ("bytes=0-0", 10, Some((0, 1))),
            ("bytes=0-", 10, Some((0, 10))),
            ("bytes=3-5", 10, Some((3, 6))),
            ("bytes=3-99", 10, Some((3, 10))),
            ("bytes=9-", 10, Some((9, 10))),
            ("bytes=10-", 10, None),
            ("bytes=99-", 10, None),
            ("bytes=-4", 10, Some((6, 10))),
            ("bytes=-99", 10, Some((0, 10))),
            ("bytes=-0", 10, None),
            ("bytes=0-0", 0, None),
            ("bytes=-1", 0, None),
        ] {
            let row = ObjectRow { size, ..ObjectRow::default() };
            let wish = Wish { range: Some(dto::Range::parse(range).unwrap()), part: None };
            let found = wanted(&row, &[], &wish).ok().map(|(range, _)| range);
            assert_eq!(found, expected.map(|(start, end)| start..end), "{range} of {size}");
        }
    }
}
