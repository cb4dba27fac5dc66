//! `Stream`: the bytes of a tar inside gzip, zstd or nothing, with the place in the file and a limit on what comes out.
//!
//! The compression is told by its first bytes: gzip `1f 8b` (RFC 1952), zstd `28 b5 2f fd` or a skippable frame
//! `5? 2a 4d 18` (RFC 8878), else a tar. Nothing may follow the compressed data. Does not know what a tar is.

use std::io::{self, BufRead, Read};

use crate::base::Malformed;
use crate::format::archive::{Fault, Source, malformed};
use crate::format::segment::Compression;
use flate2::bufread::GzDecoder;

/// How a file that begins like this is compressed; at least 512 bytes of it, or all.
pub fn sniff(first: &[u8]) -> Result<Compression, Malformed> {
    match first {
        [] => Err(Malformed::new(0, "the file is empty")),
        [0x1f, 0x8b, ..] => Ok(Compression::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Compression::Zstd),
        _ if first.get(257..262) == Some(b"ustar") => Ok(Compression::None),
        _ => Err(Malformed::new(0, "this is no package: neither gzip, nor zstd, nor tar")),
    }
}

/// A buffer over the file that knows how much of it was used, and whether the file itself failed.
struct Counted<R> {
    inner: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    used: u64,
    failed: bool,
}

impl<R: Read> Counted<R> {
    fn new(inner: R) -> Self {
        Self { inner, buffer: vec![0; 128 * 1024].into(), start: 0, end: 0, used: 0, failed: false }
    }

    /// Fills the buffer to `count` bytes, or to the end of the file.
    fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        while self.end < count {
            match self.inner.read(&mut self.buffer[self.end..]) {
                Ok(0) => break,
                Ok(n) => self.end += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(&self.buffer[self.start..self.end])
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut ready = self.fill_buf()?;
        let count = ready.read(out)?;
        self.consume(count);
        Ok(count)
    }
}

impl<R: Read> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
            let read = self.inner.read(&mut self.buffer);
            self.failed = matches!(&read, Err(e) if e.kind() != io::ErrorKind::Interrupted);
            self.end = read?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, count: usize) {
        self.start += count;
        self.used += count as u64;
    }
}

enum Decoder<R: Read> {
    Plain(Counted<R>),
    /// `None` only while one member is exchanged for the next.
    Gzip(Option<Box<GzDecoder<Counted<R>>>>),
    Zstd(zstd::stream::read::Decoder<'static, Counted<R>>),
}

/// What comes out of a package: tar bytes.
pub struct Stream<R: Read> {
    decoder: Decoder<R>,
    compression: Compression,
    members: u64,
    out: u64,
    max: u64,
    ended: bool,
}

impl<R: Read> Stream<R> {
    /// Looks at the first bytes. At most `max` bytes will come out.
    pub fn new(file: R, max: u64) -> Result<Self, Fault> {
        let mut file = Counted::new(file);
        let compression = sniff(file.peek(512)?)?;
        let decoder = match compression {
            Compression::None => Decoder::Plain(file),
            Compression::Gzip => Decoder::Gzip(Some(Box::new(GzDecoder::new(file)))),
            Compression::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(file)?;
                // 128 MiB of window, which every level up to 22 stays in; a frame that asks for more is refused.
                decoder.window_log_max(27)?;
                Decoder::Zstd(decoder)
            }
        };
        Ok(Self { decoder, compression, members: 1, out: 0, max, ended: false })
    }

    /// How the file is compressed.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// gzip members seen so far. Many readers stop after the first.
    pub fn members(&self) -> u64 {
        self.members
    }

    fn file(&self) -> Option<&Counted<R>> {
        match &self.decoder {
            Decoder::Plain(file) => Some(file),
            Decoder::Gzip(decoder) => decoder.as_deref().map(GzDecoder::get_ref),
            Decoder::Zstd(decoder) => Some(decoder.get_ref()),
        }
    }

    /// Decompresses; `Ok(0)` at the very end alone.
    fn decode(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let slot = match &mut self.decoder {
                Decoder::Plain(file) => return file.read(out),
                Decoder::Zstd(decoder) => return decoder.read(out),
                Decoder::Gzip(slot) => slot,
            };
            let Some(decoder) = slot else { return Ok(0) };
            match decoder.read(out)? {
                0 => {}
                count => return Ok(count),
            }
            // The member's checksum has been compared; what follows must be another member.
            let more = decoder.get_mut().fill_buf()?.first().copied();
            match more {
                None => return Ok(0),
                Some(0x1f) => {
                    *slot = slot.take().map(|d| Box::new(GzDecoder::new(d.into_inner())));
                    self.members += 1;
                }
                Some(_) => return Err(io::Error::other("bytes follow the end of the gzip data")),
            }
        }
    }

    fn explain(&self, error: io::Error) -> io::Error {
        let at = self.place();
        let failed = self.file().is_some_and(|file| file.failed);
        if failed || error.kind() == io::ErrorKind::Interrupted {
            return error;
        }
        let name = self.compression.as_str();
        let what = match error.kind() {
            io::ErrorKind::UnexpectedEof => format!("the file ends inside the {name} data: it is truncated"),
            _ => format!("the {name} data is damaged: {}", error.to_string().to_lowercase()),
        };
        malformed(at, what)
    }
}

impl<R: Read> Read for Stream<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() || self.ended {
            return Ok(0);
        }
        let count = self.decode(out).map_err(|e| self.explain(e))?;
        self.ended = count == 0;
        self.out += count as u64;
        if self.out > self.max {
            let what = format!("the package unpacks to more than {} bytes; `--max-size` sets the limit", self.max);
            return Err(malformed(self.place(), what));
        }
        Ok(count)
    }
}

impl<R: Read> Source for Stream<R> {
    fn skip(&mut self, count: u64) -> io::Result<u64> {
        io::copy(&mut self.take(count), &mut io::sink())
    }

    fn place(&self) -> u64 {
        self.file().map_or(0, |file| file.used)
    }

    fn is_wrapped(&self) -> bool {
        self.compression != Compression::None
    }
}
