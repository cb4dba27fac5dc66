//! `Opened`: a package that a verb reads, as a stream or at any place, with faults told as errors about it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use sha2::Digest as _;

use crate::base::{Error, Malformed, Result, Sha256};
use crate::format::archive::seek_table::SeekTable;
use crate::format::archive::stream::sniff;
use crate::format::archive::{Anywhere, Archive, Entry, Fault, Limits, Stream};
use crate::format::integrity::MANIFEST;
use crate::format::json::{self, Value};
use crate::format::segment::Compression;
use crate::store::package_file::PackageFile;

/// How much is read and hashed at a time.
const CHUNK: usize = 256 * 1024;

/// An open package.
pub(crate) struct Opened {
    pub(crate) file: PackageFile,
    pub(crate) limits: Limits,
}

/// The file itself, or a spooled copy of the tar in it.
pub(crate) enum Backing {
    Package(PackageFile),
    Spool(File),
}

/// The entries of a package, and its tar to be read anywhere.
pub(crate) struct Index {
    pub(crate) entries: Vec<Entry>,
    pub(crate) tar: Anywhere<Backing>,
    /// Do the places in the tar say what entries take in the package?
    pub(crate) direct: bool,
}

impl Opened {
    pub(crate) fn open(path: &Path, limits: Limits) -> Result<Self> {
        Ok(Self { file: PackageFile::open(path)?, limits })
    }

    /// A fault in the package as an error that names it.
    pub(crate) fn error(&self, fault: impl Into<Fault>) -> Error {
        match fault.into() {
            Fault::Io(e) => Error::io("read", self.file.path(), e),
            Fault::Malformed(m) => Error::integrity(format!("`{}`: {m}", self.file.path().display())),
        }
    }

    /// Something is wrong with the package as a whole.
    pub(crate) fn wrong(&self, what: &str) -> Error {
        Error::integrity(format!("`{}`: {what}", self.file.path().display()))
    }

    /// Its entries, one after the other.
    pub(crate) fn stream(&self) -> Result<Archive<Stream<PackageFile>>> {
        Archive::open(self.file.again(), self.limits).map_err(|e| self.error(e))
    }

    /// How it is compressed.
    pub(crate) fn compression(&self) -> Result<Compression> {
        let mut first = Vec::new();
        self.file.again().take(512).read_to_end(&mut first).map_err(|e| self.error(e))?;
        sniff(&first).map_err(|e| self.error(e))
    }

    /// Its entries and the means to read any of them; `None` where the package can only be read from start to end.
    pub(crate) fn index(&self) -> Result<Option<Index>> {
        let backing = || Backing::Package(self.file.again());
        let tar = match self.compression()? {
            Compression::Gzip => return Ok(None),
            Compression::None => Anywhere::tar(backing(), self.file.size()),
            Compression::Zstd => match SeekTable::read(&mut self.file.again(), self.file.size()) {
                Ok(Some(table)) if table.len() <= self.limits.max_size => Anywhere::zstd(backing(), table),
                Ok(_) => return Ok(None),
                Err(e) => return Err(self.error(e)),
            },
        };
        self.listed(tar, true).map(Some)
    }

    /// The same for every package: where need be, its tar is first unpacked into a nameless file.
    pub(crate) fn index_or_spool(&self) -> Result<Index> {
        if let Some(index) = self.index()? {
            return Ok(index);
        }
        let tar = Stream::new(self.file.again(), self.limits.max_size).map_err(|e| self.error(e))?;
        let (spool, size) = PackageFile::spool(tar).map_err(|e| self.error(e))?;
        self.listed(Anywhere::tar(Backing::Spool(spool), size), false)
    }

    fn listed(&self, tar: Anywhere<Backing>, direct: bool) -> Result<Index> {
        let mut archive = Archive::over(tar, self.limits);
        let mut entries = Vec::new();
        while let Some(entry) = archive.next_entry().map_err(|e| self.error(e))? {
            entries.push(entry);
        }
        Ok(Index { entries, tar: archive.into_source(), direct })
    }

    /// Reads a manifest.
    pub(crate) fn manifest(&self, bytes: &[u8]) -> Result<Value> {
        let manifest = json::parse(bytes).map_err(|fault| {
            let Malformed { at, what } = fault.malformed;
            self.wrong(&format!("`{MANIFEST}` in it cannot be read: {what} (at byte {at} of it)"))
        })?;
        match manifest.node {
            json::Node::Object(_) => Ok(manifest),
            _ => Err(self.wrong(&format!("`{MANIFEST}` in it is {}, not an object", manifest.kind()))),
        }
    }

    pub(crate) fn no_manifest(&self) -> Error {
        self.wrong(&format!("it has no `{MANIFEST}`"))
    }
}

impl Index {
    /// The entry of this path.
    pub(crate) fn find(&self, path: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.path.as_str() == path)
    }

    /// What the content of this entry takes in the package, where that can be told.
    pub(crate) fn packed(&self, entry: &Entry) -> Option<u64> {
        if self.direct { self.tar.packed(entry) } else { None }
    }

    /// A small entry, whole.
    pub(crate) fn read(&mut self, entry: &Entry, max: u64) -> Result<Vec<u8>, Fault> {
        if entry.size > max {
            let what = format!("`{}` has {} bytes, and {max} is the most that is read of it", entry.path, entry.size);
            return Err(Malformed::new(entry.data, what).into());
        }
        let mut bytes = Vec::new();
        self.tar.content(entry).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// Reads to the end, hashing, and hands every piece on.
pub(crate) fn hash_to<E: From<io::Error>>(
    mut from: impl Read,
    mut to: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<Sha256, E> {
    let mut hasher = sha2::Sha256::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        match from.read(&mut chunk) {
            Ok(0) => return Ok(Sha256::new(hasher.finalize().into())),
            Ok(count) => {
                hasher.update(&chunk[..count]);
                to(&chunk[..count])?;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// The SHA-256 of all that this reader gives.
pub(crate) fn hash(from: impl Read) -> Result<Sha256, Fault> {
    hash_to(from, |_| Ok::<(), Fault>(()))
}

impl Read for Backing {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Package(file) => file.read(out),
            Self::Spool(file) => file.read(out),
        }
    }
}

impl Seek for Backing {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Self::Package(file) => file.seek(to),
            Self::Spool(file) => file.seek(to),
        }
    }
}
