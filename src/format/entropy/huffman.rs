//! Canonical prefix codes of limited length.

/// Most symbols of an alphabet of deflate.
const MOST: usize = 288;

/// The code lengths, at most `limit`, that cost least for `counts` (nearly: lengths past the limit are
/// cut, and the shortest codes that can pay for it do). A symbol that does not occur gets length 0; a
/// lone symbol gets 1.
pub(crate) fn lengths(counts: &[u32], limit: usize, lengths: &mut [u8]) {
    lengths.fill(0);
    // Count and symbol in one word: sorted by count, then symbol, with no further comparison.
    let mut keys = [0_u64; MOST];
    let mut used = 0;
    for (symbol, count) in counts.iter().enumerate() {
        if *count > 0 {
            keys[used] = u64::from(*count) << 16 | symbol as u64;
            used += 1;
        }
    }
    let keys = &mut keys[..used];
    match keys {
        [] => return,
        [only] => {
            lengths[(*only & 0xffff) as usize] = 1;
            return;
        }
        _ => keys.sort_unstable(),
    }
    let mut of_length = [0_u32; MOST];
    depths(keys, &mut of_length);
    shorten(&mut of_length, limit);
    // The rarest symbols take the longest codes.
    let mut rarest = keys.iter();
    for length in (1..=limit).rev() {
        for key in rarest.by_ref().take(of_length[length] as usize) {
            lengths[(key & 0xffff) as usize] = length as u8;
        }
    }
}

/// How many leaves of the Huffman tree lie at each depth. Two queues: the leaves by count, and the inner
/// nodes, which come into being in the order of their weight.
fn depths(keys: &[u64], of_length: &mut [u32; MOST]) {
    let used = keys.len();
    let mut weight = [0_u64; MOST];
    let mut parent = [0_u16; 2 * MOST];
    let (mut leaf, mut inner) = (0, 0);
    for node in 0..used - 1 {
        let mut total = 0;
        for _ in 0..2 {
            let take_leaf = leaf < used && (inner >= node || keys[leaf] >> 16 <= weight[inner]);
            if take_leaf {
                total += keys[leaf] >> 16;
                parent[leaf] = node as u16;
                leaf += 1;
            } else {
                total += weight[inner];
                parent[MOST + inner] = node as u16;
                inner += 1;
            }
        }
        weight[node] = total;
    }
    let mut depth = [0_u16; MOST];
    for node in (0..used - 2).rev() {
        depth[node] = depth[usize::from(parent[MOST + node])] + 1;
    }
    for leaf in 0..used {
        of_length[usize::from(depth[usize::from(parent[leaf])]) + 1] += 1;
    }
}

/// Moves the leaves past `limit` up to it, and pays with the deepest leaves above until the code is
/// complete again.
fn shorten(of_length: &mut [u32; MOST], limit: usize) {
    for length in limit + 1..MOST {
        of_length[limit] += std::mem::take(&mut of_length[length]);
    }
    let mut total: u64 = (1..=limit).map(|length| u64::from(of_length[length]) << (limit - length)).sum();
    while total > 1 << limit {
        of_length[limit] -= 1;
        let from = (1..limit).rev().find(|length| of_length[*length] > 0).expect("a code this full has shorter codes");
        of_length[from] -= 1;
        of_length[from + 1] += 2;
        total -= 1;
    }
}

/// The codes that belong to `lengths`, their first bit lowest, as the bit writer takes them.
pub(crate) fn codes(lengths: &[u8], codes: &mut [u16]) {
    let mut of_length = [0_u16; 16];
    for length in lengths {
        of_length[usize::from(*length)] += 1;
    }
    of_length[0] = 0;
    let mut next = [0_u16; 16];
    for length in 1..16 {
        next[length] = (next[length - 1] + of_length[length - 1]) << 1;
    }
    for (length, code) in lengths.iter().zip(codes) {
        let length = usize::from(*length);
        if length > 0 {
            *code = next[length].reverse_bits() >> (16 - length);
            next[length] += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_small_code_is_the_known_one() {
        let mut of = [0; 6];
        lengths(&[45, 13, 12, 16, 9, 5], 15, &mut of);
        assert_eq!(of, [1, 3, 3, 3, 4, 4]);
        let mut code = [0; 6];
        codes(&of, &mut code);
        // RFC 1951, 3.2.2, by hand: 0, 100, 101, 110, 1110, 1111, each reversed.
        assert_eq!(code, [0b0, 0b001, 0b101, 0b011, 0b0111, 0b1111]);
    }

    proptest! {
        #[test]
        fn codes_are_complete_limited_and_ordered(
            counts in prop::collection::vec(prop_oneof![Just(0_u32), 0..4_u32, 0..1_u32 << 20], 2..288),
            limit in 9..16_usize,
        ) {
            let mut of = vec![0_u8; counts.len()];
            lengths(&counts, limit, &mut of);
            let used = counts.iter().filter(|count| **count > 0).count();
            let kraft: u64 = of.iter().filter(|length| **length > 0).map(|length| 1_u64 << (15 - length)).sum();
            prop_assert_eq!(of.iter().filter(|length| **length > 0).count(), used);
            prop_assert!(of.iter().all(|length| usize::from(*length) <= limit));
            prop_assert!(used < 2 || kraft == 1 << 15);
            for (a, b) in (0..counts.len()).zip(1..counts.len()) {
                prop_assert!(counts[a] <= counts[b] || of[a] <= of[b] || of[b] == 0);
            }
        }
    }
}
