//! Lists.

use data_encoding::BASE64URL_NOPAD;
use s3s::{S3Request, S3Result, dto, s3_error};

use super::{Service, bucket_of, shapes};
use crate::backend::{
    object_storage::embedded::{
        listing::{After, Entry, PAGE, Page, Query, behind, list},
        rows::{ObjectRow, key},
        vault::Vault,
    },
    store::{Table, View, decode, prefix_end},
};

pub(super) async fn buckets(
    _: &Service,
    request: S3Request<dto::ListBucketsInput>,
) -> S3Result<dto::ListBucketsOutput> {
    let bucket = bucket_of(&request)?;
    let bucket = dto::Bucket {
        name: Some(bucket.name),
        bucket_region: Some(bucket.region),
        creation_date: Some(shapes::timestamp(bucket.made)),
    };
    Ok(dto::ListBucketsOutput { buckets: Some(vec![bucket]), owner: Some(owner()), ..Default::default() })
}

/// Everything belongs to one owner; who it is is the API's business.
pub(super) fn owner() -> dto::Owner {
    dto::Owner { id: Some("loopback".to_owned()), display_name: Some("loopback".to_owned()) }
}

pub(super) async fn head_bucket(
    _: &Service,
    request: S3Request<dto::HeadBucketInput>,
) -> S3Result<dto::HeadBucketOutput> {
    Ok(dto::HeadBucketOutput { bucket_region: Some(bucket_of(&request)?.region), ..Default::default() })
}

pub(super) async fn location(
    _: &Service,
    request: S3Request<dto::GetBucketLocationInput>,
) -> S3Result<dto::GetBucketLocationOutput> {
    let region = dto::BucketLocationConstraint::from(bucket_of(&request)?.region);
    Ok(dto::GetBucketLocationOutput { location_constraint: Some(region) })
}

