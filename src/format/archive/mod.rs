//! `Archive`: the entries of a package, one after the other, trusting nothing in it.
//!
//! A package is a tar inside gzip, zstd or nothing. Regular files come out; folders, which other tools store, are passed
//! over; everything else (links, devices, pipes, sparse files) is refused, and so is every path that is not a `RelPath`,
//! that stands twice, or that another differs from by case alone. Limits hold before memory is taken. Does not know
//! what the files mean.

pub mod anywhere;
pub mod header;
mod names;
pub mod pax;
pub mod seek_table;
pub mod stream;
pub mod writer;

use std::io::{self, Read};

use crate::base::{Malformed, RelPath};
use crate::format::archive::header::{Header, Kind, shown};
use crate::format::archive::names::Names;
use crate::format::archive::pax::Records;
use crate::format::tar::BLOCK;
pub use anywhere::Anywhere;
pub use stream::Stream;
pub use writer::Writer;

/// How much of a package is taken in before it is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that it may unpack to, headers included.
    pub max_size: u64,
    /// Headers in it.
    pub max_entries: u64,
    /// Bytes of all paths together.
    pub max_names: u64,
    /// Bytes of `manifest.json`.
    pub max_manifest: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_size: 64 << 30, max_entries: 100_000, max_names: 16 << 20, max_manifest: 16 << 20 }
    }
}

/// Bytes of one pax header or long name. A path has 4,096 at most; owners and times need little more.
const MAX_EXTENSION: u64 = 64 * 1024;

/// Why reading stopped.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The file could not be read.
    #[error(transparent)]
    Io(io::Error),
    /// The bytes are wrong.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// Finds the `Malformed` that a reader had to wrap.
impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.downcast::<Malformed>() {
            Ok(malformed) => Self::Malformed(malformed),
            Err(error) => Self::Io(error),
        }
    }
}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Io(error) => error,
            Fault::Malformed(Malformed { at, what }) => malformed(at, what),
        }
    }
}

/// A `Malformed` as a reader returns it.
pub(crate) fn malformed(at: u64, what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, Malformed::new(at, what))
}

/// Where tar bytes come from: a stream, or a file that can be read anywhere.
pub trait Source: Read {
    /// Passes over this many bytes. Returns fewer only where the bytes end.
    fn skip(&mut self, count: u64) -> io::Result<u64>;
    /// How far into the file on disk.
    fn place(&self) -> u64;
    /// Is there compression between the file and the tar?
    fn is_wrapped(&self) -> bool;
}

/// A regular file in a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path.
    pub path: RelPath,
    /// Its length.
    pub size: u64,
    /// Its time, in seconds since 1970, where it has one that can be read.
    pub mtime: Option<u64>,
    /// Where its first header begins, in the tar.
    pub start: u64,
    /// Where its content begins, in the tar.
    pub data: u64,
}

impl Entry {
    /// Where the next entry begins, in the tar.
    pub fn end(&self) -> u64 {
        self.data + self.size.next_multiple_of(BLOCK as u64)
    }
}

/// Reads the entries of a package in their order. Reading from it gives the content of the entry that
/// [`Archive::next_entry`] returned last.
pub struct Archive<S> {
    source: S,
    limits: Limits,
    /// Place in the tar.
    at: u64,
    /// Of the current content, and of the zeros after it.
    left: u64,
    padding: u64,
    current: Option<RelPath>,
    headers: u64,
    names: Names,
    done: bool,
}

impl<R: Read> Archive<Stream<R>> {
    /// Opens a package, whatever its compression.
    pub fn open(file: R, limits: Limits) -> Result<Self, Fault> {
        Ok(Self::over(Stream::new(file, limits.max_size)?, limits))
    }
}

impl<S: Source> Archive<S> {
    /// Reads a tar from here.
    pub fn over(source: S, limits: Limits) -> Self {
        let names = Names::new(limits.max_names);
        Self { source, limits, at: 0, left: 0, padding: 0, current: None, headers: 0, names, done: false }
    }

