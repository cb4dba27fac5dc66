//! `Record`: what an action leaves beside packed files: their tables, the small ones themselves, which packages they make.
//!
//! One line of JSON, a newline, and raw bytes that the JSON refers to by length, as in the [local cache](super::super::record).
//! It is not that cache's record: there a package is a list of pieces that is believed, as this machine wrote it. Here nothing
//! is believed but how to read the packed bytes, and so nothing else is sent: manifest, headers and findings are made anew
//! where they are needed, and cost less than their way over the network. A worker that finds the expert wrong packs nothing and
//! says what it found, as a reason to look here before anything else is done.

use serde::{Deserialize, Serialize};

use crate::base::{Diagnostic, Severity, Sha256};
use crate::engine::files::{FileSlot, Packed};
use crate::engine::job::Open;
use crate::engine::record::{KeptFinding, PackedSegment, decode, encode};
use crate::format::segment::Segment;
use crate::store::remote::CasDigest;

/// Packed bytes up to this length travel in the record: a round trip for each would cost more.
pub const INLINE: u64 = 16 << 10;
/// All of them together.
const INLINE_IN_ALL: u64 = 256 << 10;
/// No more findings are told of an expert that is refused.
const FINDINGS: usize = 100;
/// No record is longer.
pub const MOST: u64 = 64 << 20;

/// What an action left.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Record {
    /// One for each file, in the order of the action's outputs.
    pub files: Vec<PackedFile>,
    /// One for each package; none where they are signed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<Package>,
    /// What a worker found, where that kept it from packing. Then there is nothing else here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<KeptFinding>,
    /// The packed bytes that are here.
    #[serde(skip)]
    inline: Vec<u8>,
}

/// A file, packed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PackedFile {
    /// SHA-256 of the source.
    pub sha256: Sha256,
    /// Are the packed bytes in the record?
    pub inline: bool,
    /// The table of the segments.
    pub segments: Vec<PackedSegment>,
    /// Microseconds that packing it took.
    pub took_us: u64,
}

impl PackedFile {
    /// How long it is, packed.
    pub fn len(&self) -> u64 {
        self.segments.iter().map(|segment| u64::from(segment.1)).sum()
    }

    /// Is there nothing in it?
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// The table.
    pub fn table(&self) -> Vec<Segment> {
        self.segments.iter().copied().map(Segment::from).collect()
    }
}

/// A package as whoever made it has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// SHA-256 of it.
    pub sha256: Sha256,
    /// Its size.
    pub bytes: u64,
}

/// A file on its way into a record.
pub struct Adding<'a> {
    /// SHA-256 of the source.
    pub sha256: Sha256,
    /// Its packed bytes.
    pub packed: &'a Packed,
    /// Microseconds that packing it took.
    pub took_us: u64,
}

impl<'a> Adding<'a> {
    /// A file of an open job, if it was packed.
    pub fn of(slot: &FileSlot, packed: &'a Packed) -> Option<Self> {
        let took_us = slot.packing_us.load(std::sync::atomic::Ordering::Relaxed);
        Some(Self { sha256: slot.sha256()?, packed, took_us })
    }
}

impl Record {
    /// The record of an expert that was refused for these findings.
    pub fn refused(found: &[Diagnostic]) -> Self {
        let errors = found.iter().filter(|found| found.severity == Severity::Error);
        Self { refused: errors.take(FINDINGS).map(KeptFinding::of).collect(), ..Self::default() }
    }

    /// Adds a file. `read` gives the bytes of a small blob that shall travel in the record; where it cannot, and for what
    /// is larger, the caller sends the packed bytes as an output of their own: `false`.
    pub fn add(&mut self, file: &Adding<'_>, read: impl FnOnce() -> Option<Vec<u8>>) -> bool {
        let length: u64 = file.packed.segments().iter().map(|segment| u64::from(segment.packed_len)).sum();
        let room = length <= INLINE && self.inline.len() as u64 + length <= INLINE_IN_ALL;
        let bytes = match file.packed {
            // What lies nowhere else is here, however much there is of it.
            Packed::Inline(bytes, _) => Some(bytes.clone()),
            Packed::Blob(..) if room => read().filter(|bytes| bytes.len() as u64 == length),
            Packed::Blob(..) | Packed::Unnamed(_) => None,
        };
        let inline = bytes.is_some();
        self.inline.extend(bytes.into_iter().flatten());
        let segments = file.packed.segments().iter().copied().map(PackedSegment::from).collect();
        self.files.push(PackedFile { sha256: file.sha256, inline, segments, took_us: file.took_us });
        inline
    }

