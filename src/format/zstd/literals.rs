//! Frames of literals alone: what an entropy coder does to weights, where matching finds nothing.
//!
//! Source: RFC 8878, 3.1.1 (frames and blocks) and 3.1.1.3.1 (literals).
//!
//! ```text
//! 28 b5 2f fd  u8 a4  u32 size of the content            one segment, with checksum
//! block: 3 bytes: 1 bit last, 2 bits type (0 raw, 1 one byte repeated, 2 compressed), size << 3
//!   compressed: 5 bytes: 2 bits type (2 with a tree, 3 with the tree of before), 3 << 2, 18 bits size before, 18 after
//!     tree, three u16 lengths of streams, four streams; u8 0: no sequences
//! u32 low half of the content's XXH64
//! ```
//!
//! Each stream holds a quarter of the block from its end to its start, so that a decoder, which reads from the end, meets
//! the first byte first. Neighbouring blocks share a tree where that is shorter.

use twox_hash::XxHash64;

use crate::format::entropy::coder::{Bits, Coder, ROOM};
use crate::format::entropy::histogram::{Counted, histogram, sampled};
use crate::format::entropy::look::BLOCK as LOOK;
use crate::format::entropy::{Spread, huffman, price, sum};
use crate::format::zstd::tree::{self, LIMIT};

/// Most bytes of a block.
const BLOCK: usize = 1 << 17;

/// What a tree costs, about, in bits.
const TREE: u64 = 1000;

/// Blocks that share a code.
struct Row<'s> {
    blocks: Vec<&'s [u8]>,
    spread: Spread,
}

/// Appends `source`, which is not short, as one frame, with codes from as many of its bytes as `counted` says. `false` where the format has no tree for its codes; nothing is
/// appended then.
pub(super) fn write(source: &[u8], counted: Counted, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    out.extend_from_slice(&0xfd2f_b528_u32.to_le_bytes());
    out.push(0xa4);
    out.extend_from_slice(&(source.len() as u32).to_le_bytes());
    let mut head = out.len();
    for row in rows(source, counted) {
        let Some(code) = Code::of(&row.spread) else {
            out.truncate(start);
            return false;
        };
        let mut described = false;
        for block in row.blocks {
            head = out.len();
            code.block(block, &mut described, out);
        }
    }
    out[head] |= 1;
    out.extend_from_slice(&(XxHash64::oneshot(0, source) as u32).to_le_bytes());
    true
}

fn rows(source: &[u8], counted: Counted) -> Vec<Row<'_>> {
    let mut rows: Vec<Row<'_>> = Vec::new();
    for block in source.chunks(BLOCK) {
        let counts = block.chunks(LOOK).map(|part| {
            let sample = if counted == Counted::Part && part.len() == LOOK { sampled(part) } else { None };
            sample.unwrap_or_else(|| histogram(part)).0
        });
        let spread = Spread::of(counts.reduce(|a, b| sum(&a, &b)).unwrap_or([0; 256]));
        let last = rows.last_mut();
        let joined = last.as_ref().and_then(|row| row.spread.with(&spread, TREE));
        match (last, joined) {
            (Some(row), Some(joined)) => {
                row.blocks.push(block);
                row.spread = joined;
            }
            _ => rows.push(Row { blocks: vec![block], spread }),
        }
    }
    rows
}

/// A code, and how it is described.
enum Code {
    /// One byte is all there is.
    Lone(u8),
    /// Nothing is gained by coding.
    Even,
    /// Bytes differ in length.
    Prefix { tree: Vec<u8>, coder: Box<Coder> },
}

impl Code {
    fn of(Spread { histogram, entropy }: &Spread) -> Option<Self> {
        let total = histogram.iter().sum::<u32>();
        if let Some(lone) = histogram.iter().position(|count| *count == total) {
            return Some(Self::Lone(lone as u8));
        }
        if *entropy >= u64::from(total) * 8 * price::ONE * 255 / 256 {
            return Some(Self::Even);
        }
        let mut lens = [0; 256];
        huffman::lengths(histogram, LIMIT, &mut lens);
        let tree = tree::describe(&lens)?;
        Some(Self::Prefix { tree, coder: Box::new(Coder::new(&tree::codes(&lens), &lens)) })
    }

