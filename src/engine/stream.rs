//! One pass over a file: read, SHA-256, BLAKE3, scan and compress, by all threads, in bounded memory.
//!
//! The thread that owns the task reads 1 MiB chunks in order and feeds SHA-256, which knows no other order. Each chunk is
//! then an assist: BLAKE3 of its subtree, a look at its values, its compressed segment, by whichever thread is free.
//! Packed segments leave in order, where cores are idle on any thread ([`lane`](crate::engine::lane)). At most
//! `2 × threads + 2` chunks of all files wait for a thread, so memory grows neither with the file nor with the number of files
//! that are passed over at once.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use sha2::Digest as _;

use crate::base::{Digest, Error, Result, Sha256};
use crate::engine::chunk::{self, Buffers};
use crate::engine::lane::Lane;
use crate::engine::pool::Pool;
use crate::engine::scratch::Scratch;
use crate::format::safetensors::{ChunkScan, Scanner};
use crate::format::segment::{Codec, SEGMENT, Segment};

/// Where the bytes come from.
pub enum Source<'s> {
    /// A file of this length.
    File(&'s File, u64),
    /// Bytes that were read before.
    Memory(&'s [u8]),
}

impl Source<'_> {
    /// Its length.
    pub fn len(&self) -> u64 {
        match self {
            Self::File(_, length) => *length,
            Self::Memory(bytes) => bytes.len() as u64,
        }
    }

    /// Is it empty?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn read(&self, at: u64, into: &mut Vec<u8>, count: usize) -> std::io::Result<()> {
        into.resize(count, 0);
        match self {
            Self::File(file, _) => file.read_exact_at(into, at),
            Self::Memory(bytes) => {
                into.copy_from_slice(&bytes[at as usize..at as usize + count]);
                Ok(())
            }
        }
    }
}

/// What a pass over a file tells.
#[derive(Debug, Clone)]
pub struct Passed {
    /// BLAKE3 and length.
    pub digest: Digest,
    /// SHA-256.
    pub sha256: Sha256,
    /// The table of the packed segments; empty without a codec.
    pub segments: Vec<Segment>,
}

/// A chunk in flight.
struct Chunk {
    source: Vec<u8>,
    packed: Option<(chunk::Chunk, Segment)>,
    chaining: Option<[u8; 32]>,
    scanned: Option<ChunkScan>,
}

/// Chunks that are done, by number, and buffers to use again.
#[derive(Default)]
struct Done {
    chunks: BTreeMap<u64, Chunk>,
    spare: Vec<Chunk>,
    /// An assist panicked: its chunk will never be done.
    lost: bool,
}

/// Says that a chunk was lost, unless it is told that all went well.
struct Alarm(Option<Arc<Shared>>);

impl Drop for Alarm {
    fn drop(&mut self) {
        if let Some(shared) = self.0.take() {
            lock(&shared).lost = true;
            shared.changed.notify_all();
        }
    }
}

#[derive(Default)]
struct Shared {
    done: Mutex<Done>,
    changed: Condvar,
}

/// Where packed segments go.
pub type Packed = Box<dyn FnMut(&[u8]) -> Result<()> + Send>;

/// What is done with a file's bytes on the way.
pub struct Sinks<'s> {
    /// Compress with this codec.
    pub codec: Option<Codec>,
    /// Look at the values with this scanner.
    pub scanner: Option<Arc<Scanner>>,
    /// Gets what the scanner saw, chunk by chunk.
    pub scanned: &'s mut dyn FnMut(ChunkScan),
    /// Gets the packed segments in order.
    pub packed: Option<Packed>,
    /// May that be from any thread? The one that reads and hashes has enough to do, where others are idle.
    pub spread: bool,
    /// SHA-256 is wanted (else it is all zeros).
    pub sha256: bool,
}

