//! `hash`: the digests of one file, and for big ones its packed segments, in one reading.
//!
//! Three ways, the cheapest that serves: the index knows the digest and the cache the segments (nothing is read); a
//! *hint* in the cache says that a file of this size and these samples was packed before (BLAKE3 alone, then the cached
//! result); else the whole pass. A small file is read in one gulp and packed when its package is written.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::event::Status;
use crate::base::{Digest, Error, Result};
use crate::engine::files::{FileSlot, Packed};
use crate::engine::key::KeyText;
use crate::engine::layout::Role;
use crate::engine::record::{FileResult, PackedSegment, decode, encode};
use crate::engine::scratch::Scratch;
use crate::engine::stream::{self, Passed, Sinks, Source, pass};
use crate::engine::survey::SMALL;
use crate::engine::tasks::{Context, Done};
use crate::engine::unnamed::{Made, Unnamed};
use crate::format::safetensors::{Header, Scan, ScanReport};
use crate::format::segment::{Codec, SEGMENT, Segment};
use crate::store::{ActionKey, BlobWriter};

/// Packed bytes up to this length stay inside the package's record: a file of their own would take as much room.
pub const INLINE: usize = 4096;

/// Hashes a small file. One that is packed by itself, as big ones are, is not kept if the cache and this run know all
/// of it: a hundred experts share a tokenizer of 11 MiB.
pub fn small(slot: &FileSlot, codec: Option<Codec>, context: &Context<'_>, scratch: &mut Scratch) -> Result<Done> {
    let mut done = Done::new(Status::Cached);
    if slot.digest().is_some() {
        return Ok(done);
    }
    if let Some(codec) = codec.filter(|_| slot.stat.size > SMALL && context.knows_companion_of(slot.stat.size))
        && context.result(hint_key(slot).map_err(|e| slot.blame(e))?, &mut done)?.is_some()
    {
        let digest = digest_alone(slot, context, scratch, &mut done).map_err(|e| slot.blame(e))?;
        let key = KeyText::file(&digest, codec).key();
        if context.companion(digest, &slot.path).is_some() && take_cached(slot, key, digest, context, &mut done)? {
            return Ok(done);
        }
    }
    let (_, read) = slot.content()?;
    Ok(Done { bytes_read: done.bytes_read + read, status: Status::Done, ..done })
}

/// Hashes a big file; with a codec, its packed bytes are in the cache afterwards.
pub fn big(slot: &FileSlot, codec: Option<Codec>, context: &Context<'_>, scratch: &mut Scratch) -> Result<Done> {
    hash_or_take(slot, codec, context, scratch).map_err(|e| slot.blame(e))
}

fn hash_or_take(slot: &FileSlot, codec: Option<Codec>, context: &Context<'_>, scratch: &mut Scratch) -> Result<Done> {
    let mut done = Done::new(Status::Cached);
    let Some(codec) = codec else {
        if slot.digest().is_none() || wants_scan(slot) {
            whole_pass(slot, None, context, scratch, &mut done)?;
        }
        return Ok(done);
    };
    if slot.packed().is_some() {
        return Ok(done);
    }
    if let Some(digest) = slot.digest() {
        // The index knows the content: not a byte is read for what the cache has.
        return known(slot, digest, codec, context, scratch, done);
    }
    let hint = hint_key(slot)?;
    // Files that look alike are most likely equal: the second waits, and takes what the first made.
    let _alike = context.flights.board(hint, context.pool, scratch);
    name_alike(|| Ok(hint), context, &mut done)?;
    if let Some(kept) = slot.kept() {
        slot.set_digest(Digest::of(&kept))?;
    } else if context.result(hint, &mut done)?.is_some() {
        digest_alone(slot, context, scratch, &mut done)?;
    }
    if let Some(digest) = slot.digest() {
        return known(slot, digest, codec, context, scratch, done);
    }
    whole_pass(slot, Some((codec, hint)), context, scratch, &mut done)?;
    Ok(done)
}

/// Reads a big file and packs nothing, as another machine is asked for the packed bytes before they are made: that takes its
/// SHA-256. What the local cache has of it is taken at once, and then it may be that nothing is read. With `late`, neither is
/// what has a name already: its values are looked at when it is unpacked or packed.
pub fn first_reading(
    slot: &FileSlot,
    codec: Codec,
    late: bool,
    context: &Context<'_>,
    scratch: &mut Scratch,
) -> Result<Done> {
    let mut done = Done::new(Status::Cached);
    digest_if_hinted(slot, context, scratch, &mut done)?;
    if !known_here(slot, codec, context, &mut done)? && (slot.digests().is_none() || (wants_scan(slot) && !late)) {
        whole_pass(slot, None, context, scratch, &mut done).map_err(|e| slot.blame(e))?;
        // One that looks unlike what was packed here may be equal to it all the same.
        known_here(slot, codec, context, &mut done)?;
    }
    Ok(done)
}

