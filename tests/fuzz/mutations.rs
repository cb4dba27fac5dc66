//! Mutations of seeds, the same in every run: bits and bytes, cuts and repeats, and words that formats live by.

/// What JSON, TOML and GBNF are made of, and numbers where they end.
const WORDS: [&[u8]; 40] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b",",
    b":",
    b"null",
    b"-1",
    b"1e999",
    b"\\u0000",
    b"\\ud800",
    b"\xff",
    b"{}",
    b"[]",
    b"\"\"",
    b"(",
    b")",
    b"{1,",
    b"\\x",
    b"::=",
    b"\n",
    b"\xc3",
    b"<[0]>",
    b"=",
    b"[[",
    b"true",
    b"0",
    b"7777777",
    b"18446744073709551615",
    b"9223372036854775807",
    b"\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"\x80\x02",
    b".",
    b"..",
    b"/",
    b"ustar",
    b"PK\x05\x06",
    b"\x28\xb5\x2f\xfd",
];

/// Marsaglia's xorshift: the same numbers everywhere.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n.max(1) as u64) as usize
    }
}

/// A changed copy of `seed`, with pieces of another one.
pub fn mutated(random: &mut Random, seed: &[u8], other: &[u8]) -> Vec<u8> {
    let mut out = seed.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(out.len() + 1);
        let end = (at + random.below(40)).min(out.len());
        let word = WORDS[random.below(WORDS.len())].iter().copied();
        match random.below(9) {
            0 => out.truncate(at),
            1 => drop(out.drain(at..end)),
            2 => {
                let piece = out[at..end].to_vec();
                drop(out.splice(at..at, piece));
            }
            3 => {
                let from = random.below(other.len() + 1);
                let piece = other[from..(from + random.below(64)).min(other.len())].iter().copied();
                drop(out.splice(at..at, piece));
            }
            4 => drop(out.splice(at..at, word)),
            // A value for another: the text stays JSON, its meaning does not.
            5 | 6 => {
                let colon = out[at..].iter().position(|byte| *byte == b':').map(|i| at + i + 1);
                let length = colon.and_then(|from| out[from..].iter().position(|b| b",\n}]".contains(b)));
                if let (Some(from), Some(length)) = (colon, length) {
                    drop(out.splice(from..from + length, word));
                }
            }
            7 if at < out.len() => out[at] ^= 1 << random.below(8),
            _ if at < out.len() => out[at] = random.below(256) as u8,
            _ => out.push(random.below(256) as u8),
        }
    }
    out
}
