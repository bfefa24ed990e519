//! Uploads in parts.

use super::{
    digest::{checksum_of_parts, checksum_of_whole, of_parts},
    edit::{Edit, get, parts, segments},
    intake::Received,
    problem::VaultProblem,
    rows::{Checksum, ObjectRow, PartRow, Segment, UploadRow, key},
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

/// What the client says about the whole when it completes an upload.
#[derive(Clone, Debug, Default)]
pub(super) struct Order {
    pub(super) parts: Vec<Chosen>,
    pub(super) checksum: Option<String>,
    pub(super) size: Option<u64>,
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
    pub(super) async fn begin(&self, bucket: &str, name: &str, row: UploadRow) -> Result<String, VaultProblem> {
        let (bucket, name, id) = (bucket.to_owned(), name.to_owned(), self.world.id("up"));
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

    /// Completes an upload: from now on its parts are the object. Once more, as long as the object is there, the answer is
    /// the same.
    pub(super) async fn complete(
        &self,
        place: Place,
        order: Order,
        condition: Condition,
    ) -> Result<ObjectRow, VaultProblem> {
        let (version, modified) = (self.blobs.name(), self.now());
        self.change(move |edit| {
            let present = edit.object(&place.bucket, &place.name)?;
            let upload = match (edit.upload(&place.bucket, &place.name, &place.upload), present) {
                (Err(VaultProblem::NoSuchUpload), Some(made)) if made.upload.as_ref() == Some(&place.upload) => {
                    return Ok(made);
                }
                (upload, present) => {
                    let upload = upload?;
                    condition(present.as_ref())?;
                    upload
                }
            };
            let parts = edit.parts(&place.upload)?;
            let taken = choose(&parts, &order.parts)?;
            let row = ObjectRow { version: version.clone(), modified, ..whole(upload, &taken) };
            let row = ObjectRow { upload: Some(place.upload.clone()), ..row };
            order.check(&row)?;
            let segments: Vec<Segment> = taken.iter().flat_map(|part| marked(&part.segments)).collect();
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

/// The object that parts become.
fn whole(upload: UploadRow, parts: &[&PartRow]) -> ObjectRow {
    let sums: Vec<_> = parts.iter().map(|part| part.checksum.as_ref()).collect();
    let checksum = upload.algorithm.and_then(|algorithm| {
        if upload.whole {
            let sized: Vec<_> = parts.iter().map(|part| (part.checksum.as_ref(), part.size)).collect();
            return checksum_of_whole(algorithm, &sized);
        }
        checksum_of_parts(algorithm, &sums)
    });
    ObjectRow {
        size: parts.iter().map(|part| part.size).sum(),
        etag: of_parts(&parts.iter().map(|part| part.etag.as_str()).collect::<Vec<_>>()),
        facts: upload.facts,
        checksum,
        parts: u32::try_from(parts.len()).ok(),
        ..ObjectRow::default()
    }
}

/// The segments of a part, with its beginning marked.
fn marked(segments: &[Segment]) -> impl Iterator<Item = Segment> {
    segments.iter().enumerate().map(|(index, segment)| Segment { first: index == 0, ..segment.clone() })
}

/// The bytes of one part of an object. One that was not uploaded in parts is its only part.
pub(super) fn part_range(
    row: &ObjectRow,
    segments: &[Segment],
    number: i32,
) -> Result<std::ops::Range<u64>, VaultProblem> {
    let wrong = || VaultProblem::PartNumber(number);
    let index = usize::try_from(number).ok().and_then(|number| number.checked_sub(1)).ok_or_else(wrong)?;
    if index >= row.parts.unwrap_or(1) as usize {
        return Err(wrong());
    }
    let (mut starts, mut at) = (Vec::new(), 0);
    for segment in segments {
        if segment.first {
            starts.push(at);
        }
        at += segment.length;
    }
    // Only the last part can be empty, and then no segment begins it.
    let start = starts.get(index).copied().unwrap_or(if index == 0 { 0 } else { row.size });
    Ok(start..starts.get(index + 1).copied().unwrap_or(row.size))
}

impl Order {
    /// Refuses a whole that is not what the client says. A checksum of parts may be said with their number or without.
    fn check(&self, row: &ObjectRow) -> Result<(), VaultProblem> {
        if self.size.is_some_and(|size| size != row.size) {
            return Err(VaultProblem::Size);
        }
        let Some(said) = &self.checksum else { return Ok(()) };
        let found = row.checksum.as_ref().map_or("", |checksum| checksum.value.as_str());
        let bare = found.split('-').next().unwrap_or_default();
        if said == found || said == bare { Ok(()) } else { Err(VaultProblem::BadDigest("checksum")) }
    }
}