/// Reads a big file whose values nobody has looked at yet, and with a codec packs it on the way.
pub fn late(slot: &FileSlot, codec: Option<Codec>, context: &Context<'_>, scratch: &mut Scratch) -> Result<Done> {
    match codec.filter(|_| slot.packed().is_none()) {
        Some(codec) => big(slot, Some(codec), context, scratch),
        None => {
            let mut done = Done::new(Status::Cached);
            whole_pass(slot, None, context, scratch, &mut done).map_err(|e| slot.blame(e))?;
            Ok(done)
        }
    }
}

/// Are its values still to be looked at, though it needs no reading for its name?
pub fn is_late(slot: &FileSlot) -> bool {
    !slot.is_small() && slot.digests().is_some() && wants_scan(slot)
}

/// Takes a file whose digest is known from the local cache, if that has it packed.
pub fn known_here(slot: &FileSlot, codec: Codec, context: &Context<'_>, done: &mut Done) -> Result<bool> {
    if slot.packed().is_some() {
        return Ok(true);
    }
    let Some(digest) = slot.digest() else { return Ok(false) };
    take_cached(slot, KeyText::file(&digest, codec).key(), digest, context, done)
}

/// Keeps what another machine packed, and what was proven, as if it had been packed here.
pub fn keep_taken(slot: &FileSlot, packed: Packed, codec: Codec, context: &Context<'_>, done: &mut Done) -> Result<()> {
    let (digest, sha256) = slot.digests().ok_or_else(|| Error::Bug("a file was taken and not hashed".into()))?;
    if let Packed::Blob(home, segments) = &packed {
        let result = FileResult {
            sha256,
            packed: *home,
            segments: segments.iter().copied().map(PackedSegment::from).collect(),
            scan: slot.scan.get().map(|r| serde_json::to_value(r).expect("a report is plain data")),
            took_us: slot.packing_us.load(Ordering::Relaxed),
        };
        let text = KeyText::file(&digest, codec);
        context.keep(text.key(), &encode(&result, text.as_str().as_bytes()), done);
        if slot.stat.size > SMALL {
            context.keep(hint_key(slot)?, b"{}\n", done);
        }
    }
    slot.set_packed(Some(packed));
    Ok(())
}

/// Are its values still to be looked at?
fn wants_scan(slot: &FileSlot) -> bool {
    slot.scan.get().is_none() && matches!(slot.role, Role::Weights(_))
}

/// Packs a file whose digest is known, unless the cache has it packed.
fn known(
    slot: &FileSlot,
    digest: Digest,
    codec: Codec,
    context: &Context<'_>,
    scratch: &mut Scratch,
    mut done: Done,
) -> Result<Done> {
    let key = KeyText::file(&digest, codec).key();
    let _flight = context.flights.board(key, context.pool, scratch);
    name_alike(|| hint_key(slot), context, &mut done)?;
    if !take_cached(slot, key, digest, context, &mut done)? {
        whole_pass(slot, Some((codec, hint_key(slot)?)), context, scratch, &mut done)?;
    }
    Ok(done)
}

/// Takes the file's result from the cache, if it and its blob are there.
fn take_cached(
    slot: &FileSlot,
    key: ActionKey,
    digest: Digest,
    context: &Context<'_>,
    done: &mut Done,
) -> Result<bool> {
    let Some(record) = context.result(key, done)? else { return Ok(false) };
    let Some((result, _)) = decode::<FileResult>(&record).filter(|(result, _)| result.is_of(digest.size())) else {
        return Ok(false);
    };
    let scan: Option<ScanReport> = match (&slot.role, &result.scan) {
        (Role::Weights(_), None) => return Ok(false),
        (Role::Weights(_), Some(value)) => match serde_json::from_value(value.clone()) {
            Ok(scan) => Some(scan),
            Err(_) => return Ok(false),
        },
        _ => None,
    };
    if context.cache.blob(&result.packed)?.is_none() {
        return Ok(false);
    }
    slot.set_digest(digest)?;
    slot.set_sha256(result.sha256)?;
    if let Some(scan) = scan {
        let _ = slot.scan.set(scan.into());
    }
    done.segments_reused += result.segments.len() as u64;
    done.bytes_saved += result.packed.size();
    done.saved_us += result.took_us;
    slot.packing_us.store(result.took_us, Ordering::Relaxed);
    let segments = result.segments.into_iter().map(Segment::from).collect();
    slot.set_packed(Some(Packed::Blob(result.packed, segments)));
    Ok(true)
}

