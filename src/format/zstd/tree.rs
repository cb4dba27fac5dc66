//! The description of a prefix code in a zstd block: weights, and the FSE code that they are written with.
//!
//! Source: RFC 8878, 4.2.1 (Huffman tree description) and 4.1 (FSE).
//!
//! ```text
//! weight = longest length + 1 - length, or 0 for a byte without a code; the last byte's weight is not written
//! u8 127 + n, then n weights of 4 bits, the first of each two on top          n up to 128
//! u8 size, then FSE: accuracy - 5 in 4 bits, probabilities, padding; a stream of two states that take turns
//! ```

/// Longest code of a byte.
pub(super) const LIMIT: usize = 11;

/// Weights that there may be, 0 among them.
const WEIGHTS: usize = LIMIT + 2;

/// Bits of a state: the most that weights may have.
const ACCURACY: u32 = 6;

/// States.
const STATES: usize = 1 << ACCURACY;

/// The codes that belong to `lens`, as the format gives them out: the longest first, among equals by byte. The first bit
/// that a decoder reads is the highest.
pub(super) fn codes(lens: &[u8; 256]) -> [u16; 256] {
    let mut of_length = [0_u16; LIMIT + 1];
    for len in lens {
        of_length[usize::from(*len)] += 1;
    }
    let mut next = [0_u16; LIMIT + 1];
    let mut least = 0;
    for len in (1..=LIMIT).rev() {
        next[len] = least;
        least = (least + of_length[len]) >> 1;
    }
    lens.map(|len| {
        let code = next[usize::from(len)];
        next[usize::from(len)] += 1;
        if len == 0 { 0 } else { code }
    })
}

/// The description of the code with these lengths, of which two or more are not zero. `None` where the format has no room
/// for it: then it is not worth its place either.
pub(super) fn describe(lens: &[u8; 256]) -> Option<Vec<u8>> {
    let longest = lens.iter().max().copied()?;
    let last = lens.iter().rposition(|len| *len > 0)?;
    let weight = |len: &u8| if *len == 0 { 0 } else { longest + 1 - len };
    let weights: Vec<u8> = lens[..last].iter().map(weight).collect();
    if weights.len() <= 128 {
        let mut out = vec![127 + weights.len() as u8];
        out.extend(weights.chunks(2).map(|pair| pair[0] << 4 | pair.get(1).copied().unwrap_or(0)));
        return Some(out);
    }
    let packed = fse(&weights).filter(|packed| packed.len() < 128)?;
    let mut out = vec![packed.len() as u8];
    out.extend(packed);
    Some(out)
}

/// Bits, the first one lowest.
#[derive(Default)]
struct BitRow {
    out: Vec<u8>,
    bits: u64,
    held: u32,
}

impl BitRow {
    fn put(&mut self, value: u64, len: u32) {
        self.bits |= value << self.held;
        self.held += len;
        while self.held >= 8 {
            self.out.push(self.bits as u8);
            self.bits >>= 8;
            self.held -= 8;
        }
    }

    fn finish(mut self) -> Vec<u8> {
        if self.held > 0 {
            self.out.push(self.bits as u8);
        }
        self.out
    }
}

/// How many of the states each weight gets: at least one where it occurs.
fn shares(weights: &[u8]) -> Option<[usize; WEIGHTS]> {
    let mut counts = [0_usize; WEIGHTS];
    for weight in weights {
        counts[usize::from(*weight)] += 1;
    }
    if counts.iter().filter(|count| **count > 0).count() < 2 {
        return None;
    }
    let all = weights.len();
    let mut shares = counts.map(|count| if count == 0 { 0 } else { ((count * STATES + all / 2) / all).max(1) });
    // What rounding gave too much or too little is taken from or given to the most frequent.
    while let sum = shares.iter().sum::<usize>()
        && sum != STATES
    {
        let most = (0..WEIGHTS).max_by_key(|weight| (shares[*weight], std::cmp::Reverse(*weight)))?;
        if sum > STATES { shares[most] -= 1 } else { shares[most] += 1 }
    }
    Some(shares)
}

