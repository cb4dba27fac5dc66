//! `Spool`: bytes that wait on the disk, not in memory, until the run knows where they belong.
//!
//! A file without a name: nobody else sees it, and a killed process leaves nothing. Where there is no room for it on the
//! disk the bytes stay in memory: then the run needs more of it, and fails no sooner.

use std::fs::File;
use std::io::Write as _;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::base::{Error, Result};
use crate::store::output;

/// So many bytes wait in memory before a file is begun, and before more is added to it.
const WAITING: usize = 256 << 10;

/// Bytes put away one after the other, to be read back in any order.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    file: Option<File>,
    /// Bytes in the file.
    written: u64,
    waiting: Vec<u8>,
    /// The disk did not take them: it is not asked again.
    in_memory: bool,
}

impl Spool {
    /// An empty one, whose file will lie in this folder.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf(), file: None, written: 0, waiting: Vec::new(), in_memory: false }
    }

    /// Puts bytes away and says where they are.
    pub fn put(&mut self, bytes: &[u8]) -> Range<u64> {
        let start = self.written + self.waiting.len() as u64;
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= WAITING && !self.in_memory {
            self.in_memory = self.flush().is_err();
        }
        start..start + bytes.len() as u64
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(output::nameless(&self.folder)?),
        };
        file.write_all(&self.waiting)?;
        self.written += self.waiting.len() as u64;
        self.waiting.clear();
        Ok(())
    }

    /// Reads back what was put there, into `bytes`.
    pub fn get(&self, at: Range<u64>, bytes: &mut Vec<u8>) -> Result<()> {
        let length = (at.end - at.start) as usize;
        bytes.clear();
        if at.start >= self.written {
            let start = (at.start - self.written) as usize;
            bytes.extend_from_slice(&self.waiting[start..start + length]);
            return Ok(());
        }
        bytes.resize(length, 0);
        let file = self.file.as_ref().ok_or_else(|| Error::Bug("a spool without its file".into()))?;
        file.read_exact_at(bytes, at.start).map_err(|e| Error::io("read from a temporary file in", &self.folder, e))
    }
}

#[cfg(test)]
mod tests {
    use super::{Spool, WAITING};

    #[test]
    fn what_is_put_away_comes_back_with_and_without_a_disk() {
        let dir = tempfile::tempdir().expect("dir");
        let no_folder = dir.path().join("file");
        std::fs::write(&no_folder, b"").expect("a file");
        for (folder, in_memory) in [(dir.path(), false), (&no_folder, true)] {
            let mut spool = Spool::new(folder);
            let pieces: Vec<Vec<u8>> = (0..40).map(|i: u8| vec![i; usize::from(i) * WAITING / 100]).collect();
            let places: Vec<_> = pieces.iter().map(|piece| spool.put(piece)).collect();
            assert_eq!((spool.in_memory, spool.written == 0), (in_memory, in_memory));
            let mut bytes = Vec::new();
            for (piece, place) in pieces.iter().zip(places).rev() {
                spool.get(place, &mut bytes).expect("there");
                assert!(bytes == *piece);
            }
            let named = std::fs::read_dir(dir.path()).expect("dir").count();
            assert_eq!(named, 1, "the file has no name");
        }
    }
}
