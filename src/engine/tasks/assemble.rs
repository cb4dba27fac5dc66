//! Puts a package together: tar headers between members whose packed bytes are already there, and writes it whole.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use sha2::Digest as _;

use crate::base::{Digest, Error, RelPath, Result, Sha256};
use crate::engine::chunk::{Buffers, Chunk};
use crate::engine::files::Packed;
use crate::engine::lane::Lane;
use crate::engine::record::Piece;
use crate::engine::scratch::Scratch;
use crate::engine::tasks::{Context, Done, hash};
use crate::engine::unnamed::Unnamed;
use crate::format::segment::{Assembly, Codec, Segment};
use crate::format::tar;
use crate::store::Output;

/// A stretch of a package that is being written.
#[derive(Debug, Clone)]
pub enum Stretch {
    /// So many of the bytes that are here.
    Inline(u64),
    /// A blob of the cache.
    Blob(Digest),
    /// One that has no name yet.
    Unnamed(Arc<Unnamed>),
}

impl Stretch {
    fn len(&self) -> u64 {
        match self {
            Self::Inline(length) => *length,
            Self::Blob(digest) => digest.size(),
            Self::Unnamed(unnamed) => unnamed.size(),
        }
    }
}

impl From<Piece> for Stretch {
    fn from(piece: Piece) -> Self {
        match piece {
            Piece::Inline(length) => Self::Inline(length),
            Piece::Blob(digest) => Self::Blob(digest),
        }
    }
}

/// The stretches of a package: bytes that are here, and blobs of the cache.
#[derive(Debug, Default)]
pub struct Stretches {
    /// In order.
    pub stretches: Vec<Stretch>,
    /// The bytes of the inline ones, one after the other.
    pub inline: Vec<u8>,
    /// How many segments there are.
    pub segments: u64,
}

impl Stretches {
    fn push(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.inline.extend_from_slice(bytes);
        match self.stretches.last_mut() {
            Some(Stretch::Inline(length)) => *length += bytes.len() as u64,
            _ => self.stretches.push(Stretch::Inline(bytes.len() as u64)),
        }
    }

    /// Size of the package.
    pub fn len(&self) -> u64 {
        self.stretches.iter().map(Stretch::len).sum()
    }

    /// Is there nothing?
    pub fn is_empty(&self) -> bool {
        self.stretches.is_empty()
    }

    /// What the cache keeps of them; `None` where one has no name.
    pub fn pieces(&self) -> Option<Vec<Piece>> {
        let piece = |stretch: &Stretch| match stretch {
            Stretch::Inline(length) => Some(Piece::Inline(*length)),
            Stretch::Blob(digest) => Some(Piece::Blob(*digest)),
            Stretch::Unnamed(unnamed) => unnamed.named().map(Piece::Blob),
        };
        self.stretches.iter().map(piece).collect()
    }
}

/// Builds the stretches of a package, member by member.
pub struct Assembler {
    codec: Codec,
    mtime: u64,
    assembly: Assembly,
    stretches: Stretches,
    /// Padding of the last member: it belongs to the segment of the next header.
    padding: usize,
}

impl Assembler {
    /// Begins a package.
    pub fn new(codec: Codec, mtime: u64) -> Self {
        let assembly = Assembly::new(codec);
        let mut stretches = Stretches::default();
        stretches.push(&assembly.start());
        Self { codec, mtime, assembly, stretches, padding: 0 }
    }

    /// Adds a member.
    pub fn member(&mut self, path: &RelPath, size: u64, packed: &Packed, scratch: &mut Scratch) {
        self.glue(&tar::header(path, size, self.mtime), scratch);
        match packed {
            Packed::Inline(bytes, segments) => {
                self.segments(segments);
                self.stretches.push(bytes);
            }
            Packed::Blob(digest, segments) => {
                self.segments(segments);
                self.stretches.stretches.push(Stretch::Blob(*digest));
            }
            Packed::Unnamed(unnamed) => {
                self.segments(&unnamed.made.segments);
                self.stretches.stretches.push(match unnamed.named() {
                    Some(digest) => Stretch::Blob(digest),
                    None => Stretch::Unnamed(Arc::clone(unnamed)),
                });
            }
        }
        self.padding = tar::padding(size);
    }

