//! `Opened`: a package that a verb reads, as a stream or at any place, with faults told as errors about it.

use std::cell::{Cell, OnceCell};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use sha2::Digest as _;

use crate::base::{Error, Malformed, Result, Sha256};
use crate::engine::ahead::{Ahead, Aside, Frames};
use crate::format::archive::seek_table::SeekTable;
use crate::format::archive::stream::sniff;
use crate::format::archive::{Anywhere, Archive, Entry, Fault, Limits, Source, Stream};
use crate::format::integrity::MANIFEST;
use crate::format::json::{self, Value};
use crate::format::provenance::ENDING;
use crate::format::segment::Compression;
use crate::store::fs;
use crate::store::package_file::PackageFile;

/// How much is read and hashed at a time.
const CHUNK: usize = 256 * 1024;

/// Smaller packages are read by one thread: it is done before another would have started.
const WORTH_IT: u64 = 1 << 20;

/// How a package is read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reading {
    /// How much of it.
    pub limits: Limits,
    /// By how many threads; none means one.
    pub jobs: usize,
}

impl From<Limits> for Reading {
    fn from(limits: Limits) -> Self {
        Self { limits, jobs: 1 }
    }
}

/// An open package.
pub(crate) struct Opened {
    pub(crate) file: PackageFile,
    pub(crate) limits: Limits,
    jobs: usize,
    /// Its hash, and the thread that reckons it.
    sha256: OnceCell<Sha256>,
    aside: Cell<Option<Aside<Result<Sha256, Fault>>>>,
}

/// The tar of a package from its start: by this thread alone, or with others that unpack it.
pub(crate) enum Tar {
    Alone(Stream<PackageFile>),
    Ahead(Ahead<Stream<PackageFile>>, Compression),
    Frames(Frames),
}

impl Tar {
    pub(crate) fn compression(&self) -> Compression {
        match self {
            Self::Alone(stream) => stream.compression(),
            Self::Ahead(_, compression) => *compression,
            Self::Frames(_) => Compression::Zstd,
        }
    }

    /// gzip members seen, once it was read to its end.
    pub(crate) fn members(&self) -> u64 {
        match self {
            Self::Alone(stream) => stream.members(),
            Self::Ahead(ahead, _) => ahead.ended().map_or(1, Stream::members),
            Self::Frames(_) => 1,
        }
    }
}

impl Read for Tar {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Alone(stream) => stream.read(out),
            Self::Ahead(ahead, _) => ahead.read(out),
            Self::Frames(frames) => frames.read(out),
        }
    }
}

impl Source for Tar {
    fn skip(&mut self, count: u64) -> io::Result<u64> {
        match self {
            Self::Alone(stream) => stream.skip(count),
            Self::Ahead(ahead, _) => ahead.skip(count),
            Self::Frames(frames) => frames.skip(count),
        }
    }

    fn place(&self) -> u64 {
        match self {
            Self::Alone(stream) => stream.place(),
            Self::Ahead(ahead, _) => ahead.place(),
            Self::Frames(frames) => frames.place(),
        }
    }

    fn is_wrapped(&self) -> bool {
        match self {
            Self::Alone(stream) => stream.is_wrapped(),
            Self::Ahead(ahead, _) => ahead.is_wrapped(),
            Self::Frames(frames) => frames.is_wrapped(),
        }
    }
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
    pub(crate) fn open(path: &Path, reading: impl Into<Reading>) -> Result<Self> {
        let Reading { limits, jobs } = reading.into();
        let file = PackageFile::open(path)?;
        let jobs = if file.size() < WORTH_IT { 1 } else { jobs.max(1) };
        Ok(Self { file, limits, jobs, sha256: OnceCell::new(), aside: Cell::new(None) })
    }

    /// Has another thread reckon the hash of the package itself, if there are threads and it will be asked for: where a
    /// checksum or provenance lies beside the package, or is `wanted`.
    pub(crate) fn hash_aside(&self, wanted: bool) {
        let beside = |ending: &str| fs::is_file(&self.file.path_beside(ending));
        if self.jobs > 1 && (wanted || beside(".sha256") || beside(ENDING)) {
            let file = self.file.again();
            // Without a thread it is reckoned later.
            self.aside.set(Aside::start(move || hash(file)).ok());
        }
    }

    /// The hash of the package itself.
    pub(crate) fn sha256(&self) -> Result<Sha256> {
        if let Some(known) = self.sha256.get() {
            return Ok(*known);
        }
        let hashed = self.aside.take().map_or_else(|| hash(self.file.again()), Aside::join);
        let hashed = hashed.map_err(|e| self.error(e))?;
        Ok(*self.sha256.get_or_init(|| hashed))
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
    pub(crate) fn stream(&self) -> Result<Archive<Tar>> {
        Ok(Archive::over(self.tar().map_err(|e| self.error(e))?, self.limits))
    }

    fn tar(&self) -> Result<Tar, Fault> {
        let stream = Stream::new(self.file.again(), self.limits.max_size)?;
        let compression = stream.compression();
        Ok(match compression {
            _ if self.jobs < 2 => Tar::Alone(stream),
            Compression::Gzip => Tar::Ahead(Ahead::start(stream)?, compression),
            Compression::None => Tar::Alone(stream),
            Compression::Zstd => match self.table()? {
                Some(table) => Tar::Frames(self.frames(table, 0..u64::MAX)?),
                None => Tar::Ahead(Ahead::start(stream)?, compression),
            },
        })
    }

    /// Where the frames of a zstd package lie, if it tells and they hold no more than is taken in.
    fn table(&self) -> io::Result<Option<SeekTable>> {
        let table = SeekTable::read(&mut self.file.again(), self.file.size())?;
        Ok(table.filter(|table| table.len() <= self.limits.max_size))
    }

    fn frames(&self, table: SeekTable, range: Range<u64>) -> io::Result<Frames> {
        // The one that reads works as well.
        Frames::start(table, range, self.jobs - 1, || self.file.again())
    }

    /// The content of an entry, unpacked by all threads where that is worth it.
    pub(crate) fn content<'i>(&self, index: &'i mut Index, entry: &Entry) -> Result<Box<dyn Read + 'i>> {
        if self.jobs > 1
            && entry.size >= WORTH_IT
            && index.direct
            && let Some(table) = index.tar.table()
        {
            let frames = self.frames(table.clone(), entry.data..entry.data + entry.size);
            return Ok(Box::new(frames.map_err(|e| self.error(e))?));
        }
        Ok(Box::new(index.tar.content(entry)))
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
            Compression::Zstd => match self.table().map_err(|e| self.error(e))? {
                Some(table) => Anywhere::zstd(backing(), table),
                None => return Ok(None),
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
