//! `FileSlot`: one source file of an open job: its content while it is needed, its digests, where its packed bytes are.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::base::codes::files::FILE_CHANGED;
use crate::base::{Diagnostic, Digest, Error, RelPath, Result, Sha256};
use crate::engine::layout::Role;
use crate::engine::survey::{SourceFile, is_small, vanished};
use crate::engine::unnamed::Unnamed;
use crate::format::safetensors::ScanReport;
use crate::format::segment::Segment;
use crate::store::{Stat, fs};

/// Where the packed bytes of a file are.
#[derive(Debug, Clone)]
pub enum Packed {
    /// Here: the file is too small to be worth a place in the cache.
    Inline(Vec<u8>, Vec<Segment>),
    /// In the cache.
    Blob(Digest, Vec<Segment>),
    /// In the cache, where it has no name yet.
    Unnamed(Arc<Unnamed>),
}

impl Packed {
    /// The segment table.
    pub fn segments(&self) -> &[Segment] {
        match self {
            Self::Inline(_, segments) | Self::Blob(_, segments) => segments,
            Self::Unnamed(unnamed) => &unnamed.made.segments,
        }
    }
}

/// One source file.
pub struct FileSlot {
    /// The expert's folder on the disk, which all its files share.
    folder: Arc<Path>,
    /// Below the expert's folder.
    pub path: RelPath,
    /// What it is.
    pub role: Role,
    /// What it was at the first look.
    pub stat: Stat,
    digest: OnceLock<Digest>,
    sha256: OnceLock<Sha256>,
    content: Mutex<Option<Arc<Vec<u8>>>>,
    packed: Mutex<Option<Arc<Packed>>>,
    /// Microseconds that packing it took, now or when the cache got it.
    pub packing_us: AtomicU64,
    /// What the values are like, for weights whose values were looked at.
    pub scan: OnceLock<Box<ScanReport>>,
}

impl FileSlot {
    /// A slot; `remembered` is what the index knows of a file with this stat.
    pub fn new(file: &SourceFile, folder: &Arc<Path>, remembered: Option<(Digest, Sha256)>) -> Self {
        let slot = Self {
            folder: Arc::clone(folder),
            path: file.path.clone(),
            role: file.role.clone(),
            stat: file.stat,
            digest: OnceLock::new(),
            sha256: OnceLock::new(),
            content: Mutex::default(),
            packed: Mutex::default(),
            packing_us: AtomicU64::new(0),
            scan: OnceLock::new(),
        };
        if let Some((digest, sha256)) = remembered {
            let _ = (slot.digest.set(digest), slot.sha256.set(sha256));
        }
        slot
    }

    /// Where it lies on the disk.
    pub fn disk(&self) -> PathBuf {
        self.path.under(&self.folder)
    }

    /// Is it read in one gulp and kept until its package is written?
    pub fn is_small(&self) -> bool {
        is_small(&self.role, self.stat.size)
    }

    /// Its digest, where it is known.
    pub fn digest(&self) -> Option<Digest> {
        self.digest.get().copied()
    }

    /// Its SHA-256, where it is known.
    pub fn sha256(&self) -> Option<Sha256> {
        self.sha256.get().copied()
    }

    /// Both, where they are known.
    pub fn digests(&self) -> Option<(Digest, Sha256)> {
        Some((self.digest()?, self.sha256()?))
    }

    /// Says what its digest is. If something else was known, the file has changed.
    pub fn set_digest(&self, digest: Digest) -> Result<()> {
        if *self.digest.get_or_init(|| digest) == digest {
            Ok(())
        } else {
            Err(self.changed("its content is not what it was"))
        }
    }

    /// Says what its SHA-256 is: of the content whose digest is set.
    pub fn set_sha256(&self, sha256: Sha256) -> Result<()> {
        if *self.sha256.get_or_init(|| sha256) == sha256 {
            Ok(())
        } else {
            Err(self.changed("its content is not what it was"))
        }
    }

    /// Its packed bytes, once they are somewhere.
    pub fn packed(&self) -> Option<Arc<Packed>> {
        self.packed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says where its packed bytes are, or that they are nowhere any more.
    pub fn set_packed(&self, packed: Option<Packed>) {
        *self.packed.lock().unwrap_or_else(PoisonError::into_inner) = packed.map(Arc::new);
    }

    /// Its content, read now or kept from before. For small files.
    pub fn content(&self) -> Result<(Arc<Vec<u8>>, u64)> {
        let mut kept = self.lock();
        if let Some(content) = &*kept {
            return Ok((Arc::clone(content), 0));
        }
        let (mut file, stat) = self.open()?;
        let mut bytes = Vec::with_capacity(stat.size as usize + 1);
        std::io::Read::read_to_end(&mut std::io::Read::take(&mut file, stat.size + 1), &mut bytes)
            .map_err(|e| self.blame(Error::io("read", self.disk(), e)))?;
        self.unchanged(&file, bytes.len() as u64)?;
        self.set_digest(Digest::of(&bytes))?;
        self.set_sha256(Sha256::of(&bytes))?;
        let read = bytes.len() as u64;
        let content = Arc::new(bytes);
        *kept = Some(Arc::clone(&content));
        Ok((content, read))
    }

    /// Lets go of its content and of packed bytes that are here: its package has them.
    pub fn let_go(&self) {
        *self.lock() = None;
        let mut packed = self.packed.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(packed.as_deref(), Some(Packed::Inline(..))) {
            *packed = None;
        }
    }

    /// The content, if it is kept.
    pub fn kept(&self) -> Option<Arc<Vec<u8>>> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Vec<u8>>>> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens it, if it is still what it was at the first look.
    pub fn open(&self) -> Result<(std::fs::File, Stat)> {
        let (file, stat) = match fs::open(&self.disk()) {
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                return Err(vanished(&self.path));
            }
            other => other?,
        };
        if stat != self.stat {
            return Err(self.changed("it was written between the first look at it and its reading"));
        }
        Ok((file, stat))
    }

    /// Is the file that was read to its end still what it was at the first look?
    pub fn unchanged(&self, file: &std::fs::File, read: u64) -> Result<()> {
        let after = Stat::of_file(file).map_err(|e| Error::io("read", self.disk(), e))?;
        if after != self.stat || read != self.stat.size {
            return Err(self.changed("it was written while it was being read"));
        }
        Ok(())
    }

    /// The error of a reading: if the file is no longer what it was, that is the reason.
    pub fn blame(&self, e: Error) -> Error {
        match e {
            Error::Io { .. } if fs::differs(&self.disk(), &self.stat).unwrap_or(false) => {
                self.changed("it was written while it was being read")
            }
            e => e,
        }
    }

    /// The error for a file that does not hold still.
    pub fn changed(&self, how: &str) -> Error {
        Error::Invalid(vec![
            Diagnostic::new(&FILE_CHANGED, format!("`{}` changed during the build: {how}", self.path))
                .file(&self.path)
                .help("build again when whatever writes it has finished"),
        ])
    }
}
