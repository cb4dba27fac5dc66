//! The loops of `lanes`, compiled for processors with AVX2: the same code, on twice as many values at a time.
//!
//! # Why it is sound
//!
//! The one `unsafe` calls a function for processors with a feature, where that was just detected. In there is safe code.

use safetensors::Dtype;

use super::fingerprint::GROUP;
use super::lanes::Tally;

/// Adds groups as [`Tally::add`] does. `false` where the processor cannot.
pub(super) fn add(tally: &mut Tally, dtype: Dtype, first: u64, groups: &[[u8; GROUP]]) -> bool {
    let can = is_x86_feature_detected!("avx2");
    if can {
        #[expect(unsafe_code, reason = "the processor has this feature")]
        unsafe {
            add_by_avx2(tally, dtype, first, groups);
        }
    }
    can
}

#[target_feature(enable = "avx2")]
fn add_by_avx2(tally: &mut Tally, dtype: Dtype, first: u64, groups: &[[u8; GROUP]]) {
    tally.add_plainly(dtype, first, groups);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use safetensors::Dtype;

    use super::super::lanes::Tally;

    proptest! {
        #[test]
        fn it_finds_what_the_plain_loop_finds(
            bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(0), Just(0x7f), Just(0x80), Just(0xff)], 0..40_000),
            first in any::<u32>(),
        ) {
            use Dtype::{BF16, C64, F4, F8_E4M3, F8_E4M3FNUZ, F8_E5M2, F8_E8M0, F16, F32, F64, I8, I64};
            for dtype in [BF16, C64, F4, F8_E4M3, F8_E4M3FNUZ, F8_E5M2, F8_E8M0, F16, F32, F64, I8, I64] {
                let (mut wide, mut plain) = (Tally::default(), Tally::default());
                if super::add(&mut wide, dtype, first.into(), bytes.as_chunks().0) {
                    plain.add_plainly(dtype, first.into(), bytes.as_chunks().0);
                    prop_assert_eq!(wide, plain);
                }
            }
        }
    }
}
