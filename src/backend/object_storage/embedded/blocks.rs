//! How the bytes of a blob lie in its file: in blocks, each with a checksum behind it. What a disk has changed is noticed by
//! whoever reads it, in whole or in part, and is never served.

use std::{fs::File, io, os::unix::fs::FileExt};

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest};

/// Bytes of a block; the last of a blob may have fewer.
pub(super) const BLOCK: usize = 64 << 10;
/// Bytes of a checksum.
const SUM: usize = 8;
/// A block in the file.
const STRIDE: usize = BLOCK + SUM;
/// At the end of the names of blobs that have checksums. Older ones have none, and are read as they are.
const MARK: &str = ".sums";

/// The name of a blob that is written in blocks.
pub(super) fn name(plain: &str) -> String {
    format!("{plain}{MARK}")
}

/// Puts a checksum behind each block of a blob.
#[derive(Debug)]
pub(super) struct Layout {
    id: String,
    /// Number of the block.
    number: u64,
    /// Bytes of it that have come.
    filled: usize,
    digest: Digest,
}

impl Layout {
    /// Of a blob that has no bytes yet.
    pub(super) fn new(id: &str) -> Self {
        Self { id: id.to_owned(), number: 0, filled: 0, digest: Digest::new(CrcAlgorithm::Crc64Nvme) }
    }

    /// What to write for the next bytes.
    pub(super) fn lay(&mut self, mut bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len() + SUM * (1 + bytes.len() / BLOCK));
        while !bytes.is_empty() {
            let (here, rest) = bytes.split_at(bytes.len().min(BLOCK - self.filled));
            self.digest.update(here);
            out.extend_from_slice(here);
            self.filled += here.len();
            if self.filled == BLOCK {
                out.extend_from_slice(&self.close());
            }
            bytes = rest;
        }
        out
    }

    /// What to write at the end.
    pub(super) fn end(&mut self) -> Vec<u8> {
        if self.filled > 0 { self.close().to_vec() } else { Vec::new() }
    }

    fn close(&mut self) -> [u8; SUM] {
        let sum = seal(&mut self.digest, &self.id, self.number);
        (self.number, self.filled, self.digest) = (self.number + 1, 0, Digest::new(CrcAlgorithm::Crc64Nvme));
        sum
    }
}

/// The checksum of a block is also one over where it belongs: a block in another's place does not fit.
fn seal(digest: &mut Digest, id: &str, number: u64) -> [u8; SUM] {
    digest.update(id.as_bytes());
    digest.update(&number.to_be_bytes());
    digest.finalize().to_be_bytes()
}

/// Reads a piece of a blob, and checks the blocks that it lies in.
///
/// # Errors
/// When the disk fails, the file is too short, or the bytes are not those that were written.
pub(super) fn read(file: &File, id: &str, offset: u64, length: usize) -> io::Result<Bytes> {
    if !id.ends_with(MARK) {
        return whole(read_at(file, offset, length)?.into(), length);
    }
    let first = offset / BLOCK as u64;
    let skip = usize::try_from(offset % BLOCK as u64).map_err(io::Error::other)?;
    let blocks = (skip + length).div_ceil(BLOCK);
    let mut bytes = read_at(file, first * STRIDE as u64, blocks * STRIDE)?;
    let (mut kept, mut at) = (0, 0);
    for number in first.. {
        let end = bytes.len().min(at + STRIDE);
        let Some((data, sum)) = bytes.get(at..end).and_then(<[u8]>::split_last_chunk::<SUM>) else { break };
        let mut digest = Digest::new(CrcAlgorithm::Crc64Nvme);
        digest.update(data);
        if seal(&mut digest, id, number) != *sum {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("block {number} is damaged")));
        }
        let size = data.len();
        bytes.copy_within(at..at + size, kept);
        (kept, at) = (kept + size, end);
    }
    bytes.truncate(kept);
    let bytes = Bytes::from(bytes);
    whole(bytes.slice(skip.min(kept)..(skip + length).min(kept)), length)
}

fn whole(bytes: Bytes, length: usize) -> io::Result<Bytes> {
    if bytes.len() == length {
        Ok(bytes)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "the file is too short"))
    }
}

/// Reads `length` bytes at `offset`, fewer only when the file is too short.
fn read_at(file: &File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + filled as u64)? {
            0 => break,
            read => filled += read,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}
