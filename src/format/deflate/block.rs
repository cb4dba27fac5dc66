//! `Codes`: the codes of one block, what they cost, and its header.
//!
//! Source: RFC 1951, 3.2.5 to 3.2.7.
//!
//! ```text
//! 1 bit final, 2 bits type: 0 stored, 1 fixed codes, 2 own codes
//! own codes: 5 literals and lengths - 257, 5 distances - 1, 4 code lengths - 4,
//!            3 bits a code length in a fixed order, then all lengths, run-length coded (16, 17, 18)
//! ```

use crate::format::deflate::bits::BitWriter;
use crate::format::entropy::huffman;

/// Literals, end of block and lengths.
pub(crate) const LITLENS: usize = 286;
/// Distances.
pub(crate) const DISTANCES: usize = 30;
/// The symbol that ends a block.
pub(crate) const END: usize = 256;

/// Longest code of literals and lengths: with 12 bits, four literals fit the bit buffer between two
/// flushes, and decoders rarely need a second table.
pub(crate) const LIMIT: usize = 12;
/// Longest code of a distance.
const DISTANCE_LIMIT: usize = 12;
/// Longest code of a code length.
const LENGTH_LIMIT: usize = 7;

/// The order in which the lengths of the code length code are written.
const ORDER: [u8; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// How often each symbol of a block occurs.
#[derive(Clone)]
pub(crate) struct Counts {
    pub(crate) litlen: [u32; LITLENS],
    pub(crate) distance: [u32; DISTANCES],
}

impl Counts {
    pub(crate) const NONE: Self = Self { litlen: [0; LITLENS], distance: [0; DISTANCES] };

    pub(crate) fn add(&mut self, other: &Self) {
        for (a, b) in self.litlen.iter_mut().zip(&other.litlen) {
            *a += b;
        }
        for (a, b) in self.distance.iter_mut().zip(&other.distance) {
            *a += b;
        }
    }
}

/// The codes of a block.
pub(crate) struct Codes {
    pub(crate) litlen: [u16; LITLENS],
    pub(crate) litlen_len: [u8; LITLENS],
    pub(crate) distance: [u16; DISTANCES],
    pub(crate) distance_len: [u8; DISTANCES],
    header: Header,
}

/// The run-length coded lengths, and their own code.
enum Header {
    Fixed,
    Own { symbols: Vec<(u8, u8)>, codes: [u16; 19], lens: [u8; 19], litlens: usize, distances: usize, shown: usize },
}

impl Codes {
    /// The best codes for `counts`, without the end of block, which is added.
    pub(crate) fn best(counts: &Counts) -> (Self, u64) {
        let mut counts = counts.clone();
        counts.litlen[END] += 1;
        let (own, fixed) = (Self::own(&counts), Self::fixed());
        let (own_bits, fixed_bits) = (own.bits(&counts), fixed.bits(&counts));
        if fixed_bits <= own_bits { (fixed, fixed_bits) } else { (own, own_bits) }
    }

    fn fixed() -> Self {
        let mut codes = Self {
            litlen: [0; LITLENS],
            litlen_len: [8; LITLENS],
            distance: [0; DISTANCES],
            distance_len: [5; DISTANCES],
            header: Header::Fixed,
        };
        // The code has two more symbols of 8 bits that never occur, and they move the codes of 9 bits.
        let (mut lens, mut all) = ([8; LITLENS + 2], [0; LITLENS + 2]);
        lens[144..256].fill(9);
        lens[256..280].fill(7);
        huffman::codes(&lens, &mut all);
        codes.litlen.copy_from_slice(&all[..LITLENS]);
        codes.litlen_len.copy_from_slice(&lens[..LITLENS]);
        huffman::codes(&codes.distance_len, &mut codes.distance);
        codes
    }

    fn own(counts: &Counts) -> Self {
        let (mut litlen_len, mut distance_len) = ([0; LITLENS], [0; DISTANCES]);
        huffman::lengths(&counts.litlen, LIMIT, &mut litlen_len);
        huffman::lengths(&counts.distance, DISTANCE_LIMIT, &mut distance_len);
        // A complete code of two even where fewer are used: some old decoders refuse less.
        if distance_len.iter().filter(|len| **len > 0).count() < 2 {
            let other = usize::from(distance_len[0] > 0);
            distance_len[other] = 1;
            if distance_len.iter().filter(|len| **len > 0).count() < 2 {
                distance_len[1] = 1;
            }
        }
        let header = header(&litlen_len, &distance_len);
        let mut codes = Self { litlen: [0; LITLENS], litlen_len, distance: [0; DISTANCES], distance_len, header };
        huffman::codes(&litlen_len, &mut codes.litlen);
        huffman::codes(&distance_len, &mut codes.distance);
        codes
    }

    /// The bits of a whole block with these codes.
    fn bits(&self, counts: &Counts) -> u64 {
        let sum = |counts: &[u32], lens: &[u8]| -> u64 {
            counts.iter().zip(lens).map(|(count, len)| u64::from(*count) * u64::from(*len)).sum()
        };
        let extra: u64 = (0..LITLENS - 257).map(|i| u64::from(counts.litlen[257 + i]) * length_extra(i)).sum::<u64>()
            + (0..DISTANCES).map(|i| u64::from(counts.distance[i]) * distance_extra(i)).sum::<u64>();
        let header = match &self.header {
            Header::Fixed => 3,
            Header::Own { symbols, lens, shown, .. } => {
                3 + 14
                    + 3 * *shown as u64
                    + symbols
                        .iter()
                        .map(|(symbol, _)| u64::from(lens[usize::from(*symbol)] + repeat_extra(*symbol)))
                        .sum::<u64>()
            }
        };
        header + sum(&counts.litlen, &self.litlen_len) + sum(&counts.distance, &self.distance_len) + extra
    }

    /// Writes the header of a block that is not the last.
    pub(crate) fn begin(&self, writer: &mut BitWriter<'_>) {
        writer.room(1024);
        let Header::Own { symbols, codes, lens, litlens, distances, shown } = &self.header else {
            writer.put(0b010, 3);
            writer.flush();
            return;
        };
        writer.put(0b100, 3);
        writer.put((litlens - 257) as u64, 5);
        writer.put((distances - 1) as u64, 5);
        writer.put((shown - 4) as u64, 4);
        writer.flush();
        for symbol in &ORDER[..*shown] {
            writer.put(u64::from(lens[usize::from(*symbol)]), 3);
            writer.flush();
        }
        for (symbol, repeat) in symbols {
            let at = usize::from(*symbol);
            writer.put(u64::from(codes[at]), u32::from(lens[at]));
            writer.put(u64::from(*repeat), u32::from(repeat_extra(*symbol)));
            writer.flush();
        }
    }

    /// Writes the end of the block.
    pub(crate) fn end(&self, writer: &mut BitWriter<'_>) {
        writer.room(8);
        writer.put(u64::from(self.litlen[END]), u32::from(self.litlen_len[END]));
        writer.flush();
    }
}

fn header(litlen_len: &[u8; LITLENS], distance_len: &[u8; DISTANCES]) -> Header {
    let used = |lens: &[u8], least: usize| lens.iter().rposition(|len| *len > 0).map_or(least, |at| least.max(at + 1));
    let (litlens, distances) = (used(litlen_len, 257), used(distance_len, 1));
    let mut all = [0; LITLENS + DISTANCES];
    all[..litlens].copy_from_slice(&litlen_len[..litlens]);
    all[litlens..litlens + distances].copy_from_slice(&distance_len[..distances]);
    let symbols = runs(&all[..litlens + distances]);
    let mut counts = [0; 19];
    for (symbol, _) in &symbols {
        counts[usize::from(*symbol)] += 1;
    }
    let (mut lens, mut codes) = ([0; 19], [0; 19]);
    huffman::lengths(&counts, LENGTH_LIMIT, &mut lens);
    huffman::codes(&lens, &mut codes);
    let shown = ORDER.iter().rposition(|symbol| lens[usize::from(*symbol)] > 0).map_or(4, |at| (at + 1).max(4));
    Header::Own { symbols, codes, lens, litlens, distances, shown }
}

/// `lens` as symbols: a length, 16 (the last one 3 to 6 times), 17 (3 to 10 zeros), 18 (11 to 138 zeros).
fn runs(lens: &[u8]) -> Vec<(u8, u8)> {
    let mut symbols = Vec::with_capacity(lens.len());
    for run in lens.chunk_by(|a, b| a == b) {
        let (value, mut left) = (run[0], run.len());
        if value == 0 {
            while left >= 3 {
                let take = left.min(138);
                symbols.push(if take >= 11 { (18, take as u8 - 11) } else { (17, take as u8 - 3) });
                left -= take;
            }
        } else {
            symbols.push((value, 0));
            left -= 1;
            while left >= 3 {
                let take = left.min(6);
                symbols.push((16, take as u8 - 3));
                left -= take;
            }
        }
        symbols.extend(std::iter::repeat_n((value, 0), left));
    }
    symbols
}

fn repeat_extra(symbol: u8) -> u8 {
    match symbol {
        16 => 2,
        17 => 3,
        18 => 7,
        _ => 0,
    }
}

/// Bits after length symbol `257 + i`.
pub(crate) const fn length_extra(i: usize) -> u64 {
    if i < 8 || i == 28 { 0 } else { (i as u64 - 4) / 4 }
}

/// Bits after distance symbol `i`.
pub(crate) const fn distance_extra(i: usize) -> u64 {
    if i < 4 { 0 } else { (i as u64 - 2) / 2 }
}
