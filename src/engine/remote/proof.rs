//! `proves`: does a blob that another machine packed hold the content that lies here, and nothing else?
//!
//! The blob is unpacked segment by segment, by all threads, and the BLAKE3 of what comes out is compared with that of the
//! source, which is known here. Nothing of the source is read, and at most `2 × threads + 2` segments are in memory. Where the
//! values of weights are still to be looked at, that is done with what came out: once the hash is right, it is the source.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use crate::base::{Digest, Error, Result};
use crate::engine::pool::Pool;
use crate::engine::scratch::Scratch;
use crate::engine::stream::{root, subtree};
use crate::format::safetensors::{ChunkScan, Scan, Scanner};
use crate::format::segment::{Compression, SEGMENT, Segment};
use crate::format::segment_reader::most;

/// Is the packed file, by this table, the content of this digest? What cannot be read is not. `scan` gets its values, which
/// are worth nothing where it is not.
pub fn proves(
    packed: File,
    table: &[Segment],
    compression: Compression,
    content: Digest,
    mut scan: Option<&mut Scan>,
    pool: &Pool<'_>,
    scratch: &mut Scratch,
) -> Result<bool> {
    if !is_plausible(table, content.size()) {
        return Ok(false);
    }
    let packed = Arc::new(packed);
    let (sender, receiver) = channel();
    let mut chaining = vec![[0; 32]; table.len()];
    let limit = 2 * pool.threads() + 2;
    let (mut begun, mut ended, mut place) = (0, 0, 0_u64);
    while ended < table.len() {
        if pool.is_cancelled() {
            return Err(Error::Interrupted);
        }
        if begun < table.len() && begun - ended < limit && (begun == ended || pool.assists() < limit) {
            let segment = table[begun];
            let scanner = scan.as_ref().map(|scan| scan.scanner());
            let answer = Answer { sender: sender.clone(), number: begun, scanner, proof: None };
            let (packed, at, only) = (Arc::clone(&packed), place, table.len() == 1);
            let prove = move |scratch: &mut Scratch| prove(answer, &packed, at, segment, compression, only, scratch);
            match only {
                // Small files are the common case: no hand-over.
                true => prove(scratch),
                false => pool.assist(Box::new(prove)),
            }
            place += u64::from(segment.packed_len);
            begun += 1;
        } else if let Some(assist) = pool.try_assist() {
            assist(scratch);
            continue;
        }
        // Whoever has begun answers, even by a panic.
        let wait = begun == table.len() || begun - ended >= limit;
        let answer = if wait && pool.assists() == 0 { receiver.recv().ok() } else { receiver.try_recv().ok() };
        match answer {
            Some((_, None)) => return Ok(false),
            Some((number, Some(proof))) => {
                chaining[number] = proof.hash;
                if let (Some(scan), Some(scanned)) = (&mut scan, proof.scanned) {
                    scan.merge(scanned);
                }
                ended += 1;
            }
            None => {}
        }
    }
    let hash = match &chaining[..] {
        [] => *blake3::hash(b"").as_bytes(),
        [only] => *only,
        many => root(many, content.size()),
    };
    Ok(hash == *content.hash())
}

/// Can these be the segments of a file of this size: cut as ours are, and none longer than packing makes it?
pub fn is_plausible(table: &[Segment], size: u64) -> bool {
    let short = table.iter().all(|segment| segment.packed_len as usize <= most(segment.source_len as usize));
    let full = table.iter().rev().skip(1).all(|segment| segment.source_len as usize == SEGMENT);
    let sum: u64 = table.iter().map(|segment| u64::from(segment.source_len)).sum();
    short
        && full
        && sum == size
        && table.last().is_none_or(|last| last.source_len > 0 && last.source_len as usize <= SEGMENT)
}

/// What came out of a segment.
struct Proof {
    hash: [u8; 32],
    scanned: Option<ChunkScan>,
}

/// One segment's answer: its hash, or that it is not what it should be.
struct Answer {
    sender: Sender<(usize, Option<Proof>)>,
    number: usize,
    scanner: Option<Arc<Scanner>>,
    proof: Option<Proof>,
}

impl Drop for Answer {
    fn drop(&mut self) {
        // Nobody may want it any more.
        let _ = self.sender.send((self.number, self.proof.take()));
    }
}

fn prove(
    mut answer: Answer,
    packed: &File,
    at: u64,
    segment: Segment,
    compression: Compression,
    only: bool,
    scratch: &mut Scratch,
) {
    let (mut bytes, mut out) = (std::mem::take(&mut scratch.buffer), Vec::new());
    bytes.resize(segment.packed_len as usize, 0);
    if packed.read_exact_at(&mut bytes, at).is_ok() && scratch.reader.read(compression, &segment, &bytes, &mut out) {
        let place = answer.number as u64 * SEGMENT as u64;
        let hash = if only { *blake3::hash(&out).as_bytes() } else { subtree(&out, place) };
        answer.proof = Some(Proof { hash, scanned: answer.scanner.as_ref().map(|scanner| scanner.chunk(place, &out)) });
    }
    scratch.buffer = bytes;
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::sync::atomic::AtomicBool;

    use super::proves;
    use crate::base::Digest;
    use crate::engine::pool::{Next, Pool};
    use crate::engine::scratch::Scratch;
    use crate::format::segment::{Codec, Compression, Packer, SEGMENT, Segment};

    fn file(bytes: &[u8]) -> std::fs::File {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("written");
        file
    }

    #[test]
    fn the_content_is_proven_by_any_number_of_threads_and_nothing_else_is() {
        let cancel = AtomicBool::new(false);
        for compression in Compression::ALL {
            for length in [0, 1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 5 * SEGMENT + 77] {
                let bytes: Vec<u8> = (0..length as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
                let mut packed = Vec::new();
                let mut packer = Packer::new(Codec::new(compression, None).expect("codec"));
                let table: Vec<Segment> = bytes.chunks(SEGMENT).map(|c| packer.pack(c, &mut packed)).collect();
                for threads in [1, 3] {
                    let pool = Pool::new(threads, &cancel);
                    std::thread::scope(|scope| {
                        for _ in 1..threads {
                            scope.spawn(|| {
                                let mut scratch = Scratch::default();
                                while let Next::Assist(assist) = pool.next() {
                                    assist(&mut scratch);
                                }
                            });
                        }
                        let mut scratch = Scratch::default();
                        let mut is = |packed: &[u8], table: &[Segment], content: Digest| {
                            proves(file(packed), table, compression, content, None, &pool, &mut scratch)
                                .expect("it is asked")
                        };
                        let content = Digest::of(&bytes);
                        assert!(is(&packed, &table, content), "{compression}, {length} bytes, {threads} threads");
                        let other = Digest::of(&[&bytes[..], b"x"].concat());
                        assert!(!is(&packed, &table, other));
                        assert!(!is(&packed, &table, Digest::new([7; 32], content.size())));
                        if length > 0 {
                            let mut wrong = packed.clone();
                            let middle = wrong.len() / 2;
                            wrong[middle] ^= 0x40;
                            assert!(!is(&wrong, &table, content), "{compression}, {length} bytes");
                            assert!(!is(&packed[..packed.len() - 1], &table, content));
                            assert!(!is(&packed, &table[1..], content));
                        }
                        pool.close();
                    });
                }
            }
        }
    }
}