/// The digest of a big file, if a hint says that it is worth knowing before anything else.
pub fn digest_if_hinted(slot: &FileSlot, context: &Context<'_>, scratch: &mut Scratch, done: &mut Done) -> Result<()> {
    let hint = || hint_key(slot).map_err(|e| slot.blame(e));
    if slot.digest().is_none() && context.result(hint()?, done)?.is_some() {
        digest_alone(slot, context, scratch, done).map_err(|e| slot.blame(e))?;
    }
    Ok(())
}

/// The digest and nothing else: as fast as the file can be read.
fn digest_alone(slot: &FileSlot, context: &Context<'_>, scratch: &mut Scratch, done: &mut Done) -> Result<Digest> {
    let (file, stat) = slot.open()?;
    let mut sinks =
        Sinks { codec: None, scanner: None, scanned: &mut |_| {}, packed: None, spread: false, sha256: false };
    let passed = pass(&Source::File(&file, stat.size), &slot.disk(), &mut sinks, context.pool, scratch)?;
    slot.unchanged(&file, passed.digest.size())?;
    done.bytes_read += stat.size;
    done.status = Status::Done;
    slot.set_digest(passed.digest)?;
    Ok(passed.digest)
}

/// Reads it once and does everything.
fn whole_pass(
    slot: &FileSlot,
    pack: Option<(Codec, ActionKey)>,
    context: &Context<'_>,
    scratch: &mut Scratch,
    done: &mut Done,
) -> Result<()> {
    let began = context.started.elapsed();
    let kept = slot.kept();
    let opened = if kept.is_none() { Some(slot.open()?) } else { None };
    let source = match (&kept, &opened) {
        (Some(bytes), _) => Source::Memory(bytes),
        (None, Some((file, stat))) => Source::File(file, stat.size),
        (None, None) => return Err(Error::Bug("a file is neither kept nor open".into())),
    };
    // What a first reading told need not be found out again; that the content is the same is told by its digest.
    let known = slot.digests().map(|(_, sha256)| sha256);
    let header = if wants_scan(slot) { weights_header(slot, &source)? } else { None };
    let mut scan = header.as_ref().map(Scan::new);
    let scanner = scan.as_ref().map(Scan::scanner);
    let writer = match pack {
        Some(_) => Some(Arc::new(Mutex::new(PackedWriter::new(context, source.len())?))),
        None => None,
    };
    let mut passed = {
        let mut sinks = Sinks {
            codec: pack.map(|(codec, _)| codec),
            scanner,
            scanned: &mut |found| {
                if let Some(scan) = &mut scan {
                    scan.merge(found);
                }
            },
            packed: writer.clone().map(|writer| -> stream::Packed {
                Box::new(move |bytes| writer.lock().unwrap_or_else(PoisonError::into_inner).write(bytes))
            }),
            spread: context.spare_cores,
            sha256: known.is_none(),
        };
        pass(&source, &slot.disk(), &mut sinks, context.pool, scratch)?
    };
    if let Some((file, stat)) = &opened {
        slot.unchanged(file, passed.digest.size())?;
        done.bytes_read += stat.size;
    }
    slot.set_digest(passed.digest)?;
    passed.sha256 = known.unwrap_or(passed.sha256);
    slot.set_sha256(passed.sha256)?;
    let report = match (scan, &header) {
        (Some(scan), Some(header)) => scan.finish(header).ok(),
        _ => None,
    };
    if let Some(report) = report {
        let _ = slot.scan.set(report.into());
    }
    if let (Some(writer), Some((codec, hint))) = (writer, pack) {
        slot.packing_us.store((context.started.elapsed() - began).as_micros() as u64, Ordering::Relaxed);
        let writer = Arc::into_inner(writer).ok_or_else(|| Error::Bug("a file is still written to".into()))?;
        let writer = writer.into_inner().unwrap_or_else(PoisonError::into_inner);
        keep(&passed, writer, codec, hint, context, slot, done)?;
        done.segments_made += passed.segments.len() as u64;
    }
    done.status = Status::Done;
    Ok(())
}

