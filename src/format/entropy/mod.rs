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

/// Whether one code for both costs no more than two codes and a header of so many bits.
pub(crate) fn joins(a: &Histogram, b: &Histogram, header: u64) -> bool {
    price::entropy(&sum(a, b)) <= price::entropy(a) + price::entropy(b) + header * price::ONE
}

/// How often each byte occurs in both.
pub(crate) fn sum(a: &Histogram, b: &Histogram) -> Histogram {
    std::array::from_fn(|byte| a[byte] + b[byte])
}
