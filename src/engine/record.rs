//! What the cache keeps of a task: `FileResult` for a packed file, `PackageResult` for a whole package.
//!
//! A record is one line of JSON, a newline, and raw bytes that the JSON refers to by length.

use serde::{Deserialize, Serialize};

use crate::base::event::Member;
use crate::base::{Digest, RelPath, Sha256};
use crate::format::safetensors::Fingerprint;
use crate::format::segment::{Encoder, SEGMENT, Segment};

/// What is known of a file's content, and its compressed segments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileResult {
    /// SHA-256 of the content.
    pub sha256: Sha256,
    /// The compressed segments, one after the other, as a blob.
    pub packed: Digest,
    /// Their table.
    pub segments: Vec<PackedSegment>,
    /// What reading the whole content told of its values, where it is a weights file.
    pub scan: Option<serde_json::Value>,
    /// Microseconds that packing it took.
    #[serde(default)]
    pub took_us: u64,
}

impl FileResult {
    /// Can it be what a file of this size was packed to? Sizes of a package are added up from it without another look.
    pub fn is_of(&self, size: u64) -> bool {
        let (mut source, mut packed) = (0_u64, 0_u64);
        for segment in &self.segments {
            source += u64::from(segment.0);
            packed += u64::from(segment.1);
        }
        (source, packed) == (size, self.packed.size()) && self.segments.iter().all(|s| s.0 as usize <= SEGMENT)
    }
}

/// A segment without its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackedSegment(pub u32, pub u32, pub u32, pub Encoder);

impl From<Segment> for PackedSegment {
    fn from(s: Segment) -> Self {
        Self(s.source_len, s.packed_len, s.crc32, s.encoder)
    }
}

impl From<PackedSegment> for Segment {
    fn from(s: PackedSegment) -> Self {
        Self { source_len: s.0, packed_len: s.1, crc32: s.2, encoder: s.3 }
    }
}

/// A stretch of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Piece {
    /// So many bytes that lie in the record itself.
    Inline(u64),
    /// A blob.
    Blob(Digest),
}

/// A package that was made once, and how to put it together again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PackageResult {
    /// SHA-256 of the package.
    pub sha256: Sha256,
    /// Its size.
    pub bytes: u64,
    /// Its members.
    pub members: Vec<Member>,
    /// Its stretches, in order.
    pub pieces: Vec<Piece>,
    /// Segments in it.
    pub segments: u64,
    /// Findings that did not keep it from being built, told again when it is restored.
    pub warnings: Vec<KeptFinding>,
    /// The keys of the packages that they were found with: the expert's others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<String>,
    /// The text of its key.
    pub key_text: String,
    /// Microseconds that making it took, packing its files included.
    pub took_us: u64,
    /// The weights by source path, with what tells copies.
    #[serde(default)]
    pub weights: Vec<(RelPath, Fingerprint)>,
    /// The inline stretches.
    #[serde(skip)]
    pub inline: Vec<u8>,
}

/// A finding as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptFinding {
    code: String,
    severity: crate::base::Severity,
    message: String,
    file: Option<String>,
    at: crate::base::At,
    help: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    edit: Option<crate::base::diagnostic::Edit>,
}

impl KeptFinding {
    /// Keeps a finding.
    pub fn of(found: &crate::base::Diagnostic) -> Self {
        Self {
            code: found.code.name.to_owned(),
            severity: found.severity,
            message: found.message.clone(),
            file: found.file.clone(),
            at: found.at.clone(),
            help: found.help.clone(),
            edit: found.edit.clone(),
        }
    }

    /// The finding again; `None` where this version does not know its code.
    pub fn restore(&self) -> Option<crate::base::Diagnostic> {
        let mut found = crate::base::Diagnostic::new(crate::base::codes::find(&self.code)?, self.message.clone());
        found.severity = self.severity;
        found.file.clone_from(&self.file);
        found.at = self.at.clone();
        found.help.clone_from(&self.help);
        found.edit.clone_from(&self.edit);
        Some(found)
    }
}

/// Writes a record.
pub fn encode(head: &impl Serialize, body: &[u8]) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(head).expect("records are plain data");
    bytes.push(b'\n');
    bytes.extend_from_slice(body);
    bytes
}

/// Reads a record; `None` where it is of another shape, which counts as absent.
pub fn decode<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Option<(T, &[u8])> {
    let line = bytes.iter().position(|b| *b == b'\n')?;
    Some((serde_json::from_slice(&bytes[..line]).ok()?, &bytes[line + 1..]))
}

/// The blobs that a record of the cache speaks of: without them it is of no use.
pub fn blobs(record: &[u8]) -> Vec<Digest> {
    if let Some(package) = PackageResult::decode(record) {
        let blob = |piece: &Piece| if let Piece::Blob(digest) = piece { Some(*digest) } else { None };
        return package.pieces.iter().filter_map(blob).collect();
    }
    decode::<FileResult>(record).map(|(file, _)| file.packed).into_iter().collect()
}

impl PackageResult {
    /// The record.
    pub fn encode(&self) -> Vec<u8> {
        encode(self, &self.inline)
    }

    /// Reads it back.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (mut result, inline) = decode::<Self>(bytes)?;
        let (mut size, mut here) = (0_u64, 0_u64);
        for piece in &result.pieces {
            let length = match piece {
                Piece::Inline(length) => {
                    here = here.checked_add(*length)?;
                    *length
                }
                Piece::Blob(digest) => digest.size(),
            };
            size = size.checked_add(length)?;
        }
        result.inline = inline.to_vec();
        // Of a signed package no pieces are kept.
        let is_whole = result.pieces.is_empty() || size == result.bytes;
        (is_whole && here == inline.len() as u64).then_some(result)
    }
}