    /// Adds a member whose bytes are here and shall not be cached by themselves.
    pub fn inline(&mut self, path: &RelPath, content: &[u8], scratch: &mut Scratch) {
        let (packed, segments) = hash::pack_bytes(content, self.codec, scratch);
        self.member(path, content.len() as u64, &Packed::Inline(packed, segments), scratch);
    }

    /// Ends the package.
    pub fn finish(mut self, scratch: &mut Scratch) -> Stretches {
        self.glue(&tar::END, scratch);
        let end = self.assembly.finish();
        self.stretches.push(&end);
        self.stretches
    }

    fn glue(&mut self, header: &[u8], scratch: &mut Scratch) {
        let mut bytes = vec![0; self.padding];
        bytes.extend_from_slice(header);
        let (packed, segments) = hash::pack_bytes(&bytes, self.codec, scratch);
        self.segments(&segments);
        self.stretches.push(&packed);
    }

    fn segments(&mut self, segments: &[Segment]) {
        for segment in segments {
            self.assembly.push(segment);
        }
        self.stretches.segments += segments.len() as u64;
    }
}

/// Why a package could not be written from its stretches.
pub enum Unwritten {
    /// A blob is gone or damaged: it must be made again.
    Lost(Stretch),
    /// Anything else.
    Failed(Error),
}

impl From<Error> for Unwritten {
    fn from(e: Error) -> Self {
        Self::Failed(e)
    }
}

/// Writes the package into a temporary beside its place and tells its SHA-256. With `check`, blobs that this run did
/// not write itself are checked; without, the caller knows what the SHA-256 must be. Those without a name get it.
///
/// Blobs are read and written, never linked: a package that somebody edits must not change the cache. Nor are they
/// shared by reflink or copied inside the kernel. A file system shares whole blocks alone, at offsets that are multiples of
/// its block size on both sides; a member begins where the headers and members before it end, and to move it to the next
/// block would change the bytes of every package. And as every byte is hashed on its way (nothing leaves the cache
/// unchecked), it is here already: to have the kernel copy it once more was measured to be slower than to write it.
pub fn write(
    stretches: &[Stretch],
    mut inline: &[u8],
    target: &Path,
    check: bool,
    context: &Context<'_>,
    scratch: &mut Scratch,
    done: &mut Done,
) -> std::result::Result<(Output, Sha256), Unwritten> {
    let mut output = Output::create(target)?;
    output.reserve(stretches.iter().map(Stretch::len).sum())?;
    if let [Stretch::Inline(_)] = stretches {
        // Small packages are the common case: no hand-over.
        output.write(inline)?;
        return Ok((output, Sha256::of(inline)));
    }
    let flow = Flow {
        hashing: Lane::new(sha2::Sha256::new(), |sha, bytes| sha.update(bytes)),
        writing: Lane::new((output.handle()?, Ok(())), |(file, done), bytes| {
            if done.is_ok() {
                *done = file.write_all(bytes);
            }
        }),
        buffers: Buffers::default(),
    };
    for stretch in stretches {
        match stretch {
            Stretch::Inline(length) => {
                let (now, rest) = inline.split_at(*length as usize);
                let mut chunk = flow.buffers.take(now.len());
                chunk.copy_from_slice(now);
                flow.pass(Arc::new(chunk), &mut output, context, scratch)?;
                inline = rest;
            }
            Stretch::Blob(digest) => {
                let lost = || Unwritten::Lost(stretch.clone());
                let Some(file) = context.cache.blob(digest)? else { return Err(lost()) };
                let naming = (check && !context.has_written(digest)).then(naming);
                let is_whole = copy_blob(&file, digest.size(), naming.as_ref(), &mut output, &flow, context, scratch)?;
                let named = naming.map(|lane| lane.finish(context.pool, scratch)).transpose()?;
                if !is_whole || named.is_some_and(|hasher| hasher.finalize().as_bytes() != digest.hash()) {
                    context.cache.forget_blob(digest);
                    return Err(lost());
                }
            }
            Stretch::Unnamed(unnamed) => {
                let lane = naming();
                let size = unnamed.size();
                let is_whole = copy_blob(unnamed.file(), size, Some(&lane), &mut output, &flow, context, scratch)?;
                let hasher = lane.finish(context.pool, scratch)?;
                if !is_whole {
                    context.unnamed.remove(unnamed);
                    return Err(Unwritten::Lost(stretch.clone()));
                }
                match hash::name(unnamed, Some(*hasher.finalize().as_bytes()), context, done) {
                    Ok(Some(_)) => {}
                    Ok(None) => return Err(Unwritten::Lost(stretch.clone())),
                    // The cache went away under it: what the package needs of it has been read.
                    Err(e) => done.not_kept("a packed file", &e),
                }
            }
        }
    }
    let sha = flow.hashing.finish(context.pool, scratch)?;
    let (_, written) = flow.writing.finish(context.pool, scratch)?;
    written.map_err(|e| Error::io("write", target, e))?;
    Ok((output, Sha256::new(sha.finalize().into())))
}

