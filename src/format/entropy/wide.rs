//! Codes of literals by AVX-512: 64 bytes are looked up at once and joined to four groups of sixteen codes.
//!
//! The twin of the loop in `entropy`, and byte for byte the same (the tests of this file compare them). A byte's code of
//! up to 12 bits and its length are looked up in two 256-byte tables that stay in registers. Neighbours are then joined, a
//! tree of four levels: 2 codes in lanes of 32 bits, 4 in 64, 8 in two words, 16 in three. The eight bytes of a lane are
//! taken in an order that brings the neighbours of each level together by halves of a register. Where a group begins is
//! told by the lengths alone, so no group waits for the one before but for the byte that both share, and that one is
//! read back. On an Intel Xeon with a busy neighbour: 1.45 times the loop that pushed groups of four through one word.
//!
//! # Why it is sound
//!
//! The crate's `unsafe` is here, but for one call in `safetensors::wide`: four blocks of two kinds. Two call functions for processors with certain features:
//! [`Tables`] are made where those were detected and nowhere else. Two load and store through a pointer: it comes from a
//! reference to an array of just as many bytes, and neither asks for alignment. No address is reckoned: where a step reads and
//! writes is told by slices, whose bounds are checked in every build, so a wrong length of a code is a panic and not a write
//! elsewhere (`a_room_that_is_too_small_is_seen`). Miri does not know these instructions; AddressSanitizer does, with
//! `RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address cargo test --target x86_64-unknown-linux-gnu --lib entropy`.

use std::arch::x86_64::{
    __m256i, __m512i, __mmask64, _mm256_add_epi64, _mm256_and_si256, _mm256_blend_epi32, _mm256_or_si256,
    _mm256_permute2x128_si256, _mm256_permute4x64_epi64, _mm256_set1_epi64x, _mm256_setzero_si256, _mm256_slli_si256,
    _mm256_sllv_epi64, _mm256_srli_epi64, _mm256_srlv_epi64, _mm256_storeu_si256, _mm256_sub_epi64,
    _mm256_unpackhi_epi64, _mm256_unpacklo_epi64, _mm512_add_epi32, _mm512_add_epi64, _mm512_and_si512,
    _mm512_castsi512_si256, _mm512_extracti64x4_epi64, _mm512_loadu_si512, _mm512_mask_blend_epi8, _mm512_movepi8_mask,
    _mm512_or_si512, _mm512_permutex2var_epi8, _mm512_permutexvar_epi8, _mm512_set1_epi16, _mm512_set1_epi32,
    _mm512_set1_epi64, _mm512_slli_epi16, _mm512_sllv_epi32, _mm512_sllv_epi64, _mm512_srli_epi16, _mm512_srli_epi32,
    _mm512_srli_epi64, _mm512_srlv_epi64, _mm512_sub_epi64,
};

use crate::format::entropy::coder::Bits;

/// Bytes that are coded at once.
pub(super) const STEP: usize = 64;

/// Bytes that a step may write to: more than 64 codes of 12 bits and its last store take, and what the mask below can reach.
const REACH: usize = 160;

/// Codes and lengths of the 256 bytes.
pub(super) struct Tables {
    /// The low byte of the code.
    low: [u8; 256],
    /// Four bits of the code, and above them its length.
    high: [u8; 256],
}

impl Tables {
    /// The tables, if this processor can use them.
    pub(super) fn new(codes: &[u16], lens: &[u8]) -> Option<Self> {
        let can = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vbmi");
        can.then(|| Self {
            low: std::array::from_fn(|byte| codes[byte] as u8),
            high: std::array::from_fn(|byte| (codes[byte] >> 8) as u8 | lens[byte] << 4),
        })
    }

    /// Codes as many of `source` as fill whole steps, and says how many bytes those were.
    pub(super) fn code(&self, source: &[u8], room: &mut [u8], bits: &mut Bits) -> usize {
        #[expect(unsafe_code, reason = "tables are made only where the processor has these features")]
        unsafe {
            steps(self, source.as_chunks().0.iter(), &order(false), room, bits);
        }
        source.len() / STEP * STEP
    }

