//! `Tokens`: literals and matches of one block in the making, and their writing.

use crate::format::deflate::bits::BitWriter;
use crate::format::deflate::block::{Codes, Counts, distance_extra, length_extra};
use crate::format::entropy::price;

/// Shortest match.
pub(crate) const LEAST: usize = 3;
/// Longest match.
pub(crate) const LONGEST: usize = 258;

/// Tokens after which the distribution is looked at again.
const CHUNK: usize = 4096;
/// Tokens of a block at most: bounds the memory.
const MOST: usize = 1 << 17;
/// What a header costs, about, in bits.
const HEADER: u64 = 600;

/// The length symbol (less 257) of each match length less 3.
static LENGTH_SYMBOL: [u8; 256] = {
    let mut table = [28; 256];
    let (mut symbol, mut at) = (0, 0);
    while symbol < 28 {
        let mut left = 1 << length_extra(symbol);
        while left > 0 && at < 255 {
            table[at] = symbol as u8;
            at += 1;
            left -= 1;
        }
        symbol += 1;
    }
    table
};

/// The least match length less 3 of each length symbol.
static LENGTH_BASE: [u8; 29] = {
    let mut base = [0; 29];
    let mut at = 256;
    while at > 0 {
        at -= 1;
        base[LENGTH_SYMBOL[at] as usize] = at as u8;
    }
    base
};

/// The distance symbol of a distance less 1.
#[inline]
pub(crate) fn distance_symbol(distance: u32) -> usize {
    if distance < 4 {
        return distance as usize;
    }
    let top = distance.ilog2();
    (2 * top + (distance >> (top - 1) & 1)) as usize
}

/// The length symbol, less 257, of a match of `len` bytes.
#[inline]
pub(crate) fn length_symbol(len: usize) -> usize {
    usize::from(LENGTH_SYMBOL[len - LEAST])
}

/// What the symbols of the last block cost, in bits: what the next match is weighed with.
pub(crate) struct Prices {
    pub(crate) litlen: [u8; 286],
    pub(crate) distance: [u8; 30],
}

/// The tokens of the block in the making.
///
/// A token is a literal's byte, or a match: the top bit, length less 3, distance less 1 in 15 bits.
pub(crate) struct Tokens {
    tokens: Vec<u32>,
    /// Tokens that belong to the block for sure; those after are the chunk in question.
    settled: usize,
    settled_counts: Counts,
    settled_bytes: usize,
    chunk: Counts,
    chunk_bytes: usize,
    /// Prices by the codes of the last block written.
    pub(crate) prices: Prices,
    /// Whether any block was coded, not stored.
    pub(crate) coded: bool,
}

impl Tokens {
    pub(crate) fn new() -> Self {
        Self {
            tokens: Vec::with_capacity(MOST),
            settled: 0,
            settled_counts: Counts::NONE,
            settled_bytes: 0,
            chunk: Counts::NONE,
            chunk_bytes: 0,
            prices: Prices { litlen: [8; 286], distance: [5; 30] },
            coded: false,
        }
    }

    /// Begins a run with literals at the prices of their `histogram`.
    pub(crate) fn begin(&mut self, histogram: &[u32; 256]) {
        debug_assert!(self.tokens.is_empty());
        let total = price::log2(histogram.iter().sum::<u32>().max(1));
        for (price, count) in self.prices.litlen.iter_mut().zip(histogram) {
            *price = ((total - price::log2((*count).max(1)) + price::ONE / 2) >> 16).clamp(1, 15) as u8;
        }
        self.prices.litlen[256..].fill(7);
        self.prices.distance.fill(5);
        self.coded = false;
    }

    #[inline]
    pub(crate) fn literal(&mut self, byte: u8) {
        self.tokens.push(u32::from(byte));
        self.chunk.litlen[usize::from(byte)] += 1;
        self.chunk_bytes += 1;
    }