/// Passes over the bytes once.
pub fn pass(
    source: &Source<'_>,
    name: &std::path::Path,
    sinks: &mut Sinks<'_>,
    pool: &Pool<'_>,
    scratch: &mut Scratch,
) -> Result<Passed> {
    let length = source.len();
    let count = length.div_ceil(SEGMENT as u64);
    let whole = count == 1;
    let codec = sinks.codec;
    let rooms = Buffers::default();
    let mut writing = sinks.packed.take().map(|sink| Writing::new(sink, sinks.spread));
    let limit = 2 * pool.threads() as u64 + 2;
    let shared = Arc::new(Shared::default());
    let mut sha = sha2::Sha256::new();
    let mut chaining = Vec::with_capacity(if whole { 0 } else { count as usize });
    let mut segments = Vec::with_capacity(count as usize);
    let mut only = None;
    let (mut begun, mut finished) = (0, 0);
    'all: while finished < count {
        if pool.is_cancelled() {
            return Err(Error::Interrupted);
        }
        // Where many files are passed over at once, their chunks together stay within the limit.
        let room = begun == finished || pool.assists() < limit as usize;
        if begun < count && begun - finished < limit && room {
            let at = begun * SEGMENT as u64;
            let mut chunk = take_spare(&shared);
            let size = (length - at).min(SEGMENT as u64) as usize;
            source.read(at, &mut chunk.source, size).map_err(|e| Error::io("read", name, e))?;
            if sinks.sha256 {
                sha.update(&chunk.source);
            }
            if whole {
                // Small files are the common case: no hand-over.
                only = Some(blake3::hash(&chunk.source));
                chunk.scanned = sinks.scanner.as_ref().map(|scanner| scanner.chunk(at, &chunk.source));
                pack(&mut chunk, codec, &rooms, scratch);
                put_done(&shared, begun, chunk);
            } else {
                let shared = Arc::clone(&shared);
                let number = begun;
                let (scanner, rooms) = (sinks.scanner.clone(), rooms.clone());
                pool.assist(Box::new(move |scratch| {
                    let mut alarm = Alarm(Some(Arc::clone(&shared)));
                    chunk.chaining = Some(subtree(&chunk.source, at));
                    chunk.scanned = scanner.map(|scanner| scanner.chunk(at, &chunk.source));
                    pack(&mut chunk, codec, &rooms, scratch);
                    put_done(&shared, number, chunk);
                    alarm.0 = None;
                }));
            }
            begun += 1;
        } else if let Some(assist) = pool.try_assist() {
            assist(scratch);
        } else {
            wait_for(&shared, finished)?;
        }
        while let Some(mut chunk) = take_done(&shared, finished) {
            if let Some((packed, segment)) = chunk.packed.take() {
                if let Some(writing) = &mut writing
                    && !writing.write(packed, pool, scratch)?
                {
                    break 'all;
                }
                segments.push(segment);
            }
            chaining.extend(chunk.chaining.take());
            if let Some(scanned) = chunk.scanned.take() {
                (sinks.scanned)(scanned);
            }
            finished += 1;
            lock(&shared).spare.push(chunk);
        }
    }
    if let Some(writing) = writing {
        writing.finish(pool, scratch)?;
    }
    let hash = match only {
        Some(hash) => *hash.as_bytes(),
        None if count == 0 => *blake3::hash(b"").as_bytes(),
        None => root(&chaining, length),
    };
    let sha256 = if sinks.sha256 { Sha256::new(sha.finalize().into()) } else { Sha256::new([0; 32]) };
    Ok(Passed { digest: Digest::new(hash, length), sha256, segments })
}

fn pack(chunk: &mut Chunk, codec: Option<Codec>, rooms: &Buffers, scratch: &mut Scratch) {
    chunk.packed = codec.map(|codec| {
        let mut segment = None;
        let packed = rooms.filled(|room| {
            let made = scratch.packer(codec).pack_over(&chunk.source, room);
            segment = Some(made);
            made.packed_len as usize
        });
        (packed, segment.expect("it was made"))
    });
}

/// The writing of packed segments.
enum Writing {
    Here(State),
    /// By any thread. The flag is set as soon as it fails: there is no use in going on.
    Spread(Lane<State>, Arc<AtomicBool>),
}

struct State {
    sink: Packed,
    done: Result<()>,
    failed: Arc<AtomicBool>,
}

