//! `LocalCache`: the cache folder of this user, shared by all repos and safe for many processes at once.
//!
//! ```text
//! CACHEDIR.TAG                    backup programs skip the folder
//! v1/results/ab/cdef…             record, then its BLAKE3: a torn or damaged one counts as absent
//! v1/blobs/ab/cdef…               bytes; the name is their BLAKE3; readers check what they read
//! v1/repos/<hash>/index           what each repo looked like when it was last built
//! v1/repos/<hash>/root            the path of that repo
//! v1/stats                        what was found and saved, a line for each build
//! v1/collected                    made anew whenever a build looked for what to collect
//! ```
//! There is no lock, by design. Every file appears by rename, so a reader sees all of it or nothing; readers check what
//! they read; whatever is missing is made again. So a file may be removed at any moment ([`crate::store::gc`]): whoever has
//! it open reads on, whoever comes later finds a miss. The folders themselves are never removed, as a writer may be
//! about to put something into them.
//!
//! A file that is used gets a new modification time, at most once in [`TOUCH_AFTER`]: that is how the collector knows
//! what was used last, on every file system and however it is mounted.

#![expect(clippy::disallowed_methods, reason = "store owns the disk")]

use std::fs::{self, File};
use std::io::{self, Seek as _};
use std::path::{Path, PathBuf};

use crate::base::{Digest, Error, Result};
use crate::store::cache::{ActionKey, BlobWriter, Cache};
use crate::store::{Output, Stat};

/// Records longer than this are damage.
const MAX_RECORD: u64 = 256 << 20;

/// A file whose time is older than this gets a new one when it is used, in nanoseconds: half of what the collector
/// spares, so what a build has just looked at stays for at least as long again.
pub const TOUCH_AFTER: i64 = crate::store::gc::SPARED / 2;

/// A cache in a folder.
#[derive(Debug, Clone)]
pub struct LocalCache {
    root: PathBuf,
}

impl LocalCache {
    /// The cache at `root`; the folder is made when something is first written.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where it lies.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder that belongs to the repo at this path, for its index.
    pub fn repo_folder(&self, repo: &Path) -> PathBuf {
        use std::os::unix::ffi::OsStrExt as _;
        let name = blake3::hash(repo.as_os_str().as_bytes()).to_hex();
        self.root.join("v1/repos").join(&name[..32])
    }

    /// Notes which repo the folder of [`Self::repo_folder`] belongs to, so that it can be collected once the repo is gone.
    /// A failure shows itself when the index is written.
    pub fn note_repo(&self, repo: &Path) {
        use std::os::unix::ffi::OsStrExt as _;
        let path = self.repo_folder(repo).join("root");
        if fs::symlink_metadata(&path).is_err() {
            let _ = crate::store::output::write(&path, repo.as_os_str().as_bytes());
        }
    }

    /// Where the blob lies or would lie.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.path("blobs", &digest.hex())
    }

    /// Where the result lies or would lie.
    pub fn result_path(&self, key: ActionKey) -> PathBuf {
        self.path("results", &key.hex())
    }

    fn path(&self, kind: &str, hex: &str) -> PathBuf {
        self.root.join("v1").join(kind).join(&hex[..2]).join(&hex[2..])
    }

    /// Marks the folder as a cache, once. A failure shows itself at the write that follows.
    fn tag(&self) {
        let path = self.root.join("CACHEDIR.TAG");
        if fs::symlink_metadata(&path).is_err() {
            let text = "Signature: 8a477f597d28d172789f06886806bc55\n# This folder is a cache of expert-build. Losing it costs time only.\n";
            let _ = crate::store::output::write(&path, text.as_bytes());
        }
    }
}

impl Cache for LocalCache {
    fn result(&self, key: ActionKey) -> Result<Option<Vec<u8>>> {
        let path = self.result_path(key);
        let (bytes, stat) = match crate::store::fs::read_settled(&path, MAX_RECORD) {
            Ok(Some(read)) => read,
            Ok(None) => return Ok(None),
            // None is kept that long: it is damage.
            Err(_) if Stat::of(&path).is_ok_and(|stat| stat.size > MAX_RECORD) => {
                let _ = fs::remove_file(&path);
                return Ok(None);
            }
            Err(e) => return Err(e),
        };
        let Some(record) = whole(bytes) else {
            let _ = fs::remove_file(&path);
            return Ok(None);
        };
        touch(&path, &stat);
        Ok(Some(record))
    }

    fn put_result(&self, key: ActionKey, record: &[u8]) -> Result<()> {
        let path = self.result_path(key);
        if record.len() as u64 + 32 > MAX_RECORD {
            return Err(Error::io("keep", &path, io::Error::other(format!("it has {} bytes", record.len()))));
        }
        self.tag();
        let mut output = Output::create_unsynced(&path)?;
        output.write(record)?;
        output.write(blake3::hash(record).as_bytes())?;
        output.commit().map(drop)
    }

    fn blob(&self, digest: &Digest) -> Result<Option<File>> {
        let path = self.blob_path(digest);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io("open", &path, e)),
        };
        let stat = Stat::of_file(&file).map_err(|e| Error::io("read", &path, e))?;
        if !stat.is_file() || stat.size != digest.size() {
            self.forget_blob(digest);
            return Ok(None);
        }
        touch(&path, &stat);
        Ok(Some(file))
    }

    fn new_blob(&self, size_hint: u64) -> Result<Box<dyn BlobWriter>> {
        self.tag();
        let output = Output::create_unsynced(&self.root.join("v1/blobs/new"))?;
        output.reserve(size_hint)?;
        Ok(Box::new(LocalBlob { cache: self.clone(), output, length: 0 }))
    }

    fn forget_blob(&self, digest: &Digest) {
        let _ = fs::remove_file(self.blob_path(digest));
    }
}

/// The record in the bytes of a result's file, if they are whole.
pub(in crate::store) fn whole(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    let length = bytes.len().checked_sub(32)?;
    if blake3::hash(&bytes[..length]).as_bytes() != &bytes[length..] {
        return None;
    }
    bytes.truncate(length);
    Some(bytes)
}

/// Says that a file of the cache was used. A cache that is read-only stays as it is.
fn touch(path: &Path, stat: &Stat) {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW};
    let now = crate::store::fs::now();
    // A time from the future would keep the file for ever.
    if stat.mtime + TOUCH_AFTER < now || stat.mtime > now + TOUCH_AFTER {
        let at = || Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let times = Timestamps { last_access: at(), last_modification: at() };
        let _ = rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW);
    }
}

struct LocalBlob {
    cache: LocalCache,
    output: Output,
    length: u64,
}

impl BlobWriter for LocalBlob {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.length += bytes.len() as u64;
        self.output.write(bytes)
    }

    fn reader(&self) -> Result<File> {
        self.output.handle()
    }

    fn finish(self: Box<Self>, digest: Digest) -> Result<File> {
        if self.length != digest.size() {
            return Err(Error::Bug(format!("a blob of {} bytes was to be kept as {digest}", self.length)));
        }
        let target = self.cache.blob_path(&digest);
        let mut file = self.output.commit_at(&target)?;
        file.rewind().map_err(|e| Error::io("read", &target, e))?;
        Ok(file)
    }
}
