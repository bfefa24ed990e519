//! Uploads in parts.

use std::sync::Arc;

use s3s::{S3Request, S3Result, dto, s3_error};

use super::{Service, bucket_of, shapes};
use crate::backend::object_storage::embedded::{
    conditions::Conditions,
    intake::receive,
    rows::{Algorithm, ObjectRow, UploadRow},
    uploads::{Chosen, Order, PARTS_MOST, Place},
};

pub(super) async fn create(
    service: &Service,
    mut request: S3Request<dto::CreateMultipartUploadInput>,
) -> S3Result<dto::CreateMultipartUploadOutput> {
    let bucket = bucket_of(&request)?;
    shapes::check_key(&request.input.key)?;
    let facts = shapes::facts!(request);
    let input = request.input;
    let algorithm = input.checksum_algorithm.as_ref().map(|name| shapes::algorithm(name.as_str())).transpose()?;
    let whole = whole(algorithm, input.checksum_type.as_ref())?;
    let row = UploadRow { begun: service.vault.now(), facts, algorithm, whole };
    let upload = service.vault.begin(&bucket.id, &input.key, row).await?;
    Ok(dto::CreateMultipartUploadOutput {
        bucket: Some(bucket.name),
        key: Some(input.key),
        upload_id: Some(upload),
        checksum_algorithm: input.checksum_algorithm,
        checksum_type: algorithm.map(|_| shapes::checksum_type(whole)),
        ..Default::default()
    })
}

/// Whether the checksum will be one over all bytes. Not every algorithm can be either.
fn whole(algorithm: Option<Algorithm>, asked: Option<&dto::ChecksumType>) -> S3Result<bool> {
    let whole = match asked.map(dto::ChecksumType::as_str) {
        None => algorithm == Some(Algorithm::Crc64Nvme),
        Some(dto::ChecksumType::FULL_OBJECT) => true,
        Some(dto::ChecksumType::COMPOSITE) => false,
        Some(_) => return Err(s3_error!(InvalidRequest, "the checksum type must be FULL_OBJECT or COMPOSITE")),
    };
    match (algorithm, whole) {
        (None, _) if asked.is_some() => {
            Err(s3_error!(InvalidRequest, "a checksum type needs a checksum algorithm beside it"))
        }
        (Some(Algorithm::Sha1 | Algorithm::Sha256), true) => {
            Err(s3_error!(InvalidRequest, "FULL_OBJECT goes with CRC32, CRC32C and CRC64NVME only"))
        }
        (Some(Algorithm::Crc64Nvme), false) => Err(s3_error!(InvalidRequest, "CRC64NVME goes with FULL_OBJECT only")),
        _ => Ok(whole),
    }
}

/// A part's number within S3's limits.
pub(super) fn number(given: i32) -> S3Result<u32> {
    let number = u32::try_from(given).ok().filter(|number| (1..=PARTS_MOST).contains(number));
    number.ok_or_else(|| s3_error!(InvalidArgument, "the part number must be from 1 to {PARTS_MOST}"))
}

pub(super) async fn part(
    service: &Service,
    request: S3Request<dto::UploadPartInput>,
) -> S3Result<dto::UploadPartOutput> {
    let bucket = bucket_of(&request)?;
    let input = request.input;
    let number = number(input.part_number)?;
    let place = Place { bucket: bucket.id, name: input.key, upload: input.upload_id };
    let upload = service.vault.upload(&place).await?;
    let mut expected = shapes::expected(&request.headers, input.content_length, input.content_md5)?;
    if upload.algorithm.is_some() && expected.algorithm.is_some_and(|given| Some(given) != upload.algorithm) {
        return Err(s3_error!(
            InvalidRequest,
            "the part's checksum is not of the algorithm that the upload was begun with"
        ));
    }
    expected.algorithm = expected.algorithm.or(upload.algorithm);
    let trailers = request.trailing_headers;
    let body = receive(&service.vault.blobs, input.body, expected, || shapes::trailed(trailers)).await?;
    let row = service.vault.put_part(place, number, body).await?;
    let checksum = shapes::checksum(row.checksum.as_ref());
    Ok(dto::UploadPartOutput {
        e_tag: Some(shapes::etag(&row.etag)),
        checksum_crc32: checksum.checksum_crc32,
        checksum_crc32c: checksum.checksum_crc32c,
        checksum_crc64nvme: checksum.checksum_crc64nvme,
        checksum_sha1: checksum.checksum_sha1,
        checksum_sha256: checksum.checksum_sha256,
        ..Default::default()
    })
}

fn chosen(part: dto::CompletedPart) -> S3Result<Chosen> {
    let value =
        [part.checksum_crc32, part.checksum_crc32c, part.checksum_crc64nvme, part.checksum_sha1, part.checksum_sha256];
    Ok(Chosen {
        number: number(part.part_number.unwrap_or(0))?,
        etag: part.e_tag.map(dto::ETag::into_value),
        checksum: value.into_iter().flatten().next(),
    })
}

pub(super) async fn complete(
    service: &Service,
    request: S3Request<dto::CompleteMultipartUploadInput>,
) -> S3Result<dto::CompleteMultipartUploadOutput> {
    let bucket = bucket_of(&request)?;
    let input = request.input;
    let parts = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
    let parts: Vec<Chosen> = parts.into_iter().map(chosen).collect::<S3Result<_>>()?;
    let given = [
        input.checksum_crc32,
        input.checksum_crc32c,
        input.checksum_crc64nvme,
        input.checksum_sha1,
        input.checksum_sha256,
    ];
    let size = input.mpu_object_size.map(u64::try_from).transpose();
    let size = size.map_err(|_| s3_error!(InvalidArgument, "x-amz-mp-object-size must not be negative"))?;
    let order = Order { parts, checksum: given.into_iter().flatten().next(), size };
    let conditions = Conditions { matches: input.if_match, none_matches: input.if_none_match, ..Conditions::default() };
    let condition = Arc::new(move |present: Option<&ObjectRow>| conditions.write(present));
    let place = Place { bucket: bucket.id, name: input.key.clone(), upload: input.upload_id };
    let row = service.vault.complete(place, order, condition).await?;
    let checksum = shapes::checksum(row.checksum.as_ref());
    Ok(dto::CompleteMultipartUploadOutput {
        location: Some(format!("/{}/{}", bucket.name, input.key)),
        bucket: Some(bucket.name),
        key: Some(input.key),
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

pub(super) async fn abort(
    service: &Service,
    request: S3Request<dto::AbortMultipartUploadInput>,
) -> S3Result<dto::AbortMultipartUploadOutput> {
    let bucket = bucket_of(&request)?;
    let input = request.input;
    service.vault.abort(Place { bucket: bucket.id, name: input.key, upload: input.upload_id }).await?;
    Ok(dto::AbortMultipartUploadOutput::default())
}
