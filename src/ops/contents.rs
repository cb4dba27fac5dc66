//! `Contents`: what one reading of a package gives: every file's hash, the manifest and the signature.

use std::collections::BTreeMap;

use sha2::Digest as _;

use crate::base::{Error, RelPath, Result, Sha256};
use crate::format::archive::{Entry, Fault, Source as _};
use crate::format::gzip_stretch::{Mark, TAIL, WINDOW};
use crate::format::integrity::{MANIFEST, SIGNATURE};
use crate::format::segment::Compression;
use crate::ops::opened::{Opened, hash_to};
use crate::store::extract::Writing;

/// Longest `signature.sig`: 128 hex digits, and room for what another tool may put around them.
const MAX_SIGNATURE: u64 = 4096;

/// A package that was read from start to end.
pub(crate) struct Contents {
    pub(crate) compression: Compression,
    /// gzip members.
    pub(crate) members: u64,
    /// Every file with size and hash.
    pub(crate) files: BTreeMap<RelPath, (u64, Sha256)>,
    pub(crate) manifest: Vec<u8>,
    pub(crate) signature: Option<String>,
    /// Every entry in its order.
    pub(crate) entries: Vec<Entry>,
    /// Where each of them lies in a gzip package, if that was asked for.
    pub(crate) marks: Vec<Mark>,
}

impl Contents {
    /// Reads it all. Where `begin` gives a file to write, the entry's content goes there as it passes.
    pub(crate) fn read(opened: &Opened, begin: impl FnMut(&Entry) -> Result<Option<Writing>>) -> Result<Self> {
        Self::read_all(opened, begin, false)
    }

    /// The same, noting where the entries of a gzip package lie.
    pub(crate) fn marked(opened: &Opened) -> Result<Self> {
        Self::read_all(opened, |_| Ok(None), opened.compression()? == Compression::Gzip)
    }

    fn read_all(opened: &Opened, mut begin: impl FnMut(&Entry) -> Result<Option<Writing>>, mark: bool) -> Result<Self> {
        let mut archive = opened.stream()?;
        let mut contents = Self {
            compression: archive.source().compression(),
            members: 0,
            files: BTreeMap::new(),
            manifest: Vec::new(),
            signature: None,
            entries: Vec::new(),
            marks: Vec::new(),
        };
        let mut has_manifest = false;
        while let Some(entry) = archive.next_entry().map_err(|e| opened.error(e))? {
            let mut writing = begin(&entry)?;
            let mut marker = mark.then(|| Marker::new(archive.source().place()));
            let kept = match entry.path.as_str() {
                MANIFEST => Some(archive.read_all(opened.limits.max_manifest)),
                SIGNATURE => Some(archive.read_all(MAX_SIGNATURE)),
                _ => None,
            };
            let sha256 = match kept {
                Some(bytes) => {
                    let bytes = bytes.map_err(|e| opened.error(e))?;
                    if let Some(writing) = &mut writing {
                        writing.write(&bytes)?;
                    }
                    if let Some(marker) = &mut marker {
                        marker.pass(&bytes);
                    }
                    let sha256 = Sha256::new(sha2::Sha256::digest(&bytes).into());
                    if entry.path.as_str() == MANIFEST {
                        has_manifest = true;
                        contents.manifest = bytes;
                    } else {
                        contents.signature = Some(String::from_utf8_lossy(&bytes).into_owned());
                    }
                    sha256
                }
                None => {
                    let hashed = hash_to(&mut archive, |piece| {
                        if let Some(marker) = &mut marker {
                            marker.pass(piece);
                        }
                        match &mut writing {
                            Some(writing) => writing.write(piece).map_err(Stop::Write),
                            None => Ok(()),
                        }
                    });
                    hashed.map_err(|stop| match stop {
                        Stop::Write(error) => error,
                        Stop::Read(fault) => opened.error(fault),
                    })?
                }
            };
            if let Some(writing) = writing {
                writing.finish()?;
            }
            let place = archive.source().place();
            contents.marks.extend(marker.map(|marker| marker.end(place)));
            contents.files.insert(entry.path.clone(), (entry.size, sha256));
            contents.entries.push(entry);
        }
        contents.members = archive.source().members();
        if has_manifest { Ok(contents) } else { Err(opened.no_manifest()) }
    }
}

/// Notes what is needed to find a content in a gzip package again.
struct Marker {
    start: u64,
    crc32: u32,
    head: sha2::Sha256,
    headed: usize,
    tail: Vec<u8>,
}

impl Marker {
    fn new(start: u64) -> Self {
        Self { start, crc32: 0, head: sha2::Sha256::new(), headed: 0, tail: Vec::new() }
    }

    fn pass(&mut self, piece: &[u8]) {
        self.crc32 = zlib_rs::crc32::crc32(self.crc32, piece);
        let head = piece.len().min(WINDOW - self.headed);
        self.head.update(&piece[..head]);
        self.headed += head;
        self.tail.extend_from_slice(&piece[piece.len().saturating_sub(TAIL)..]);
        self.tail.drain(..self.tail.len().saturating_sub(TAIL));
    }

    fn end(self, place: u64) -> Mark {
        let head = Sha256::new(self.head.finalize().into());
        Mark { places: self.start..place, crc32: self.crc32, head, tail: self.tail }
    }
}

/// Why copying stopped: on which side.
enum Stop {
    Write(Error),
    Read(Fault),
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::Read(error.into())
    }
}
