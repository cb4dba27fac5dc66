//! `Mark`: where a file's packed bytes lie in a gzip package of ours, found again so that they can be copied.
//!
//! Nothing in a gzip file says where a segment begins. But whoever unpacks it knows how far into the file it stood when the
//! last byte of a content came out, and the segment ended close to that: an inflater holds back at most the end of a block,
//! and runs ahead at most to the codes of the next one. There a segment ends in an empty stored block (`00 00 ff ff`), or
//! in the last bytes of the content as they are. What is found so is tried: from its start, with nothing before it, the
//! content must come out, and from its end what follows in the tar. The first 32 KiB are enough for that, as no match
//! reaches further back. What is not of our making does not pass, and is packed again by whoever asks.

use std::io::{self, Read, Seek};
use std::ops::Range;

use flate2::{Decompress, FlushDecompress, Status};

use crate::base::Sha256;
use crate::format::archive::seek_table::read_at;

/// As far back as a match reaches.
pub const WINDOW: usize = 32 * 1024;
/// How many bytes of a content's end are remembered.
pub const TAIL: usize = 32;
/// What an empty stored block ends in.
const FLUSH: [u8; 4] = [0, 0, 0xff, 0xff];
/// The longest description of a block's codes, and room to spare.
const BEFORE: u64 = 1024;
/// The end of a block and an empty stored one, and room to spare.
const AFTER: u64 = 16;
/// Places that are tried: a file made for it could hold hundreds.
const MOST: usize = 16;

/// What was noted of a content while the package was unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// How far into the file the inflater stood before its first byte and after its last.
    pub places: Range<u64>,
    /// CRC-32 of it.
    pub crc32: u32,
    /// SHA-256 of its first [`WINDOW`] bytes.
    pub head: Sha256,
    /// Its last [`TAIL`] bytes.
    pub tail: Vec<u8>,
}

/// The packed bytes of a content of this size that `after` follows in the tar; `None` where it is not one row of segments
/// that stand for themselves.
pub fn find<R: Read + Seek>(file: &mut R, mark: &Mark, size: u64, after: &[u8]) -> io::Result<Option<Range<u64>>> {
    let mut start = None;
    for at in candidates(file, mark.places.start, &[])? {
        let head = inflate(file, at, size.min(WINDOW as u64) as usize)?;
        if head.is_some_and(|head| Sha256::of(&head) == mark.head) {
            start = Some(at);
            break;
        }
    }
    let Some(start) = start else { return Ok(None) };
    for at in candidates(file, mark.places.end, &mark.tail)? {
        if at > start && inflate(file, at, after.len())?.is_some_and(|found| found == after) {
            return Ok(Some(start..at));
        }
    }
    Ok(None)
}

/// Places around this one where a segment could end, the likely ones first.
fn candidates<R: Read + Seek>(file: &mut R, place: u64, tail: &[u8]) -> io::Result<Vec<u64>> {
    let from = place.saturating_sub(BEFORE);
    let around = read_at(file, from, (place - from + AFTER) as usize)?;
    let mut all = Vec::new();
    let mut add = |what: &[u8]| {
        let found = around.windows(what.len()).enumerate().filter(|(_, window)| *window == what);
        let mut ends: Vec<u64> = found.map(|(at, window)| from + (at + window.len()) as u64).collect();
        ends.sort_by_key(|at| at.abs_diff(place));
        ends.truncate(MOST);
        ends.retain(|at| !all.contains(at));
        all.extend(ends);
    };
    add(&FLUSH);
    // The last block may hold less than what is remembered, if it is the last of its segment or of the content.
    let lengths = [TAIL, 8, 3, 1].into_iter().filter(|length| *length <= tail.len());
    lengths.for_each(|length| add(&tail[tail.len() - length..]));
    Ok(all)
}

