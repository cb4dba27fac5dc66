//! Blocks of literals: what an entropy coder does to weights, where matching finds nothing.

use crate::format::deflate::bits::BitWriter;
use crate::format::deflate::block::{self, Codes, Counts};

/// How often each byte occurs.
pub(crate) type Histogram = [u32; 256];

/// In four tables, so that equal neighbours do not wait for each other; and a table holds every fourth
/// byte, so that a value padded to 32 bits (f32 that was up-cast) shows in one of them.
struct Tables([[u32; 256]; 4]);

impl Tables {
    fn count(&mut self, words: &[[u8; 8]]) {
        for word in words {
            let word = u64::from_le_bytes(*word);
            for i in 0..8 {
                self.0[i % 4][usize::from((word >> (8 * i)) as u8)] += 1;
            }
        }
    }

    /// The sum, and whether one byte stands in nearly every fourth place, of so many bytes.
    fn sum(self, len: usize) -> (Histogram, bool) {
        let most = self.0.iter().flatten().max().copied().unwrap_or(0);
        let padded = most as usize >= len / 4 - len / 32;
        let [mut sum, b, c, d] = self.0;
        for i in 0..256 {
            sum[i] += b[i] + c[i] + d[i];
        }
        (sum, padded)
    }
}

/// Counts the bytes of `block`, and says whether every fourth byte is nearly always the same.
pub(crate) fn histogram(block: &[u8]) -> (Histogram, bool) {
    let mut tables = Tables([[0; 256]; 4]);
    let (words, rest) = block.as_chunks();
    tables.count(words);
    for byte in rest {
        tables.0[0][usize::from(*byte)] += 1;
    }
    tables.sum(block.len())
}

/// Bytes that [`sampled`] takes or passes over together.
const LINE: usize = 64;

/// The same from half of `block`, doubled: for codes of weights it is as good, and it takes half the time. `None` where a
/// byte does not occur in that half, as it then might have no code.
///
/// Of each two lines one is taken, which one changes without a period: rows and columns of a matrix have the same chance.
pub(crate) fn sampled(block: &[u8]) -> Option<(Histogram, bool)> {
    let mut tables = Tables([[0; 256]; 4]);
    let pairs = block.as_chunks::<{ 2 * LINE }>().0;
    for (number, pair) in (0_u32..).zip(pairs) {
        let second = number.wrapping_mul(0x9e37_79b1) >> 31 == 1;
        let line = if second { &pair[LINE..] } else { &pair[..LINE] };
        tables.count(line.as_chunks().0);
    }
    let (mut sum, padded) = tables.sum(pairs.len() * LINE);
    for count in &mut sum {
        if *count == 0 {
            return None;
        }
        *count *= 2;
    }
    Some((sum, padded))
}

/// Source bytes that are coded between two looks at the room.
const STRETCH: usize = 1 << 15;

/// Writes `source`, whose bytes `histogram` counts (about), as one block of literals, or stored where that is
/// shorter. Whether it was coded.
pub(crate) fn write(source: &[u8], histogram: &Histogram, writer: &mut BitWriter<'_>) -> bool {
    let mut counts = Counts::NONE;
    counts.litlen[..256].copy_from_slice(histogram);
    let (codes, bits) = Codes::best(&counts);
    let before = writer.mark();
    if bits / 8 + 1 < source.len() as u64 {
        codes.begin(writer);
        let coder = Coder::new(&codes);
        for stretch in source.chunks(STRETCH) {
            writer.room(stretch.len() * block::LIMIT / 8 + ROOM);
            coder.literals(stretch, writer);
        }
        codes.end(writer);
        // Where only half of the bytes were counted, the others may be of another kind.
        if writer.since(&before) < source.len() {
            return true;
        }
        writer.rewind(before);
    }
    writer.stored(source);
    false
}

/// Code and length of each byte in one word: the length in the low byte, the code above.
fn table(codes: &Codes) -> [u32; 256] {
    std::array::from_fn(|byte| u32::from(codes.litlen[byte]) << 8 | u32::from(codes.litlen_len[byte]))
}

/// Bits that are not yet a whole byte, and how many bytes were written: the state of a loop, in registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bits {
    pub(super) bits: u64,
    pub(super) held: u32,
    pub(super) at: usize,
}

impl Bits {
    /// Adds up to 56 bits; fewer than 8 stay. `room` ends eight bytes or more after what is written.
    #[inline(always)]
    pub(super) fn push(&mut self, value: u64, len: u32, room: &mut [u8]) {
        self.bits |= value << self.held;
        self.held += len;
        room[self.at..self.at + 8].copy_from_slice(&self.bits.to_le_bytes());
        self.at += (self.held >> 3) as usize;
        self.bits >>= self.held & 0x38;
        self.held &= 7;
    }
}