impl State {
    fn write(&mut self, bytes: &[u8]) {
        if self.done.is_ok() {
            self.done = (self.sink)(bytes);
            self.failed.fetch_or(self.done.is_err(), Ordering::Relaxed);
        }
    }
}

impl Writing {
    fn new(sink: Packed, spread: bool) -> Self {
        let failed = Arc::new(AtomicBool::new(false));
        let state = State { sink, done: Ok(()), failed: Arc::clone(&failed) };
        match spread {
            // What waits here holds room, so little may.
            true => Self::Spread(Lane::new(state, State::write).with_limit(2), failed),
            false => Self::Here(state),
        }
    }

    /// `false` where it failed.
    fn write(&mut self, packed: chunk::Chunk, pool: &Pool<'_>, scratch: &mut Scratch) -> Result<bool> {
        match self {
            Self::Here(state) => {
                state.write(&packed);
                Ok(state.done.is_ok())
            }
            Self::Spread(lane, failed) => {
                lane.feed(Arc::new(packed), pool, scratch)?;
                Ok(!failed.load(Ordering::Relaxed))
            }
        }
    }

    fn finish(self, pool: &Pool<'_>, scratch: &mut Scratch) -> Result<()> {
        match self {
            Self::Here(state) => state.done,
            Self::Spread(lane, _) => lane.finish(pool, scratch)?.done,
        }
    }
}

fn lock(shared: &Shared) -> std::sync::MutexGuard<'_, Done> {
    shared.done.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn take_spare(shared: &Shared) -> Chunk {
    lock(shared).spare.pop().unwrap_or_else(|| Chunk {
        source: Vec::with_capacity(SEGMENT),
        packed: None,
        chaining: None,
        scanned: None,
    })
}

fn put_done(shared: &Shared, number: u64, chunk: Chunk) {
    lock(shared).chunks.insert(number, chunk);
    shared.changed.notify_one();
}

fn take_done(shared: &Shared, number: u64) -> Option<Chunk> {
    lock(shared).chunks.remove(&number)
}

fn wait_for(shared: &Shared, number: u64) -> Result<()> {
    let mut done = lock(shared);
    while !done.chunks.contains_key(&number) {
        if done.lost {
            return Err(Error::Bug("a thread failed while it packed a segment".into()));
        }
        done = shared.changed.wait(done).unwrap_or_else(std::sync::PoisonError::into_inner);
    }
    Ok(())
}

/// The chaining value of a chunk: a subtree of BLAKE3's tree, as chunks are 1,024 of its leaves and lie at multiples.
pub fn subtree(bytes: &[u8], at: u64) -> [u8; 32] {
    use blake3::hazmat::HasherExt as _;
    blake3::Hasher::new().set_input_offset(at).update(bytes).finalize_non_root()
}

