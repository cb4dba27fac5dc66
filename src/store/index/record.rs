//! `Record`: what one expert looked like when it was last built, and `RecordView`: the same in the bytes of the index.
//!
//! ```text
//! stats    u32 length of what follows
//!          u16 length, key
//!          settings[32], u32 folders, u32 outputs, u32 inputs
//!          folders, outputs, inputs: { u8 kind, (u64 size, i64 mtime, i64 ctime, u64 inode), u16 length, path, NUL }
//! digests  u32 length of what follows
//!          outputs × { SHA-256, key of the task, u8 is it the package }
//!          inputs × { BLAKE3, u64 size, SHA-256 }
//!          memo
//! ```
//! A kind of 255 is a path that was not there, or whose stat proves nothing: its four numbers are absent. Paths are
//! relative to the repo and end with a NUL, ready for the kernel.

use std::ffi::CStr;

use crate::base::{Digest, Sha256};
use crate::store::ActionKey;
use crate::store::stat::{Kind, Links, Stat};

/// A folder or file that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Relative to the repo; absolute for outputs outside of it.
    pub path: String,
    /// What it was then; `None` where it did not exist.
    pub stat: Option<Stat>,
}

/// An input file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// The file.
    pub seen: Seen,
    /// Its content.
    pub digest: Digest,
    /// Its content as packages speak of it.
    pub sha256: Sha256,
}

/// A package that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The file.
    pub seen: Seen,
    /// SHA-256 of the package.
    pub sha256: Sha256,
    /// The key of the task that made it.
    pub key: ActionKey,
    /// Is it the package itself (or the `.sha256` beside it)?
    pub is_package: bool,
}

/// What an expert looked like.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// BLAKE3 of everything beside files that decides the packages.
    pub settings: [u8; 32],
    /// The folders that were listed.
    pub folders: Vec<Seen>,
    /// The files that were read.
    pub inputs: Vec<Input>,
    /// The packages.
    pub outputs: Vec<Built>,
    /// What the engine wants to remember of the expert; opaque here.
    pub memo: Vec<u8>,
}

impl Record {
    /// Can it be written under this key? A path longer than its length field can say would turn all that follows into
    /// nonsense.
    pub fn fits(&self, key: &str) -> bool {
        let inputs = self.inputs.iter().map(|input| &input.seen);
        let mut all = self.folders.iter().chain(inputs).chain(self.outputs.iter().map(|output| &output.seen));
        key.len() <= usize::from(u16::MAX)
            && all.all(|seen| seen.path.len() <= usize::from(u16::MAX) && !seen.path.contains('\0'))
    }

    /// Adds it to `out`, to be read back by [`RecordView::alone`].
    pub fn encode_alone(&self, out: &mut Vec<u8>) {
        let mut digests = Vec::new();
        self.encode("", out, &mut digests);
        out.append(&mut digests);
    }

    /// Puts it behind what these hold already.
    pub(super) fn encode(&self, key: &str, stats: &mut Vec<u8>, digests: &mut Vec<u8>) {
        framed(stats, |out| {
            put_text(out, key);
            out.extend_from_slice(&self.settings);
            for count in [self.folders.len(), self.outputs.len(), self.inputs.len()] {
                out.extend_from_slice(&(count as u32).to_le_bytes());
            }
            let outputs = self.outputs.iter().map(|output| &output.seen);
            let all = self.folders.iter().chain(outputs).chain(self.inputs.iter().map(|input| &input.seen));
            all.for_each(|seen| put_seen(out, seen));
        });
        framed(digests, |out| {
            for built in &self.outputs {
                out.extend_from_slice(built.sha256.bytes());
                out.extend_from_slice(built.key.bytes());
                out.push(built.is_package.into());
            }
            for input in &self.inputs {
                out.extend_from_slice(input.digest.hash());
                out.extend_from_slice(&input.digest.size().to_le_bytes());
                out.extend_from_slice(input.sha256.bytes());
            }
            out.extend_from_slice(&self.memo);
        });
    }
}

/// What `put` adds, behind its length.
fn framed(out: &mut Vec<u8>, put: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    put(out);
    let length = (out.len() - at - 4) as u32;
    out[at..at + 4].copy_from_slice(&length.to_le_bytes());
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u16).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn put_seen(out: &mut Vec<u8>, seen: &Seen) {
    match &seen.stat {
        None => out.push(u8::MAX),
        Some(stat) => {
            out.push(stat.kind as u8);
            out.extend_from_slice(&stat.size.to_le_bytes());
            out.extend_from_slice(&stat.mtime.to_le_bytes());
            out.extend_from_slice(&stat.ctime.to_le_bytes());
            out.extend_from_slice(&stat.ino.to_le_bytes());
        }
    }
    put_text(out, &seen.path);
    out.push(0);
}

