//! Raw deflate in segments: an encoder that looks at each block and takes what pays there.
//!
//! Source: RFC 1951. The output of a segment is a row of blocks, none of them final, that ends on a byte
//! boundary; no match reaches back before the start of its segment.
//!
//! A segment is looked at in blocks of 64 KiB. Blocks where matching finds nothing (weights) become
//! literals under a code of their own; neighbours share a code where that is shorter. The others are
//! matched at the level asked for, and cut anew where their distribution changes. Any block that would
//! grow is stored. All of it is our own, so the bytes change only when this folder does.

mod bits;
mod block;
mod literals;
mod matcher;
mod optimal;
mod tokens;

use crate::format::deflate::bits::BitWriter;
use crate::format::deflate::matcher::Matcher;
use crate::format::entropy::histogram::Counted;
use crate::format::entropy::look::{self, Look};
use crate::format::entropy::{Spread, sum};
use crate::format::segment::Encoder;

/// What a header of a block of literals costs, about, in bits.
const HEADER: u64 = 800;

/// Packs segments, and keeps the tables from one to the next.
pub(crate) struct Deflate {
    matcher: Matcher,
    counted: Counted,
}

/// A part of a segment that one encoder takes.
struct Part {
    start: usize,
    end: usize,
    repeats: bool,
    /// Every fourth byte is nearly always the same.
    padded: bool,
    spread: Spread,
}

impl Deflate {
    /// `level` from 1 to 9: how hard to match.
    pub(crate) fn new(level: u32) -> Self {
        let counted = if level > 6 { Counted::Whole } else { Counted::Part };
        Self { matcher: Matcher::new(level), counted }
    }

    /// Writes `source` over what is in `out`, from the byte `at`, as blocks that end on a byte boundary. Says where that is.
    pub(crate) fn pack(&mut self, source: &[u8], out: &mut Vec<u8>, at: usize) -> (Encoder, usize) {
        let mut writer = BitWriter::new(out, at);
        let (mut matched, mut coded, mut last_coded) = (false, false, false);
        for part in parts(source, self.counted) {
            if part.repeats {
                if !matched {
                    self.matcher.clear();
                    matched = true;
                }
                last_coded = self.matcher.write(
                    source,
                    (part.start, part.end),
                    (&part.spread.histogram, part.padded),
                    &mut writer,
                );
            } else {
                last_coded = literals::write(&source[part.start..part.end], &part.spread.histogram, &mut writer);
            }
            coded |= last_coded;
        }
        if last_coded {
            writer.sync();
        }
        let end = writer.finish();
        let encoder = match (coded, matched) {
            (false, _) => Encoder::Stored,
            (true, true) => Encoder::Match,
            (true, false) => Encoder::Entropy,
        };
        (encoder, end)
    }
}

/// Cuts `source` where the encoder or, among literals, the code should change.
fn parts(source: &[u8], counted: Counted) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for (i, block) in source.chunks(look::BLOCK).enumerate() {
        let start = i * look::BLOCK;
        let Look { spread, padded, repeats } = look::at_block(block, counted);
        let repeats = repeats || look::is_small(source);
        let next = Part { start, end: start + block.len(), repeats, padded, spread };
        let last = parts.last_mut().filter(|last| last.repeats == repeats && last.padded == padded);
        let joined = last.as_ref().and_then(|last| match repeats {
            // What is matched is cut by the matcher; what its bytes take tells nothing.
            true => Some(Spread { histogram: sum(&last.spread.histogram, &next.spread.histogram), entropy: 0 }),
            false => last.spread.with(&next.spread, HEADER),
        });
        match (last, joined) {
            (Some(last), Some(joined)) => {
                last.end = next.end;
                last.spread = joined;
            }
            _ => parts.push(next),
        }
    }
    parts
}
