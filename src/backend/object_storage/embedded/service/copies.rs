//! Copies. They share the bytes of their source.

use std::sync::Arc;

use futures::StreamExt;
use s3s::{
    S3Request, S3Result,
    dto::{self, CopySource},
    s3_error,
};

use super::{Service, bucket_of, multipart::number, shapes};
use crate::backend::object_storage::embedded::{
    access::OpenBucket,
    conditions::{Conditions, seconds},
    digest::{Digests, Hashes},
    intake::send,
    problem::VaultProblem,
    rows::ObjectRow,
    uploads::Place,
    vault::{Found, cut},
};

/// The key of the source, which must be in the bucket that the key pair is for.
fn source(copy: CopySource, bucket: &OpenBucket) -> S3Result<String> {
    match copy {
        CopySource::Bucket { bucket: named, key, version_id } if *named == *bucket.name => {
            match version_id.as_deref() {
                None | Some("null") => Ok(key.into()),
                Some(_) => Err(s3_error!(NoSuchVersion, "buckets keep no versions")),
            }
        }
        _ => Err(s3_error!(AccessDenied, "the key pair is not for the source's bucket")),
    }
}

pub(super) async fn object(
    service: &Service,
    mut request: S3Request<dto::CopyObjectInput>,
) -> S3Result<dto::CopyObjectOutput> {
    let bucket = bucket_of(&request)?;
    shapes::check_key(&request.input.key)?;
    let replaced = shapes::replaces(request.input.metadata_directive.as_ref());
    let facts = if replaced { Some(shapes::facts!(request)) } else { None };
    let input = request.input;
    let from = source(input.copy_source, &bucket)?;
    if from == input.key && !replaced {
        return Err(s3_error!(InvalidRequest, "a copy onto itself must replace the metadata"));
    }
    let conditions = Conditions {
        matches: input.copy_source_if_match,
        none_matches: input.copy_source_if_none_match,
        modified_since: input.copy_source_if_modified_since.as_ref().map(seconds),
        unmodified_since: input.copy_source_if_unmodified_since.as_ref().map(seconds),
    };
    let condition =
        Arc::new(move |row: Option<&ObjectRow>| row.map_or(Err(VaultProblem::NoSuchKey), |row| conditions.copy(row)));
    let row = service.vault.copy((bucket.id.clone(), from), &bucket.id, &input.key, facts, condition).await?;
    let checksum = shapes::checksum(row.checksum.as_ref());
    let result = dto::CopyObjectResult {
        e_tag: Some(shapes::etag(&row.etag)),
        last_modified: Some(shapes::timestamp(row.modified)),
        checksum_crc32: checksum.checksum_crc32,
        checksum_crc32c: checksum.checksum_crc32c,
        checksum_crc64nvme: checksum.checksum_crc64nvme,
        checksum_sha1: checksum.checksum_sha1,
        checksum_sha256: checksum.checksum_sha256,
        checksum_type: checksum.checksum_type,
    };
    Ok(dto::CopyObjectOutput { copy_object_result: Some(result), ..Default::default() })
}

/// The hashes of a piece of an object.
async fn digests(
    service: &Service,
    found: Found,
    range: std::ops::Range<u64>,
    mut hashes: Hashes,
) -> S3Result<Digests> {
    let pieces = cut(&found.segments, range);
    let mut bytes = send(Arc::clone(&service.vault.blobs), found, pieces);
    while let Some(piece) = bytes.next().await {
        let piece = piece.map_err(VaultProblem::Disk)?;
        hashes = tokio::task::spawn_blocking(move || {
            hashes.update(&piece);
            hashes
        })
        .await
        .map_err(|problem| VaultProblem::Disk(std::io::Error::other(problem)))?;
    }
    Ok(hashes.finish())
}

pub(super) async fn part(
    service: &Service,
    request: S3Request<dto::UploadPartCopyInput>,
) -> S3Result<dto::UploadPartCopyOutput> {
    let bucket = bucket_of(&request)?;
    let input = request.input;
    let number = number(input.part_number)?;
    let from = source(input.copy_source, &bucket)?;
    let place = Place { bucket: bucket.id.clone(), name: input.key, upload: input.upload_id };
    let upload = service.vault.upload(&place).await?;
    let found = service.vault.find(&bucket.id, &from).await?;
    let conditions = Conditions {
        matches: input.copy_source_if_match,
        none_matches: input.copy_source_if_none_match,
        modified_since: input.copy_source_if_modified_since.as_ref().map(seconds),
        unmodified_since: input.copy_source_if_unmodified_since.as_ref().map(seconds),
    };
    conditions.copy(&found.row)?;
    let range = match input.copy_source_range.as_deref().map(dto::Range::parse) {
        None => 0..found.row.size,
        Some(Ok(dto::Range::Int { first, last: Some(last) })) if last < found.row.size => first..last + 1,
        Some(_) => return Err(s3_error!(InvalidArgument, "the range must be bytes=FIRST-LAST within the source")),
    };
    if range.end - range.start > shapes::BODY_MOST {
        return Err(s3_error!(EntityTooLarge, "a part has at most 5 GiB: copy a range"));
    }
    let source = (bucket.id, from, found.row.version.clone());
    let digests = digests(service, found, range.clone(), Hashes::new(upload.algorithm)).await?;
    let hashes = (digests.etag(), digests.checksum);
    let row = service.vault.copy_part(source, range, place, number, hashes).await?;
    let checksum = shapes::checksum(row.checksum.as_ref());
    let result = dto::CopyPartResult {
        e_tag: Some(shapes::etag(&row.etag)),
        last_modified: Some(shapes::timestamp(row.modified)),
        checksum_crc32: checksum.checksum_crc32,
        checksum_crc32c: checksum.checksum_crc32c,
        checksum_crc64nvme: checksum.checksum_crc64nvme,
        checksum_sha1: checksum.checksum_sha1,
        checksum_sha256: checksum.checksum_sha256,
    };
    Ok(dto::UploadPartCopyOutput { copy_part_result: Some(result), ..Default::default() })
}