/// Puts the packed bytes and the file's result into the cache.
fn keep(
    passed: &Passed,
    writer: PackedWriter,
    codec: Codec,
    hint: ActionKey,
    context: &Context<'_>,
    slot: &FileSlot,
    done: &mut Done,
) -> Result<()> {
    let made = Made {
        digest: passed.digest,
        sha256: passed.sha256,
        segments: passed.segments.clone(),
        codec,
        scan: slot.scan.get().map(|r| serde_json::to_value(r).expect("a report is plain data")),
        took_us: slot.packing_us.load(Ordering::Relaxed),
        hint,
    };
    slot.set_packed(Some(match writer.hasher {
        Some(hasher) => {
            let packed = Digest::new(*hasher.finalize().as_bytes(), hasher.count());
            writer.blob.finish(packed)?;
            tell(&made, packed, context, done);
            Packed::Blob(packed, made.segments)
        }
        None => {
            let unnamed = Arc::new(Unnamed::new(made, writer.blob, writer.length)?);
            context.unnamed.add(Arc::clone(&unnamed));
            Packed::Unnamed(unnamed)
        }
    }));
    Ok(())
}

/// Tells the cache what was packed, now that its packed bytes have a name.
fn tell(made: &Made, packed: Digest, context: &Context<'_>, done: &mut Done) {
    context.wrote(packed);
    let result = FileResult {
        sha256: made.sha256,
        packed,
        segments: made.segments.iter().copied().map(PackedSegment::from).collect(),
        scan: made.scan.clone(),
        took_us: made.took_us,
    };
    let text = KeyText::file(&made.digest, made.codec);
    context.keep(text.key(), &encode(&result, text.as_str().as_bytes()), done);
    context.keep(made.hint, b"{}\n", done);
}

/// Gives packed bytes their name, which the caller may have reckoned. `None` where they are gone.
pub fn name(
    unnamed: &Arc<Unnamed>,
    reckoned: Option<[u8; 32]>,
    context: &Context<'_>,
    done: &mut Done,
) -> Result<Option<Digest>> {
    let named = unnamed.name(reckoned, |digest| tell(&unnamed.made, digest, context, done));
    context.unnamed.remove(unnamed);
    named
}

/// A file that looks like this one was packed in this run: whoever is about to ask the cache for it shall find it there.
fn name_alike(hint: impl FnOnce() -> Result<ActionKey>, context: &Context<'_>, done: &mut Done) -> Result<()> {
    if let Some(unnamed) = context.unnamed.alike(hint)? {
        // What went wrong is for the one who packed it to tell.
        let _ = name(&unnamed, None, context, done);
    }
    Ok(())
}

/// Names what is left at the end of a run: files that were packed for packages that failed. The next run has them then.
/// One that was stopped does not wait for that.
pub fn name_the_rest(context: &Context<'_>) {
    for unnamed in context.unnamed.take_all() {
        if !context.pool.is_cancelled() {
            // Without its name it is packed once more, and nobody loses anything else.
            let _ = name(&unnamed, None, context, &mut Done::new(Status::Done));
        }
    }
}

/// The header of a weights file whose values are to be looked at. One that is wrong has been found by `validate`.
fn weights_header(slot: &FileSlot, source: &Source<'_>) -> Result<Option<Header>> {
    if !matches!(slot.role, Role::Weights(_)) {
        return Ok(None);
    }
    let read = |at: u64, count: usize| -> Result<Vec<u8>> {
        match source {
            Source::Memory(bytes) => Ok(bytes[at as usize..(at as usize + count).min(bytes.len())].to_vec()),
            Source::File(file, _) => read_at(file, at, count, &slot.disk()),
        }
    };
    let length = source.len();
    let prefix = read(0, length.min(8) as usize)?;
    let Ok(needed) = Header::len_needed(&prefix, length) else { return Ok(None) };
    Ok(Header::parse(&read(0, needed)?, length).ok())
}

/// Reads so many bytes at a place.
pub fn read_at(file: &std::fs::File, at: u64, count: usize, name: &Path) -> Result<Vec<u8>> {
    let mut bytes = vec![0; count];
    std::os::unix::fs::FileExt::read_exact_at(file, &mut bytes, at).map_err(|e| Error::io("read", name, e))?;
    Ok(bytes)
}

/// The key under which the cache remembers that a file like this was packed: its size and a few samples.
fn hint_key(slot: &FileSlot) -> Result<ActionKey> {
    const SAMPLE: u64 = 4096;
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"hint 1");
    hasher.update(&slot.stat.size.to_le_bytes());
    let offsets = [0, slot.stat.size / 2, slot.stat.size.saturating_sub(SAMPLE)];
    match slot.kept() {
        Some(bytes) => {
            for at in offsets {
                hasher.update(&bytes[at as usize..(at + SAMPLE).min(bytes.len() as u64) as usize]);
            }
        }
        None => {
            let (file, stat) = slot.open()?;
            for at in offsets {
                hasher.update(&read_at(&file, at, SAMPLE.min(stat.size - at) as usize, &slot.disk())?);
            }
        }
    }
    Ok(ActionKey::new(*hasher.finalize().as_bytes()))
}

