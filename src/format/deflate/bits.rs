//! `BitWriter`: bits into bytes, the first bit lowest, through a 64-bit buffer.

/// Writes bits into a `Vec`, over what is there.
///
/// The bytes past `at` are room: [`BitWriter::room`] makes it, [`BitWriter::flush`] fills it eight bytes
/// at a time, and what is left of it at the end is the caller's.
pub(crate) struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    at: usize,
    bits: u64,
    held: u32,
}

/// A place in what is being written.
pub(crate) struct Mark {
    at: usize,
    bits: u64,
    held: u32,
}

impl<'a> BitWriter<'a> {
    /// Begins with the byte `at`.
    pub(crate) fn new(out: &'a mut Vec<u8>, at: usize) -> Self {
        Self { out, at, bits: 0, held: 0 }
    }

    /// Makes room for `bytes` and one flush.
    pub(crate) fn room(&mut self, bytes: usize) {
        let end = self.at + bytes + 16;
        if self.out.len() < end {
            self.out.resize(end, 0);
        }
    }

    /// The room, what is held in the buffer and how many bits that are: for loops that keep them in
    /// registers. [`BitWriter::resume`] takes them back.
    pub(crate) fn open(&mut self) -> (&mut [u8], u64, u32) {
        (&mut self.out[self.at..], self.bits, self.held)
    }

    /// Goes on after a loop that filled `written` bytes of the room.
    pub(crate) fn resume(&mut self, written: usize, bits: u64, held: u32) {
        self.at += written;
        self.bits = bits;
        self.held = held;
    }

    /// This place, to come back to or to measure from.
    pub(crate) fn mark(&self) -> Mark {
        Mark { at: self.at, bits: self.bits, held: self.held }
    }

    /// Whole bytes since `mark`.
    pub(crate) fn since(&self, mark: &Mark) -> usize {
        self.at - mark.at
    }

    /// Forgets what was written since `mark`.
    pub(crate) fn rewind(&mut self, mark: Mark) {
        Mark { at: self.at, bits: self.bits, held: self.held } = mark;
    }

    /// Adds `len` bits, which must fit beside those held: at most 56 since the last flush.
    #[inline]
    pub(crate) fn put(&mut self, value: u64, len: u32) {
        debug_assert!(self.held + len < 64 && value >> len == 0);
        self.bits |= value << self.held;
        self.held += len;
    }

    /// Moves whole bytes out of the buffer; under 8 bits stay.
    #[inline]
    pub(crate) fn flush(&mut self) {
        self.out[self.at..self.at + 8].copy_from_slice(&self.bits.to_le_bytes());
        self.at += (self.held >> 3) as usize;
        self.bits >>= self.held & !7;
        self.held &= 7;
    }

    /// Writes `source` as stored blocks, none of them final; ends on a byte boundary.
    pub(crate) fn stored(&mut self, source: &[u8]) {
        for block in source.chunks(usize::from(u16::MAX)) {
            self.stored_block(block);
        }
    }

    /// Writes an empty stored block: ends on a byte boundary.
    pub(crate) fn sync(&mut self) {
        self.stored_block(&[]);
    }

    fn stored_block(&mut self, block: &[u8]) {
        self.room(16 + block.len());
        self.put(0, 3);
        self.held = self.held.next_multiple_of(8);
        self.flush();
        let len = block.len() as u16;
        self.put(u64::from(len) | u64::from(!len) << 16, 32);
        self.flush();
        self.out[self.at..self.at + block.len()].copy_from_slice(block);
        self.at += block.len();
    }

    /// Ends on a byte boundary that [`BitWriter::sync`] or [`BitWriter::stored`] reached, and says where that is.
    pub(crate) fn finish(self) -> usize {
        debug_assert_eq!(self.held, 0);
        self.at
    }
}
