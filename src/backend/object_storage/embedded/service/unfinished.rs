//! Lists of uploads that are not finished, and of their parts.

use s3s::{S3Request, S3Result, dto, s3_error};

use super::{
    Service, bucket_of,
    lists::{Writing, owner},
    shapes,
};
use crate::backend::{
    object_storage::embedded::{
        listing::{After, Entry, PAGE, Page, Query, list},
        rows::{PartRow, UploadRow, key},
        uploads::{Place, split},
        vault::Vault,
    },
    store::{Table, View, decode, prefix_end},
};

pub(super) async fn parts(
    service: &Service,
    request: S3Request<dto::ListPartsInput>,
) -> S3Result<dto::ListPartsOutput> {
    let bucket = bucket_of(&request)?;
    let input = request.input;
    let limit = shapes::limit(input.max_parts, PAGE, "max-parts")?;
    let after = u32::try_from(input.part_number_marker.unwrap_or(0))
        .map_err(|_| s3_error!(InvalidArgument, "part-number-marker must not be negative"))?;
    let place = Place { bucket: bucket.id, name: input.key.clone(), upload: input.upload_id.clone() };
    let (upload, mut rows) = service.vault.list_parts(&place, after, limit + 1).await?;
    let truncated = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().and_then(|(number, _)| i32::try_from(*number).ok());
    let part = |(number, row): (u32, PartRow)| {
        let checksum = shapes::checksum(row.checksum.as_ref());
        dto::Part {
            part_number: i32::try_from(number).ok(),
            e_tag: Some(shapes::etag(&row.etag)),
            last_modified: Some(shapes::timestamp(row.modified)),
            size: Some(shapes::size(row.size)),
            checksum_crc32: checksum.checksum_crc32,
            checksum_crc32c: checksum.checksum_crc32c,
            checksum_crc64nvme: checksum.checksum_crc64nvme,
            checksum_sha1: checksum.checksum_sha1,
            checksum_sha256: checksum.checksum_sha256,
        }
    };
    Ok(dto::ListPartsOutput {
        bucket: Some(bucket.name),
        key: Some(input.key),
        upload_id: Some(input.upload_id),
        max_parts: i32::try_from(limit).ok(),
        part_number_marker: input.part_number_marker,
        next_part_number_marker: next.filter(|_| truncated),
        is_truncated: Some(truncated),
        parts: Some(rows.into_iter().map(part).collect()),
        checksum_algorithm: upload.algorithm.map(shapes::algorithm_name),
        storage_class: Some(dto::StorageClass::from_static(dto::StorageClass::STANDARD)),
        ..Default::default()
    })
}

/// Where a list of uploads goes on: behind one upload, behind all of a key, or behind a common prefix.
fn behind(key_marker: &str, id_marker: &str, query: &Query) -> After {
    if key_marker.is_empty() {
        After::Start
    } else if !id_marker.is_empty() {
        After::Key(format!("{key_marker}\0{id_marker}"))
    } else if common(key_marker, query) {
        After::Prefix(key_marker.to_owned())
    } else {
        After::Prefix(format!("{key_marker}\0"))
    }
}

/// Whether a marker is itself a common prefix.
fn common(marker: &str, query: &Query) -> bool {
    let Some((delimiter, rest)) = query.delimiter.as_deref().zip(marker.strip_prefix(&query.prefix)) else {
        return false;
    };
    rest.find(delimiter).is_some_and(|at| at + delimiter.len() == rest.len())
}

/// A page of uploads; what stands for the key of a row is the object's key, NUL and the upload's id.
async fn page(vault: &Vault, bucket: String, query: Query) -> S3Result<Page<UploadRow>> {
    let look = move |view: &dyn View| {
        let prefix = key::uploads(&bucket, "");
        let end = prefix_end(&prefix);
        list(&query, |from, limit| {
            let from = [prefix.as_slice(), from].concat();
            let rows = view.scan(Table::Data, &from, &end, limit)?;
            let name = |key: &[u8]| String::from_utf8_lossy(key.get(prefix.len()..).unwrap_or_default()).into_owned();
            rows.into_iter().map(|(key, value)| Ok((name(&key), decode(&value)?))).collect()
        })
    };
    Ok(vault.look(look).await?)
}

pub(super) async fn uploads(
    service: &Service,
    request: S3Request<dto::ListMultipartUploadsInput>,
) -> S3Result<dto::ListMultipartUploadsOutput> {
    let bucket = bucket_of(&request)?;
    let input = request.input;
    let limit = shapes::limit(input.max_uploads, PAGE, "max-uploads")?;
    let prefix = input.prefix.unwrap_or_default();
    let delimiter = input.delimiter.filter(|delimiter| !delimiter.is_empty());
    let (key_marker, id_marker) = (input.key_marker.unwrap_or_default(), input.upload_id_marker.unwrap_or_default());
    let mut query = Query { prefix: prefix.clone(), delimiter: delimiter.clone(), after: After::Start, limit };
    query.after = behind(&key_marker, &id_marker, &query);
    let page = page(&service.vault, bucket.id, query).await?;
    let writing = Writing::of(input.encoding_type.as_ref());
    let (next_key, next_id) = match page.next {
        None | Some(After::Start) => (None, None),
        Some(After::Prefix(prefix)) => (Some(writing.text(prefix)), None),
        Some(After::Key(key)) => {
            let (name, id) = split(key.as_bytes()).unwrap_or_default();
            (Some(writing.text(name)), Some(id))
        }
    };
    let (mut uploads, mut prefixes) = (Vec::new(), Vec::new());
    for entry in page.entries {
        match entry {
            Entry::Prefix(prefix) => prefixes.push(dto::CommonPrefix { prefix: Some(writing.text(prefix)) }),
            Entry::Row(key, row) => uploads.extend(split(key.as_bytes()).map(|at| upload(at, &row, writing))),
        }
    }
    Ok(dto::ListMultipartUploadsOutput {
        bucket: Some(bucket.name),
        key_marker: Some(writing.text(key_marker)),
        upload_id_marker: Some(id_marker),
        is_truncated: Some(next_key.is_some()),
        next_key_marker: next_key,
        next_upload_id_marker: next_id,
        prefix: Some(writing.text(prefix)),
        delimiter: delimiter.map(|delimiter| writing.text(delimiter)),
        max_uploads: i32::try_from(limit).ok(),
        uploads: Some(uploads),
        common_prefixes: Some(prefixes),
        encoding_type: input.encoding_type,
        ..Default::default()
    })
}

fn upload((name, id): (String, String), row: &UploadRow, writing: Writing) -> dto::MultipartUpload {
    dto::MultipartUpload {
        key: Some(writing.text(name)),
        upload_id: Some(id),
        initiated: Some(shapes::timestamp(row.begun)),
        owner: Some(owner()),
        checksum_algorithm: row.algorithm.map(shapes::algorithm_name),
        checksum_type: row.algorithm.map(|_| shapes::checksum_type(row.whole)),
        storage_class: Some(dto::StorageClass::from_static(dto::StorageClass::STANDARD)),
        ..Default::default()
    }
}
