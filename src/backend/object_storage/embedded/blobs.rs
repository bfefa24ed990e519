//! Blobs: files that are written once and never changed. A row of the vault makes one visible; one that no row names is
//! garbage, and a start removes it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{blocks, rows::Segment};

/// Folders that the files are spread over.
const SHARDS: u64 = 256;

/// The folder of all blobs. Everything here blocks.
#[derive(Debug)]
pub(super) struct Blobs {
    folder: PathBuf,
    /// First part of the names that this process gives: what has another one was there before.
    epoch: String,
    next: AtomicU64,
    pins: Mutex<Pins>,
}

/// Blobs that are being read, and those among them that nobody needs once they have been.
#[derive(Debug, Default)]
struct Pins {
    readers: BTreeMap<String, usize>,
    doomed: BTreeSet<String>,
}

impl Blobs {
    /// The blobs in `folder`, which is made when it is missing. `epoch` is new at each start.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub(super) fn open(folder: &Path, epoch: &str) -> io::Result<Self> {
        for shard in 0..SHARDS {
            fs::create_dir_all(folder.join(format!("{shard:02x}")))?;
        }
        File::open(folder)?.sync_all()?;
        let (folder, epoch) = (folder.to_owned(), epoch.to_owned());
        Ok(Self { folder, epoch, next: AtomicU64::new(0), pins: Mutex::default() })
    }

    /// A name that was never used.
    pub(super) fn name(&self) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        format!("{:02x}{}.{number:x}", number % SHARDS, self.epoch)
    }

    fn path(&self, id: &str) -> PathBuf {
        self.folder.join(id.get(..2).unwrap_or_default()).join(id.get(2..).unwrap_or_default())
    }

    /// A new blob, empty. It is removed again unless [`Draft::keep`] is called.
    pub(super) fn draft(self: &Arc<Self>) -> io::Result<Draft> {
        let id = blocks::name(&self.name());
        let file = File::options().write(true).create_new(true).open(self.path(&id))?;
        Ok(Draft { blobs: Arc::clone(self), layout: blocks::Layout::new(&id), id, file, kept: false })
    }

    /// Opens a blob to be read.
    pub(super) fn open_blob(&self, id: &str) -> io::Result<File> {
        File::open(self.path(id))
    }

    /// Keeps the files of these segments until the pin is dropped.
    pub(super) fn pin(self: &Arc<Self>, segments: &[Segment]) -> Pin {
        let ids: Vec<String> = segments.iter().map(|segment| segment.blob.clone()).collect();
        let mut pins = lock(&self.pins);
        for id in &ids {
            *pins.readers.entry(id.clone()).or_default() += 1;
        }
        drop(pins);
        Pin { blobs: Arc::clone(self), ids }
    }

    /// Removes blobs that no row names any more; those that are being read, after the last reader. What cannot be removed
    /// the next start removes.
    pub(super) fn free(&self, ids: Vec<String>) {
        let mut pins = lock(&self.pins);
        let (read, free): (Vec<_>, Vec<_>) = ids.into_iter().partition(|id| pins.readers.contains_key(id));
        pins.doomed.extend(read);
        // Nobody can begin to read them: a reader pins first and then looks whether the row is still there.
        drop(pins);
        free.iter().for_each(|id| self.remove(id));
    }

    fn remove(&self, id: &str) {
        if let Err(problem) = fs::remove_file(self.path(id)) {
            tracing::warn!(%problem, id, "a blob cannot be removed");
        }
    }

    /// Removes what a former process left behind: every older blob for which `named` says no. Holds one name at a time.
    ///
    /// # Errors
    /// When a folder cannot be read, or `named` fails.
    pub(super) fn sweep<E: From<io::Error>>(&self, named: impl Fn(&str) -> Result<bool, E>) -> Result<u64, E> {
        let mut removed = 0;
        for shard in 0..SHARDS {
            for entry in fs::read_dir(self.folder.join(format!("{shard:02x}")))? {
                let name = entry?.file_name();
                let Some(name) = name.to_str().filter(|name| !name.starts_with(&self.epoch)) else { continue };
                let id = format!("{shard:02x}{name}");
                if !named(&id)? {
                    self.remove(&id);
                    removed += 1;
                }
            }
        }
        Ok(removed)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A blob that is being written.
#[derive(Debug)]
pub(super) struct Draft {
    blobs: Arc<Blobs>,
    id: String,
    file: File,
    layout: blocks::Layout,
    kept: bool,
}

impl Draft {
    /// Its name.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Adds bytes at its end.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(&self.layout.lay(bytes))
    }

    /// All bytes have come. Returns when they and the name are on the disk.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.file.write_all(&self.layout.end())?;
        self.file.sync_data()?;
        // Under its last name from the start: it is a row that makes it visible, not the name.
        let shard = self.blobs.path(&self.id);
        File::open(shard.parent().unwrap_or(&self.blobs.folder))?.sync_all()
    }

    /// It stays: a row names it now, or may name it.
    pub(super) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.kept {
            self.blobs.remove(&self.id);
        }
    }
}

/// Keeps files while they are read.
#[derive(Debug)]
pub(super) struct Pin {
    blobs: Arc<Blobs>,
    ids: Vec<String>,
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut pins = lock(&self.blobs.pins);
        let mut free = Vec::new();
        for id in self.ids.drain(..) {
            let left = pins.readers.get_mut(&id).map_or(0, |count| {
                *count -= 1;
                *count
            });
            if left == 0 {
                pins.readers.remove(&id);
                free.extend(pins.doomed.take(&id));
            }
        }
        drop(pins);
        free.iter().for_each(|id| self.blobs.remove(id));
    }
}
