//! The look at a block that decides whether matching is worth its time there.

use crate::format::entropy::histogram::{self, Counted, Histogram};
use crate::format::entropy::{Spread, price};

/// Source bytes that are looked at together.
pub(crate) const BLOCK: usize = 1 << 16;

/// Bytes looked at for matches.
const WINDOW: usize = 1024;

/// Bytes of each 64 KiB whose histogram stands for the rest in [`at_segment`].
const SAMPLE: usize = 1 << 12;

/// Sources below this are not looked at.
const SMALL: usize = 8 << 10;

/// Slots of the hash table.
const SLOTS: usize = 1 << 10;

/// What a look at a block finds.
pub(crate) struct Look {
    /// How often each byte occurs; of literals, nearly.
    pub(crate) spread: Spread,
    /// Every fourth byte is nearly always the same.
    pub(crate) padded: bool,
    /// Matching is worth its time.
    pub(crate) repeats: bool,
}

/// Counts the bytes of `block`, and says whether matching is worth its time there. A whole block where it is not is
/// counted as `counted` says.
pub(crate) fn at_block(block: &[u8], counted: Counted) -> Look {
    if counted == Counted::Part
        && block.len() == BLOCK
        && let Some((histogram, false)) = histogram::sampled(block)
        && let (false, entropy) = repeats(block, &histogram)
    {
        return Look { spread: Spread { histogram, entropy }, padded: false, repeats: false };
    }
    let (histogram, padded) = histogram::histogram(block);
    let (repeats, entropy) = repeats(block, &histogram);
    Look { spread: Spread { histogram, entropy }, padded, repeats: padded || repeats }
}

/// Whether matching is worth its time anywhere in `segment`, by a sample of each of its blocks: for codecs
/// that decide once for a segment.
pub(crate) fn at_segment(segment: &[u8]) -> bool {
    is_small(segment)
        || segment.chunks(BLOCK).any(|block| {
            let middle = block.len().saturating_sub(SAMPLE) / 2;
            let (histogram, padded) = histogram::histogram(&block[middle..block.len().min(middle + SAMPLE)]);
            padded || repeats(block, &histogram).0
        })
}

/// Headers and small files are always matched.
pub(crate) fn is_small(segment: &[u8]) -> bool {
    segment.len() < SMALL
}

/// Whether matches in a window of `block` save a part of what its bytes cost an entropy coder.
///
/// Weights give next to none: four bytes hold some 25 bits, so a chance match takes more than the window.
/// Text, zeros, and f32 with 16 zero bits in each value give many. Beside it the entropy that `histogram` gives.
fn repeats(block: &[u8], histogram: &Histogram) -> (bool, u64) {
    let (prices, entropy) = literal_prices(histogram);
    // The start, where headers are, and the middle.
    let middle = block.len().saturating_sub(WINDOW) / 2;
    let windows = [&block[middle..block.len().min(middle + WINDOW)], &block[..block.len().min(WINDOW / 4)]];
    let repeats = windows.into_iter().any(|window| {
        let (saved, total) = savings(window, &prices);
        saved * 32 > total
    });
    (repeats, entropy)
}

/// Bits that matches save in `window`, and bits without them, in sixteenths.
fn savings(window: &[u8], prices: &[u16; 256]) -> (u64, u64) {
    let mut slots = [0_u16; SLOTS];
    let (mut at, mut saved, mut total) = (0, 0, 0);
    let price = |bytes: &[u8]| -> u64 { bytes.iter().map(|byte| u64::from(prices[usize::from(*byte)])).sum() };
    let word = |at: usize| window[at..].first_chunk().map(|four| u32::from_le_bytes(*four));
    while let Some(four) = word(at) {
        let slot = (four.wrapping_mul(0x9e37_79b1) >> 22) as usize;
        let before = usize::from(std::mem::replace(&mut slots[slot], at as u16));
        if before < at && word(before) == Some(four) {
            let len = window[before..].iter().zip(&window[at..]).take_while(|(a, b)| a == b).count();
            // Codes of some 7 bits for the length, and 4 and the extra bits for the distance.
            let cost = 16 * (11 + u64::from((at - before).ilog2()));
            let without = price(&window[at..at + len]);
            saved += without.saturating_sub(cost);
            total += without;
            at += len;
        } else {
            total += u64::from(prices[usize::from(four as u8)]);
            at += 1;
        }
    }
    (saved, total.max(1))
}

/// The price of each byte as a literal, at least one bit, in sixteenths; and what all of them have in common, the entropy.
fn literal_prices(histogram: &Histogram) -> ([u16; 256], u64) {
    let logs = histogram.map(|count| price::log2(count.max(1)));
    let total = price::log2(histogram.iter().sum::<u32>().max(1));
    (logs.map(|log| ((total - log).max(price::ONE) >> 12) as u16), price::entropy_of(histogram, &logs))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looked(block: &[u8]) -> bool {
        let worth = at_block(block, Counted::Part).repeats;
        assert_eq!(at_block(block, Counted::Whole).repeats, worth);
        assert_eq!(at_segment(block), worth);
        worth
    }

    #[test]
    fn text_and_zeros_repeat_and_noise_does_not() {
        let mut state = 1_u64;
        let mut noise = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u8
        };
        let random: Vec<u8> = (0..65_536).map(|_| noise()).collect();
        let weights: Vec<u8> = (0..32_768).flat_map(|_| [noise(), 0xb8 | (noise() & noise() & 0x83)]).collect();
        let upcast: Vec<u8> = weights.chunks(2).flat_map(|pair| [0, 0, pair[0], pair[1]]).collect();
        let text: Vec<u8> = (0..5000).flat_map(|i| format!("\"token{i}\": {i},\n").into_bytes()).collect();
        assert!(!looked(&random));
        assert!(!looked(&weights));
        assert!(looked(&upcast));
        assert!(looked(&text));
        assert!(looked(&[0; 65_536]));
        assert!(looked(&[text[..4000].to_vec(), weights].concat()));
    }
}