    /// Appends a block, coded where that is shorter. `described`: the frame has this code's tree already.
    fn block(&self, block: &[u8], described: &mut bool, out: &mut Vec<u8>) {
        let start = out.len();
        match self {
            Self::Lone(byte) => {
                out.extend_from_slice(&head(1, block.len()));
                out.push(*byte);
                return;
            }
            Self::Even => {}
            Self::Prefix { tree, coder } => {
                out.extend_from_slice(&[0; 8]);
                if !*described {
                    out.extend_from_slice(tree);
                }
                streams(block, coder, out);
                let after = out.len() - start - 8;
                let kind = if *described { 3 } else { 2 };
                let literals = kind | 3 << 2 | (block.len() as u64) << 4 | (after as u64) << 22;
                out[start + 3..start + 8].copy_from_slice(&literals.to_le_bytes()[..5]);
                out.push(0);
                let packed = out.len() - start - 3;
                out[start..start + 3].copy_from_slice(&head(2, packed));
                if packed < block.len() {
                    *described = true;
                    return;
                }
                out.truncate(start);
            }
        }
        out.extend_from_slice(&head(0, block.len()));
        out.extend_from_slice(block);
    }
}

/// The head of a block that is not the last.
fn head(kind: u32, size: usize) -> [u8; 3] {
    let [a, b, c, _] = (kind << 1 | (size as u32) << 3).to_le_bytes();
    [a, b, c]
}

/// Appends the lengths of the first three streams, and all four.
fn streams(block: &[u8], coder: &Coder, out: &mut Vec<u8>) {
    let lengths = out.len();
    out.extend_from_slice(&[0; 6]);
    for (number, part) in block.chunks(block.len().div_ceil(4)).enumerate() {
        let start = out.len();
        out.resize(start + part.len() * LIMIT / 8 + ROOM, 0);
        let room = &mut out[start..];
        let mut bits = Bits { bits: 0, held: 0, at: 0 };
        coder.code_back(part, room, &mut bits);
        // The highest bit of the last byte tells where the stream ends.
        bits.push(1, 1, room);
        let length = bits.at + usize::from(bits.held > 0);
        out.truncate(start + length);
        if number < 3 {
            out[lengths + 2 * number..][..2].copy_from_slice(&(length as u16).to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{BLOCK, Counted, write};

    fn read(frame: &[u8]) -> Vec<u8> {
        zstd::decode_all(frame).expect("a good frame")
    }

    proptest! {
        #[test]
        fn every_distribution_reads_back(
            seed in 1..u64::MAX,
            used in 1..=256_u64,
            skew in 1..12_u32,
            len in prop_oneof![8_192..9_000_usize, BLOCK - 3..BLOCK + 4, 300_000..400_000_usize, Just(1 << 20)],
            change in any::<bool>(),
            counted in prop_oneof![Just(Counted::Part), Just(Counted::Whole)],
        ) {
            let mut state = seed;
            let mut next = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                state >> 33
            };
            let source: Vec<u8> = (0..len)
                .map(|at| {
                    // Every power of a uniform number is more skewed than the one before.
                    let power = if change && at > len / 2 { 1 } else { skew };
                    let part = (0..power).fold(1.0, |part, _| part * (next() as f64 / (1_u64 << 31) as f64));
                    ((part * used as f64) as u64 * 37) as u8
                })
                .collect();
            let mut out = vec![9];
            if write(&source, counted, &mut out) {
                prop_assert!(read(&out[1..]) == source);
                prop_assert!(out.len() <= source.len() + 14 + 3 * (len / BLOCK + 1));
            } else {
                prop_assert_eq!(out, [9]);
            }
        }
    }

    #[test]
    fn noise_is_raw_and_a_lone_byte_is_told_once() {
        let mut state = 5_u64;
        let noise: Vec<u8> = (0..3 * BLOCK)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) as u8
            })
            .collect();
        let mut out = Vec::new();
        assert!(write(&noise, Counted::Part, &mut out));
        assert_eq!(out.len(), noise.len() + 13 + 3 * 3);
        assert!(read(&out) == noise);
        out.clear();
        assert!(write(&[7; 2 * BLOCK], Counted::Part, &mut out));
        assert_eq!(out.len(), 13 + 2 * 4);
        assert!(read(&out) == [7; 2 * BLOCK]);
    }
}
