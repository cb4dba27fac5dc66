//! What symbols cost, in whole numbers: choices that decide bytes must not hang on a machine's floats.

/// Fractional bits of a price.
pub(crate) const ONE: u64 = 1 << 16;

/// Steps of the mantissa in the table.
const STEPS: usize = 1 << 10;

/// `log2(1 + i / STEPS)`.
static MANTISSA: [u32; STEPS] = {
    let mut table = [0; STEPS];
    let mut i = 0;
    while i < STEPS {
        // By repeated squaring, one bit of the logarithm a time.
        let (mut x, mut log, mut bit) = ((1_u64 << 31) + ((i as u64) << 21), 0_u32, 1 << 15);
        while bit > 0 {
            x = (x * x) >> 31;
            if x >> 32 > 0 {
                x >>= 1;
                log |= bit;
            }
            bit >>= 1;
        }
        table[i] = log;
        i += 1;
    }
    table
};

/// The binary logarithm of `n`, at least 1, in units of 1/65,536.
pub(crate) fn log2(n: u32) -> u64 {
    let whole = n.ilog2();
    let mantissa = (u64::from(n) << 10 >> whole) as usize & (STEPS - 1);
    (u64::from(whole) << 16) + u64::from(MANTISSA[mantissa])
}

/// What an ideal code gives all the symbols that `counts` counts, in units of 1/65,536 bits.
pub(crate) fn entropy<const N: usize>(counts: &[u32; N]) -> u64 {
    entropy_of(counts, &counts.map(|count| log2(count.max(1))))
}

/// The same where the logarithms of the counts (of 1, where one is 0) are there.
pub(crate) fn entropy_of<const N: usize>(counts: &[u32; N], logs: &[u64; N]) -> u64 {
    let total: u32 = counts.iter().sum();
    if total == 0 {
        return 0;
    }
    let parts: u64 = counts.iter().zip(logs).map(|(count, log)| u64::from(*count) * log).sum();
    (u64::from(total) * log2(total)).saturating_sub(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_are_close_and_never_fall() {
        let mut last = 0;
        for n in (1..5000).chain((1..4000).map(|i| i * 1_000_003)) {
            let off = log2(n) as f64 / ONE as f64 - f64::from(n).log2();
            assert!((-0.002..0.001).contains(&off), "{n}: {off}");
            assert!(log2(n) >= last || n == 1_000_003);
            last = log2(n);
        }
    }

    #[test]
    fn entropy_of_even_counts_is_whole() {
        assert_eq!(entropy(&[0; 256]), 0);
        assert_eq!(entropy(&[0, 7, 0]), 0);
        assert_eq!(entropy(&[8; 256]), 2048 * 8 * ONE);
    }
}
