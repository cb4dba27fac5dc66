//! `Front`: the index as a run reads it that expects to find nothing to do: the table first, then blocks of stats, by
//! any thread and in any order.

#![expect(clippy::disallowed_methods, reason = "store owns the disk")]

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::store::index::record::{Reader, StatsView};

pub(super) const MAGIC: &[u8; 8] = b"EXPERTIX";
pub(super) const VERSION: u32 = 2;

/// A row of the table: two lengths, a count, two hashes.
const ROW: usize = 76;
/// What stands at the very end.
pub(super) const TAIL: usize = 52;
/// So much of the end is read at once: the table and the grounds of a large repo.
const GULP: u64 = 64 << 10;

/// A block: the records of about a hundred experts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Where it begins.
    at: u64,
    /// Number of its records.
    pub records: u32,
    stats: u32,
    digests: u32,
    stats_hash: [u8; 32],
    digests_hash: [u8; 32],
}

impl Block {
    /// Of these two parts.
    pub(super) fn new(at: u64, records: u32, stats: &[u8], digests: &[u8]) -> Self {
        Self {
            at,
            records,
            stats: stats.len() as u32,
            digests: digests.len() as u32,
            stats_hash: *blake3::hash(stats).as_bytes(),
            digests_hash: *blake3::hash(digests).as_bytes(),
        }
    }

    /// The same block in another place.
    pub(super) fn moved(&self, at: u64) -> Self {
        Self { at, ..self.clone() }
    }

    /// Where the stats of its records lie.
    pub(super) fn stats(&self) -> Range<usize> {
        self.at as usize..self.at as usize + self.stats as usize
    }

    /// Where their digests lie.
    pub(super) fn digests(&self) -> Range<usize> {
        self.stats().end..self.end() as usize
    }

    pub(super) fn end(&self) -> u64 {
        self.at + u64::from(self.stats) + u64::from(self.digests)
    }

    /// Are these its bytes?
    pub(super) fn is_whole(&self, stats: &[u8], digests: &[u8]) -> bool {
        *blake3::hash(stats).as_bytes() == self.stats_hash && *blake3::hash(digests).as_bytes() == self.digests_hash
    }
}

/// What follows the blocks.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    blocks: Vec<Block>,
    grounds: Vec<u8>,
    /// Hash of all of it, and so of the whole index.
    hash: [u8; 32],
}

impl Table {
    /// What these blocks and grounds are followed by.
    pub(super) fn encode(blocks: &[Block], grounds: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(blocks.len() * ROW + grounds.len() + TAIL);
        for block in blocks {
            for number in [block.records, block.stats, block.digests] {
                out.extend_from_slice(&number.to_le_bytes());
            }
            out.extend_from_slice(&block.stats_hash);
            out.extend_from_slice(&block.digests_hash);
        }
        out.extend_from_slice(grounds);
        for number in [blocks.len() as u32, grounds.len() as u32, VERSION] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(MAGIC);
        let hash = blake3::hash(&out);
        out.extend_from_slice(hash.as_bytes());
        out
    }

    /// How long the whole table is whose last bytes are these.
    fn length(end: &[u8]) -> Option<usize> {
        let mut tail = Reader { bytes: end.get(end.len().checked_sub(TAIL)?..)? };
        let (blocks, grounds) = (tail.u32()? as usize, tail.u32()? as usize);
        let is_ours = tail.u32()? == VERSION && tail.take(8)? == MAGIC;
        let length = blocks.checked_mul(ROW)?.checked_add(grounds)?.checked_add(TAIL)?;
        is_ours.then_some(length)
    }

    /// Reads it from the end of a file of this size; `None` where it is not whole.
    pub(super) fn parse(end: &[u8], size: u64) -> Option<Self> {
        let length = Self::length(end)?;
        let bytes = &end[end.len().checked_sub(length)?..];
        let (body, hash) = bytes.split_at(length - 32);
        let hash: [u8; 32] = hash.try_into().ok()?;
        if *blake3::hash(body).as_bytes() != hash {
            return None;
        }
        let mut reader = Reader { bytes: body };
        let count = Reader { bytes: &body[body.len() - (TAIL - 32)..] }.u32()? as usize;
        let mut blocks = Vec::with_capacity(count);
        let mut at = 0;
        for _ in 0..count {
            let (records, stats, digests) = (reader.u32()?, reader.u32()?, reader.u32()?);
            let block =
                Block { at, records, stats, digests, stats_hash: reader.array()?, digests_hash: reader.array()? };
            at = block.end();
            blocks.push(block);
        }
        let grounds = reader.bytes[..reader.bytes.len() - (TAIL - 32)].to_vec();
        (at + length as u64 == size).then_some(Self { blocks, grounds, hash })
    }

    pub(super) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    pub(super) fn grounds(&self) -> &[u8] {
        &self.grounds
    }

    pub(super) fn id(&self) -> &[u8; 32] {
        &self.hash
    }

    /// Number of records; only a hint for how much room they take.
    pub(super) fn records(&self) -> usize {
        self.blocks.iter().map(|block| (block.records as usize).min(block.stats as usize)).sum()
    }
}

/// An index that is open.
#[derive(Debug)]
pub struct Front {
    file: File,
    table: Table,
}

impl Front {
    /// Opens the index; `None` where there is none that can be trusted.
    pub fn open(path: &Path) -> Option<Self> {
        let file = File::open(path).ok()?;
        let size = file.metadata().ok().filter(std::fs::Metadata::is_file)?.len();
        let read = |length: u64| {
            let mut end = vec![0; usize::try_from(length).ok()?];
            file.read_exact_at(&mut end, size - length).ok()?;
            Some(end)
        };
        let mut end = read(size.min(GULP))?;
        let length = Table::length(&end)? as u64;
        if length > end.len() as u64 {
            end = read(Some(length).filter(|length| *length <= size)?)?;
        }
        let table = Table::parse(&end, size)?;
        Some(Self { file, table })
    }

    /// What the whole rests on; empty where nobody vouches for that.
    pub fn grounds(&self) -> &[u8] {
        &self.table.grounds
    }

    /// The blocks, in order.
    pub fn blocks(&self) -> &[Block] {
        &self.table.blocks
    }

    /// Tells one index from another.
    pub fn id(&self) -> &[u8; 32] {
        self.table.id()
    }

    /// The stats of a block's records, read into `buffer`; `None` where they are damaged.
    pub fn stats<'b>(&self, block: &Block, buffer: &'b mut Vec<u8>) -> Option<Vec<StatsView<'b>>> {
        buffer.resize(block.stats as usize, 0);
        self.file.read_exact_at(buffer, block.at).ok()?;
        if *blake3::hash(buffer).as_bytes() != block.stats_hash {
            return None;
        }
        let mut reader = Reader { bytes: buffer };
        let records = (0..block.records).map(|_| StatsView::next(&mut reader)).collect::<Option<Vec<_>>>()?;
        reader.bytes.is_empty().then_some(records)
    }
}
