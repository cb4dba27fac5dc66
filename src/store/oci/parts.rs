//! `Parts`: blobs that are being received, kept beside their target until they are whole, so that the next run goes on.
//!
//! They lie in a folder `.expert-build-part-<manifest>` of the target's folder, each named by its hash. Whoever works in it
//! holds a lock on it. What a run leaves there is hashed again before it is continued, and the whole is compared with
//! its hash, so nothing in it is believed.

#![expect(clippy::disallowed_methods, reason = "store owns the disk")]

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use sha2::Digest as _;

use crate::base::{Error, Result, Sha256};
use crate::store::output;

/// What the names of such folders begin with.
const PREFIX: &str = ".expert-build-part-";

/// The folder of the parts of one artifact.
#[derive(Debug)]
pub struct Parts {
    folder: PathBuf,
    _lock: File,
}

/// A blob of which some is there.
#[derive(Debug)]
pub struct Part {
    file: File,
    path: PathBuf,
    len: u64,
    hasher: sha2::Sha256,
}

impl Parts {
    /// The folder in `dir` for what this manifest names; `dir` is made where it is missing.
    pub fn open(dir: &Path, manifest: Sha256) -> Result<Self> {
        fs::create_dir_all(dir).map_err(|e| Error::io("create the folder", dir, e))?;
        let folder = folder(dir, manifest);
        loop {
            match fs::DirBuilder::new().mode(0o700).create(&folder) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(Error::io("create the folder", &folder, e));
                }
                _ => {}
            }
            let flags = (OFlags::NOFOLLOW | OFlags::DIRECTORY).bits().cast_signed();
            match File::options().read(true).custom_flags(flags).open(&folder) {
                Ok(lock) => match lock.try_lock() {
                    // Whoever had it may have ended, and taken the folder away, between the opening and the lock.
                    Ok(()) if !output::keep_hold(&lock) => {}
                    Err(fs::TryLockError::WouldBlock) => {
                        let busy = io::Error::other("another process is receiving the same into it");
                        return Err(Error::io("lock", &folder, busy));
                    }
                    // Some network folders know no locks.
                    _ => return Ok(Self { folder, _lock: lock }),
                },
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(Error::io("open", &folder, e)),
            }
        }
    }

    /// The blob of this hash, as far as it is there.
    pub fn part(&self, digest: Sha256) -> Result<Part> {
        let path = self.path(digest);
        let mut file = open(&path)?;
        let (mut hasher, mut len, mut chunk) = (sha2::Sha256::new(), 0, vec![0; 1 << 18]);
        loop {
            match file.read(&mut chunk).map_err(|e| Error::io("read", &path, e))? {
                0 => return Ok(Part { file, path, len, hasher }),
                count => {
                    hasher.update(&chunk[..count]);
                    len += count as u64;
                }
            }
        }
    }

    /// Where the blob of this hash lies.
    pub fn path(&self, digest: Sha256) -> PathBuf {
        self.folder.join(digest.hex())
    }

    /// An empty file in it for what is made of the blobs, and its place.
    pub fn make(&self) -> Result<(File, PathBuf)> {
        let path = self.folder.join("made.expert");
        let file = open(&path)?;
        file.set_len(0).map_err(|e| Error::io("write", &path, e))?;
        Ok((file, path))
    }

    /// The file of a blob, to be read.
    pub fn read(&self, digest: Sha256) -> Result<File> {
        let path = self.path(digest);
        File::open(&path).map_err(|e| Error::io("open", &path, e))
    }

    /// How many bytes are there.
    pub fn held(&self) -> u64 {
        let Ok(entries) = fs::read_dir(&self.folder) else { return 0 };
        entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|meta| meta.len()).sum()
    }

    /// Puts a whole file of it at its target, over whatever is there, and takes the rest away.
    pub fn place(self, from: &Path, target: &Path) -> Result<()> {
        let failed = |e| Error::io("put in place", target, e);
        if fs::symlink_metadata(target).is_ok_and(|meta| meta.is_dir()) {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        let file = File::open(from).map_err(|e| Error::io("open", from, e))?;
        file.sync_all().map_err(|e| Error::io("sync", target, e))?;
        fs::rename(from, target).map_err(failed)?;
        if let Some(folder) = target.parent().and_then(|folder| File::open(folder).ok()) {
            // Not every file system syncs folders; the rename itself was atomic.
            let _ = folder.sync_all();
        }
        self.discard();
        Ok(())
    }

    /// Takes away what a run left that was killed after the whole was at its place, unless another run is at work there.
    pub fn forget(dir: &Path, manifest: Sha256) {
        let is_there = fs::symlink_metadata(folder(dir, manifest)).is_ok_and(|meta| meta.is_dir());
        // Litter is not worth an error.
        if is_there && let Ok(parts) = Self::open(dir, manifest) {
            parts.discard();
        }
    }

    /// Takes all of it away: there is nothing worth continuing.
    pub fn discard(self) {
        // Litter is not worth an error.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Where the parts of what this manifest names lie.
fn folder(dir: &Path, manifest: Sha256) -> PathBuf {
    dir.join(format!("{PREFIX}{}", &manifest.hex()[..16]))
}

impl Part {
    /// How many bytes are there.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Is nothing there?
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The hash of what is there.
    pub fn sha256(&self) -> Sha256 {
        Sha256::new(self.hasher.clone().finalize().into())
    }

    /// Adds bytes at its end.
    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|e| Error::io("write", &self.path, e))?;
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Begins again.
    pub fn restart(&mut self) -> Result<()> {
        let failed = |e| Error::io("write", &self.path, e);
        self.file.set_len(0).map_err(failed)?;
        self.file.seek(SeekFrom::Start(0)).map_err(failed)?;
        (self.len, self.hasher) = (0, sha2::Sha256::new());
        Ok(())
    }
}

/// Opens a file of such a folder, making it where it is missing. It will be the user's, so it has the mode of any.
fn open(path: &Path) -> Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false).mode(0o644);
    options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    options.open(path).map_err(|e| Error::io("open", path, e))
}

#[cfg(test)]
mod tests {
    use super::Parts;
    use crate::base::Sha256;

    #[test]
    fn what_was_received_is_there_for_the_next_and_nobody_else_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("sub/x.expert");
        let open = || Parts::open(&dir.path().join("sub"), Sha256::of(b"manifest"));
        let digest = Sha256::of(b"hello");
        let parts = open().unwrap();
        parts.part(digest).unwrap().push(b"hel").unwrap();
        assert!(open().unwrap_err().to_string().contains("cannot lock"));
        drop(parts);
        let parts = open().unwrap();
        let mut part = parts.part(digest).unwrap();
        assert_eq!((part.len(), parts.held(), part.sha256()), (3, 3, Sha256::of(b"hel")));
        part.push(b"xx").unwrap();
        part.restart().unwrap();
        assert!(part.is_empty());
        part.push(b"hello").unwrap();
        assert_eq!((part.sha256(), std::fs::read(parts.path(digest)).unwrap()), (digest, b"hello".to_vec()));
        let from = parts.path(digest);
        parts.place(&from, &target).unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"hello");
        assert_eq!(std::fs::read_dir(dir.path().join("sub")).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn no_link_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let digest = Sha256::of(b"");
        let parts = Parts::open(dir.path(), digest).unwrap();
        std::fs::write(dir.path().join("victim"), b"precious").unwrap();
        std::os::unix::fs::symlink(dir.path().join("victim"), parts.path(digest)).unwrap();
        assert!(parts.part(digest).is_err());
        parts.discard();
        assert_eq!(std::fs::read(dir.path().join("victim")).unwrap(), b"precious");
    }
}
