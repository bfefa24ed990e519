//! The vault's rows inside one transaction. Usage moves with the rows that it counts, never apart from them.

use serde::{Serialize, de::DeserializeOwned};

use super::{
    problem::VaultProblem,
    rows::{Body, BucketRow, INLINE, ObjectRow, PartRow, Segment, UploadRow, key},
};
use crate::backend::store::{StoreProblem, Table, Transaction, View, decode, encode, prefix_end};

/// Reads one row.
pub(super) fn get<T: DeserializeOwned>(view: &(impl View + ?Sized), key: &[u8]) -> Result<Option<T>, StoreProblem> {
    view.get(Table::Data, key)?.map(|bytes| decode(&bytes)).transpose()
}

/// Where the bytes of an object are.
pub(super) fn segments(view: &(impl View + ?Sized), row: &ObjectRow) -> Result<Vec<Segment>, StoreProblem> {
    match &row.body {
        Body::Here(segments) => Ok(segments.clone()),
        Body::Manifest(id) => {
            get(view, &key::manifest(id))?.ok_or_else(|| StoreProblem::Corrupt(format!("the manifest {id} is missing")))
        }
    }
}

/// Writes that become true together.
pub(super) struct Edit<'a> {
    pub(super) tx: &'a mut dyn Transaction,
    /// Blobs that nothing names any more, to be removed after the commit.
    pub(super) freed: Vec<String>,
}

impl Edit<'_> {
    pub(super) fn get<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, StoreProblem> {
        get(&*self.tx, key)
    }

    pub(super) fn put<T: Serialize>(&mut self, key: &[u8], value: &T) -> Result<(), StoreProblem> {
        self.tx.put(Table::Data, key, encode(value)?)
    }

    pub(super) fn delete(&mut self, key: &[u8]) -> Result<(), StoreProblem> {
        self.tx.delete(Table::Data, key)
    }

    /// The bucket's row, when it is open.
    pub(super) fn bucket(&self, bucket: &str) -> Result<BucketRow, VaultProblem> {
        self.get(&key::bucket(bucket))?.ok_or(VaultProblem::NoSuchBucket)
    }

    pub(super) fn object(&self, bucket: &str, name: &str) -> Result<Option<ObjectRow>, StoreProblem> {
        self.get(&key::object(bucket, name))
    }

    pub(super) fn upload(&self, bucket: &str, name: &str, id: &str) -> Result<UploadRow, VaultProblem> {
        self.get(&key::upload(bucket, name, id))?.ok_or(VaultProblem::NoSuchUpload)
    }

    /// Puts an object in the place of what was there. Its segments count as held already.
    pub(super) fn place(
        &mut self,
        bucket: &str,
        name: &str,
        mut row: ObjectRow,
        segments: Vec<Segment>,
    ) -> Result<(), VaultProblem> {
        let mut usage = self.bucket(bucket)?;
        match self.object(bucket, name)? {
            Some(old) => {
                usage.bytes = usage.bytes.saturating_sub(old.size);
                self.let_go(&old)?;
            }
            None => usage.objects += 1,
        }
        usage.bytes += row.size;
        row.body = if segments.len() > INLINE {
            self.put(&key::manifest(&row.version), &segments)?;
            Body::Manifest(row.version.clone())
        } else {
            Body::Here(segments)
        };
        self.put(&key::object(bucket, name), &row)?;
        Ok(self.put(&key::bucket(bucket), &usage)?)
    }

    /// Removes an object. False when there was none.
    pub(super) fn remove(&mut self, bucket: &str, name: &str) -> Result<bool, VaultProblem> {
        let mut usage = self.bucket(bucket)?;
        let Some(old) = self.object(bucket, name)? else { return Ok(false) };
        self.let_go(&old)?;
        self.delete(&key::object(bucket, name))?;
        usage.objects = usage.objects.saturating_sub(1);
        usage.bytes = usage.bytes.saturating_sub(old.size);
        self.put(&key::bucket(bucket), &usage)?;
        Ok(true)
    }

    fn let_go(&mut self, row: &ObjectRow) -> Result<(), StoreProblem> {
        let segments = segments(&*self.tx, row)?;
        if let Body::Manifest(id) = &row.body {
            self.delete(&key::manifest(id))?;
        }
        self.release(&segments)
    }

    /// Counts one more user of each segment's blob.
    pub(super) fn hold(&mut self, segments: &[Segment]) -> Result<(), StoreProblem> {
        segments.iter().try_for_each(|segment| {
            let key = key::blob(&segment.blob);
            let users: u32 = self.get(&key)?.unwrap_or(0);
            self.put(&key, &(users + 1))
        })
    }

    /// Counts one user less; a blob without users is removed after the commit.
    pub(super) fn release(&mut self, segments: &[Segment]) -> Result<(), StoreProblem> {
        for segment in segments {
            let key = key::blob(&segment.blob);
            match self.get::<u32>(&key)? {
                Some(users) if users > 1 => self.put(&key, &(users - 1))?,
                _ => {
                    self.delete(&key)?;
                    self.freed.push(segment.blob.clone());
                }
            }
        }
        Ok(())
    }

    /// The parts of an upload by number.
    pub(super) fn parts(&self, upload: &str) -> Result<Vec<(u32, PartRow)>, StoreProblem> {
        parts(&*self.tx, upload, 0, usize::MAX)
    }

    /// Removes an upload and all its parts.
    pub(super) fn abort(&mut self, bucket: &str, name: &str, upload: &str) -> Result<(), StoreProblem> {
        for (number, part) in self.parts(upload)? {
            self.release(&part.segments)?;
            self.delete(&key::part(upload, number))?;
        }
        self.delete(&key::upload(bucket, name, upload))
    }
}

/// The parts of an upload after a number, at most `limit`.
pub(super) fn parts(
    view: &(impl View + ?Sized),
    upload: &str,
    after: u32,
    limit: usize,
) -> Result<Vec<(u32, PartRow)>, StoreProblem> {
    let (from, to) = (key::part(upload, after.saturating_add(1)), prefix_end(&key::parts(upload)));
    let rows = view.scan(Table::Data, &from, &to, limit)?;
    let number = |key: &[u8]| key.last_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
    rows.into_iter().map(|(key, value)| Ok((number(&key), decode(&value)?))).collect()
}
