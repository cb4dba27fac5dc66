//! `SegmentReader`: unpacks one segment that somebody else packed, and proves that it stands for itself.
//!
//! A package is segments side by side, so a foreign one must not only unpack to the right bytes: it must end where it says,
//! on a byte, without ending the whole stream, and look back at nothing before itself. Else its neighbours would be
//! damaged by it, and each of the two would look sound alone.

use flate2::{Decompress, FlushDecompress, Status};
use zstd::bulk::Decompressor;
use zstd::zstd_safe::{find_frame_compressed_size, get_frame_content_size};

use crate::format::segment::{Compression, SEGMENT, Segment};

/// What follows the last segment of a gzip package: an empty final block.
const END: [u8; 2] = [3, 0];

/// The first bytes of a zstd frame.
const FRAME: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The most that so many bytes become: packing adds little, and more would be room for something that no reader sees.
pub fn most(source: usize) -> usize {
    source + source / 64 + 1024
}

/// Unpacks segments, one after the other; one a thread.
#[derive(Default)]
pub struct SegmentReader {
    inflate: Option<Decompress>,
    zstd: Option<Decompressor<'static>>,
}

impl SegmentReader {
    /// Unpacks `packed` into `out`, in place of what is there. Is it exactly the segment of the table?
    pub fn read(&mut self, compression: Compression, segment: &Segment, packed: &[u8], out: &mut Vec<u8>) -> bool {
        let length = segment.source_len as usize;
        out.clear();
        if packed.len() != segment.packed_len as usize || length == 0 || length > SEGMENT {
            return false;
        }
        if packed.len() > most(length) {
            return false;
        }
        let whole = match compression {
            Compression::Gzip => self.inflate(packed, length, out) == Some(()),
            Compression::Zstd => self.frame(packed, length, out) == Some(()),
            Compression::None => {
                out.extend_from_slice(packed);
                true
            }
        };
        let crc32 = if compression == Compression::Gzip { zlib_rs::crc32::crc32(0, out) } else { 0 };
        whole && out.len() == length && crc32 == segment.crc32
    }

    /// Deflate blocks, none of them final, that end on a byte: so an empty final block right after them ends the stream,
    /// and does so with its own last byte.
    fn inflate(&mut self, packed: &[u8], length: usize, out: &mut Vec<u8>) -> Option<()> {
        let inflate = self.inflate.get_or_insert_with(|| Decompress::new(false));
        inflate.reset(false);
        // One byte more than there may be, to see that there is no more.
        out.reserve_exact(length + 1);
        let all = (packed.len() + END.len()) as u64;
        loop {
            let (read, made) = (inflate.total_in(), out.len());
            let rest = match packed.get(read as usize..) {
                Some(rest) if !rest.is_empty() => rest,
                _ => END.get(read as usize - packed.len()..)?,
            };
            let status = inflate.decompress_vec(rest, out, FlushDecompress::None).ok()?;
            if status == Status::StreamEnd {
                return (inflate.total_in() == all).then_some(());
            }
            let stuck = inflate.total_in() == read && out.len() == made;
            if stuck || out.len() > length {
                return None;
            }
        }
    }

    /// One frame that says how long its content is.
    fn frame(&mut self, packed: &[u8], length: usize, out: &mut Vec<u8>) -> Option<()> {
        let size = get_frame_content_size(packed).ok()??;
        let one = find_frame_compressed_size(packed).is_ok_and(|found| found == packed.len());
        if !packed.starts_with(&FRAME) || size != length as u64 || !one {
            return None;
        }
        if self.zstd.is_none() {
            self.zstd = Decompressor::new().ok();
        }
        out.reserve_exact(length);
        self.zstd.as_mut()?.decompress_to_buffer(packed, out).ok().map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::SegmentReader;
    use crate::format::segment::{Codec, Compression, Packer, SEGMENT, Segment};

    fn sources() -> Vec<Vec<u8>> {
        let mut state = 7_u64;
        let mut noise = |length: usize, kinds: u64| -> Vec<u8> {
            let mut next = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                ((state >> 33) % kinds) as u8
            };
            (0..length).map(|_| next()).collect()
        };
        let text = b"a line of text that comes again\n".repeat(3000);
        vec![vec![0], noise(SEGMENT, 256), noise(70_000, 20), text, vec![0; SEGMENT], noise(1, 256), noise(513, 256)]
    }

