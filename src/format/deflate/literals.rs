//! Blocks of literals: what an entropy coder does to weights, where matching finds nothing.

use crate::format::deflate::bits::BitWriter;
use crate::format::deflate::block::{self, Codes, Counts};
use crate::format::entropy::coder::{Bits, Coder, ROOM};
use crate::format::entropy::histogram::Histogram;

/// Source bytes that are coded between two looks at the room.
const STRETCH: usize = 1 << 15;

/// Writes `source`, whose bytes `histogram` counts (about), as one block of literals, or stored where that is
/// shorter. Whether it was coded.
pub(crate) fn write(source: &[u8], histogram: &Histogram, writer: &mut BitWriter<'_>) -> bool {
    let mut counts = Counts::NONE;
    counts.litlen[..256].copy_from_slice(histogram);
    let (codes, bits) = Codes::best(&counts);
    let before = writer.mark();
    if bits / 8 + 1 < source.len() as u64 {
        codes.begin(writer);
        let coder = Coder::new(&codes.litlen, &codes.litlen_len);
        for stretch in source.chunks(STRETCH) {
            writer.room(stretch.len() * block::LIMIT / 8 + ROOM);
            code(stretch, &coder, writer);
        }
        codes.end(writer);
        // Where only a part of the bytes was counted, the others may be of another kind.
        if writer.since(&before) < source.len() {
            return true;
        }
        writer.rewind(before);
    }
    writer.stored(source);
    false
}

/// Codes every byte of `source`.
fn code(source: &[u8], coder: &Coder, writer: &mut BitWriter<'_>) {
    let (room, bits, held) = writer.open();
    let mut state = Bits { bits, held, at: 0 };
    coder.code(source, room, &mut state);
    writer.resume(state.at, state.bits, state.held);
}

#[cfg(test)]
mod tests {
    use super::write;
    use crate::format::deflate::bits::BitWriter;
    use crate::format::entropy::histogram::{LINE, LINES, sampled, taken};
    use crate::format::entropy::look::BLOCK;
    use crate::format::entropy::noise;

    #[test]
    fn what_grows_because_the_rest_is_of_another_kind_is_stored() {
        // The lines that are looked at hold low bytes, and of the high ones each but once; the others high bytes.
        let mut block = noise(BLOCK);
        let mut high = 128..=255;
        for (number, row) in (0_u32..).zip(block.chunks_mut(LINES * LINE)) {
            for (at, byte) in row.iter_mut().enumerate() {
                let looked_at = at / LINE == taken(number);
                *byte = if looked_at { high.next().unwrap_or(*byte & 0x7f) } else { *byte | 0x80 };
            }
        }
        let (counts, _) = sampled(&block).expect("every byte occurs");
        let mut out = vec![1, 2, 3];
        let mut writer = BitWriter::new(&mut out, 3);
        assert!(!write(&block, &counts, &mut writer));
        let end = writer.finish();
        out.truncate(end);
        assert_eq!(out.len(), 3 + block.len() + 2 * 5);
        assert!(out[3 + 5..].starts_with(&block[..60_000]));
    }
}
