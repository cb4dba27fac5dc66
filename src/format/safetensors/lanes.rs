//! The loops that look at every value: written over fixed-size groups so that the compiler makes SIMD of them.
//!
//! Nothing branches on a value. Where a block holds something that is not finite, which is rare, it is looked at
//! again to tell NaN from infinity.

use safetensors::Dtype;

use super::fingerprint::{GROUP, Sum};

/// What is known of the values of a tensor, or of a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    pub nan: u64,
    pub inf: u64,
    /// Is any value other than zero?
    pub nonzero: bool,
    pub sum: Sum,
}

/// Groups looked at together: they stay in the first-level cache for the second loop.
const BLOCK: usize = 256;

/// Without its sign, a float's bits order as its values do, NaN above infinity: the greatest tells all there is.
macro_rules! floats {
    ($name:ident: $bits:ty) => {
        #[inline(always)]
        fn $name(&mut self, block: &[[u8; GROUP]], inf: $bits) {
            let values = || {
                let values = block.as_flattened().as_chunks::<{ size_of::<$bits>() }>().0.iter();
                values.map(|value| <$bits>::from_le_bytes(*value) & <$bits>::MAX)
            };
            let most = values().fold(0, <$bits>::max);
            self.nonzero |= most != 0;
            if most >= inf {
                self.tell_apart(values().filter(|x| *x >= inf).map(|x| x == inf));
            }
        }
    };
}

impl Tally {
    /// Adds groups of a tensor, the first of which has this number.
    pub fn add(&mut self, dtype: Dtype, first: u64, groups: &[[u8; GROUP]]) {
        #[cfg(target_arch = "x86_64")]
        if super::wide::add(self, dtype, first, groups) {
            return;
        }
        self.add_plainly(dtype, first, groups);
    }

    /// The same, by whatever processor.
    #[inline(always)]
    pub fn add_plainly(&mut self, dtype: Dtype, first: u64, groups: &[[u8; GROUP]]) {
        for (block, number) in groups.chunks(BLOCK).zip((first..).step_by(BLOCK)) {
            self.sum.add(number, block);
            self.look(dtype, block);
        }
    }

    #[inline(always)]
    fn look(&mut self, dtype: Dtype, block: &[[u8; GROUP]]) {
        match dtype {
            Dtype::BF16 => self.halves(block, 0x7f80),
            Dtype::F16 => self.halves(block, 0x7c00),
            Dtype::F32 | Dtype::C64 => self.words(block, 0x7f80_0000),
            Dtype::F64 => self.doubles(block, 0x7ff0_0000_0000_0000),
            Dtype::F8_E5M2 => self.octets(block, 0x7f, |x| x & 0x7f >= 0x7c, |x| x & 0x7f == 0x7c),
            Dtype::F8_E4M3 => self.octets(block, 0x7f, |x| x & 0x7f == 0x7f, |_| false),
            Dtype::F8_E4M3FNUZ | Dtype::F8_E5M2FNUZ => self.octets(block, 0xff, |x| x == 0x80, |_| false),
            // A power of two is never zero.
            Dtype::F8_E8M0 => {
                self.octets(block, 0xff, |x| x == 0xff, |_| false);
                self.nonzero = true;
            }
            // Two values in a byte, each with its sign on top.
            Dtype::F4 => self.octets(block, 0x77, |_| false, |_| false),
            _ => self.octets(block, 0xff, |_| false, |_| false),
        }
    }

    floats!(halves: i16);
    floats!(words: i32);
    floats!(doubles: i64);

    #[inline(always)]
    fn octets(&mut self, block: &[[u8; GROUP]], keep: u8, odd: impl Fn(u8) -> bool, inf: impl Fn(u8) -> bool) {
        let mut any = [0_u8; GROUP];
        let mut found = [false; GROUP];
        for group in block {
            for i in 0..GROUP {
                any[i] |= group[i] & keep;
                found[i] |= odd(group[i]);
            }
        }
        self.nonzero |= any.iter().any(|x| *x != 0);
        if found.iter().any(|f| *f) {
            self.tell_apart(block.as_flattened().iter().filter(|x| odd(**x)).map(|x| inf(*x)));
        }
    }

    fn tell_apart(&mut self, infinite: impl Iterator<Item = bool>) {
        for infinite in infinite {
            self.inf += u64::from(infinite);
            self.nan += u64::from(!infinite);
        }
    }

    /// Adds what another part of the same tensor holds.
    pub fn merge(&mut self, other: &Self) {
        self.nan += other.nan;
        self.inf += other.inf;
        self.nonzero |= other.nonzero;
        self.sum.merge(&other.sum);
    }
}
