//! Who may do what: keys, and what each lets its holder do. What is not named here is refused.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use s3s::{
    S3Result,
    access::{S3Access, S3AccessContext},
    auth::{S3Auth, SecretKey},
    path::S3Path,
    s3_error,
};

use crate::protocol::object_storage::Access;

/// Longest life of a presigned URL, in seconds: seven days.
const PRESIGN_MOST: u64 = 7 * 24 * 3600;

/// A bucket that S3 clients can see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OpenBucket {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) region: String,
    /// Milliseconds since 1970.
    pub(super) made: i64,
}

/// One key pair.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) secret: String,
    pub(super) access: Access,
    /// Id of its bucket.
    pub(super) bucket: String,
}

/// All that a request is checked against.
#[derive(Default)]
pub(super) struct Tables {
    /// Buckets by id.
    pub(super) buckets: BTreeMap<String, OpenBucket>,
    /// Key pairs by their public half.
    pub(super) grants: BTreeMap<String, Grant>,
}

/// The tables that are in force: requests look things up, the plane changes entry by entry. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Directory(Arc<RwLock<Tables>>);

impl Directory {
    /// Looks something up.
    pub(super) fn look<R>(&self, look: impl FnOnce(&Tables) -> R) -> R {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes effect for every request that begins from now on.
    pub(super) fn change(&self, change: impl FnOnce(&mut Tables)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }
}

/// What a request turned out to be allowed to see; handed from the check to the operation.
#[derive(Clone, Debug)]
pub(super) struct Allowed {
    pub(super) bucket: OpenBucket,
}

/// Checks requests.
#[derive(Clone)]
pub(super) struct Gate(pub(super) Directory);

#[async_trait::async_trait]
impl S3Auth for Gate {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        let secret = self.0.look(|tables| Some(SecretKey::from(tables.grants.get(access_key)?.secret.as_str())));
        secret.ok_or_else(|| s3_error!(InvalidAccessKeyId, "the access key does not exist, or was revoked"))
    }
}

#[async_trait::async_trait]
impl S3Access for Gate {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        let query = cx.uri().query().unwrap_or_default();
        let header = cx.headers().get(http::header::AUTHORIZATION).map_or(&b""[..], |value| value.as_bytes());
        signature(header, query)?;
        if cx.credentials().is_some() {
            signed(header, query, cx.headers())?;
        }
        let holder = cx.credentials().map(|holder| holder.access_key.as_str());
        let named = match cx.s3_path() {
            S3Path::Root => None,
            S3Path::Bucket { bucket } | S3Path::Object { bucket, .. } => Some(&**bucket),
        };
        let operation = cx.s3_op().name().to_owned();
        let bucket = self.0.look(|tables| {
            let grant = holder.and_then(|holder| tables.grants.get(holder));
            let grant = grant.ok_or_else(|| s3_error!(AccessDenied, "sign the request with a key pair"))?;
            permit(tables, grant, &operation, named)
        })?;
        wishes(cx.headers())?;
        cx.extensions_mut().insert(Allowed { bucket });
        Ok(())
    }
}

/// Refuses signatures that are too weak: version 2, and presigned URLs that live too long.
fn signature(authorization: &[u8], query: &str) -> S3Result<()> {
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    if authorization.starts_with(b"AWS ") || pairs.any(|(name, _)| name.eq_ignore_ascii_case("AWSAccessKeyId")) {
        return Err(s3_error!(InvalidRequest, "signature version 2 is not accepted: sign with AWS4-HMAC-SHA256"));
    }
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    let life = pairs.find(|(name, _)| name.eq_ignore_ascii_case("X-Amz-Expires"));
    let fits = |life: &str| life.parse::<u64>().is_ok_and(|seconds| (1..=PRESIGN_MOST).contains(&seconds));
    match life {
        Some((_, life)) if !fits(&life) => {
            Err(s3_error!(AuthorizationQueryParametersError, "X-Amz-Expires must be from 1 to {PRESIGN_MOST} seconds"))
        }
        _ => Ok(()),
    }
}

/// Headers that need not stand among the signed ones, because they are part of every signature.
const SIGNED_ANYWAY: [&str; 2] = ["x-amz-content-sha256", "x-amz-date"];

/// Refuses what was not signed: else who is given a presigned URL to put one object could add a header that makes it a copy
/// of another.
fn signed(authorization: &[u8], query: &str, headers: &http::HeaderMap) -> S3Result<()> {
    let header = std::str::from_utf8(authorization).unwrap_or_default();
    let names = match header.split_once("SignedHeaders=") {
        Some((_, rest)) => rest.split(',').next().unwrap_or_default().trim().to_owned(),
        None => {
            let mut pairs = url::form_urlencoded::parse(query.as_bytes());
            pairs
                .find(|(name, _)| name == "X-Amz-SignedHeaders")
                .map(|(_, names)| names.into_owned())
                .unwrap_or_default()
        }
    };
    let is_signed = |name: &str| names.split(';').any(|signed| signed.eq_ignore_ascii_case(name));
    let needs = |name: &str| name.starts_with("x-amz-") && !SIGNED_ANYWAY.contains(&name);
    let unsigned = headers.keys().map(http::HeaderName::as_str).find(|name| needs(name) && !is_signed(name));
    match unsigned.or((!is_signed("host")).then_some("host")) {
        None => Ok(()),
        Some(name) => Err(s3_error!(AccessDenied, "the header {name} is not among those that were signed")),
    }
}