/// The first `count` bytes of what is packed from here on, with nothing before it.
fn inflate<R: Read + Seek>(file: &mut R, at: u64, count: usize) -> io::Result<Option<Vec<u8>>> {
    let mut inflater = Decompress::new(false);
    let mut out = Vec::with_capacity(count);
    loop {
        if out.len() == count {
            return Ok(Some(out));
        }
        let packed = read_at(file, at + inflater.total_in(), WINDOW)?;
        let status = inflater.decompress_vec(&packed, &mut out, FlushDecompress::None);
        match status {
            Ok(Status::Ok) if !packed.is_empty() => {}
            Ok(Status::StreamEnd) if out.len() == count => {}
            _ => return Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::{Mark, TAIL, WINDOW, find};
    use crate::base::Sha256;
    use crate::format::gzip;
    use crate::format::segment::{Codec, Compression, Packer, SEGMENT};

    /// Bytes of no pattern, as random as weights may be.
    fn noise(len: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u8
        };
        (0..len).map(|_| next()).collect()
    }

    #[test]
    fn every_kind_of_segment_is_found_wherever_the_inflater_stood() {
        let text = "segments end where a byte does. ".repeat(9000).into_bytes();
        let skewed: Vec<u8> = noise(2 * SEGMENT + 7).into_iter().map(|b| b & b.rotate_left(3)).collect();
        // A last block of two bytes, and one of one.
        for content in [
            noise(65_538),
            noise(SEGMENT + 1),
            noise(SEGMENT + 100),
            noise(40),
            noise(70_000),
            text,
            skewed,
            b"x".to_vec(),
            vec![0; SEGMENT],
        ] {
            for level in [1, 6, 9] {
                let mut packer = Packer::new(Codec::new(Compression::Gzip, Some(level)).unwrap());
                let (before, after) = ([vec![0; 100], vec![7; 412]].concat(), vec![9; 512]);
                let mut file = gzip::HEADER.to_vec();
                packer.pack(&before, &mut file);
                let start = file.len() as u64;
                for part in content.chunks(SEGMENT) {
                    packer.pack(part, &mut file);
                }
                let end = file.len() as u64;
                packer.pack(&after, &mut file);
                file.extend_from_slice(&[3, 0]);
                for off in [-4_i64, 0, 3, 200] {
                    let place = |at: u64| at.saturating_add_signed(off).min(file.len() as u64);
                    let mark = Mark {
                        places: place(start)..place(end),
                        crc32: 0,
                        head: Sha256::of(&content[..content.len().min(WINDOW)]),
                        tail: content[content.len().saturating_sub(TAIL)..].to_vec(),
                    };
                    let found = find(&mut Cursor::new(&file), &mark, content.len() as u64, &after).unwrap();
                    assert_eq!(found, Some(start..end), "{} bytes, level {level}, {off}", content.len());
                    let other = Mark { head: Sha256::of(b""), ..mark.clone() };
                    assert_eq!(find(&mut Cursor::new(&file), &other, content.len() as u64, &after).unwrap(), None);
                    assert_eq!(find(&mut Cursor::new(&file), &mark, content.len() as u64, b"else").unwrap(), None);
                }
            }
        }
    }

    #[test]
    fn what_refers_to_bytes_before_it_is_not_taken() {
        use std::io::Write as _;
        let content = noise(1000);
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&content).unwrap();
        encoder.flush().unwrap();
        let start = encoder.get_ref().len() as u64;
        encoder.write_all(&content).unwrap();
        encoder.flush().unwrap();
        let end = encoder.get_ref().len() as u64;
        encoder.write_all(b"after").unwrap();
        let file = encoder.finish().unwrap();
        let tail = content[1000 - TAIL..].to_vec();
        let mark = Mark { places: start..end, crc32: 0, head: Sha256::of(&content), tail };
        assert!(end - start < 100, "the second is a reference to the first");
        assert_eq!(find(&mut Cursor::new(&file), &mark, 1000, b"after").unwrap(), None);
    }
}