/// The root of the tree over the chunks' chaining values: the left side of every node is a full power of two.
pub fn root(chaining: &[[u8; 32]], length: u64) -> [u8; 32] {
    use blake3::hazmat::{Mode, merge_subtrees_non_root, merge_subtrees_root};
    fn node(values: &[[u8; 32]]) -> [u8; 32] {
        match values {
            [one] => *one,
            _ => {
                let (left, right) = values.split_at(split(values.len()));
                merge_subtrees_non_root(&node(left), &node(right), Mode::Hash)
            }
        }
    }
    fn split(count: usize) -> usize {
        count.next_power_of_two() / 2
    }
    debug_assert!(chaining.len() > 1 && length > SEGMENT as u64);
    let (left, right) = chaining.split_at(split(chaining.len()));
    *merge_subtrees_root(&node(left), &node(right), Mode::Hash).as_bytes()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};

    use super::{Sinks, Source, pass};
    use crate::base::{Digest, Error, Sha256};
    use crate::engine::pool::{Next, Pool};
    use crate::engine::scratch::Scratch;
    use crate::format::segment::{Codec, Compression, Packer, SEGMENT};

    #[test]
    fn many_files_at_once_share_one_limit() {
        const THREADS: usize = 8;
        let cancel = AtomicBool::new(false);
        let pool = Pool::new(THREADS, &cancel);
        let bytes = vec![7; 24 * SEGMENT];
        let (most, passed) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while passed.load(Ordering::Relaxed) < THREADS {
                    most.fetch_max(pool.assists(), Ordering::Relaxed);
                    std::thread::yield_now();
                }
            });
            for _ in 0..THREADS {
                scope.spawn(|| {
                    let mut sinks = Sinks {
                        codec: Some(Codec::new(Compression::None, None).expect("codec")),
                        scanner: None,
                        scanned: &mut |_| {},
                        packed: Some(Box::new(|_| Ok(()))),
                        spread: false,
                        sha256: false,
                    };
                    let source = Source::Memory(&bytes);
                    let done = pass(&source, Path::new("x"), &mut sinks, &pool, &mut Scratch::default());
                    passed.fetch_add(1, Ordering::Relaxed);
                    done.expect("it passes");
                });
            }
        });
        // The limit, and one more by each thread that saw room at the same time.
        let most = most.into_inner();
        assert!(most <= 2 * THREADS + 2 + THREADS, "{most} chunks waited");
    }

    #[test]
    fn one_pass_equals_many_for_any_threads() {
        let cancel = AtomicBool::new(false);
        let codec = Codec::new(Compression::Zstd, None).expect("codec");
        for length in [0, 1, 5000, SEGMENT - 1, SEGMENT, SEGMENT + 1, 3 * SEGMENT, 5 * SEGMENT + 77] {
            let bytes: Vec<u8> = (0..length as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
            let mut expected = Vec::new();
            let mut packer = Packer::new(codec);
            let table: Vec<_> = bytes.chunks(SEGMENT).map(|c| packer.pack(c, &mut expected)).collect();
            for threads in [1, 3] {
                let pool = Pool::new(threads, &cancel);
                let written = Arc::new(Mutex::new(Vec::new()));
                let passed = std::thread::scope(|scope| {
                    for _ in 1..threads {
                        scope.spawn(|| {
                            let mut scratch = Scratch::default();
                            while let Next::Assist(assist) = pool.next() {
                                assist(&mut scratch);
                            }
                        });
                    }
                    let mut sinks = Sinks {
                        codec: Some(codec),
                        scanner: None,
                        scanned: &mut |_| {},
                        packed: Some({
                            let written = Arc::clone(&written);
                            Box::new(move |bytes| {
                                written.lock().expect("not poisoned").extend_from_slice(bytes);
                                Ok(())
                            })
                        }),
                        spread: threads > 1,
                        sha256: true,
                    };
                    let source = Source::Memory(&bytes);
                    let passed = pass(&source, Path::new("x"), &mut sinks, &pool, &mut Scratch::default());
                    pool.close();
                    passed.expect("it passes")
                });
                assert_eq!(passed.digest, Digest::of(&bytes), "{length} bytes, {threads} threads");
                assert_eq!(passed.sha256, Sha256::of(&bytes));
                assert!(passed.segments == table && *written.lock().expect("not poisoned") == expected);
            }
        }
    }

    #[test]
    fn a_writing_that_fails_ends_the_pass_with_its_error() {
        let cancel = AtomicBool::new(false);
        let bytes = vec![7; 40 * SEGMENT];
        let pool = Pool::new(1, &cancel);
        for spread in [false, true] {
            let mut told = 0;
            let mut sinks = Sinks {
                codec: Some(Codec::new(Compression::None, None).expect("codec")),
                scanner: None,
                scanned: &mut |_| {},
                packed: Some(Box::new(move |_| {
                    told += 1;
                    assert!(told <= 3, "nothing more is written");
                    if told == 3 { Err(Error::Bug("on purpose".into())) } else { Ok(()) }
                })),
                spread,
                sha256: true,
            };
            let done = pass(&Source::Memory(&bytes), Path::new("x"), &mut sinks, &pool, &mut Scratch::default());
            assert!(matches!(done, Err(Error::Bug(text)) if text == "on purpose"));
        }
    }
}
