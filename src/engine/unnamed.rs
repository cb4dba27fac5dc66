//! `Unnamed`: packed bytes that lie in the cache and have no name there yet.
//!
//! A blob's name is the BLAKE3 of its bytes. The pass that packs a big file keeps every core busy; what comes after it, the
//! SHA-256 of the package, keeps one. So the name is reckoned then, from the bytes that are on their way into the package.
//! Whoever wants it sooner (another expert with the same file, or a run whose package was never written) reads the blob.
//!
//! A run that is killed in between packs the file once more.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::base::{Digest, Error, Result, Sha256};
use crate::format::segment::{Codec, Segment};
use crate::store::{ActionKey, BlobWriter};

/// What the cache is told of a file that was packed, but for the name of the packed bytes.
#[derive(Debug)]
pub struct Made {
    /// Of the content.
    pub digest: Digest,
    /// Of the content.
    pub sha256: Sha256,
    /// The table of its segments.
    pub segments: Vec<Segment>,
    /// How it was packed.
    pub codec: Codec,
    /// What reading it told of its values.
    pub scan: Option<serde_json::Value>,
    /// Microseconds that it took.
    pub took_us: u64,
    /// The key under which files that look like it are known.
    pub hint: ActionKey,
}

/// Packed bytes without a name.
pub struct Unnamed {
    /// What they are.
    pub made: Made,
    file: File,
    size: u64,
    state: Mutex<State>,
}

enum State {
    Written(Box<dyn BlobWriter>),
    Named(Digest),
    Lost,
}

impl Unnamed {
    /// A blob to which all `size` bytes were written.
    pub fn new(made: Made, blob: Box<dyn BlobWriter>, size: u64) -> Result<Self> {
        Ok(Self { made, file: blob.reader()?, size, state: Mutex::new(State::Written(blob)) })
    }

    /// How many bytes it has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The bytes. To be read at places: the handle's own is that of whoever wrote them.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Its name, where it has one by now.
    pub fn named(&self) -> Option<Digest> {
        match *self.lock() {
            State::Named(digest) => Some(digest),
            _ => None,
        }
    }

    /// Gives it its name: this one, which the caller reckoned, else the bytes are read. `told` is called with the name by
    /// whoever was the first, before others get to know it. `None` where that was tried before and failed: what was written
    /// is gone.
    pub fn name(&self, reckoned: Option<[u8; 32]>, told: impl FnOnce(Digest)) -> Result<Option<Digest>> {
        let mut state = self.lock();
        if let State::Named(digest) = *state {
            return Ok(Some(digest));
        }
        let State::Written(blob) = std::mem::replace(&mut *state, State::Lost) else {
            return Ok(None);
        };
        let hash = match reckoned {
            Some(hash) => hash,
            None => self.read().map_err(|e| Error::io("read", "the cache", e))?,
        };
        let digest = Digest::new(hash, self.size);
        blob.finish(digest)?;
        told(digest);
        *state = State::Named(digest);
        Ok(Some(digest))
    }

    fn read(&self) -> std::io::Result<[u8; 32]> {
        const CHUNK: u64 = 1 << 20;
        let mut hasher = blake3::Hasher::new();
        let mut bytes = vec![0; CHUNK as usize];
        for at in (0..self.size).step_by(CHUNK as usize) {
            let now = &mut bytes[..CHUNK.min(self.size - at) as usize];
            self.file.read_exact_at(now, at)?;
            hasher.update(now);
        }
        Ok(*hasher.finalize().as_bytes())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Unnamed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unnamed").field("made", &self.made).field("size", &self.size).finish_non_exhaustive()
    }
}

/// Those of a run that have no name yet: a few at a time, as each holds a file open.
#[derive(Debug, Default)]
pub struct Waiting(Mutex<Vec<Arc<Unnamed>>>);

impl Waiting {
    /// So many may wait.
    const MANY: usize = 4;