    /// The same from the end of `source` to its start.
    pub(super) fn code_back(&self, source: &[u8], room: &mut [u8], bits: &mut Bits) -> usize {
        #[expect(unsafe_code, reason = "tables are made only where the processor has these features")]
        unsafe {
            steps(self, source.as_rchunks().1.iter().rev(), &order(true), room, bits);
        }
        source.len() / STEP * STEP
    }
}

/// A table of 256 bytes in four registers.
#[derive(Clone, Copy)]
struct Table([__m512i; 4]);

impl Table {
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
    fn new(bytes: &[u8; 256]) -> Self {
        let (parts, _) = bytes.as_chunks::<64>();
        Self([load(&parts[0]), load(&parts[1]), load(&parts[2]), load(&parts[3])])
    }

    /// What stands at each of 64 places; `top` tells those above 127.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
    fn at(self, places: __m512i, top: __mmask64) -> __m512i {
        let [a, b, c, d] = self.0;
        let (first, second) = (_mm512_permutex2var_epi8(a, places, b), _mm512_permutex2var_epi8(c, places, d));
        _mm512_mask_blend_epi8(top, first, second)
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(bytes: &[u8; 64]) -> __m512i {
    #[expect(unsafe_code, reason = "64 bytes are there, and the load needs no alignment")]
    unsafe {
        _mm512_loadu_si512(bytes.as_ptr().cast())
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(bytes: &mut [u8; 32], value: __m256i) {
    #[expect(unsafe_code, reason = "32 bytes are there, and the store needs no alignment")]
    unsafe {
        _mm256_storeu_si256(bytes.as_mut_ptr().cast(), value);
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn words(value: __m256i) -> [u64; 4] {
    let mut bytes = [0; 32];
    store(&mut bytes, value);
    let (words, _) = bytes.as_chunks();
    std::array::from_fn(|i| u64::from_le_bytes(words[i]))
}

/// Eight codes in each of eight lanes: low word, high word, how many bits.
type Eights = (__m512i, __m512i, __m512i);

/// Looks up 64 bytes and joins the codes of each eight.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn eights(low: Table, high: Table, bytes: __m512i) -> Eights {
    let (byte, nibble, top_nibble) = (_mm512_set1_epi16(0xff), _mm512_set1_epi16(0x0f), _mm512_set1_epi16(0x0f00));
    let (half, word) = (_mm512_set1_epi32(0xffff), _mm512_set1_epi64(0xffff_ffff));
    let top = _mm512_movepi8_mask(bytes);
    let (low, high) = (low.at(bytes, top), high.at(bytes, top));
    // 16 bits: the codes of even bytes, and of odd ones.
    let first = _mm512_or_si512(_mm512_and_si512(low, byte), _mm512_and_si512(_mm512_slli_epi16(high, 8), top_nibble));
    let second = _mm512_or_si512(_mm512_srli_epi16(low, 8), _mm512_and_si512(high, top_nibble));
    let first_len = _mm512_and_si512(_mm512_srli_epi16(high, 4), nibble);
    let second_len = _mm512_srli_epi16(high, 12);
    // 32 bits: of each four bytes the first two joined, and the last two.
    let pair = |first: __m512i, len: __m512i, second: __m512i| _mm512_or_si512(first, _mm512_sllv_epi32(second, len));
    let (a, a_len) = (_mm512_and_si512(first, half), _mm512_and_si512(first_len, half));
    let (b, b_len) = (_mm512_and_si512(second, half), _mm512_and_si512(second_len, half));
    let (c, c_len) = (_mm512_srli_epi32(first, 16), _mm512_srli_epi32(first_len, 16));
    let (d, d_len) = (_mm512_srli_epi32(second, 16), _mm512_srli_epi32(second_len, 16));
    let (ab, ab_len) = (pair(a, a_len, b), _mm512_add_epi32(a_len, b_len));
    let (cd, len) = (pair(c, c_len, d), _mm512_add_epi32(ab_len, _mm512_add_epi32(c_len, d_len)));
    // 64 bits: all four, of even groups and of odd ones.
    let four = |ab: __m512i, len: __m512i, cd: __m512i| _mm512_or_si512(ab, _mm512_sllv_epi64(cd, len));
    let low_word = |value: __m512i| _mm512_and_si512(value, word);
    let high_word = |value: __m512i| _mm512_srli_epi64(value, 32);
    let (even, even_len) = (four(low_word(ab), low_word(ab_len), low_word(cd)), low_word(len));
    let (odd, odd_len) = (four(high_word(ab), high_word(ab_len), high_word(cd)), high_word(len));
    // Two words. A shift by 64 or more gives zero.
    let low = _mm512_or_si512(even, _mm512_sllv_epi64(odd, even_len));
    let high = _mm512_srlv_epi64(odd, _mm512_sub_epi64(_mm512_set1_epi64(64), even_len));
    (low, high, _mm512_add_epi64(even_len, odd_len))
}

/// Joins the first four eights with the last four: three words, and how many bits.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn sixteens((low, high, len): Eights) -> ([__m256i; 3], __m256i) {
    let halves = |value: __m512i| (_mm512_castsi512_si256(value), _mm512_extracti64x4_epi64(value, 1));
    let ((a0, b0), (a1, b1), (len, more)) = (halves(low), halves(high), halves(len));
    // Up to 96 bits are in the way. A negative shift is one by far more than 64, and gives zero as well.
    let left = _mm256_sub_epi64(_mm256_set1_epi64x(64), len);
    let over = _mm256_sub_epi64(len, _mm256_set1_epi64x(64));
    let far = _mm256_sub_epi64(_mm256_set1_epi64x(128), len);
    let or = |a: __m256i, b: __m256i| _mm256_or_si256(a, b);
    let first = or(a0, _mm256_sllv_epi64(b0, len));
    let from_low = or(_mm256_srlv_epi64(b0, left), _mm256_sllv_epi64(b0, over));
    let second = or(or(a1, from_low), _mm256_sllv_epi64(b1, len));
    let from_high = or(_mm256_srlv_epi64(b1, left), _mm256_sllv_epi64(b1, over));
    let third = or(from_high, _mm256_srlv_epi64(b0, far));
    ([first, second, third], _mm256_add_epi64(len, more))
}

/// The sums of each lane and those before it.
#[inline]
#[target_feature(enable = "avx2")]
fn sums(values: __m256i) -> __m256i {
    let pairs = _mm256_add_epi64(values, _mm256_slli_si256(values, 8));
    let first = _mm256_permute4x64_epi64(pairs, 0b01_01_00_00);
    _mm256_add_epi64(pairs, _mm256_blend_epi32(_mm256_setzero_si256(), first, 0b1111_0000))
}

/// Shifts each group to its bit within a byte, and gives the groups one by one, in four words each.
#[inline]
#[target_feature(enable = "avx2")]
fn shifted([first, second, third]: [__m256i; 3], by: __m256i) -> [__m256i; 4] {
    let back = _mm256_sub_epi64(_mm256_set1_epi64x(64), by);
    let joined = |word, before| _mm256_or_si256(_mm256_sllv_epi64(word, by), _mm256_srlv_epi64(before, back));
    let (a, b) = (_mm256_sllv_epi64(first, by), joined(second, first));
    let (c, d) = (joined(third, second), _mm256_srlv_epi64(third, back));
    let (ab_even, ab_odd) = (_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
    let (cd_even, cd_odd) = (_mm256_unpacklo_epi64(c, d), _mm256_unpackhi_epi64(c, d));
    [
        _mm256_permute2x128_si256(ab_even, cd_even, 0x20),
        _mm256_permute2x128_si256(ab_odd, cd_odd, 0x20),
        _mm256_permute2x128_si256(ab_even, cd_even, 0x31),
        _mm256_permute2x128_si256(ab_odd, cd_odd, 0x31),
    ]
}

/// The places that the bytes of a step are taken from: even eights first, then odd ones, the halves that [`sixteens`] joins.
fn order(back: bool) -> [u8; STEP] {
    std::array::from_fn(|i| {
        let (lane, byte) = (i / 8, i % 8);
        let at = 8 * (2 * (lane % 4) + lane / 4) + byte;
        (if back { STEP - 1 - at } else { at }) as u8
    })
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn steps<'s>(
    tables: &Tables,
    source: impl Iterator<Item = &'s [u8; STEP]>,
    order: &[u8; STEP],
    room: &mut [u8],
    bits: &mut Bits,
) {
    let (low, high) = (Table::new(&tables.low), Table::new(&tables.high));
    let order = load(order);
    let mut state = *bits;
    state.push(0, 0, room);
    let (mut at, mut held) = (state.at, u64::from(state.held));
    room[at] = state.bits as u8;
    for step in source {
        let bytes = _mm512_permutexvar_epi8(order, load(step));
        let (groups, len) = sixteens(eights(low, high, bytes));
        let ends = sums(len);
        let begins = _mm256_add_epi64(_mm256_sub_epi64(ends, len), _mm256_set1_epi64x(held as i64));
        let groups = shifted(groups, _mm256_and_si256(begins, _mm256_set1_epi64x(7)));
        let places = words(_mm256_srli_epi64(begins, 3));
        let reach: &mut [u8; REACH] = room[at..].first_chunk_mut().expect("the writer has made room");
        for (group, place) in groups.into_iter().zip(places) {
            // The mask changes nothing: three groups have at most 576 bits.
            let to: &mut [u8; 32] = reach[place as usize & 127..].first_chunk_mut().expect("a group ends within reach");
            let shared = to[0];
            store(to, group);
            to[0] |= shared;
        }
        let end = held + words(ends)[3];
        at += (end >> 3) as usize;
        held = end & 7;
    }
    *bits = Bits { bits: u64::from(room[at]), held: held as u32, at };
}

#[cfg(test)]
mod tests {
    use super::{REACH, STEP, Tables};
    use crate::format::entropy::coder::{Bits, ROOM, fours};

    /// Room that ends where the last step may reach is enough, one byte less is not, and nothing behind it is touched.
    #[test]
    fn a_room_that_is_too_small_is_seen() {
        let Some(tables) = Tables::new(&[0xfff; 256], &[12; 256]) else {
            eprintln!("SKIPPED: this processor has no AVX-512 with VBMI");
            return;
        };
        // The last of three steps begins behind two of the longest.
        let (source, enough) = ([7; STEP * 3], 2 * STEP * 12 / 8 + REACH);
        let begin = Bits { bits: 0, held: 0, at: 0 };
        for backwards in [false, true] {
            let run = |room: &mut [u8]| {
                let mut bits = begin;
                match backwards {
                    false => tables.code(&source, room, &mut bits),
                    true => tables.code_back(&source, room, &mut bits),
                }
            };
            let mut all = vec![0xa5; enough + STEP];
            assert_eq!(run(&mut all[..enough]), source.len());
            assert!(all[enough..].iter().all(|byte| *byte == 0xa5));
            let short = std::panic::AssertUnwindSafe(|| run(&mut vec![0; enough - 1]));
            assert!(std::panic::catch_unwind(short).is_err());
        }
    }

    #[test]
    fn as_the_scalar_loop() {
        let mut state = 7_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u32
        };
        for round in 0..500 {
            // Any lengths and codes do: both only join them.
            let lens: Vec<u8> = (0..256).map(|_| (next() % 12 + 1) as u8).collect();
            let codes: Vec<u16> = lens.iter().map(|len| next() as u16 & ((1 << len) - 1)).collect();
            let Some(tables) = Tables::new(&codes, &lens) else {
                eprintln!("SKIPPED: this processor has no AVX-512 with VBMI");
                return;
            };
            let source: Vec<u8> = (0..STEP * (round % 9 + 1)).map(|_| next() as u8).collect();
            let table = std::array::from_fn(|byte| u32::from(codes[byte]) << 8 | u32::from(lens[byte]));
            let held = next() % 8;
            let begin = Bits { bits: u64::from(next()) & ((1 << held) - 1), held, at: 3 };
            let (mut wide, mut scalar) = (begin, begin);
            let (mut one, mut two) = (vec![0; source.len() * 2 + ROOM], vec![0; source.len() * 2 + ROOM]);
            assert_eq!(tables.code(&source, &mut one, &mut wide), source.len());
            fours(&source, &table, &mut two, &mut scalar);
            assert!(wide == scalar && one[..wide.at] == two[..wide.at], "round {round}");
            let (mut wide, mut scalar) = (begin, begin);
            assert_eq!(tables.code_back(&source, &mut one, &mut wide), source.len());
            let back: Vec<u8> = source.iter().rev().copied().collect();
            fours(&back, &table, &mut two, &mut scalar);
            assert!(wide == scalar && one[..wide.at] == two[..wide.at], "round {round}, backwards");
        }
    }
}
