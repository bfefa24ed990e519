//! What the vault keeps about buckets, objects and uploads: rows and their keys.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::protocol::object_storage::Usage;

/// Segments that stand in the object's own row; more of them get a row of their own, so that listings stay cheap.
pub(super) const INLINE: usize = 4;

/// A piece of a blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Segment {
    pub(super) blob: String,
    pub(super) offset: u64,
    pub(super) length: u64,
    /// Whether a part of the object begins here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) first: bool,
}

/// Checksum algorithms of S3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Algorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
}

impl Algorithm {
    /// Bytes of its checksums.
    pub(super) fn length(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }
}

/// A checksum as S3 writes it: base64, for several parts with `-N` behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checksum {
    pub(super) algorithm: Algorithm,
    pub(super) value: String,
}

impl Checksum {
    /// Whether it is one of the parts' checksums, not of the whole.
    pub(super) fn composite(&self) -> bool {
        self.value.contains('-')
    }
}

/// What a client says about an object beside its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Facts {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content_encoding: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content_disposition: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content_language: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cache_control: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expires: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) metadata: BTreeMap<String, String>,
}

/// An object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ObjectRow {
    /// Which of the objects that had this key over time.
    pub(super) version: String,
    pub(super) size: u64,
    /// Without quotes.
    pub(super) etag: String,
    /// Milliseconds since 1970.
    pub(super) modified: i64,
    pub(super) facts: Facts,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) checksum: Option<Checksum>,
    /// How many parts it was uploaded in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) parts: Option<u32>,
    /// The upload that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) upload: Option<String>,
    pub(super) body: Body,
}

/// Where an object's bytes are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Body {
    /// Here.
    Here(Vec<Segment>),
    /// In the manifest with this id.
    Manifest(String),
}

impl Default for Body {
    fn default() -> Self {
        Self::Here(Vec::new())
    }
}

/// An upload in parts that has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct UploadRow {
    /// Milliseconds since 1970.
    pub(super) begun: i64,
    pub(super) facts: Facts,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) algorithm: Option<Algorithm>,
    /// Whether the object's checksum is one over all bytes, not one over the parts' checksums.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) whole: bool,
}

/// One part of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PartRow {
    pub(super) size: u64,
    pub(super) etag: String,
    pub(super) modified: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) checksum: Option<Checksum>,
    pub(super) segments: Vec<Segment>,
}

/// A bucket that is open; without this row nothing can be written into it.
pub(super) type BucketRow = Usage;

/// Keys. The first byte says which kind of row it is; an object's key stands last, so that rows sort as S3 lists.
pub(super) mod key {
    pub(in super::super) fn bucket(bucket: &str) -> Vec<u8> {
        join(b'g', &[bucket], b"")
    }

    pub(in super::super) fn blob(id: &str) -> Vec<u8> {
        join(b'b', &[], id.as_bytes())
    }

    pub(in super::super) fn manifest(id: &str) -> Vec<u8> {
        join(b'm', &[], id.as_bytes())
    }

    /// Of an object, or the common start of all whose keys start with `key`.
    pub(in super::super) fn object(bucket: &str, key: &str) -> Vec<u8> {
        join(b'o', &[bucket], key.as_bytes())
    }

    /// Common start of the uploads of all keys that start with `key`.
    pub(in super::super) fn uploads(bucket: &str, key: &str) -> Vec<u8> {
        join(b'u', &[bucket], key.as_bytes())
    }

    pub(in super::super) fn upload(bucket: &str, key: &str, id: &str) -> Vec<u8> {
        join(b'u', &[bucket, key], id.as_bytes())
    }

    pub(in super::super) fn parts(upload: &str) -> Vec<u8> {
        join(b'p', &[upload], b"")
    }

    pub(in super::super) fn part(upload: &str, number: u32) -> Vec<u8> {
        join(b'p', &[upload], &number.to_be_bytes())
    }

    fn join(kind: u8, parts: &[&str], last: &[u8]) -> Vec<u8> {
        let mut key = vec![kind];
        for part in parts {
            key.extend_from_slice(part.as_bytes());
            key.push(0);
        }
        key.extend_from_slice(last);
        key
    }
}
