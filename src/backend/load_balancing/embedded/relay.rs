//! Bytes both ways between two connections.
//!
//! Each way ends for itself: when one side has said all (FIN), the other is told so and may go on speaking. A connection that
//! is idle holds no buffer; the first read of a burst takes a small one, and one that was filled is followed by a large one.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWriteExt, ReadBuf},
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
};

const SMALL: usize = 16 << 10;
const LARGE: usize = 128 << 10;
/// Spare buffers of one size that are kept.
const SPARE: usize = 64;

/// Buffers that the connections of a plane share.
#[derive(Debug)]
pub struct Buffers {
    small: Shelf,
    large: Shelf,
}

#[derive(Debug)]
struct Shelf {
    size: usize,
    spare: Mutex<Vec<Vec<u8>>>,
}

impl Default for Buffers {
    fn default() -> Self {
        let shelf = |size| Shelf { size, spare: Mutex::new(Vec::new()) };
        Self { small: shelf(SMALL), large: shelf(LARGE) }
    }
}

impl Buffers {
    fn shelf(&self, large: bool) -> &Shelf {
        if large { &self.large } else { &self.small }
    }
}

impl Shelf {
    fn take(&self) -> Vec<u8> {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        spare.unwrap_or_else(|| vec![0; self.size])
    }

    fn put(&self, buffer: Vec<u8>) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE {
            spare.push(buffer);
        }
    }
}

/// Carries bytes until both sides have said all. Who said so first is told of the other's end by the end of the connection.
///
/// # Errors
/// When either side breaks off; the other must then be broken off too, or it would take a part for the whole.
pub async fn relay(a: &mut TcpStream, b: &mut TcpStream, buffers: &Buffers) -> io::Result<()> {
    let ((a_read, a_write), (b_read, b_write)) = (a.split(), b.split());
    let ended = AtomicBool::new(false);
    tokio::try_join!(biased; one_way(a_read, b_write, buffers, &ended), one_way(b_read, a_write, buffers, &ended))?;
    Ok(())
}

async fn one_way(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    buffers: &Buffers,
    ended: &AtomicBool,
) -> io::Result<()> {
    let mut large = false;
    loop {
        let shelf = buffers.shelf(large);
        let (buffer, length) = poll_fn(|cx| read(&mut from, shelf, cx)).await?;
        if length == 0 {
            shelf.put(buffer);
            if ended.swap(true, Ordering::Relaxed) {
                return Ok(());
            }
            // fails when the other side has broken off meanwhile, which its own direction finds out
            return to.shutdown().await.or(Ok(()));
        }
        to.write_all(buffer.get(..length).unwrap_or_default()).await?;
        shelf.put(buffer);
        large = length == shelf.size || large && length > SMALL;
    }
}

/// Reads into a buffer that is held only while there is something to read.
fn read(from: &mut ReadHalf<'_>, shelf: &Shelf, cx: &mut Context<'_>) -> Poll<io::Result<(Vec<u8>, usize)>> {
    let mut buffer = shelf.take();
    let mut into = ReadBuf::new(&mut buffer);
    match Pin::new(from).poll_read(cx, &mut into) {
        Poll::Pending => {
            shelf.put(buffer);
            Poll::Pending
        }
        Poll::Ready(Err(problem)) => Poll::Ready(Err(problem)),
        Poll::Ready(Ok(())) => {
            let length = into.filled().len();
            Poll::Ready(Ok((buffer, length)))
        }
    }
}