    fn packed(compression: Compression, source: &[u8]) -> (Segment, Vec<u8>) {
        let mut out = Vec::new();
        let segment = Packer::new(Codec::new(compression, None).unwrap()).pack(source, &mut out);
        (segment, out)
    }

    #[test]
    fn what_we_pack_stands_for_itself() {
        let (mut reader, mut out) = (SegmentReader::default(), Vec::new());
        for compression in Compression::ALL {
            for source in sources() {
                let (segment, packed) = packed(compression, &source);
                assert!(reader.read(compression, &segment, &packed, &mut out), "{compression}, {}", source.len());
                assert!(out == source);
            }
        }
    }

    #[test]
    fn what_would_damage_its_neighbours_does_not() {
        let (mut reader, mut out) = (SegmentReader::default(), Vec::new());
        for compression in Compression::ALL {
            for source in sources() {
                let (segment, good) = packed(compression, &source);
                // Cut short, with something after it, and with any one of the last bits turned.
                let cut = good[..good.len() - 1].to_vec();
                let longer = [&good[..], &[0]].concat();
                let ended = [&good[..], &[3, 0]].concat();
                for wrong in [cut, longer, ended] {
                    let table = Segment { packed_len: wrong.len() as u32, ..segment };
                    assert!(!reader.read(compression, &table, &wrong, &mut out), "{compression}, {}", source.len());
                    assert!(!reader.read(compression, &segment, &wrong, &mut out));
                }
                for bit in 0..64.min(good.len() * 8) {
                    let mut wrong = good.clone();
                    let at = wrong.len() * 8 - 1 - bit;
                    wrong[at / 8] ^= 1 << (at % 8);
                    let same = reader.read(compression, &segment, &wrong, &mut out) && out != source;
                    assert!(!same || compression == Compression::None, "{compression}, bit {at}");
                }
                let shifted = Segment { source_len: segment.source_len + 1, ..segment };
                assert!(!reader.read(compression, &shifted, &good, &mut out));
            }
        }
        let (segment, good) = packed(Compression::Gzip, b"some text");
        let wrong = Segment { crc32: segment.crc32 ^ 1, ..segment };
        assert!(!reader.read(Compression::Gzip, &wrong, &good, &mut out), "the checksum of the table is wrong");
        // Many bytes for few: room for something that nobody sees.
        let padded = [&[0, 0, 0, 0xff, 0xff].repeat(400)[..], &good].concat();
        let table = Segment { packed_len: padded.len() as u32, ..segment };
        assert!(!reader.read(Compression::Gzip, &table, &padded, &mut out));
    }

    #[test]
    fn what_reaches_back_or_ends_within_a_byte_does_not() {
        let (mut reader, mut out) = (SegmentReader::default(), Vec::new());
        let source = b"abcabcabcabc".to_vec();
        let mut whole = flate2::Compress::new(flate2::Compression::new(6), false);
        let mut first = Vec::with_capacity(256);
        whole.compress_vec(&source, &mut first, flate2::FlushCompress::Sync).unwrap();
        let mut second = Vec::with_capacity(256);
        whole.compress_vec(&source, &mut second, flate2::FlushCompress::Sync).unwrap();
        let table = |packed: &[u8]| Segment {
            source_len: source.len() as u32,
            packed_len: packed.len() as u32,
            crc32: zlib_rs::crc32::crc32(0, &source),
            encoder: crate::format::segment::Encoder::Match,
        };
        assert!(reader.read(Compression::Gzip, &table(&first), &first, &mut out), "it stands for itself");
        assert!(!reader.read(Compression::Gzip, &table(&second), &second, &mut out), "it needs the first");
        // Without the empty stored block it ends where its last code does.
        let within = &first[..first.len() - 4];
        assert!(!reader.read(Compression::Gzip, &table(within), within, &mut out));
    }
}