    /// Adds the packages that an open job put in their places.
    pub fn add_packages(&mut self, open: &Open) -> Option<()> {
        for package in &open.packages {
            let built = package.built.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let built = built.iter().find(|built| built.is_package)?;
            self.packages.push(Package { sha256: built.sha256, bytes: built.seen.stat?.size });
        }
        Some(())
    }

    /// As it travels.
    pub fn encode(&self) -> Vec<u8> {
        encode(self, &self.inline)
    }

    /// Reads it back. `None` where it is not a record, or neither of so many files nor of none that was refused.
    pub fn decode(bytes: &[u8], files: usize) -> Option<Self> {
        let (mut record, inline) = decode::<Self>(bytes)?;
        let here: u64 = record.files.iter().filter(|file| file.inline).map(PackedFile::len).sum();
        record.inline = inline.to_vec();
        let count = if record.refused.is_empty() { files } else { 0 };
        (here == inline.len() as u64 && record.files.len() == count).then_some(record)
    }

    /// The packed bytes of each file that are in the record.
    pub fn inlined(&self) -> Vec<Option<&[u8]>> {
        let mut rest = &self.inline[..];
        let mut all = Vec::with_capacity(self.files.len());
        for file in &self.files {
            all.push(file.inline.then(|| {
                let (now, later) = rest.split_at(usize::try_from(file.len()).unwrap_or(usize::MAX).min(rest.len()));
                rest = later;
                now
            }));
        }
        all
    }
}

/// A blob that an action left and that is wanted here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// The number of its file.
    pub file: usize,
    /// Its name there.
    pub digest: CasDigest,
}

#[cfg(test)]
mod tests {
    use super::{Adding, INLINE, Record};
    use crate::base::{Diagnostic, Digest, Sha256};
    use crate::engine::files::Packed;
    use crate::format::segment::{Encoder, Segment};

    #[test]
    fn what_is_small_travels_in_it_and_what_is_wrong_is_no_record() {
        let segment = |packed_len: u32| Segment { source_len: 9, packed_len, crc32: 1, encoder: Encoder::Match };
        let small = Packed::Inline(b"small".to_vec(), vec![segment(5)]);
        let blob = |len: u32| Packed::Blob(Digest::new([1; 32], u64::from(len)), vec![segment(len)]);
        let (medium, big) = (blob(8), blob(INLINE as u32 + 1));
        let mut record = Record::default();
        let mut add = |packed: &Packed, bytes: Option<&[u8]>| {
            record.add(&Adding { sha256: Sha256::of(b"x"), packed, took_us: 7 }, || bytes.map(<[u8]>::to_vec))
        };
        assert!(add(&small, None));
        assert!(!add(&big, Some(b"is not asked for")));
        assert!(add(&medium, Some(b"a medium")));
        assert!(!add(&medium, None), "it was lost meanwhile");
        let bytes = record.encode();
        let again = Record::decode(&bytes, 4).expect("a record");
        assert_eq!(again, record);
        assert_eq!(again.inlined(), [Some(&b"small"[..]), None, Some(b"a medium"), None]);
        assert_eq!(Record::decode(&bytes, 3), None);
        assert_eq!(Record::decode(&bytes[..bytes.len() - 1], 4), None);
        assert_eq!(Record::decode(&[&bytes[..], b"x"].concat(), 4), None);
        assert_eq!(Record::decode(b"", 0), None);
        let found = Diagnostic::new(&crate::base::codes::files::FILE_MISSING, "it is not there");
        let refused = Record::refused(&[found]).encode();
        assert_eq!(Record::decode(&refused, 4).expect("a record").refused.len(), 1);
    }
}