/// Headers that ask for what is not offered, with the values that ask for nothing. Without an answer the client would believe
/// that, say, its object is encrypted.
const WISHES: [(&str, &[&str]); 15] = [
    ("x-amz-acl", &["private", "bucket-owner-full-control"]),
    ("x-amz-grant-full-control", &[]),
    ("x-amz-grant-read", &[]),
    ("x-amz-grant-read-acp", &[]),
    ("x-amz-grant-write-acp", &[]),
    ("x-amz-object-lock-legal-hold", &["OFF"]),
    ("x-amz-object-lock-mode", &[]),
    ("x-amz-object-lock-retain-until-date", &[]),
    ("x-amz-server-side-encryption", &[]),
    ("x-amz-server-side-encryption-customer-algorithm", &[]),
    ("x-amz-copy-source-server-side-encryption-customer-algorithm", &[]),
    ("x-amz-storage-class", &["STANDARD"]),
    ("x-amz-tagging", &[""]),
    ("x-amz-website-redirect-location", &[]),
    ("x-amz-write-offset-bytes", &[]),
];

/// Refuses a request that asks for something that would not be done.
fn wishes(headers: &http::HeaderMap) -> S3Result<()> {
    let wrong = |(name, nothing): &&(&str, &[&str])| {
        headers.get(*name).is_some_and(|value| !nothing.iter().any(|nothing| value == *nothing))
    };
    match WISHES.iter().find(wrong) {
        None => Ok(()),
        Some((name, _)) => Err(s3_error!(NotImplemented, "what the header {name} asks for is not offered")),
    }
}

/// The key pair's bucket, when it may do this there.
fn permit(tables: &Tables, grant: &Grant, operation: &str, named: Option<&str>) -> S3Result<OpenBucket> {
    let bucket = tables.buckets.get(&grant.bucket);
    if named.is_some_and(|name| bucket.is_none_or(|bucket| bucket.name != name)) {
        return Err(s3_error!(AccessDenied, "the key pair is not for this bucket"));
    }
    let may = match (need(operation), grant.access) {
        (Need::Managed, _) => {
            return Err(s3_error!(
                AccessDenied,
                "buckets are made and deleted through the Loopback API, not through S3"
            ));
        }
        (Need::Unknown, _) => return Err(s3_error!(NotImplemented, "{operation} is not offered")),
        (Need::Nothing, _) | (_, Access::ReadWrite) => true,
        (Need::Read, access) => access == Access::ReadOnly,
        (Need::Write, access) => access == Access::WriteOnly,
        (Need::Both, _) => false,
    };
    if !may {
        return Err(s3_error!(
            AccessDenied,
            "the key pair's access is {}: it does not allow {operation}",
            grant.access
        ));
    }
    bucket.cloned().ok_or_else(|| s3_error!(NoSuchBucket, "the bucket does not exist"))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    Nothing,
    Read,
    Write,
    Both,
    Managed,
    Unknown,
}

/// What an operation needs.
fn need(operation: &str) -> Need {
    match operation {
        "ListBuckets"
        | "HeadBucket"
        | "GetBucketLocation"
        | "GetBucketVersioning"
        | "GetBucketLogging"
        | "GetBucketNotificationConfiguration"
        | "GetBucketRequestPayment"
        | "GetBucketAcl"
        | "GetBucketPolicy"
        | "GetBucketCors"
        | "GetBucketTagging"
        | "GetBucketWebsite"
        | "GetBucketLifecycleConfiguration"
        | "GetBucketEncryption"
        | "GetBucketReplication"
        | "GetObjectLockConfiguration" => Need::Nothing,
        "GetObject"
        | "HeadObject"
        | "ListObjects"
        | "ListObjectsV2"
        | "ListObjectVersions"
        | "GetObjectAcl"
        | "GetObjectTagging"
        | "GetObjectAttributes" => Need::Read,
        "PutObject"
        | "DeleteObject"
        | "DeleteObjects"
        | "CreateMultipartUpload"
        | "UploadPart"
        | "CompleteMultipartUpload"
        | "AbortMultipartUpload"
        | "ListParts"
        | "ListMultipartUploads" => Need::Write,
        "CopyObject" | "UploadPartCopy" => Need::Both,
        "CreateBucket" | "DeleteBucket" => Need::Managed,
        _ => Need::Unknown,
    }
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
