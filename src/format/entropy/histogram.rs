//! `Histogram`: how often each byte of a block occurs, counted whole or by half.

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

#[cfg(test)]
mod tests {
    use super::{histogram, sampled};
    use crate::format::entropy::look::BLOCK;

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
}
