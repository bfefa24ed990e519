//! Uploads in parts.

use super::{
    digest::{checksum_of_parts, of_parts},
    edit::{Edit, get, parts, segments},
    intake::Received,
    problem::VaultProblem,
    rows::{Algorithm, Body, Checksum, Facts, ObjectRow, PartRow, Segment, UploadRow, key},
    vault::{Condition, Vault, cut},
};
use crate::backend::store::{Table, View, prefix_end};

/// The least size of a part that is not the last.
const PART_LEAST: u64 = 5 << 20;
/// The highest number of a part.
pub(super) const PARTS_MOST: u32 = 10_000;

/// A part as the client names it when it completes an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) number: u32,
    pub(super) etag: Option<String>,
    pub(super) checksum: Option<String>,
}

/// One upload: which bucket, key and id.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) bucket: String,
    pub(super) name: String,
    pub(super) upload: String,
}

impl Vault {
    /// Begins an upload; its id.
    pub(super) async fn begin(
        &self,
        bucket: &str,
        name: &str,
        facts: Facts,
        algorithm: Option<Algorithm>,
    ) -> Result<String, VaultProblem> {
        let (bucket, name, id) = (bucket.to_owned(), name.to_owned(), self.world.id("up"));
        let row = UploadRow { begun: self.now(), facts, algorithm };
        self.change(move |edit| {
            edit.bucket(&bucket)?;
            edit.put(&key::upload(&bucket, &name, &id), &row)?;
            Ok(id.clone())
        })
        .await
    }

    /// The upload's own row.
    pub(super) async fn upload(&self, place: &Place) -> Result<UploadRow, VaultProblem> {
        let key = key::upload(&place.bucket, &place.name, &place.upload);
        self.look(move |view| get(view, &key)?.ok_or(VaultProblem::NoSuchUpload)).await
    }

    /// Puts a part in the place of what had its number.
    pub(super) async fn put_part(&self, place: Place, number: u32, body: Received) -> Result<PartRow, VaultProblem> {
        let part = PartRow {
            size: body.size,
            etag: body.digests.etag(),
            modified: self.now(),
            checksum: body.digests.checksum.clone(),
            segments: body.segments(),
        };
        let work = move |edit: &mut Edit<'_>| {
            edit.hold(&part.segments)?;
            edit.place_part(&place, number, &part)?;
            Ok(part.clone())
        };
        self.commit(body, work).await
    }

    /// Completes an upload: from now on its parts are the object.
    pub(super) async fn complete(
        &self,
        place: Place,
        chosen: Vec<Chosen>,
        expected: Option<String>,
        condition: Condition,
    ) -> Result<ObjectRow, VaultProblem> {
        let (version, modified) = (self.blobs.name(), self.now());
        self.change(move |edit| {
            let upload = edit.upload(&place.bucket, &place.name, &place.upload)?;
            condition(edit.object(&place.bucket, &place.name)?.as_ref())?;
            let parts = edit.parts(&place.upload)?;
            let taken = choose(&parts, &chosen)?;
            let checksum = whole_checksum(upload.algorithm, &taken);
            if expected.is_some() && expected.as_ref() != checksum.as_ref().map(|checksum| &checksum.value) {
                return Err(VaultProblem::BadDigest("checksum"));
            }
            let segments: Vec<Segment> = taken.iter().flat_map(|part| part.segments.clone()).collect();
            let row = ObjectRow {
                version: version.clone(),
                size: taken.iter().map(|part| part.size).sum(),
                etag: of_parts(&taken.iter().map(|part| part.etag.as_str()).collect::<Vec<_>>()),
                modified,
                facts: upload.facts,
                checksum,
                parts: u32::try_from(taken.len()).ok(),
                body: Body::Here(Vec::new()),
            };
            // The object holds them before the upload lets go.
            edit.hold(&segments)?;
            edit.place(&place.bucket, &place.name, row.clone(), segments)?;
            edit.abort(&place.bucket, &place.name, &place.upload)?;
            Ok(row)
        })
        .await
    }

    /// Gives an upload up.
    pub(super) async fn abort(&self, place: Place) -> Result<(), VaultProblem> {
        self.change(move |edit| {
            edit.upload(&place.bucket, &place.name, &place.upload)?;
            Ok(edit.abort(&place.bucket, &place.name, &place.upload)?)
        })
        .await
    }

    /// Takes part of an object as a part, without copying bytes. The part's ETag needs them read once; `digests` comes from
    /// that reading, and the object must not have changed since.
    pub(super) async fn copy_part(
        &self,
        source: (String, String, String),
        range: std::ops::Range<u64>,
        place: Place,
        number: u32,
        digests: (String, Option<Checksum>),
    ) -> Result<PartRow, VaultProblem> {
        let modified = self.now();
        self.change(move |edit| {
            let found = edit.object(&source.0, &source.1)?.filter(|found| found.version == source.2);
            let found = found.ok_or(VaultProblem::Precondition("the source stays the same"))?;
            let segments = cut(&segments(&*edit.tx, &found)?, range.clone());
            edit.hold(&segments)?;
            let (etag, checksum) = digests.clone();
            let part = PartRow { size: range.end - range.start, etag, modified, checksum, segments };
            edit.place_part(&place, number, &part)?;
            Ok(part)
        })
        .await
    }

    /// The parts after a number.
    pub(super) async fn list_parts(
        &self,
        place: &Place,
        after: u32,
        limit: usize,
    ) -> Result<(UploadRow, Vec<(u32, PartRow)>), VaultProblem> {
        let place = place.clone();
        self.look(move |view: &dyn View| {
            let key = key::upload(&place.bucket, &place.name, &place.upload);
            let upload = get(view, &key)?.ok_or(VaultProblem::NoSuchUpload)?;
            Ok((upload, parts(view, &place.upload, after, limit)?))
        })
        .await
    }

    /// Gives up one upload of a bucket. False when there is none.
    pub(super) async fn drop_upload(&self, bucket: &str) -> Result<bool, VaultProblem> {
        let bucket = bucket.to_owned();
        self.change(move |edit| {
            let prefix = key::uploads(&bucket, "");
            let Some((row, _)) = edit.tx.scan(Table::Data, &prefix, &prefix_end(&prefix), 1)?.pop() else {
                return Ok(false);
            };
            let Some((name, upload)) = split(row.get(prefix.len()..).unwrap_or_default()) else {
                edit.delete(&row)?;
                return Ok(true);
            };
            edit.abort(&bucket, &name, &upload)?;
            Ok(true)
        })
        .await
    }
}