/// What the widest loop asks for behind what it has written.
pub(super) const ROOM: usize = 192;

/// The tables of one code, for the widest means that the processor has.
struct Coder {
    table: [u32; 256],
    #[cfg(target_arch = "x86_64")]
    wide: Option<super::wide::Tables>,
}

impl Coder {
    fn new(codes: &Codes) -> Self {
        Self {
            table: table(codes),
            #[cfg(target_arch = "x86_64")]
            wide: super::wide::Tables::new(&codes.litlen, &codes.litlen_len),
        }
    }

    /// Codes every byte of `source`.
    fn literals(&self, mut source: &[u8], writer: &mut BitWriter<'_>) {
        let (room, bits, held) = writer.open();
        let mut state = Bits { bits, held, at: 0 };
        #[cfg(target_arch = "x86_64")]
        if let Some(tables) = &self.wide {
            source = &source[tables.code(source, room, &mut state)..];
        }
        let rest = fours(source, &self.table, room, &mut state);
        writer.resume(state.at, state.bits, state.held);
        for byte in rest {
            let (code, len) = entry(&self.table, *byte);
            writer.put(code, len as u32);
        }
        writer.flush();
    }
}

#[inline(always)]
fn entry(table: &[u32; 256], byte: u8) -> (u64, u64) {
    let entry = u64::from(table[usize::from(byte)]);
    (entry >> 8, entry & 0xff)
}

/// Codes four bytes at a time and returns what is left. Pairs are joined first and then pairs of pairs, so that only one
/// shift in four symbols waits for the one before.
pub(super) fn fours<'s>(source: &'s [u8], table: &[u32; 256], room: &mut [u8], bits: &mut Bits) -> &'s [u8] {
    let mut state = *bits;
    let (words, rest) = source.as_chunks::<4>();
    for word in words {
        let [(a, a_len), (b, b_len), (c, c_len), (d, d_len)] = word.map(|byte| entry(table, byte));
        let (ab, ab_len) = (a | b << a_len, a_len + b_len);
        let (cd, cd_len) = (c | d << c_len, c_len + d_len);
        state.push(ab | cd << ab_len, (ab_len + cd_len) as u32, room);
    }
    *bits = state;
    rest
}

#[cfg(test)]
mod tests {
    use super::{Histogram, LINE, histogram, sampled, write};
    use crate::format::deflate::bits::BitWriter;
    use crate::format::deflate::look::BLOCK;

    fn noise(count: usize) -> Vec<u8> {
        let mut state = 3_u64;
        let next = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u8
        };
        (0..count).map(next).collect()
    }

    #[test]
    fn half_of_a_block_tells_of_the_whole() {
        let weights: Vec<u8> = noise(BLOCK).chunks(2).flat_map(|pair| [pair[0], 0xb8 | (pair[1] & 0x83)]).collect();
        let (whole, _) = histogram(&weights);
        let (half, padded) = sampled(&weights).expect("every byte occurs");
        assert!(!padded);
        assert_eq!(half.iter().sum::<u32>() as usize, BLOCK);
        let far = |(a, b): (&u32, &u32)| a.abs_diff(*b) > 80 + a / 20;
        assert!(!whole.iter().zip(&half).any(far));
        // A byte that may have been passed over has no code.
        assert!(sampled(&vec![7; BLOCK]).is_none());
    }

    #[test]
    fn what_grows_because_the_other_half_is_of_another_kind_is_stored() {
        // The lines that are looked at hold few bytes but for one each of all, the others noise.
        let mut block = noise(BLOCK);
        let mut seen = 0;
        for (number, pair) in (0_u32..).zip(block.chunks_mut(2 * LINE)) {
            let from = if number.wrapping_mul(0x9e37_79b1) >> 31 == 1 { LINE } else { 0 };
            for byte in &mut pair[from..from + LINE] {
                *byte = if seen < 256 { seen as u8 } else { 1 };
                seen += 1;
            }
        }
        let (counts, _): (Histogram, bool) = sampled(&block).expect("every byte occurs");
        let mut out = vec![1, 2, 3];
        let mut writer = BitWriter::new(&mut out);
        assert!(!write(&block, &counts, &mut writer));
        writer.finish();
        assert_eq!(out.len(), 3 + block.len() + 2 * 5);
        assert!(out[3 + 5..].starts_with(&block[..60_000]));
    }
}