/// Packs a small file: in the cache, or here if it is tiny.
pub fn pack_small(
    slot: &FileSlot,
    codec: Codec,
    context: &Context<'_>,
    scratch: &mut Scratch,
    done: &mut Done,
) -> Result<()> {
    if slot.packed().is_some() {
        return Ok(());
    }
    if slot.stat.size > INLINE as u64
        && let Some(digest) = slot.digest()
    {
        let key = KeyText::file(&digest, codec).key();
        let _flight = context.flights.board(key, context.pool, scratch);
        if take_cached(slot, key, digest, context, done)? {
            return Ok(());
        }
        let (content, read) = slot.content()?;
        done.bytes_read += read;
        let began = context.started.elapsed();
        let (packed, segments) = pack_bytes(&content, codec, scratch);
        let took_us = (context.started.elapsed() - began).as_micros() as u64;
        slot.packing_us.store(took_us, Ordering::Relaxed);
        done.segments_made += segments.len() as u64;
        if packed.len() <= INLINE {
            slot.set_packed(Some(Packed::Inline(packed, segments)));
            return Ok(());
        }
        let blob = Digest::of(&packed);
        let mut writer = context.cache.new_blob(blob.size())?;
        writer.write(&packed)?;
        writer.finish(blob)?;
        context.wrote(blob);
        let (digest, sha256) = slot.digests().ok_or_else(|| Error::Bug("a file was read and not hashed".into()))?;
        let result = FileResult {
            sha256,
            packed: blob,
            segments: segments.iter().copied().map(PackedSegment::from).collect(),
            scan: slot.scan.get().map(|r| serde_json::to_value(r).expect("a report is plain data")),
            took_us,
        };
        let text = KeyText::file(&digest, codec);
        context.keep(text.key(), &encode(&result, text.as_str().as_bytes()), done);
        slot.set_packed(Some(Packed::Blob(blob, segments)));
        return Ok(());
    }
    let (content, read) = slot.content()?;
    done.bytes_read += read;
    let (packed, segments) = pack_bytes(&content, codec, scratch);
    done.segments_made += segments.len() as u64;
    slot.set_packed(Some(Packed::Inline(packed, segments)));
    Ok(())
}

/// Packs bytes that are in memory.
pub fn pack_bytes(content: &[u8], codec: Codec, scratch: &mut Scratch) -> (Vec<u8>, Vec<Segment>) {
    let mut packed = Vec::with_capacity(content.len() / 2 + 64);
    let segments = content.chunks(SEGMENT).map(|chunk| scratch.packer(codec).pack(chunk, &mut packed)).collect();
    (packed, segments)
}

/// A source of this length is worth it that its packed bytes get their name later.
const NAMED_LATER: u64 = 8 << 20;

/// Writes packed bytes into the cache, and hashes them on the way unless that is to be done later.
struct PackedWriter {
    blob: Box<dyn BlobWriter>,
    hasher: Option<blake3::Hasher>,
    length: u64,
}

impl PackedWriter {
    fn new(context: &Context<'_>, source: u64) -> Result<Self> {
        // Weights keep three quarters of their size; too much room is given back.
        let blob = context.cache.new_blob(source - source / 5)?;
        // Another machine is told of them by their name.
        let is_told = context.gives || context.remote.is_some();
        let later = source >= NAMED_LATER && context.spare_cores && !is_told && context.unnamed.has_room();
        Ok(Self { blob, hasher: (!later).then(blake3::Hasher::new), length: 0 })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        self.length += bytes.len() as u64;
        self.blob.write(bytes)
    }
}

/// Both hashes of a file, by this thread alone.
pub fn alone(slot: &FileSlot) -> Result<()> {
    use sha2::Digest as _;
    let (mut file, stat) = slot.open()?;
    let (mut blake, mut sha) = (blake3::Hasher::new(), sha2::Sha256::new());
    let mut buffer = vec![0; SEGMENT];
    loop {
        let count = std::io::Read::read(&mut file, &mut buffer).map_err(|e| Error::io("read", slot.disk(), e))?;
        if count == 0 {
            break;
        }
        blake.update(&buffer[..count]);
        sha.update(&buffer[..count]);
    }
    slot.unchanged(&file, blake.count())?;
    slot.set_digest(Digest::new(*blake.finalize().as_bytes(), stat.size))?;
    slot.set_sha256(crate::base::Sha256::new(sha.finalize().into()))
}