    /// Is there room for one more?
    pub fn has_room(&self) -> bool {
        self.lock().len() < Self::MANY
    }

    /// Adds one.
    pub fn add(&self, unnamed: Arc<Unnamed>) {
        self.lock().push(unnamed);
    }

    /// It waits no longer.
    pub fn remove(&self, unnamed: &Arc<Unnamed>) {
        self.lock().retain(|other| !Arc::ptr_eq(other, unnamed));
    }

    /// One whose source looks like this.
    pub fn alike(&self, hint: impl FnOnce() -> Result<ActionKey>) -> Result<Option<Arc<Unnamed>>> {
        let waiting = self.lock().clone();
        if waiting.is_empty() {
            return Ok(None);
        }
        let hint = hint()?;
        Ok(waiting.into_iter().find(|unnamed| unnamed.made.hint == hint))
    }

    /// All that are left.
    pub fn take_all(&self) -> Vec<Arc<Unnamed>> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Unnamed>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{Made, Unnamed};
    use crate::base::{Digest, Sha256};
    use crate::format::segment::{Codec, Compression};
    use crate::store::{ActionKey, Cache, LocalCache};

    fn unnamed(cache: &LocalCache, bytes: &[u8]) -> Unnamed {
        let mut blob = cache.new_blob(bytes.len() as u64).expect("begun");
        blob.write(bytes).expect("written");
        let made = Made {
            digest: Digest::of(b"source"),
            sha256: Sha256::of(b"source"),
            segments: Vec::new(),
            codec: Codec::new(Compression::Gzip, None).expect("codec"),
            scan: None,
            took_us: 0,
            hint: ActionKey::new([1; 32]),
        };
        Unnamed::new(made, blob, bytes.len() as u64).expect("it can be read")
    }

    #[test]
    fn it_gets_the_name_of_its_bytes_whoever_reckons_it_and_tells_it_once() {
        let dir = tempfile::tempdir().expect("dir");
        let cache = LocalCache::new(dir.path().to_path_buf());
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|i| (i >> 9) as u8).collect();
        for reckoned in [None, Some(*blake3::hash(&bytes).as_bytes())] {
            let unnamed = unnamed(&cache, &bytes);
            assert!(unnamed.named().is_none());
            let mut told = Vec::new();
            let name = unnamed.name(reckoned, |digest| told.push(digest)).expect("named").expect("it is there");
            assert_eq!(unnamed.name(None, |digest| told.push(digest)).expect("named"), Some(name));
            assert_eq!((name, &told[..], unnamed.named()), (Digest::of(&bytes), &[name][..], Some(name)));
            let mut kept = Vec::new();
            let mut file = cache.blob(&name).expect("cache").expect("there");
            std::io::Read::read_to_end(&mut file, &mut kept).expect("read");
            assert!(kept == bytes);
            cache.forget_blob(&name);
        }
    }

    #[test]
    fn one_that_nobody_names_leaves_nothing() {
        let dir = tempfile::tempdir().expect("dir");
        let cache = LocalCache::new(dir.path().to_path_buf());
        drop(unnamed(&cache, b"bytes"));
        let left = std::fs::read_dir(dir.path().join("v1/blobs")).expect("folder").count();
        assert_eq!(left, 0);
    }

    #[test]
    fn one_that_was_cut_off_is_an_error_and_gets_no_name() {
        let dir = tempfile::tempdir().expect("dir");
        let cache = LocalCache::new(dir.path().to_path_buf());
        let unnamed = unnamed(&cache, &[7; 5000]);
        let entry =
            std::fs::read_dir(dir.path().join("v1/blobs")).expect("folder").next().expect("one").expect("entry");
        std::fs::OpenOptions::new().write(true).open(entry.path()).and_then(|f| f.set_len(4000)).expect("cut");
        assert!(unnamed.name(None, |_| panic!("no name")).is_err());
        assert!(unnamed.named().is_none() && unnamed.name(None, |_| ()).expect("lost").is_none());
    }
}
