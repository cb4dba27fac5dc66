//! `Coder`: writes the code of each byte, the first bit lowest, by the widest means that the processor has.

/// Bits that are not yet a whole byte, and how many bytes were written: the state of a loop, in registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bits {
    pub(crate) bits: u64,
    pub(crate) held: u32,
    pub(crate) at: usize,
}

impl Bits {
    /// Adds up to 56 bits; fewer than 8 stay. `room` ends eight bytes or more after what is written.
    #[inline(always)]
    pub(crate) fn push(&mut self, value: u64, len: u32, room: &mut [u8]) {
        self.bits |= value << self.held;
        self.held += len;
        room[self.at..self.at + 8].copy_from_slice(&self.bits.to_le_bytes());
        self.at += (self.held >> 3) as usize;
        self.bits >>= self.held & 0x38;
        self.held &= 7;
    }
}

/// What the widest loop asks for behind what it has written.
pub(crate) const ROOM: usize = 192;

/// Longest code that the loops take: four of them fit the bit buffer between two flushes.
const LIMIT: usize = 12;

/// The tables of one code.
pub(crate) struct Coder {
    /// Code and length of each byte in one word: the length in the low byte, the code above.
    table: [u32; 256],
    #[cfg(target_arch = "x86_64")]
    wide: Option<super::wide::Tables>,
}

impl Coder {
    /// The codes of the 256 bytes, their first bit lowest, and their lengths, at most 12.
    pub(crate) fn new(codes: &[u16], lens: &[u8]) -> Self {
        debug_assert!(lens[..256].iter().all(|len| usize::from(*len) <= LIMIT));
        Self {
            table: std::array::from_fn(|byte| u32::from(codes[byte]) << 8 | u32::from(lens[byte])),
            #[cfg(target_arch = "x86_64")]
            wide: super::wide::Tables::new(codes, lens),
        }
    }

    /// Codes every byte of `source` from its start. `room` holds the longest codes of all, and [`ROOM`].
    pub(crate) fn code(&self, mut source: &[u8], room: &mut [u8], state: &mut Bits) {
        #[cfg(target_arch = "x86_64")]
        if let Some(tables) = &self.wide {
            source = &source[tables.code(source, room, state)..];
        }
        for byte in fours(source, &self.table, room, state) {
            let (code, len) = entry(&self.table, *byte);
            state.push(code, len as u32, room);
        }
    }

    /// The same from the end of `source` to its start.
    pub(crate) fn code_back(&self, mut source: &[u8], room: &mut [u8], state: &mut Bits) {
        #[cfg(target_arch = "x86_64")]
        if let Some(tables) = &self.wide {
            source = &source[..source.len() - tables.code_back(source, room, state)];
        }
        for byte in source.iter().rev() {
            let (code, len) = entry(&self.table, *byte);
            state.push(code, len as u32, room);
        }
    }
}

#[inline(always)]
fn entry(table: &[u32; 256], byte: u8) -> (u64, u64) {
    let entry = u64::from(table[usize::from(byte)]);
    (entry >> 8, entry & 0xff)
}

/// Codes four bytes at a time and returns what is left. Pairs are joined first and then pairs of pairs, so that only one
/// shift in four symbols waits for the one before.
pub(super) fn fours<'s>(source: &'s [u8], table: &[u32; 256], room: &mut [u8], bits: &mut Bits) -> &'s [u8] {
    let mut state = *bits;
    let (words, rest) = source.as_chunks::<4>();
    for word in words {
        let [(a, a_len), (b, b_len), (c, c_len), (d, d_len)] = word.map(|byte| entry(table, byte));
        let (ab, ab_len) = (a | b << a_len, a_len + b_len);
        let (cd, cd_len) = (c | d << c_len, c_len + d_len);
        state.push(ab | cd << ab_len, (ab_len + cd_len) as u32, room);
    }
    *bits = state;
    rest
}
