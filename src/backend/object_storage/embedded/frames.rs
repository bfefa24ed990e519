//! Bodies in chunks (`aws-chunked`). The library holds a whole chunk before it passes it on, and some clients send all of a
//! body as one: chunks without signatures are cut here, signed ones are refused when they are too large. It also takes lines
//! for sizes that are none, and a body whose last chunk never came; those are refused here.

use std::io;

use bytes::{Bytes, BytesMut};

/// Largest chunk that is passed on.
const CHUNK: u64 = 512 << 10;
/// Largest chunk that may be signed: it cannot be cut.
const SIGNED_CHUNK: u64 = 4 << 20;
/// Longest line before a chunk.
const HEAD: usize = 1024;
/// Most digits of a size.
const DIGITS: usize = 16;
/// The same of a signed chunk: the library reads no more of one.
const SIGNED_DIGITS: usize = 8;

/// Follows the framing of one body.
#[derive(Debug)]
pub(super) struct Frames {
    signed: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    /// In the line before a chunk.
    Head(BytesMut),
    /// In a chunk: what is left of it, and of the piece of it that is being passed on.
    Data { left: u64, piece: u64 },
    /// In the line end after a chunk: bytes of it to come.
    End(u8),
    /// Behind the last chunk.
    Rest,
}

impl Frames {
    /// Of chunks that are signed.
    pub(super) fn signed() -> Self {
        Self { signed: true, state: State::Head(BytesMut::new()) }
    }

    /// Of chunks that are not.
    pub(super) fn plain() -> Self {
        Self { signed: false, ..Self::signed() }
    }

    /// Takes the next bytes; what to pass on.
    ///
    /// # Errors
    /// When there is no size where one must be, or a signed chunk is too large.
    pub(super) fn cut(&mut self, mut input: Bytes) -> io::Result<Vec<Bytes>> {
        let mut out = Vec::new();
        while !input.is_empty() {
            match &mut self.state {
                State::Rest => out.push(std::mem::take(&mut input)),
                State::Head(line) => {
                    let end = input.iter().position(|byte| *byte == b'\n').map_or(input.len(), |at| at + 1);
                    line.extend_from_slice(&input.split_to(end));
                    if line.ends_with(b"\n") || line.len() > HEAD {
                        let line = std::mem::take(line).freeze();
                        self.state = self.begin(line, &mut out)?;
                    }
                }
                State::Data { left, piece } => {
                    if *piece == 0 {
                        *piece = (*left).min(CHUNK);
                        out.push(Bytes::from(format!("{piece:x}\r\n")));
                    }
                    let here = input.split_to(usize::try_from(*piece).unwrap_or(usize::MAX).min(input.len()));
                    *piece -= here.len() as u64;
                    *left -= here.len() as u64;
                    out.push(here);
                    if *left == 0 {
                        self.state = State::End(2);
                    } else if *piece == 0 {
                        out.push(Bytes::from_static(b"\r\n"));
                    }
                }
                State::End(bytes) => {
                    out.push(input.split_to(1));
                    *bytes -= 1;
                    if *bytes == 0 {
                        self.state = State::Head(BytesMut::new());
                    }
                }
            }
        }
        Ok(out)
    }

    /// At the end of the body.
    ///
    /// # Errors
    /// When the last chunk did not come.
    pub(super) fn end(&self) -> io::Result<()> {
        match self.state {
            State::Rest => Ok(()),
            _ => Err(io::Error::other("the body ends before its last chunk, which has the size 0")),
        }
    }

    /// After the line before a chunk.
    fn begin(&self, line: Bytes, out: &mut Vec<Bytes>) -> io::Result<State> {
        let digits = if self.signed { SIGNED_DIGITS } else { DIGITS };
        match size(&line, digits).ok_or_else(|| io::Error::other("a chunk begins without its size"))? {
            0 => {
                out.push(line);
                Ok(State::Rest)
            }
            size if !self.signed => Ok(State::Data { left: size, piece: 0 }),
            size if size > SIGNED_CHUNK => {
                Err(io::Error::other(format!("a signed chunk has {size} bytes, at most {SIGNED_CHUNK} are taken")))
            }
            size => {
                out.push(line);
                Ok(State::Data { left: size, piece: size })
            }
        }
    }
}

/// The size that a whole line says, in hexadecimal digits and nothing else; an extension may follow.
fn size(line: &[u8], most: usize) -> Option<u64> {
    let line = std::str::from_utf8(line.strip_suffix(b"\r\n")?).ok()?;
    let digits = line.split(';').next()?;
    let right = (1..=most).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if right { u64::from_str_radix(digits, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(mut frames: Frames, input: &[u8], step: usize) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        for piece in input.chunks(step) {
            out.extend(frames.cut(Bytes::copy_from_slice(piece))?);
        }
        Ok(out.concat())
    }

    #[test]
    fn small_chunks_pass_as_they_are() {
        let signed = b"5;chunk-signature=ab\r\nhello\r\n1;chunk-signature=cd\r\n!\r\n0;chunk-signature=ef\r\n\r\n";
        let plain = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n";
        for step in [1, 2, 7, 1000] {
            assert_eq!(through(Frames::signed(), signed, step).unwrap(), signed);
            assert_eq!(through(Frames::plain(), plain, step).unwrap(), plain);
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for line in ["zz", "", "+5", "-5", " 5", "5 ", "0x5", "5zz", "5\r", "\u{661}", "00000000000000005", ";a", "+0"]
        {
            for frames in [Frames::plain, Frames::signed] {
                let body = format!("{line}\r\nhello\r\n0\r\n\r\n");
                assert!(through(frames(), body.as_bytes(), 3).is_err(), "{line:?}");
            }
        }
        assert!(through(Frames::plain(), b"5\nhello\r\n0\r\n\r\n", 3).is_err());
        assert!(through(Frames::plain(), &[b'1'; 3000], 1000).is_err());
        let long = b"000000005;chunk-signature=ab\r\nhello\r\n";
        assert!(through(Frames::signed(), long, 7).is_err() && through(Frames::plain(), long, 7).is_ok());
    }

    #[test]
    fn a_body_ends_with_its_last_chunk() {
        for (body, whole) in
            [("", false), ("5", false), ("5\r\nhello\r\n", false), ("0\r\n", true), ("0\r\n\r\n", true)]
        {
            let mut frames = Frames::plain();
            frames.cut(Bytes::from_static(body.as_bytes())).unwrap();
            assert_eq!(frames.end().is_ok(), whole, "{body:?}");
        }
    }

    #[test]
    fn large_chunks_are_cut_unless_they_are_signed() {
        let body = vec![7; 2 * 524_288 + 3];
        let input = [format!("{:x}\r\n", body.len()).as_bytes(), &body, b"\r\n0\r\n\r\n"].concat();
        let (one, last) = ([&b"80000\r\n"[..], &body[..524_288], b"\r\n"].concat(), b"3\r\n\x07\x07\x07\r\n0\r\n\r\n");
        for step in [1000, 524_288, input.len()] {
            assert!(through(Frames::plain(), &input, step).unwrap() == [&one[..], &one, last].concat());
        }
        assert!(through(Frames::signed(), b"400001;chunk-signature=ab\r\n", 9).is_err());
        assert!(through(Frames::signed(), b"400000;chunk-signature=ab\r\n", 9).is_ok());
    }
}