    #[inline]
    pub(crate) fn matched(&mut self, len: usize, distance: usize) {
        let distance = distance as u32 - 1;
        self.tokens.push(1 << 31 | ((len - LEAST) as u32) << 16 | distance);
        self.chunk.litlen[257 + length_symbol(len)] += 1;
        self.chunk.distance[distance_symbol(distance)] += 1;
        self.chunk_bytes += len;
    }

    /// Whether [`Tokens::settle`] is due.
    #[inline]
    pub(crate) fn is_due(&self) -> bool {
        self.tokens.len() - self.settled >= CHUNK
    }

    /// Joins the chunk to the block where one code for both costs no more than two codes; else writes the
    /// block, and the chunk begins the next. `end` is the end of the tokens' bytes in `source`.
    pub(crate) fn settle(&mut self, source: &[u8], end: usize, writer: &mut BitWriter<'_>) {
        let mut joint = self.settled_counts.clone();
        joint.add(&self.chunk);
        let bits = |counts: &Counts| (price::entropy(&counts.litlen) + price::entropy(&counts.distance)) / price::ONE;
        let apart = bits(&self.settled_counts) + bits(&self.chunk) + HEADER;
        let fits = self.tokens.len() + CHUNK <= MOST;
        if self.settled > 0 && (!fits || bits(&joint) > apart) {
            self.write(source, end - self.chunk_bytes, writer);
            joint = self.chunk.clone();
        }
        self.settled = self.tokens.len();
        self.settled_counts = joint;
        self.settled_bytes += self.chunk_bytes;
        self.chunk = Counts::NONE;
        self.chunk_bytes = 0;
    }

    /// Writes what is left.
    pub(crate) fn finish(&mut self, source: &[u8], end: usize, writer: &mut BitWriter<'_>) {
        self.settle(source, end, writer);
        self.write(source, end, writer);
    }

    /// Writes the settled tokens as a block, whose bytes end at `end`.
    fn write(&mut self, source: &[u8], end: usize, writer: &mut BitWriter<'_>) {
        let (codes, bits) = Codes::best(&self.settled_counts);
        let bytes = &source[end - self.settled_bytes..end];
        if bits / 8 + 5 >= bytes.len() as u64 {
            writer.stored(bytes);
        } else {
            self.coded = true;
            codes.begin(writer);
            writer.room((bits / 8) as usize + 8);
            for token in &self.tokens[..self.settled] {
                put(*token, &codes, writer);
            }
            codes.end(writer);
        }
        // A symbol without a code would cost about this.
        let price = |len: &u8| if *len == 0 { 13 } else { *len };
        self.prices.litlen = codes.litlen_len.each_ref().map(price);
        self.prices.distance = codes.distance_len.each_ref().map(price);
        self.tokens.drain(..self.settled);
        self.settled = 0;
        self.settled_bytes = 0;
        self.settled_counts = Counts::NONE;
    }
}

#[inline]
fn put(token: u32, codes: &Codes, writer: &mut BitWriter<'_>) {
    if token >> 31 == 0 {
        let at = token as usize;
        writer.put(u64::from(codes.litlen[at]), u32::from(codes.litlen_len[at]));
    } else {
        let (len, distance) = ((token >> 16 & 0xff) as usize, token & 0x7fff);
        let symbol = usize::from(LENGTH_SYMBOL[len]);
        writer.put(u64::from(codes.litlen[257 + symbol]), u32::from(codes.litlen_len[257 + symbol]));
        writer.put((len - usize::from(LENGTH_BASE[symbol])) as u64, length_extra(symbol) as u32);
        let symbol = distance_symbol(distance);
        writer.put(u64::from(codes.distance[symbol]), u32::from(codes.distance_len[symbol]));
        let extra = distance_extra(symbol) as u32;
        writer.put(u64::from(distance & ((1 << extra) - 1)), extra);
    }
    writer.flush();
}