/// Where the bytes of a package go: to its SHA-256 and to the file. To find room for them in memory may take the kernel longer
/// than all the rest, so that writing is no thread's own work either.
struct Flow {
    hashing: Lane<sha2::Sha256>,
    writing: Lane<(File, std::io::Result<()>)>,
    buffers: Buffers,
}

impl Flow {
    fn pass(&self, chunk: Arc<Chunk>, output: &mut Output, context: &Context<'_>, scratch: &mut Scratch) -> Result<()> {
        output.grows_by(chunk.len() as u64);
        self.writing.feed(Arc::clone(&chunk), context.pool, scratch)?;
        self.hashing.feed(chunk, context.pool, scratch)
    }
}

/// Reckons the name of a blob.
fn naming() -> Lane<blake3::Hasher> {
    Lane::new(blake3::Hasher::new(), |hasher, bytes| {
        hasher.update(bytes);
    })
}

/// Copies a blob; its SHA-256 is reckoned beside it, and its name where that is wanted. `false` where it is shorter than it
/// should be.
fn copy_blob(
    file: &File,
    size: u64,
    naming: Option<&Lane<blake3::Hasher>>,
    output: &mut Output,
    flow: &Flow,
    context: &Context<'_>,
    scratch: &mut Scratch,
) -> Result<bool> {
    const CHUNK: u64 = 1 << 20;
    for at in (0..size).step_by(CHUNK as usize) {
        if context.pool.is_cancelled() {
            return Err(Error::Interrupted);
        }
        let mut chunk = flow.buffers.take(CHUNK.min(size - at) as usize);
        match file.read_exact_at(&mut chunk, at) {
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(e) => return Err(Error::io("read from the cache for", output.target(), e)),
            Ok(()) => {}
        }
        let chunk = Arc::new(chunk);
        if let Some(naming) = naming {
            naming.feed(Arc::clone(&chunk), context.pool, scratch)?;
        }
        flow.pass(chunk, output, context, scratch)?;
    }
    Ok(true)
}

/// Forgets the blobs that are not what they were: whoever needs them makes them again.
pub fn forget_damaged(pieces: &[Piece], context: &Context<'_>) -> Result<()> {
    for piece in pieces {
        let Piece::Blob(digest) = piece else { continue };
        let Some(mut file) = context.cache.blob(digest)? else { continue };
        let mut hasher = blake3::Hasher::new();
        let whole = std::io::copy(&mut file, &mut hasher).is_ok();
        if !whole || hasher.finalize().as_bytes() != digest.hash() {
            context.cache.forget_blob(digest);
        }
    }
    Ok(())
}
