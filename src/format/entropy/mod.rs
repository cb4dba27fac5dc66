//! What the encoders of gzip and zstd share: a look at the bytes, prefix codes, and the loops that write them.
//!
//! Both formats code the bytes of weights the same way, with other limits and headers: codes of at most 12 and 11 bits, the
//! first byte first in deflate and last in zstd. None of this knows a format.

pub(crate) mod coder;
pub(crate) mod histogram;
pub(crate) mod huffman;
pub(crate) mod look;
pub(crate) mod price;
#[cfg(target_arch = "x86_64")]
mod wide;

use crate::format::entropy::histogram::Histogram;

/// Bits by which two codes look better than one and are not, where an eighth of the bytes was counted: a histogram of `n` of
/// `8 n` bytes over 256 values underrates what they take by 8 × 255 / 2 nats (Miller and Madow's bias), and the code made from
/// it takes as much more than it says; there is one histogram more.
const NOISE: u64 = 2944;

/// How often each byte of a stretch occurs, and what an ideal code gives them all, in the units of [`price`].
pub(crate) struct Spread {
    pub(crate) histogram: Histogram,
    pub(crate) entropy: u64,
}

impl Spread {
    pub(crate) fn of(histogram: Histogram) -> Self {
        Self { histogram, entropy: price::entropy(&histogram) }
    }

    /// Both as one, where one code for them costs no more than two codes and a header of so many bits.
    pub(crate) fn with(&self, other: &Self, header: u64) -> Option<Self> {
        let both = Self::of(sum(&self.histogram, &other.histogram));
        (both.entropy <= self.entropy + other.entropy + (header + NOISE) * price::ONE).then_some(both)
    }
}

/// How often each byte occurs in both.
pub(crate) fn sum(a: &Histogram, b: &Histogram) -> Histogram {
    std::array::from_fn(|byte| a[byte] + b[byte])
}

/// Bytes without any order, the same every time.
#[cfg(test)]
pub(crate) fn noise(count: usize) -> Vec<u8> {
    let mut state = 3_u64;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    (0..count).map(next).collect()
}
