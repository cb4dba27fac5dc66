//! `Source`: the bytes of a pickle, counted and bounded, with memory paid for before it is taken.

use std::io::{self, Read};

use crate::format::pickle::heap::{Full, Heap, Span};

/// Longest line of the text opcodes (a module or a name, a number).
pub(super) const MAX_LINE: usize = 1024;

/// The bytes of a pickle: at most `left` of them, counted.
#[derive(Debug)]
pub struct Source<R> {
    inner: R,
    at: u64,
    left: u64,
}

/// Why there are no bytes.
pub(super) enum Short {
    End,
    Io(io::Error),
    Full,
}

impl From<Full> for Short {
    fn from(_: Full) -> Self {
        Self::Full
    }
}

impl<R: Read> Source<R> {
    /// At most `len` bytes of `inner`, which should be buffered: opcodes are read one by one.
    pub fn new(inner: R, len: u64) -> Self {
        Self { inner, at: 0, left: len }
    }

    /// Bytes read so far.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Bytes not read yet.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// The reader, after the pickle.
    pub fn into_inner(self) -> R {
        self.inner
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Short> {
        let mut out = [0; N];
        if (N as u64) > self.left {
            return Err(Short::End);
        }
        self.inner.read_exact(&mut out).map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => Short::End,
            _ => Short::Io(e),
        })?;
        self.at += N as u64;
        self.left -= N as u64;
        Ok(out)
    }

    /// Reads `len` bytes into the heap's text; the memory is paid for before it is taken.
    pub(super) fn text(&mut self, heap: &mut Heap, len: u64) -> Result<Span, Short> {
        if len > self.left {
            return Err(Short::End);
        }
        let size = usize::try_from(len).map_err(|_| Short::Full)?;
        let (text, start) = heap.text_room(size)?;
        let got = self.inner.by_ref().take(len).read_to_end(text).map_err(Short::Io)?;
        self.at += got as u64;
        self.left -= got as u64;
        if got < size { Err(Short::End) } else { Ok(heap.text_since(start)) }
    }

    /// Reads up to a line feed, which is dropped.
    pub(super) fn line(&mut self) -> Result<Option<Vec<u8>>, Short> {
        let mut line = Vec::new();
        loop {
            match self.bytes::<1>()? {
                [b'\n'] => return Ok(Some(line)),
                _ if line.len() == MAX_LINE => return Ok(None),
                [byte] => line.push(byte),
            }
        }
    }
}
