//! `RunCache`: the cache as one run uses it: where it cannot be read or written, the run loses time and nothing else.
//!
//! What cannot be read counts as a miss. What cannot be kept goes to a folder among the system's temporary ones, which
//! ends with the run: packed bytes are on the disk before their package is. A disk without room is not gone around: to
//! fill another one would help nobody.

use std::fs::File;
use std::io::ErrorKind;
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::base::{Digest, Error, Result};
use crate::store::cache::{ActionKey, BlobWriter, Cache};
use crate::store::fs::TemporaryFolder;
use crate::store::local::LocalCache;

/// The cache of a run.
#[derive(Debug)]
pub struct RunCache {
    cache: LocalCache,
    /// Made when the first blob cannot be kept; `None` where that failed as well.
    beside: OnceLock<Option<Beside>>,
    trouble: Mutex<Option<Error>>,
}

#[derive(Debug)]
struct Beside {
    cache: LocalCache,
    /// Removes it in the end.
    _folder: TemporaryFolder,
}

impl RunCache {
    /// Over this cache.
    pub fn new(cache: LocalCache) -> Self {
        Self { cache, beside: OnceLock::new(), trouble: Mutex::new(None) }
    }

    /// Why the cache could not be used, where that was so: the first reason of all.
    pub fn trouble(&self) -> Option<Error> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(Error::again)
    }

    fn note(&self, error: Error) {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    /// What was read; nothing where that failed.
    fn or_miss<T>(&self, read: Result<Option<T>>) -> Option<T> {
        read.unwrap_or_else(|error| {
            self.note(error);
            None
        })
    }

    fn made_beside(&self) -> Option<&LocalCache> {
        self.beside.get().and_then(Option::as_ref).map(|beside| &beside.cache)
    }

    fn beside(&self) -> Option<&LocalCache> {
        self.beside.get_or_init(|| {
            let folder = TemporaryFolder::new().ok()?;
            Some(Beside { cache: LocalCache::new(folder.path()), _folder: folder })
        });
        self.made_beside()
    }
}

/// Is there no room on the disk?
fn is_full(error: &Error) -> bool {
    let full = [ErrorKind::StorageFull, ErrorKind::QuotaExceeded, ErrorKind::FileTooLarge];
    matches!(error, Error::Io { source, .. } if full.contains(&source.kind()))
}

impl Cache for RunCache {
    fn result(&self, key: ActionKey) -> Result<Option<Vec<u8>>> {
        match (self.or_miss(self.cache.result(key)), self.made_beside()) {
            (None, Some(beside)) => beside.result(key),
            (found, _) => Ok(found),
        }
    }

    fn put_result(&self, key: ActionKey, record: &[u8]) -> Result<()> {
        match self.cache.put_result(key, record) {
            Err(error) if !is_full(&error) => {
                self.note(error);
                // Whoever has the same file in this run finds it there, beside its blob.
                self.made_beside().map_or(Ok(()), |beside| beside.put_result(key, record))
            }
            done => done,
        }
    }

    fn blob(&self, digest: &Digest) -> Result<Option<File>> {
        match (self.or_miss(self.cache.blob(digest)), self.made_beside()) {
            (None, Some(beside)) => beside.blob(digest),
            (found, _) => Ok(found),
        }
    }

    fn new_blob(&self, size_hint: u64) -> Result<Box<dyn BlobWriter>> {
        match self.cache.new_blob(size_hint) {
            Err(error) if !is_full(&error) => match self.beside() {
                Some(beside) => {
                    self.note(error);
                    beside.new_blob(size_hint)
                }
                None => Err(error),
            },
            begun => begun,
        }
    }

    fn forget_blob(&self, digest: &Digest) {
        self.cache.forget_blob(digest);
        self.made_beside().iter().for_each(|beside| beside.forget_blob(digest));
    }
}

#[cfg(test)]
mod tests {
    use super::RunCache;
    use crate::base::Digest;
    use crate::store::{ActionKey, Cache as _, LocalCache};

    #[test]
    fn what_a_cache_cannot_keep_lasts_as_long_as_the_run() {
        let dir = tempfile::tempdir().expect("dir");
        let file = dir.path().join("file");
        std::fs::write(&file, b"").expect("a file");
        // No folder can be made below a file, whoever asks.
        let cache = RunCache::new(LocalCache::new(&file));
        let (key, digest) = (ActionKey::of("key"), Digest::of(b"packed"));
        assert!(cache.result(key).expect("a miss").is_none());
        assert!(cache.blob(&digest).expect("a miss").is_none());
        let mut blob = cache.new_blob(6).expect("begun");
        blob.write(b"packed").expect("written");
        blob.finish(digest).expect("kept");
        cache.put_result(key, b"record").expect("kept");
        assert_eq!(cache.result(key).expect("read"), Some(b"record".to_vec()));
        assert!(cache.blob(&digest).expect("opened").is_some());
        assert!(cache.trouble().is_some());
        let beside = cache.made_beside().expect("made").root().to_path_buf();
        assert!(beside.exists());
        drop(cache);
        assert!(!beside.exists());
    }

    #[test]
    fn a_cache_in_order_is_used_alone() {
        let dir = tempfile::tempdir().expect("dir");
        let cache = RunCache::new(LocalCache::new(dir.path()));
        let digest = Digest::of(b"packed");
        let mut blob = cache.new_blob(6).expect("begun");
        blob.write(b"packed").expect("written");
        blob.finish(digest).expect("kept");
        assert!(cache.trouble().is_none() && cache.made_beside().is_none());
        assert!(LocalCache::new(dir.path()).blob(&digest).expect("opened").is_some());
    }
}
