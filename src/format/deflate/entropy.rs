//! Blocks of literals: what an entropy coder does to weights, where matching finds nothing.

use crate::format::deflate::bits::BitWriter;
use crate::format::deflate::block::{Codes, Counts};

/// How often each byte occurs.
pub(crate) type Histogram = [u32; 256];

/// Counts the bytes of `block`, and says whether every fourth byte is nearly always the same.
///
/// In four tables, so that equal neighbours do not wait for each other; and a table holds every fourth
/// byte, so that a value padded to 32 bits (f32 that was up-cast) shows in one of them.
pub(crate) fn histogram(block: &[u8]) -> (Histogram, bool) {
    let mut tables = [[0_u32; 256]; 4];
    let mut words = block.chunks_exact(8);
    for word in words.by_ref() {
        let word = u64::from_le_bytes(word.try_into().expect("chunks of eight"));
        for i in 0..8 {
            tables[i % 4][usize::from((word >> (8 * i)) as u8)] += 1;
        }
    }
    for byte in words.remainder() {
        tables[0][usize::from(*byte)] += 1;
    }
    let most = tables.iter().flatten().max().copied().unwrap_or(0);
    let padded = most as usize >= block.len() / 4 - block.len() / 32;
    let [mut sum, b, c, d] = tables;
    for i in 0..256 {
        sum[i] += b[i] + c[i] + d[i];
    }
    (sum, padded)
}

/// Writes `source`, whose bytes `histogram` counts, as one block of literals, or stored where that is
/// shorter. Whether it was coded.
pub(crate) fn write(source: &[u8], histogram: &Histogram, writer: &mut BitWriter<'_>) -> bool {
    let mut counts = Counts::NONE;
    counts.litlen[..256].copy_from_slice(histogram);
    let (codes, bits) = Codes::best(&counts);
    if bits / 8 + 1 >= source.len() as u64 {
        writer.stored(source);
        return false;
    }
    codes.begin(writer);
    writer.room((bits / 8) as usize + 8);
    literals(source, &codes, writer);
    codes.end(writer);
    true
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

/// Codes every byte of `source`, by the widest means that the processor has.
fn literals(mut source: &[u8], codes: &Codes, writer: &mut BitWriter<'_>) {
    let table = table(codes);
    let (room, bits, held) = writer.open();
    let mut state = Bits { bits, held, at: 0 };
    #[cfg(target_arch = "x86_64")]
    if let Some(tables) = super::wide::Tables::new(&codes.litlen, &codes.litlen_len) {
        source = &source[tables.code(source, room, &mut state)..];
    }
    let rest = fours(source, &table, room, &mut state);
    writer.resume(state.at, state.bits, state.held);
    for byte in rest {
        let (code, len) = entry(&table, *byte);
        writer.put(code, len as u32);
    }
    writer.flush();
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
