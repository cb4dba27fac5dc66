//! `Segment`: at most 1 MiB of an archive, compressed on its own, and how segments are joined to a package.
//!
//! Segment bounds depend on content alone: each member's content is cut from its start, and what lies
//! between two contents (padding and headers) is a segment of its own. So the packed bytes of a member
//! depend on that file and the codec alone, may be cached by content, and a package is assembled from them.
//!
//! An empty source packs to nothing, under every codec.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::format::deflate::Deflate;
use crate::format::gzip;
use crate::format::zstd::{self, Zstd};

/// Source bytes a segment at most.
pub const SEGMENT: usize = 1 << 20;

/// The recipe of the packed bytes: a higher number whenever the same source and codec give other bytes.
pub const RECIPE: u32 = 5;

/// How a package is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// One gzip member.
    Gzip,
    /// One zstd frame a segment, and a seek table.
    Zstd,
    /// A bare tar archive.
    None,
}

impl Compression {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Gzip, Self::Zstd, Self::None];

    /// The word in Expertfiles, manifests and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::None => "none",
        }
    }

    /// The level used where none is asked for, and the lowest and highest.
    fn levels(self) -> (u32, u32, u32) {
        match self {
            Self::Gzip => (6, 1, 9),
            Self::Zstd => (3, 1, 22),
            Self::None => (0, 0, 0),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Compression {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|c| c.as_str() == text)
            .ok_or_else(|| format!("no compression is called `{text}`; there are `gzip`, `zstd` and `none`"))
    }
}

/// The version of the zstd library, whose choices decide the bytes of its frames: 10507 for 1.5.7.
pub fn zstd_version() -> u32 {
    ::zstd::zstd_safe::version_number()
}

/// A compression and its level: with the source, all that packed bytes depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Codec {
    /// How.
    pub compression: Compression,
    /// How hard: 1 to 9 for gzip, 1 to 22 for zstd, 0 for none.
    pub level: u32,
}

impl Codec {
    /// `level`, or the default: 6 for gzip, 3 for zstd.
    pub fn new(compression: Compression, level: Option<u32>) -> Result<Self, String> {
        let (default, low, high) = compression.levels();
        let level = level.unwrap_or(default);
        if (low..=high).contains(&level) {
            return Ok(Self { compression, level });
        }
        Err(match compression {
            Compression::None => format!("compression `none` has no level, so `{level}` has no meaning"),
            _ => format!("level `{level}` is outside of {low} to {high}, the levels of `{compression}`"),
        })
    }
}

/// What packed a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoder {
    /// Copied: nothing to gain.
    Stored,
    /// Shorter codes for frequent bytes, no matching: weights.
    Entropy,
    /// LZ matching at the level asked for: text, zeros, anything that repeats.
    Match,
}

/// What an assembly must know of a segment; the packed bytes lie elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Bytes before.
    pub source_len: u32,
    /// Bytes after.
    pub packed_len: u32,
    /// CRC-32 of the source, for gzip; 0 under the other codecs, whose formats do not use it.
    pub crc32: u32,
    /// What packed it.
    pub encoder: Encoder,
}

/// Packs segments, one after the other; one a thread, as it holds the tables and scratch memory.
pub struct Packer {
    kind: Kind,
}

enum Kind {
    Gzip(Box<Deflate>),
    Zstd(Box<Zstd>),
    None,
}

impl Packer {
    /// Tables for `codec`.
    pub fn new(codec: Codec) -> Self {
        let kind = match codec.compression {
            Compression::Gzip => Kind::Gzip(Box::new(Deflate::new(codec.level))),
            Compression::Zstd => Kind::Zstd(Box::new(Zstd::new(codec.level))),
            Compression::None => Kind::None,
        };
        Self { kind }
    }

    /// Appends exactly the segment's bytes to `out`. They depend on `source` and the codec alone, not on
    /// what was packed before.
    ///
    /// # Panics
    /// If `source` is longer than [`SEGMENT`].
    pub fn pack(&mut self, source: &[u8], out: &mut Vec<u8>) -> Segment {
        let start = out.len();
        let segment = self.pack_at(source, out, start);
        out.truncate(start + segment.packed_len as usize);
        segment
    }

    /// The same bytes, over what is in `room` from its start. What lies behind them has no meaning: room that is used again
    /// and again need not be cleared each time.
    ///
    /// # Panics
    /// If `source` is longer than [`SEGMENT`].
    pub fn pack_over(&mut self, source: &[u8], room: &mut Vec<u8>) -> Segment {
        self.pack_at(source, room, 0)
    }

