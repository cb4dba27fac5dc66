//! `Fingerprint`: tells whether two tensors hold the same values, at a fraction of a hash's cost.
//!
//! Sums of products over 64-byte groups, keyed by the group's number (the NH family, as in UMAC, RFC 4418): groups
//! can be added in any order by any thread. Two tensors that differ by accident never share one; somebody who wants
//! them to can make them do so, so it decides about warnings only.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes that are summed at once. Every value size divides it, so none is ever split.
pub const GROUP: usize = 64;

/// 128 bits that stand for a tensor's or a file's values.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 16]);

impl Fingerprint {
    /// What these groups of strings come to: for a file, the names, types and fingerprints of its tensors.
    pub(super) fn of(parts: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            let part = part.as_ref();
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        let mut short = [0; 16];
        short.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self(short)
    }

    /// The fingerprint of `count` copies of a value: tells a tensor that still holds what it was filled with.
    pub fn repeated(value: &[u8], count: u64) -> Self {
        let mut sum = Sum::default();
        let total = value.len() as u64 * count;
        let mut group = [0; GROUP];
        for (byte, pattern) in group.iter_mut().zip(value.iter().cycle()) {
            *byte = *pattern;
        }
        let full = total / GROUP as u64;
        for number in 0..full {
            sum.add(number, &[group]);
        }
        let rest = (total % GROUP as u64) as usize;
        if rest > 0 {
            group[rest..].fill(0);
            sum.add(full, &[group]);
        }
        sum.finish(total)
    }

    /// The bits.
    pub const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let bits = (text.len() == 32).then(|| u128::from_str_radix(&text, 16).ok()).flatten();
        bits.map(|bits| Self(bits.to_be_bytes())).ok_or_else(|| serde::de::Error::custom("not a fingerprint"))
    }
}

/// A sum that is still growing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sum([u64; 8]);

/// Start keys: the first 64 bytes of the fraction of pi.
const KEYS: [u64; 8] = [
    0x243f_6a88_85a3_08d3,
    0x1319_8a2e_0370_7344,
    0xa409_3822_299f_31d0,
    0x082e_fa98_ec4e_6c89,
    0x4528_21e6_38d0_1377,
    0xbe54_66cf_34e9_0c6c,
    0xc0ac_29b7_c97c_50dd,
    0x3f84_d5b5_b547_0917,
];

/// What each half of a key grows by from group to group: odd, so that keys repeat after 2^32 groups (256 GiB) only.
const STEP: (u32, u32) = (0x9e37_79b1, 0x85eb_ca77);

impl Sum {
    /// Adds groups whose first has this number.
    #[inline(always)]
    pub fn add(&mut self, first: u64, groups: &[[u8; GROUP]]) {
        let mut low = [0_u32; 8];
        let mut high = [0_u32; 8];
        for (lane, key) in KEYS.iter().enumerate() {
            low[lane] = (*key as u32).wrapping_add((first as u32).wrapping_mul(STEP.0));
            high[lane] = ((*key >> 32) as u32).wrapping_add((first as u32).wrapping_mul(STEP.1));
        }
        let mut sums = self.0;
        for group in groups {
            for lane in 0..8 {
                let word = word(group, lane);
                let left = (word as u32).wrapping_add(low[lane]);
                let right = ((word >> 32) as u32).wrapping_add(high[lane]);
                sums[lane] = sums[lane].wrapping_add(u64::from(left).wrapping_mul(u64::from(right)));
                low[lane] = low[lane].wrapping_add(STEP.0);
                high[lane] = high[lane].wrapping_add(STEP.1);
            }
        }
        self.0 = sums;
    }

    /// Adds what another thread summed.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine = mine.wrapping_add(theirs);
        }
    }

    /// The fingerprint of a tensor of this many bytes.
    pub fn finish(&self, bytes: u64) -> Fingerprint {
        Fingerprint::of(self.0.iter().chain([&bytes]).map(|word| word.to_le_bytes()))
    }
}

#[inline(always)]
fn word(group: &[u8; GROUP], lane: usize) -> u64 {
    let at = lane * 8;
    u64::from_le_bytes([
        group[at],
        group[at + 1],
        group[at + 2],
        group[at + 3],
        group[at + 4],
        group[at + 5],
        group[at + 6],
        group[at + 7],
    ])
}

#[cfg(test)]
mod tests {
    use super::{Fingerprint, GROUP, Sum};

    #[test]
    fn order_of_adding_is_free_and_order_of_values_is_not() {
        let (a, b) = ([1; GROUP], [2; GROUP]);
        let mut forward = Sum::default();
        forward.add(0, &[a, b]);
        let mut backward = Sum::default();
        backward.add(1, &[b]);
        let mut rest = Sum::default();
        rest.add(0, &[a]);
        backward.merge(&rest);
        assert_eq!(forward, backward);
        let mut swapped = Sum::default();
        swapped.add(0, &[b, a]);
        assert_ne!(forward.finish(128), swapped.finish(128));
        assert_ne!(forward.finish(128), forward.finish(127));
    }

    #[test]
    fn repeated_is_what_summing_gives() {
        let value = 1_f32.to_le_bytes();
        let bytes = value.repeat(37);
        let mut sum = Sum::default();
        for (i, chunk) in bytes.chunks(GROUP).enumerate() {
            let mut group = [0; GROUP];
            group[..chunk.len()].copy_from_slice(chunk);
            sum.add(i as u64, &[group]);
        }
        assert_eq!(Fingerprint::repeated(&value, 37), sum.finish(bytes.len() as u64));
    }

    #[test]
    fn hex_and_back() {
        let print = Fingerprint::of(["a", "b"]);
        assert_ne!(print, Fingerprint::of(["ab"]));
        let text = serde_json::to_string(&print).unwrap();
        assert_eq!(serde_json::from_str::<Fingerprint>(&text).unwrap(), print);
        assert!(serde_json::from_str::<Fingerprint>("\"12\"").is_err());
    }
}
