//! The vault: objects on disk. Bytes are blobs, everything else is rows in a store of its own; a row is written after the
//! blob that it names is on disk, and a blob is removed after the last row that names it is gone.

use std::{
    collections::BTreeMap,
    ops::Range,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    blobs::{Blobs, Pin},
    edit::{Edit, get, segments},
    intake::Received,
    problem::VaultProblem,
    rows::{Facts, ObjectRow, Segment, key},
};
use crate::{
    backend::store::{Aborted, Job, OpenProblem, RedbStore, Store, StoreProblem, Table, View, prefix_end},
    protocol::object_storage::Usage,
    runtime::World,
};

/// Memory for pages of rows.
const CACHE: usize = 24 << 20;
/// Objects that one transaction removes when a bucket is emptied.
const BATCH: usize = 500;
/// How often a reader looks again when the object changes under its eyes.
const TRIES: u32 = 32;

/// All objects of all buckets. Buckets go by the id that the API gave them. Cheap to clone.
#[derive(Clone)]
pub(super) struct Vault {
    store: Arc<RedbStore>,
    pub(super) blobs: Arc<Blobs>,
    pub(super) world: World,
}

/// An object whose bytes stay readable as long as this lives.
pub(super) struct Found {
    pub(super) bucket: String,
    pub(super) name: String,
    pub(super) row: ObjectRow,
    pub(super) segments: Vec<Segment>,
    _pin: Pin,
}

/// What must hold at the moment of a write.
pub(super) type Condition = Arc<dyn Fn(Option<&ObjectRow>) -> Result<(), VaultProblem> + Send + Sync>;