/// Why a record no longer holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// Settings or tool.
    Settings,
    /// A folder has other entries.
    Folder(String),
    /// A file is new, gone or different by stat.
    Input(String),
    /// An output is missing or different by stat.
    Output(String),
    /// The record cannot be read.
    Damaged,
}

/// Asks the kernel for a path relative to the repo.
pub type Below<'b> = dyn Fn(&CStr, Links) -> Option<Stat> + 'b;

/// The stats of a record in the bytes of the index: nothing is copied to ask whether they still hold.
#[derive(Debug, Clone, Copy)]
pub struct StatsView<'a> {
    key: &'a str,
    settings: &'a [u8; 32],
    /// From the counts on.
    rest: &'a [u8],
}

impl<'a> StatsView<'a> {
    /// Takes the next record off a block; `None` where it is none.
    pub(super) fn next(block: &mut Reader<'a>) -> Option<Self> {
        let length = block.u32()? as usize;
        let mut reader = Reader { bytes: block.take(length)? };
        let key = usize::from(reader.u16()?);
        let key = std::str::from_utf8(reader.take(key)?).ok()?;
        let settings = reader.take(32)?.try_into().ok()?;
        Some(Self { key, settings, rest: reader.bytes })
    }

    /// The expert.
    pub fn key(&self) -> &'a str {
        self.key
    }

    /// BLAKE3 of everything beside files that decided its packages.
    pub fn settings(&self) -> &'a [u8; 32] {
        self.settings
    }

    /// Is everything as it was, by stat alone? `below` asks the kernel for a path relative to the repo.
    pub fn check(&self, below: &Below<'_>) -> Result<(), Changed> {
        self.try_check(below).unwrap_or(Err(Changed::Damaged))
    }

    fn try_check(&self, below: &Below<'_>) -> Option<Result<(), Changed>> {
        let mut reader = Reader { bytes: self.rest };
        let (folders, outputs, inputs) = reader.counts()?;
        let mut folder = None;
        for _ in 0..folders {
            let (path, then) = reader.seen()?;
            let same = |now: Stat| then.is_some_and(|then| now.has_entries_of(&then));
            if !below(path, Links::Follow).map_or(then.is_none(), same) {
                folder = folder.or(Some(path));
            }
        }
        // An output that went changed its folder too: what went is the better reason.
        for _ in 0..outputs {
            let (path, then) = reader.seen()?;
            if below(path, Links::Keep) != then {
                return Some(Err(Changed::Output(shown(path))));
            }
        }
        if let Some(path) = folder {
            return Some(Err(Changed::Folder(shown(path))));
        }
        for _ in 0..inputs {
            let (path, then) = reader.seen()?;
            if then.is_none() || below(path, Links::Follow) != then {
                return Some(Err(Changed::Input(shown(path))));
            }
        }
        reader.bytes.is_empty().then_some(Ok(()))
    }

    /// Was this folder listed, and this file among those that were read?
    pub fn tells_of(&self, folder: &str, file: &str) -> bool {
        let mut reader = Reader { bytes: self.rest };
        let (folders, outputs, inputs) = reader.counts().unwrap_or_default();
        let mut seen = std::iter::from_fn(move || reader.seen()).map(|(path, _)| path.to_bytes());
        let is_listed = seen.by_ref().take(folders).fold(false, |found, path| found | (path == folder.as_bytes()));
        let mut inputs = seen.skip(outputs).take(inputs);
        is_listed && inputs.any(|path| path == file.as_bytes())
    }
}

/// A record in the bytes of the index.
#[derive(Debug, Clone, Copy)]
pub struct RecordView<'a> {
    stats: StatsView<'a>,
    digests: &'a [u8],
}

impl<'a> RecordView<'a> {
    /// Of these two parts.
    pub(super) fn new(stats: StatsView<'a>, digests: &'a [u8]) -> Self {
        Self { stats, digests }
    }

    /// What [`Record::encode_alone`] wrote.
    pub fn alone(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader { bytes };
        let stats = StatsView::next(&mut reader)?;
        let length = reader.u32()? as usize;
        Some(Self::new(stats, reader.take(length)?))
    }

