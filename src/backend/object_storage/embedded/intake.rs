//! A body on its way in and on its way out: a bounded piece of it in memory at a time.

use std::{io, sync::Arc};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use s3s::{StdError, dto::StreamingBlob};
use tokio::sync::mpsc;

use super::{
    blobs::{Blobs, Draft},
    blocks::{self, BLOCK},
    digest::{Digests, Expected, Hashes},
    problem::VaultProblem,
    rows::Segment,
    vault::Found,
};

/// Bytes that go to disk, or come from it, in one step.
const PIECE: usize = 512 << 10;

/// A body that is on disk and that no row names yet. Dropping it removes it.
pub(super) struct Received {
    draft: Option<Draft>,
    pub(super) size: u64,
    pub(super) digests: Digests,
}

impl Received {
    /// Where its bytes are.
    pub(super) fn segments(&self) -> Vec<Segment> {
        let segment =
            |draft: &Draft| Segment { blob: draft.id().to_owned(), offset: 0, length: self.size, first: false };
        self.draft.iter().map(segment).collect()
    }

    /// It belongs to a row now.
    pub(super) fn keep(self) {
        self.draft.into_iter().for_each(Draft::keep);
    }
}

/// What is being written: nothing but hashes while no byte has come.
struct Work {
    blobs: Arc<Blobs>,
    draft: Option<Draft>,
    hashes: Hashes,
    size: u64,
}

impl Work {
    fn write(mut self, pieces: Vec<Bytes>) -> io::Result<Self> {
        let mut draft = match self.draft.take() {
            Some(draft) => draft,
            None => self.blobs.draft()?,
        };
        for piece in pieces {
            self.hashes.update(&piece);
            draft.write(&piece)?;
            self.size += piece.len() as u64;
        }
        Ok(Self { draft: Some(draft), ..self })
    }

    fn finish(mut self) -> io::Result<Received> {
        if let Some(draft) = &mut self.draft {
            draft.finish()?;
        }
        Ok(Received { draft: self.draft, size: self.size, digests: self.hashes.finish() })
    }
}

/// Takes a body in. When it returns, the bytes are on disk and are what the client said; `late` gives the checksum that may
/// have come behind the body.
///
/// # Errors
/// When the body breaks off, is not what the client said, or the disk fails. Nothing is left then.
pub(super) async fn receive(
    blobs: &Arc<Blobs>,
    body: Option<StreamingBlob>,
    mut expected: Expected,
    late: impl FnOnce() -> Option<String>,
) -> Result<Received, VaultProblem> {
    let hashes = Hashes::new(expected.algorithm);
    let mut work = Work { blobs: Arc::clone(blobs), draft: None, hashes, size: 0 };
    if let Some(mut body) = body {
        let mut pieces = gather(&mut body).await?;
        while !pieces.is_empty() {
            let writing = tokio::task::spawn_blocking(move || work.write(pieces));
            // The next piece comes in while this one goes to disk.
            let (written, next) = tokio::join!(writing, gather(&mut body));
            work = written.map_err(io::Error::other)??;
            pieces = next?;
        }
    }
    if expected.length.is_some_and(|length| length != work.size) {
        return Err(VaultProblem::Incomplete);
    }
    expected.value = expected.value.or_else(late);
    let finished = tokio::task::spawn_blocking(move || work.finish());
    let received = finished.await.map_err(io::Error::other)??;
    received.digests.check(&expected)?;
    Ok(received)
}

/// About [`PIECE`] bytes; none at the end.
async fn gather(body: &mut (impl Stream<Item = Result<Bytes, StdError>> + Unpin)) -> Result<Vec<Bytes>, VaultProblem> {
    let (mut pieces, mut size) = (Vec::new(), 0);
    while size < PIECE
        && let Some(piece) = body.next().await
    {
        let piece = piece.map_err(VaultProblem::Body)?;
        size += piece.len();
        if !piece.is_empty() {
            pieces.push(piece);
        }
    }
    Ok(pieces)
}

/// The bytes of an object, read while they are sent, the first of them before this returns.
///
/// # Errors
/// When the first bytes are not there, or are not those that were written. Later the stream ends with an error.
pub(super) async fn open(blobs: Arc<Blobs>, found: Found, pieces: Vec<Segment>) -> Result<StreamingBlob, VaultProblem> {
    let mut rest = send(blobs, found, pieces);
    let first = rest.next().await.transpose()?;
    Ok(StreamingBlob::wrap(futures::stream::iter(first.map(Ok)).chain(rest)))
}

/// The bytes of an object, read while they are taken. `pieces` are those of its segments that are wanted.
pub(super) fn send(
    blobs: Arc<Blobs>,
    found: Found,
    pieces: Vec<Segment>,
) -> impl Stream<Item = io::Result<Bytes>> + Send + Sync + Unpin {
    let (sender, mut pieces_read) = mpsc::channel::<io::Result<Bytes>>(1);
    tokio::spawn(async move {
        // The pin goes with the last byte.
        let found = found;
        for piece in pieces {
            let blob = piece.blob.clone();
            if let Err(problem) = send_one(&blobs, piece, &sender).await {
                let Found { bucket, name, .. } = &found;
                tracing::error!(bucket, key = name, blob, %problem, "an object cannot be read");
                // Nobody listens when the client is gone; then there is nobody to tell.
                drop(sender.send(Err(problem)).await);
                return;
            }
        }
    });
    futures::stream::poll_fn(move |context| pieces_read.poll_recv(context))
}

async fn send_one(blobs: &Arc<Blobs>, piece: Segment, sender: &mpsc::Sender<io::Result<Bytes>>) -> io::Result<()> {
    let (opener, id) = (Arc::clone(blobs), piece.blob.clone());
    let file = tokio::task::spawn_blocking(move || opener.open_blob(&id)).await.map_err(io::Error::other)??;
    let file = Arc::new(file);
    let (mut offset, end) = (piece.offset, piece.offset + piece.length);
    while offset < end {
        // To the end of a block, so that none is read twice.
        let most = PIECE - usize::try_from(offset % BLOCK as u64).unwrap_or(0);
        let length = usize::try_from(end - offset).unwrap_or(most).min(most);
        let (reader, id) = (Arc::clone(&file), piece.blob.clone());
        let reading = tokio::task::spawn_blocking(move || blocks::read(&reader, &id, offset, length));
        let bytes = reading.await.map_err(io::Error::other)??;
        offset += length as u64;
        if sender.send(Ok(bytes)).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}