/// Why the vault cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum VaultOpenProblem {
    /// Its rows.
    #[error(transparent)]
    Rows(#[from] OpenProblem),
    /// Its rows cannot be read.
    #[error(transparent)]
    Store(#[from] StoreProblem),
    /// Its files.
    #[error("the files of the object store cannot be used: {0}; choose another folder with --state-dir")]
    Files(#[from] std::io::Error),
}

impl Vault {
    /// Opens the vault in `folder`, or makes one. Removes what an interrupted process left. Blocks.
    ///
    /// # Errors
    /// When another process has it, or its files cannot be used.
    pub(super) fn open(folder: &Path, world: &World) -> Result<Self, VaultOpenProblem> {
        std::fs::create_dir_all(folder)?;
        let store = Arc::new(RedbStore::open_unfollowed(&folder.join("rows.redb"), world, CACHE)?);
        let epoch = store.identity().epoch.clone();
        let blobs = Arc::new(Blobs::open(&folder.join("blobs"), &epoch)?);
        let vault = Self { store, blobs, world: world.clone() };
        let removed = vault.sweep()?;
        if removed > 0 {
            tracing::info!(removed, "removed blobs of interrupted writes");
        }
        Ok(vault)
    }

    /// Asks the rows about each older blob, in batches of one view a blob: a start has nothing else to do.
    fn sweep(&self) -> Result<u64, VaultOpenProblem> {
        let runtime = tokio::runtime::Handle::try_current();
        let named = |id: &str| -> Result<bool, VaultOpenProblem> {
            let key = key::blob(id);
            let look = self.look(move |view| Ok(view.get(Table::Data, &key)?.is_some()));
            let answer = match &runtime {
                Ok(runtime) => runtime.block_on(look),
                Err(_) => return Ok(true),
            };
            answer.map_err(|problem| match problem {
                VaultProblem::Store(problem) => problem.into(),
                other => VaultOpenProblem::Files(std::io::Error::other(other)),
            })
        };
        self.blobs.sweep(named)
    }

    /// Finishes what is queued and lets go of the files.
    pub(super) async fn close(&self) {
        self.store.close().await;
    }

    /// Milliseconds since 1970.
    pub(super) fn now(&self) -> i64 {
        self.world.now().as_millisecond()
    }

    /// Reads rows at one moment.
    pub(super) async fn look<R: Send + 'static>(
        &self,
        look: impl FnOnce(&dyn View) -> Result<R, VaultProblem> + Send + 'static,
    ) -> Result<R, VaultProblem> {
        let slot = Arc::new(Mutex::new(None));
        let filled = Arc::clone(&slot);
        let look = Box::new(move |view: &dyn View| {
            *filled.lock().unwrap_or_else(PoisonError::into_inner) = Some(look(view));
        });
        self.store.look(look).await?;
        slot.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or(Err(StoreProblem::Closed.into()))
    }

    /// Changes rows in one durable transaction, then removes the blobs that it freed. Goes on when the caller is gone.
    pub(super) async fn change<R, F>(&self, work: F) -> Result<R, VaultProblem>
    where
        R: Send + 'static,
        F: FnMut(&mut Edit<'_>) -> Result<R, VaultProblem> + Send + 'static,
    {
        let vault = self.clone();
        let changing = tokio::spawn(async move { vault.change_here(work).await });
        changing.await.unwrap_or(Err(VaultProblem::Store(StoreProblem::Closed)))
    }

    async fn change_here<R, F>(&self, mut work: F) -> Result<R, VaultProblem>
    where
        R: Send + 'static,
        F: FnMut(&mut Edit<'_>) -> Result<R, VaultProblem> + Send + 'static,
    {
        let slot = Arc::new(Mutex::new(None));
        let filled = Arc::clone(&slot);
        let job = Job {
            durable: true,
            work: Box::new(move |tx| {
                let mut edit = Edit { tx, freed: Vec::new() };
                let answer = work(&mut edit).map(|answer| (answer, edit.freed));
                let ended = if answer.is_ok() { Ok(()) } else { Err(Aborted) };
                *filled.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
                ended
            }),
        };
        self.store.submit(job).await?;
        let answer = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (answer, freed) = answer.unwrap_or(Err(StoreProblem::Closed.into()))?;
        if !freed.is_empty() {
            let blobs = Arc::clone(&self.blobs);
            drop(tokio::task::spawn_blocking(move || blobs.free(freed)).await);
        }
        Ok(answer)
    }

    /// As [`Vault::change`], for a change that gives a received body to a row. The body is removed when the change was
    /// refused; when nobody knows, it stays, and the next start looks.
    pub(super) async fn commit<R, F>(&self, body: Received, work: F) -> Result<R, VaultProblem>
    where
        R: Send + 'static,
        F: FnMut(&mut Edit<'_>) -> Result<R, VaultProblem> + Send + 'static,
    {
        let vault = self.clone();
        let changing = tokio::spawn(async move {
            let answer = vault.change_here(work).await;
            if answer.as_ref().err().is_none_or(VaultProblem::doubtful) {
                body.keep();
            }
            answer
        });
        changing.await.unwrap_or(Err(VaultProblem::Store(StoreProblem::Closed)))
    }

    /// Opens a bucket for writing. Nothing happens when it is open.
    pub(super) async fn open_bucket(&self, bucket: &str) -> Result<Usage, VaultProblem> {
        let key = key::bucket(bucket);
        self.change(move |edit| {
            if let Some(usage) = edit.get(&key)? {
                return Ok(usage);
            }
            edit.put(&key, &Usage::default())?;
            Ok(Usage::default())
        })
        .await
    }

    /// Closes a bucket when it is empty, and drops its unfinished uploads. Else says how full it is.
    pub(super) async fn close_bucket(&self, bucket: &str) -> Result<Option<Usage>, VaultProblem> {
        let key = key::bucket(bucket);
        let full = self.change(move |edit| match edit.get::<Usage>(&key)? {
            Some(usage) if usage.objects > 0 => Ok(Some(usage)),
            _ => edit.delete(&key).map(|()| None).map_err(Into::into),
        });
        let full = full.await?;
        if full.is_none() {
            while self.drop_upload(bucket).await? {}
        }
        Ok(full)
    }

    /// Removes up to [`BATCH`] objects. False when there are none left.
    pub(super) async fn purge_some(&self, bucket: &str) -> Result<bool, VaultProblem> {
        let bucket = bucket.to_owned();
        self.change(move |edit| {
            let prefix = key::object(&bucket, "");
            let rows = edit.tx.scan(Table::Data, &prefix, &prefix_end(&prefix), BATCH)?;
            for (key, _) in &rows {
                let name = std::str::from_utf8(key.get(prefix.len()..).unwrap_or_default()).unwrap_or_default();
                edit.remove(&bucket, name)?;
            }
            Ok(!rows.is_empty())
        })
        .await
    }

    /// Objects and bytes of a bucket that is open.
    pub(super) async fn usage(&self, bucket: &str) -> Result<Option<Usage>, VaultProblem> {
        let key = key::bucket(bucket);
        self.look(move |view| Ok(get(view, &key)?)).await
    }

    /// The same of several, those that are open.
    pub(super) async fn usages(&self, buckets: Vec<String>) -> Result<BTreeMap<String, Usage>, VaultProblem> {
        self.look(move |view| {
            let mut usages = BTreeMap::new();
            for bucket in buckets {
                if let Some(usage) = get(view, &key::bucket(&bucket))? {
                    usages.insert(bucket, usage);
                }
            }
            Ok(usages)
        })
        .await
    }

    /// Puts an object whose body has been received.
    pub(super) async fn put(
        &self,
        bucket: &str,
        name: &str,
        facts: Facts,
        body: Received,
        condition: Condition,
    ) -> Result<ObjectRow, VaultProblem> {
        let (bucket, name) = (bucket.to_owned(), name.to_owned());
        let segments = body.segments();
        let row = ObjectRow {
            version: self.blobs.name(),
            size: body.size,
            etag: body.digests.etag(),
            modified: self.now(),
            facts,
            checksum: body.digests.checksum.clone(),
            ..ObjectRow::default()
        };
        let work = move |edit: &mut Edit<'_>| {
            condition(edit.object(&bucket, &name)?.as_ref())?;
            edit.hold(&segments)?;
            edit.place(&bucket, &name, row.clone(), segments.clone())?;
            Ok(row.clone())
        };
        self.commit(body, work).await
    }

    /// Puts an object with the bytes of another, which are shared, not copied.
    pub(super) async fn copy(
        &self,
        source: (String, String),
        bucket: &str,
        name: &str,
        facts: Option<Facts>,
        condition: Condition,
    ) -> Result<ObjectRow, VaultProblem> {
        let (bucket, name) = (bucket.to_owned(), name.to_owned());
        let (version, modified) = (self.blobs.name(), self.now());
        self.change(move |edit| {
            let found = edit.object(&source.0, &source.1)?.ok_or(VaultProblem::NoSuchKey)?;
            condition(Some(&found))?;
            let segments = segments(&*edit.tx, &found)?;
            edit.hold(&segments)?;
            let facts = facts.clone().unwrap_or_else(|| found.facts.clone());
            let row = ObjectRow { version: version.clone(), modified, facts, upload: None, ..found };
            edit.place(&bucket, &name, row.clone(), segments)?;
            Ok(row)
        })
        .await
    }

    /// Removes objects; those that do not exist count as removed.
    pub(super) async fn delete(&self, bucket: &str, names: Vec<String>) -> Result<(), VaultProblem> {
        let bucket = bucket.to_owned();
        self.change(move |edit| {
            edit.bucket(&bucket)?;
            names.iter().try_for_each(|name| edit.remove(&bucket, name).map(drop))
        })
        .await
    }

    /// An object's row.
    pub(super) async fn head(&self, bucket: &str, name: &str) -> Result<ObjectRow, VaultProblem> {
        let key = key::object(bucket, name);
        self.look(move |view| get(view, &key)?.ok_or(VaultProblem::NoSuchKey)).await
    }

    /// An object with its bytes.
    pub(super) async fn find(&self, bucket: &str, name: &str) -> Result<Found, VaultProblem> {
        let key = key::object(bucket, name);
        let mut held: Option<Found> = None;
        for _ in 0..TRIES {
            let key = key.clone();
            let look = move |view: &dyn View| {
                let row: ObjectRow = get(view, &key)?.ok_or(VaultProblem::NoSuchKey)?;
                let segments = segments(view, &row)?;
                Ok((row, segments))
            };
            let (row, segments) = self.look(look).await?;
            // Still there after it was pinned: whoever removes it from now on sees the pin.
            if let Some(held) = held.take().filter(|held| held.row.version == row.version) {
                return Ok(held);
            }
            let pin = self.blobs.pin(&segments);
            held = Some(Found { bucket: bucket.to_owned(), name: name.to_owned(), row, segments, _pin: pin });
        }
        Err(StoreProblem::Engine("the object is replaced faster than it can be read".to_owned()).into())
    }
}

/// The pieces of the blobs that make up a range.
pub(super) fn cut(segments: &[Segment], range: Range<u64>) -> Vec<Segment> {
    let mut start = 0;
    let mut cut = Vec::new();
    for segment in segments {
        let end = start + segment.length;
        let (from, to) = (range.start.max(start), range.end.min(end));
        if from < to {
            let offset = segment.offset + (from - start);
            cut.push(Segment { blob: segment.blob.clone(), offset, length: to - from, first: false });
        }
        start = end;
    }
    cut
}