/// The probabilities as RFC 8878, 4.1.1 writes them: each in as few bits as what is left to give allows.
fn probabilities(shares: &[usize; WEIGHTS]) -> Vec<u8> {
    let mut row = BitRow::default();
    row.put(u64::from(ACCURACY - 5), 4);
    let (mut left, mut threshold, mut width) = (STATES as i64 + 1, STATES as i64, ACCURACY + 1);
    let mut weight = 0;
    while left > 1 {
        let share = shares[weight] as i64;
        weight += 1;
        let spare = 2 * threshold - 1 - left;
        left -= share;
        let value = if share + 1 >= threshold { share + 1 + spare } else { share + 1 };
        row.put(value as u64, width - u32::from(value < spare));
        while left < threshold {
            width -= 1;
            threshold >>= 1;
        }
        if share == 0 {
            // How many more zeros follow, in steps of up to three.
            let more = shares[weight..].iter().take_while(|share| **share == 0).count();
            weight += more;
            for _ in 0..more / 3 {
                row.put(3, 2);
            }
            row.put(more as u64 % 3, 2);
        }
    }
    row.finish()
}

/// The states of each weight, in the order in which a decoder finds them.
fn states(shares: &[usize; WEIGHTS]) -> [Vec<u32>; WEIGHTS] {
    const STEP: usize = (STATES >> 1) + (STATES >> 3) + 3;
    let mut spread = [0; STATES];
    let mut at = 0;
    for (weight, share) in shares.iter().enumerate() {
        for _ in 0..*share {
            spread[at] = weight;
            at = (at + STEP) % STATES;
        }
    }
    let mut states: [Vec<u32>; WEIGHTS] = Default::default();
    for (state, weight) in spread.into_iter().enumerate() {
        states[weight].push((STATES + state) as u32);
    }
    states
}

/// The weights in FSE, from the last to the first: a decoder reads from the end.
fn fse(weights: &[u8]) -> Option<Vec<u8>> {
    let shares = shares(weights)?;
    let mut out = probabilities(&shares);
    let states = states(&shares);
    let mut row = BitRow::default();
    let mut turns = [None, None];
    for (at, weight) in weights.iter().enumerate().rev() {
        let of_weight = &states[usize::from(*weight)];
        let share = of_weight.len() as u32;
        let turn = &mut turns[at % 2];
        *turn = Some(match *turn {
            // The last of a turn: its first state, from which a decoder wants a bit that is not there. So it ends.
            None => of_weight[0],
            Some(state) => {
                // So many bits that what stays of the state, from `share` to twice that, names one of the weight's.
                let most = ACCURACY - share.ilog2();
                let len = if state >> most < share { most - 1 } else { most };
                row.put(u64::from(state & ((1 << len) - 1)), len);
                of_weight[((state >> len) - share) as usize]
            }
        });
    }
    for state in turns.into_iter().rev() {
        row.put(u64::from(state?) % STATES as u64, ACCURACY);
    }
    row.put(1, 1);
    out.extend(row.finish());
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::{STATES, codes, probabilities, shares};

    #[test]
    fn codes_are_those_of_the_specification() {
        // RFC 8878, 4.2.1.3: weights 4 3 2 0 1 and an implied 1, lengths 1 2 3 0 4 4.
        let mut lens = [0; 256];
        lens[..6].copy_from_slice(&[1, 2, 3, 0, 4, 4]);
        assert_eq!(codes(&lens)[..6], [0b1, 0b01, 0b001, 0, 0b0000, 0b0001]);
    }

    #[test]
    fn every_weight_has_a_state() {
        let weights: Vec<u8> = (0..255_u8).map(|i| if i < 12 { i } else { 3 }).collect();
        let shares = shares(&weights).expect("two weights and more");
        assert_eq!(shares.iter().sum::<usize>(), STATES);
        assert!(shares[..12].iter().all(|share| *share > 0) && shares[12] == 0);
        assert!(!probabilities(&shares).is_empty());
        assert!(super::shares(&[4; 200]).is_none());
    }
}
