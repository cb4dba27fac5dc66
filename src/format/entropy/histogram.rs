//! `Histogram`: how often each byte of a block occurs, counted whole or by a part.

/// How often each byte occurs.
pub(crate) type Histogram = [u32; 256];

/// How much of a block of weights is counted for its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counted {
    /// An eighth: packages grow by three ten-thousandths, and it takes an eighth of the time.
    Part,
    /// All of it, where a level above the default asks for every byte that can be saved.
    Whole,
}

/// In eight tables, one for each byte of a word, so that equal neighbours do not wait for each other.
struct Tables([[u32; 256]; 8]);

impl Tables {
    fn count(&mut self, words: &[[u8; 8]]) {
        for word in words {
            let word = u64::from_le_bytes(*word);
            for i in 0..8 {
                self.0[i][usize::from((word >> (8 * i)) as u8)] += 1;
            }
        }
    }

    /// The sum, and whether one byte stands in nearly every fourth place (as in f32 that was up-cast), of so many bytes.
    fn sum(self, len: usize) -> (Histogram, bool) {
        let (mut sum, mut most) = ([0; 256], 0);
        let [a, b, c, d, e, f, g, h] = &self.0;
        for i in 0..256 {
            let fourths = [a[i] + e[i], b[i] + f[i], c[i] + g[i], d[i] + h[i]];
            most = fourths.into_iter().fold(most, u32::max);
            sum[i] = fourths.iter().sum();
        }
        (sum, most as usize >= len / 4 - len / 32)
    }
}

/// Counts the bytes of `block`, and says whether every fourth byte is nearly always the same.
pub(crate) fn histogram(block: &[u8]) -> (Histogram, bool) {
    let mut tables = Tables([[0; 256]; 8]);
    let (words, rest) = block.as_chunks();
    tables.count(words);
    for byte in rest {
        tables.0[0][usize::from(*byte)] += 1;
    }
    tables.sum(block.len())
}

/// Bytes that [`sampled`] takes or passes over together.
pub(crate) const LINE: usize = 64;

/// One line of so many is counted.
pub(crate) const LINES: usize = 8;

/// The same from an eighth of `block`, times eight: for codes of weights it is as good, and it takes an eighth of the time.
/// `None` where a byte does not occur in that eighth, as it then might have no code.
///
/// Of each eight lines one is taken, which one changes without a period: rows and columns of a matrix have the same chance.
pub(crate) fn sampled(block: &[u8]) -> Option<(Histogram, bool)> {
    let mut tables = Tables([[0; 256]; 8]);
    let rows = block.as_chunks::<{ LINES * LINE }>().0;
    for (number, row) in (0_u32..).zip(rows) {
        tables.count(row.as_chunks::<LINE>().0[taken(number)].as_chunks().0);
    }
    let (mut sum, padded) = tables.sum(rows.len() * LINE);
    for count in &mut sum {
        if *count == 0 {
            return None;
        }
        *count *= LINES as u32;
    }
    Some((sum, padded))
}

/// Which line of this row is counted.
pub(crate) fn taken(row: u32) -> usize {
    (row.wrapping_mul(0x9e37_79b1) >> 29) as usize
}

#[cfg(test)]
mod tests {
    use super::{histogram, sampled};
    use crate::format::entropy::look::BLOCK;
    use crate::format::entropy::noise;

    #[test]
    fn a_part_of_a_block_tells_of_the_whole() {
        let weights: Vec<u8> = noise(BLOCK).chunks(2).flat_map(|pair| [pair[0], 0xb8 | (pair[1] & 0x83)]).collect();
        let (whole, _) = histogram(&weights);
        let (part, padded) = sampled(&weights).expect("every byte occurs");
        assert!(!padded);
        assert_eq!(part.iter().sum::<u32>() as usize, BLOCK);
        let far = |(a, b): (&u32, &u32)| a.abs_diff(*b) > 120 + a / 15;
        assert!(!whole.iter().zip(&part).any(far));
        // A byte that may have been passed over has no code.
        assert!(sampled(&vec![7; BLOCK]).is_none());
    }
}