    /// Its stats.
    pub fn stats(&self) -> StatsView<'a> {
        self.stats
    }

    /// Is everything as it was, by stat alone? `below` asks the kernel for a path relative to the repo.
    pub fn check(&self, settings: &[u8; 32], below: &Below<'_>) -> Result<(), Changed> {
        if self.stats.settings != settings { Err(Changed::Settings) } else { self.stats.check(below) }
    }

    /// The whole record, for experts that need work.
    pub fn decode(&self) -> Option<Record> {
        let (mut stats, mut digests) = (Reader { bytes: self.stats.rest }, Reader { bytes: self.digests });
        let (folders, outputs, inputs) = stats.counts()?;
        let mut record = Record { settings: *self.stats.settings, ..Record::default() };
        for _ in 0..folders {
            record.folders.push(stats.owned_seen()?);
        }
        for _ in 0..outputs {
            record.outputs.push(Built {
                seen: stats.owned_seen()?,
                sha256: Sha256::new(digests.array()?),
                key: ActionKey::new(digests.array()?),
                is_package: digests.take(1)?[0] != 0,
            });
        }
        for _ in 0..inputs {
            record.inputs.push(Input {
                seen: stats.owned_seen()?,
                digest: Digest::new(digests.array()?, digests.u64()?),
                sha256: Sha256::new(digests.array()?),
            });
        }
        record.memo = digests.bytes.to_vec();
        stats.bytes.is_empty().then_some(record)
    }

    /// The packages: path, stat and SHA-256 of each. Nothing is copied.
    pub fn packages(&self) -> impl Iterator<Item = (&'a str, Option<Stat>, Sha256)> + use<'a> {
        let (mut stats, mut digests) = (Reader { bytes: self.stats.rest }, Reader { bytes: self.digests });
        let (folders, outputs, _) = stats.counts().unwrap_or_default();
        for _ in 0..folders {
            if stats.seen().is_none() {
                break;
            }
        }
        let output = move || {
            let (path, stat) = stats.seen()?;
            let (sha256, _, is_package) = (digests.array()?, digests.take(32)?, digests.take(1)?);
            Some((path.to_str().ok()?, stat, Sha256::new(sha256), is_package[0] != 0))
        };
        let outputs = std::iter::from_fn(output).take(outputs).filter(|(.., is_package)| *is_package);
        outputs.map(|(path, stat, sha256, _)| (path, stat, sha256))
    }

    /// The stat that an input had when it was read; inside, `None` where it proves nothing. Nothing is copied.
    pub fn input(&self, path: &CStr) -> Option<Option<Stat>> {
        let mut reader = Reader { bytes: self.stats.rest };
        let (folders, outputs, inputs) = reader.counts()?;
        for _ in 0..folders.checked_add(outputs)? {
            reader.seen()?;
        }
        for _ in 0..inputs {
            let (found, stat) = reader.seen()?;
            if found == path {
                return Some(stat);
            }
        }
        None
    }

    /// What the engine remembered.
    pub fn memo(&self) -> Option<&'a [u8]> {
        let (_, outputs, inputs) = Reader { bytes: self.stats.rest }.counts()?;
        let before = outputs.checked_mul(65)?.checked_add(inputs.checked_mul(72)?)?;
        self.digests.get(before..)
    }
}

fn shown(path: &CStr) -> String {
    path.to_string_lossy().into_owned()
}

/// Takes numbers and texts off the front of bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.bytes.split_at_checked(count)?;
        self.bytes = tail;
        Some(head)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    fn counts(&mut self) -> Option<(usize, usize, usize)> {
        Some((self.u32()? as usize, self.u32()? as usize, self.u32()? as usize))
    }

    fn seen(&mut self) -> Option<(&'a CStr, Option<Stat>)> {
        let stat = match self.take(1)?[0] {
            u8::MAX => None,
            kind => {
                let kind = [Kind::File, Kind::Dir, Kind::Link, Kind::Other].into_iter().find(|k| *k as u8 == kind)?;
                Some(Stat { kind, size: self.u64()?, mtime: self.i64()?, ctime: self.i64()?, ino: self.u64()? })
            }
        };
        let length = usize::from(self.u16()?);
        let path = CStr::from_bytes_with_nul(self.take(length + 1)?).ok()?;
        Some((path, stat))
    }

    fn owned_seen(&mut self) -> Option<Seen> {
        let (path, stat) = self.seen()?;
        Some(Seen { path: path.to_str().ok()?.to_owned(), stat })
    }
}