async fn page(vault: &Vault, bucket: String, query: Query) -> S3Result<Page<ObjectRow>> {
    let look = move |view: &dyn View| {
        let prefix = key::object(&bucket, "");
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

/// How keys are written in an answer: as they are, or percent-encoded, for what XML cannot say.
#[derive(Clone, Copy)]
pub(super) struct Writing(bool);

impl Writing {
    pub(super) fn of(asked: Option<&dto::EncodingType>) -> Self {
        Self(asked.is_some_and(|asked| asked.as_str() == dto::EncodingType::URL))
    }

    pub(super) fn text(self, text: String) -> String {
        if !self.0 {
            return text;
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
        let write = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
        text.bytes().map(write).collect()
    }
}

/// Objects and common prefixes of a page.
fn entries(page: Page<ObjectRow>, writing: Writing, owned: bool) -> (Vec<dto::Object>, Vec<dto::CommonPrefix>) {
    let (mut objects, mut prefixes) = (Vec::new(), Vec::new());
    for entry in page.entries {
        match entry {
            Entry::Prefix(prefix) => prefixes.push(dto::CommonPrefix { prefix: Some(writing.text(prefix)) }),
            Entry::Row(key, row) => objects.push(dto::Object {
                key: Some(writing.text(key)),
                e_tag: Some(shapes::etag(&row.etag)),
                last_modified: Some(shapes::timestamp(row.modified)),
                size: Some(shapes::size(row.size)),
                storage_class: Some(dto::ObjectStorageClass::from_static(dto::ObjectStorageClass::STANDARD)),
                owner: owned.then(owner),
                checksum_algorithm: row.checksum.map(|sum| vec![shapes::algorithm_name(sum.algorithm)]),
                ..Default::default()
            }),
        }
    }
    (objects, prefixes)
}

fn position(after: &After) -> String {
    match after {
        After::Start => String::new(),
        After::Key(text) | After::Prefix(text) => text.clone(),
    }
}

pub(super) async fn objects(
    service: &Service,
    request: S3Request<dto::ListObjectsInput>,
) -> S3Result<dto::ListObjectsOutput> {
    let bucket = bucket_of(&request)?;
    let input = request.input;
    let prefix = input.prefix.unwrap_or_default();
    let delimiter = input.delimiter.filter(|delimiter| !delimiter.is_empty());
    let limit = shapes::limit(input.max_keys, PAGE, "max-keys")?;
    let marker = input.marker.unwrap_or_default();
    let after = behind(&marker, &prefix, delimiter.as_deref());
    let query = Query { prefix: prefix.clone(), delimiter: delimiter.clone(), after, limit };
    let page = page(&service.vault, bucket.id, query).await?;
    let next = page.next.as_ref().map(position);
    let writing = Writing::of(input.encoding_type.as_ref());
    let (contents, prefixes) = entries(page, writing, true);
    Ok(dto::ListObjectsOutput {
        name: Some(bucket.name),
        prefix: Some(writing.text(prefix)),
        marker: Some(writing.text(marker)),
        max_keys: i32::try_from(limit).ok(),
        is_truncated: Some(next.is_some()),
        // Version 1 says it only where a delimiter makes it another thing than the last key.
        next_marker: next.filter(|_| delimiter.is_some()).map(|next| writing.text(next)),
        delimiter: delimiter.map(|delimiter| writing.text(delimiter)),
        contents: Some(contents),
        common_prefixes: Some(prefixes),
        encoding_type: input.encoding_type,
        ..Default::default()
    })
}

/// A token that says where to go on.
fn token(after: &After) -> Option<String> {
    match after {
        After::Start => None,
        After::Key(key) => Some(BASE64URL_NOPAD.encode(format!("k{key}").as_bytes())),
        After::Prefix(prefix) => Some(BASE64URL_NOPAD.encode(format!("p{prefix}").as_bytes())),
    }
}

fn read_token(token: &str) -> S3Result<After> {
    let wrong = || s3_error!(InvalidArgument, "the continuation token is not one of ours");
    let bytes = BASE64URL_NOPAD.decode(token.as_bytes()).map_err(|_| wrong())?;
    let text = String::from_utf8(bytes).map_err(|_| wrong())?;
    match (text.strip_prefix('k'), text.strip_prefix('p')) {
        (Some(key), _) => Ok(After::Key(key.to_owned())),
        (_, Some(prefix)) => Ok(After::Prefix(prefix.to_owned())),
        _ => Err(wrong()),
    }
}

pub(super) async fn objects_v2(
    service: &Service,
    request: S3Request<dto::ListObjectsV2Input>,
) -> S3Result<dto::ListObjectsV2Output> {
    let bucket = bucket_of(&request)?;
    let input = request.input;
    let prefix = input.prefix.unwrap_or_default();
    let delimiter = input.delimiter.filter(|delimiter| !delimiter.is_empty());
    let limit = shapes::limit(input.max_keys, PAGE, "max-keys")?;
    let after = match (&input.continuation_token, &input.start_after) {
        (Some(token), _) => read_token(token)?,
        (None, Some(after)) if !after.is_empty() => After::Key(after.clone()),
        _ => After::Start,
    };
    let query = Query { prefix: prefix.clone(), delimiter: delimiter.clone(), after, limit };
    let page = page(&service.vault, bucket.id, query).await?;
    let next = page.next.as_ref().and_then(token);
    let writing = Writing::of(input.encoding_type.as_ref());
    let (contents, prefixes) = entries(page, writing, input.fetch_owner == Some(true));
    Ok(dto::ListObjectsV2Output {
        name: Some(bucket.name),
        prefix: Some(writing.text(prefix)),
        max_keys: i32::try_from(limit).ok(),
        key_count: i32::try_from(contents.len() + prefixes.len()).ok(),
        continuation_token: input.continuation_token,
        is_truncated: Some(next.is_some()),
        next_continuation_token: next,
        delimiter: delimiter.map(|delimiter| writing.text(delimiter)),
        start_after: input.start_after.map(|after| writing.text(after)),
        contents: Some(contents),
        common_prefixes: Some(prefixes),
        encoding_type: input.encoding_type,
        ..Default::default()
    })
}

/// Buckets keep no versions: each object is the only one of its key, and the latest.
pub(super) async fn versions(
    service: &Service,
    request: S3Request<dto::ListObjectVersionsInput>,
) -> S3Result<dto::ListObjectVersionsOutput> {
    let bucket = bucket_of(&request)?;
    let input = request.input;
    let prefix = input.prefix.unwrap_or_default();
    let delimiter = input.delimiter.filter(|delimiter| !delimiter.is_empty());
    let limit = shapes::limit(input.max_keys, PAGE, "max-keys")?;
    let marker = input.key_marker.unwrap_or_default();
    let after = behind(&marker, &prefix, delimiter.as_deref());
    let query = Query { prefix: prefix.clone(), delimiter: delimiter.clone(), after, limit };
    let page = page(&service.vault, bucket.id, query).await?;
    let next = page.next.as_ref().map(position);
    let writing = Writing::of(input.encoding_type.as_ref());
    let (objects, prefixes) = entries(page, writing, true);
    let version = |object: dto::Object| dto::ObjectVersion {
        checksum_algorithm: object.checksum_algorithm,
        e_tag: object.e_tag,
        is_latest: Some(true),
        key: object.key,
        last_modified: object.last_modified,
        owner: object.owner,
        size: object.size,
        storage_class: Some(dto::ObjectVersionStorageClass::from_static(dto::ObjectVersionStorageClass::STANDARD)),
        version_id: Some("null".to_owned()),
        ..Default::default()
    };
    Ok(dto::ListObjectVersionsOutput {
        name: Some(bucket.name),
        prefix: Some(writing.text(prefix)),
        key_marker: Some(writing.text(marker)),
        max_keys: i32::try_from(limit).ok(),
        is_truncated: Some(next.is_some()),
        next_version_id_marker: next.as_ref().map(|_| "null".to_owned()),
        next_key_marker: next.map(|next| writing.text(next)),
        delimiter: delimiter.map(|delimiter| writing.text(delimiter)),
        versions: Some(objects.into_iter().map(version).collect()),
        common_prefixes: Some(prefixes),
        encoding_type: input.encoding_type,
        ..Default::default()
    })
}