impl Edit<'_> {
    fn place_part(&mut self, place: &Place, number: u32, part: &PartRow) -> Result<(), VaultProblem> {
        self.upload(&place.bucket, &place.name, &place.upload)?;
        let key = key::part(&place.upload, number);
        if let Some(old) = self.get::<PartRow>(&key)? {
            self.release(&old.segments)?;
        }
        Ok(self.put(&key, part)?)
    }
}

/// Key and id of an upload, from the end of its row's key.
pub(super) fn split(rest: &[u8]) -> Option<(String, String)> {
    let (name, upload) = std::str::from_utf8(rest).ok()?.rsplit_once('\0')?;
    Some((name.to_owned(), upload.to_owned()))
}

/// The parts that the client names, checked.
fn choose<'a>(parts: &'a [(u32, PartRow)], chosen: &[Chosen]) -> Result<Vec<&'a PartRow>, VaultProblem> {
    if chosen.is_empty() {
        return Err(VaultProblem::Invalid("an upload needs at least one part"));
    }
    if !chosen.is_sorted_by(|a, b| a.number < b.number) {
        return Err(VaultProblem::InvalidPartOrder);
    }
    let mut taken = Vec::new();
    for part in chosen {
        let invalid = || VaultProblem::InvalidPart(part.number);
        let index = parts.binary_search_by_key(&part.number, |(number, _)| *number).map_err(|_| invalid())?;
        let (_, found) = parts.get(index).ok_or_else(invalid)?;
        let value = found.checksum.as_ref().map(|checksum| &checksum.value);
        let same = part.etag.as_ref().is_none_or(|etag| *etag == found.etag)
            && part.checksum.as_ref().is_none_or(|named| Some(named) == value);
        if !same {
            return Err(invalid());
        }
        taken.push(found);
    }
    let small = taken.split_last().is_some_and(|(_, others)| others.iter().any(|part| part.size < PART_LEAST));
    if small { Err(VaultProblem::PartTooSmall) } else { Ok(taken) }
}

fn whole_checksum(algorithm: Option<Algorithm>, parts: &[&PartRow]) -> Option<Checksum> {
    let checksums: Vec<_> = parts.iter().map(|part| part.checksum.as_ref()).collect();
    match algorithm? {
        // S3 knows it only over the whole object, which would have to be read again.
        Algorithm::Crc64Nvme => None,
        algorithm => checksum_of_parts(algorithm, &checksums),
    }
}
