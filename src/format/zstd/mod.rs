//! zstd: one independent frame a segment, then a seek table in a skippable frame.
//!
//! Source: RFC 8878 (frames) and the zstd seekable format 0.1.0 (`contrib/seekable_format` of zstd).
//!
//! ```text
//! frame…                  with content size and checksum (XXH64, low 32 bits)
//! 5e 2a 4d 18  u32 size   a skippable frame, which readers that do not know the table pass over
//!   u32 packed, u32 source      for each frame
//!   u32 frames, u8 0, b1 ea 92 8f
//! ```
//!
//! The table carries no checksums of its own (its flag byte is 0): every frame has one already. A table
//! holds at most 2^27 frames (128 TiB of full segments); past that the package has no table and is still
//! a good zstd file. Both lengths of a frame fit 32 bits as a segment is at most 1 MiB.

mod literals;
mod tree;

use zstd::zstd_safe::{CCtx, CParameter, ParamSwitch, Strategy, compress_bound};

use crate::format::entropy::histogram::Counted;
use crate::format::entropy::look;
use crate::format::segment::Encoder;

/// Packs segments as frames.
pub(crate) struct Zstd {
    matcher: CCtx<'static>,
    entropy: CCtx<'static>,
    /// Above the default level: the matcher of that level, as harder matching makes some segments longer.
    default: Option<CCtx<'static>>,
    scratch: Vec<u8>,
}

/// The level that is no effort; above it every way is tried and the shortest frame is taken.
const DEFAULT: i32 = 3;

impl Zstd {
    pub(crate) fn new(level: u32) -> Self {
        let level = i32::try_from(level.clamp(1, 22)).expect("a small number");
        let matcher = context(&[CParameter::CompressionLevel(level)]);
        let default = (level > DEFAULT).then(|| context(&[CParameter::CompressionLevel(DEFAULT)]));
        // For literals whose code our own encoder cannot describe. Matching made hopeless: a small table, long matches
        // only, and great strides between tries. The literals, which this strategy would leave as they are, are coded all
        // the same.
        let entropy = context(&[
            CParameter::CompressionLevel(1),
            CParameter::Strategy(Strategy::ZSTD_fast),
            CParameter::HashLog(6),
            CParameter::MinMatch(7),
            CParameter::TargetLength(1 << 17),
            CParameter::LiteralCompressionMode(ParamSwitch::Enable),
        ]);
        Self { matcher, entropy, default, scratch: Vec::new() }
    }

    /// Appends `source` as one frame.
    pub(crate) fn pack(&mut self, source: &[u8], out: &mut Vec<u8>) -> Encoder {
        let repeats = look::at_segment(source);
        let counted = if self.default.is_some() { Counted::Whole } else { Counted::Part };
        let start = out.len();
        let mut encoder = Encoder::Entropy;
        let worth = !repeats || self.default.is_some() && !look::is_small(source);
        let mut written = worth && literals::write(source, counted, out);
        if repeats || !written {
            let ways = match repeats {
                true => [Some(&mut self.matcher), self.default.as_mut()],
                false => [Some(&mut self.entropy), None],
            };
            for context in ways.into_iter().flatten() {
                self.scratch.clear();
                self.scratch.reserve(compress_bound(source.len()));
                context
                    .compress2(&mut self.scratch, source)
                    .expect("zstd takes any bytes, and there is room for its output");
                if !written || self.scratch.len() < out.len() - start {
                    out.truncate(start);
                    out.extend_from_slice(&self.scratch);
                    encoder = if repeats { Encoder::Match } else { Encoder::Entropy };
                    written = true;
                }
            }
        }
        if out.len() - start < source.len() { encoder } else { Encoder::Stored }
    }
}

fn context(parameters: &[CParameter]) -> CCtx<'static> {
    let mut context = CCtx::create();
    for parameter in [CParameter::ContentSizeFlag(true), CParameter::ChecksumFlag(true)].iter().chain(parameters) {
        context.set_parameter(*parameter).expect("every parameter is within zstd's bounds");
    }
    context
}

/// Most frames of a table, the limit of the format's own reader.
const MOST: usize = 1 << 27;

/// The lengths of all the frames so far.
#[derive(Debug, Default)]
pub(crate) struct SeekTable {
    entries: Vec<u8>,
    frames: u32,
}

impl SeekTable {
    pub(crate) fn push(&mut self, packed: u32, source: u32) {
        if source == 0 || self.frames as usize > MOST {
            return;
        }
        self.entries.extend_from_slice(&packed.to_le_bytes());
        self.entries.extend_from_slice(&source.to_le_bytes());
        self.frames += 1;
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        if self.frames as usize > MOST {
            return Vec::new();
        }
        let size = u32::try_from(self.entries.len() + 9).expect("2^27 entries of 8 bytes are 1 GiB");
        let mut out = Vec::with_capacity(self.entries.len() + 17);
        out.extend_from_slice(&0x184d_2a5e_u32.to_le_bytes());
        out.extend_from_slice(&size.to_le_bytes());
        out.extend_from_slice(&self.entries);
        out.extend_from_slice(&self.frames.to_le_bytes());
        out.push(0);
        out.extend_from_slice(&0x8f92_eab1_u32.to_le_bytes());
        out
    }
}