    /// Where the bytes come from.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// The same, taking it.
    pub fn into_source(self) -> S {
        self.source
    }

    /// The next file, after passing over what is left of this one; `None` after the last, when everything up to the end
    /// of the file has been read and found in order.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, Fault> {
        if self.done {
            return Ok(None);
        }
        self.pass()?;
        let start = self.at;
        let mut long: Option<Vec<u8>> = None;
        let mut pax: Option<Records> = None;
        loop {
            let at = self.at;
            let mut block = [0; BLOCK];
            self.fill(&mut block, "the archive ends without its end mark: it is truncated")?;
            if block.iter().all(|b| *b == 0) {
                if long.is_some() || pax.is_some() {
                    return Err(self.fault(at, "the archive ends after an extended header"));
                }
                self.finish()?;
                return Ok(None);
            }
            self.headers += 1;
            if self.headers > self.limits.max_entries {
                let what = format!("the package has more than {} entries", self.limits.max_entries);
                return Err(self.fault(at, &what));
            }
            let header = Header::parse(&block).map_err(|what| self.fault(at, &what))?;
            match header.kind {
                Kind::LongName if long.is_none() => {
                    let mut name = self.extension(header.size)?;
                    if name.pop() != Some(0) || name.contains(&0) {
                        return Err(self.fault(at, "a long name does not end with its only NUL"));
                    }
                    long = Some(name);
                }
                Kind::Pax if pax.is_none() => {
                    let bytes = self.extension(header.size)?;
                    pax = Some(Records::parse(&bytes).map_err(|what| self.fault(at, &what))?);
                }
                Kind::PaxGlobal => {
                    let bytes = self.extension(header.size)?;
                    let records = Records::parse(&bytes).map_err(|what| self.fault(at, &what))?;
                    if records != Records::default() {
                        return Err(self.fault(at, "a global pax header sets the path or size of every entry"));
                    }
                }
                Kind::LongName | Kind::Pax => {
                    return Err(self.fault(at, "two extended headers of a kind stand before one entry"));
                }
                Kind::File | Kind::Folder => {
                    let (path, size) = self.resolve(at, &header, long.take(), pax.take())?;
                    let Some(path) = path else { continue };
                    if header.kind == Kind::Folder {
                        self.names.folder(path).map_err(|what| self.fault(at, &what))?;
                        continue;
                    }
                    self.names.file(&path).map_err(|what| self.fault(at, &what))?;
                    self.left = size;
                    self.padding = size.next_multiple_of(BLOCK as u64) - size;
                    self.current = Some(path.clone());
                    return Ok(Some(Entry { path, size, mtime: header.mtime, start, data: self.at }));
                }
            }
        }
    }

    /// The rest of the current content, if it has no more than `max` bytes.
    pub fn read_all(&mut self, max: u64) -> Result<Vec<u8>, Fault> {
        if self.left > max {
            let name = self.current.as_ref().map_or("", RelPath::as_str);
            let what = format!("`{name}` has {} bytes, and {max} is the most that is read of it", self.left);
            return Err(self.fault(self.at, &what));
        }
        // Room as it comes: a header may promise what the file does not hold.
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// The path and size in force; no path for the folder `./` itself.
    fn resolve(
        &self,
        at: u64,
        header: &Header,
        long: Option<Vec<u8>>,
        pax: Option<Records>,
    ) -> Result<(Option<RelPath>, u64), Fault> {
        let pax = pax.unwrap_or_default();
        if long.is_some() && pax.path.is_some() {
            return Err(self.fault(at, "an entry has two long names"));
        }
        let size = pax.size.unwrap_or(header.size);
        // Writers put zero or the truth into the header that pax overrides; anything else is two archives in one.
        if header.size != size && header.size != 0 {
            return Err(self.fault(at, "an entry has two different sizes"));
        }
        if header.kind == Kind::Folder && size != 0 {
            return Err(self.fault(at, "a folder has a content"));
        }
        if size > self.limits.max_size.saturating_sub(self.at) {
            let max = self.limits.max_size;
            let what = format!(
                "an entry of {size} bytes: the package would unpack to more than {max} bytes; `--max-size` sets the limit"
            );
            return Err(self.fault(at, &what));
        }
        let name = pax.path.or(long).unwrap_or_else(|| header.name.clone());
        let text = std::str::from_utf8(&name)
            .map_err(|_| self.fault(at, &format!("the name `{}` is not UTF-8", shown(&name))))?;
        // `tar czf x.expert .` writes `./a`: harmless, and there is one way to read it.
        let mut plain = text.strip_prefix("./").unwrap_or(text);
        if header.kind == Kind::Folder {
            if [".", "./"].contains(&text) {
                return Ok((None, size));
            }
            plain = plain.strip_suffix('/').filter(|plain| !plain.is_empty()).unwrap_or(plain);
        }
        let path = RelPath::new(plain).map_err(|e| self.fault(at, &format!("entry `{}`: {e}", shown(&name))))?;
        Ok((Some(path), size))
    }

    /// Passes over the rest of the current entry. The zeros that pad it are looked at: nothing may hide there.
    fn pass(&mut self) -> Result<(), Fault> {
        if self.left > 0 {
            let passed = self.source.skip(self.left)?;
            self.at += passed;
            if passed < self.left {
                return Err(self.cut());
            }
            self.left = 0;
        }
        let mut zeros = [0; BLOCK];
        let zeros = &mut zeros[..self.padding as usize];
        let at = self.at;
        self.fill(zeros, "the archive ends inside the padding of an entry: it is truncated")?;
        self.padding = 0;
        if zeros.iter().any(|b| *b != 0) {
            return Err(self.fault(at, "the padding of an entry is not zero"));
        }
        Ok(())
    }

    /// The content of a pax header or long name.
    fn extension(&mut self, size: u64) -> Result<Vec<u8>, Fault> {
        if size > MAX_EXTENSION {
            return Err(self.fault(self.at, &format!("an extended header of {size} bytes")));
        }
        let mut bytes = vec![0; size as usize];
        self.fill(&mut bytes, "the archive ends inside an extended header: it is truncated")?;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
        self.pass()?;
        Ok(bytes)
    }

    /// Everything from the first zero block to the end must be zeros, and one more block at least.
    fn finish(&mut self) -> Result<(), Fault> {
        let mut block = [0; BLOCK];
        self.fill(&mut block, "the archive ends inside its end mark: it is truncated")?;
        let mut zeros = [0; 8 * BLOCK];
        let mut fresh = &block[..];
        loop {
            if fresh.iter().any(|b| *b != 0) {
                return Err(self.fault(self.at - fresh.len() as u64, "something follows the end mark of the archive"));
            }
            let count = self.source.read(&mut zeros)?;
            if count == 0 {
                break;
            }
            self.at += count as u64;
            fresh = &zeros[..count];
        }
        self.done = true;
        self.current = None;
        Ok(())
    }

    fn fill(&mut self, out: &mut [u8], cut: &str) -> Result<(), Fault> {
        let mut got = 0;
        while got < out.len() {
            let count = self.source.read(&mut out[got..])?;
            if count == 0 {
                return Err(self.fault(self.at, cut));
            }
            got += count;
            self.at += count as u64;
        }
        Ok(())
    }

    fn cut(&self) -> Fault {
        let name = self.current.as_ref().map_or("", RelPath::as_str);
        self.fault(self.at, &format!("the archive ends inside `{name}`: it is truncated"))
    }

    /// A fault at this byte of the tar; told with the place in the file where the two differ.
    fn fault(&self, at: u64, what: &str) -> Fault {
        if self.source.is_wrapped() {
            let what = format!("{what}; at byte {at} of the unpacked tar");
            return Malformed::new(self.source.place(), what).into();
        }
        Malformed::new(at, what).into()
    }
}

/// The content of the current entry.
impl<S: Source> Read for Archive<S> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(out.len());
        if room == 0 {
            return Ok(0);
        }
        let count = self.source.read(&mut out[..room])?;
        if count == 0 {
            return Err(self.cut().into());
        }
        self.at += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}