    fn pack_at(&mut self, source: &[u8], out: &mut Vec<u8>, start: usize) -> Segment {
        assert!(source.len() <= SEGMENT, "a segment holds at most {SEGMENT} bytes");
        let (crc32, (encoder, end)) = match &mut self.kind {
            _ if source.is_empty() => (0, (Encoder::Stored, start)),
            Kind::Gzip(deflate) => (zlib_rs::crc32::crc32(0, source), deflate.pack(source, out, start)),
            Kind::Zstd(zstd) => {
                out.truncate(start);
                (0, (zstd.pack(source, out), out.len()))
            }
            Kind::None => {
                out.truncate(start);
                out.extend_from_slice(source);
                (0, (Encoder::Stored, out.len()))
            }
        };
        let packed_len = u32::try_from(end - start).expect("a packed segment is little longer than its source");
        Segment { source_len: source.len() as u32, packed_len, crc32, encoder }
    }
}

/// The bytes before, between and after the segments of a package.
pub struct Assembly {
    kind: Parts,
}

enum Parts {
    Gzip(gzip::Trailer),
    Zstd(zstd::SeekTable),
    None,
}

impl Assembly {
    /// No segment yet.
    pub fn new(codec: Codec) -> Self {
        let kind = match codec.compression {
            Compression::Gzip => Parts::Gzip(gzip::Trailer::default()),
            Compression::Zstd => Parts::Zstd(zstd::SeekTable::default()),
            Compression::None => Parts::None,
        };
        Self { kind }
    }

    /// The bytes before the first segment.
    pub fn start(&self) -> Vec<u8> {
        match self.kind {
            Parts::Gzip(_) => gzip::HEADER.to_vec(),
            Parts::Zstd(_) | Parts::None => Vec::new(),
        }
    }

    /// The next segment, in the order of the package.
    pub fn push(&mut self, segment: &Segment) {
        match &mut self.kind {
            Parts::Gzip(trailer) => trailer.push(segment.crc32, u64::from(segment.source_len)),
            Parts::Zstd(table) => table.push(segment.packed_len, segment.source_len),
            Parts::None => {}
        }
    }

    /// A row of segments that were not looked at one by one: CRC-32 and length of what they hold. Only gzip's end tells no
    /// more of segments than that.
    ///
    /// # Panics
    /// If the package is not one of gzip.
    pub fn push_row(&mut self, crc32: u32, len: u64) {
        match &mut self.kind {
            Parts::Gzip(trailer) => trailer.push(crc32, len),
            Parts::Zstd(_) | Parts::None => panic!("a row of segments is copied into a gzip package alone"),
        }
    }

    /// The bytes after the last segment.
    pub fn finish(self) -> Vec<u8> {
        match self.kind {
            Parts::Gzip(trailer) => trailer.finish(),
            Parts::Zstd(table) => table.finish(),
            Parts::None => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_have_defaults_and_bounds() {
        let new = |c, l| Codec::new(c, l).map(|codec| codec.level);
        assert_eq!(new(Compression::Gzip, None), Ok(6));
        assert_eq!(new(Compression::Zstd, None), Ok(3));
        assert_eq!(new(Compression::None, None), Ok(0));
        assert_eq!(new(Compression::None, Some(0)), Ok(0));
        assert_eq!(new(Compression::Gzip, Some(9)), Ok(9));
        assert_eq!(new(Compression::Zstd, Some(22)), Ok(22));
        for (compression, level) in [(Compression::Gzip, 0), (Compression::Gzip, 10), (Compression::Zstd, 23)] {
            assert!(new(compression, Some(level)).unwrap_err().contains("outside of"));
        }
        assert!(new(Compression::None, Some(1)).unwrap_err().contains("no level"));
    }

    #[test]
    fn words_are_the_same_everywhere() {
        for compression in Compression::ALL {
            assert_eq!(compression.as_str().parse(), Ok(compression));
            assert_eq!(serde_json::to_string(&compression).unwrap(), format!("\"{compression}\""));
        }
        assert!("bzip2".parse::<Compression>().unwrap_err().contains("`bzip2`"));
    }

    #[test]
    fn an_empty_source_packs_to_nothing() {
        for compression in Compression::ALL {
            let mut out = Vec::new();
            let codec = Codec::new(compression, None).unwrap();
            let segment = Packer::new(codec).pack(&[], &mut out);
            assert!(out.is_empty());
            assert_eq!((segment.source_len, segment.packed_len, segment.crc32), (0, 0, 0));
        }
    }
}
