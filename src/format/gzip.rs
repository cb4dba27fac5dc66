//! gzip: one member made of raw-deflate segments that each end on a byte boundary.
//!
//! Source: RFC 1952 (gzip) and RFC 1951 (deflate).
//!
//! ```text
//! 1f 8b 08 00  00 00 00 00  00 ff     magic, deflate, no flags, no time, no hint of the level, no system
//! segment…                            deflate blocks, none of them final, ended on a byte boundary
//! 03 00                               an empty final block with fixed codes
//! u32 CRC-32 of the source, u32 its length modulo 2^32
//! ```
//!
//! A segment ends in an empty stored block (`00 00 ff ff` after the padding to a byte), unless its last
//! block is a stored one, which ends on a byte boundary by itself. Matches never reach back before the
//! start of their segment. The length wraps at 4 GiB, as the RFC asks: `gzip -l` shows it wrapped, every
//! reader unpacks the whole.

/// The bytes before the first segment.
pub const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// CRC-32 and length of all the segments so far.
#[derive(Debug, Default)]
pub(crate) struct Trailer {
    crc32: u32,
    len: u64,
}

impl Trailer {
    pub(crate) fn push(&mut self, crc32: u32, len: u64) {
        self.crc32 = zlib_rs::crc32::crc32_combine(self.crc32, crc32, len);
        self.len += len;
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        let mut out = vec![0x03, 0x00];
        out.extend_from_slice(&self.crc32.to_le_bytes());
        out.extend_from_slice(&(self.len as u32).to_le_bytes());
        out
    }
}
