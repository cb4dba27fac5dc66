//! `Writer`: an index that is being written, record by record in the order of their keys.

use std::path::Path;

use crate::base::Result;
use crate::store::index::front::{Block, Table};
use crate::store::index::record::Record;
use crate::store::output::Output;

/// A block ends with the record that brings its stats to this size.
const BLOCK: usize = 128 << 10;

/// An index that is being written. It appears at its place when it is finished.
pub struct Writer {
    file: Output,
    blocks: Vec<Block>,
    records: u32,
    stats: Vec<u8>,
    digests: Vec<u8>,
}

impl Writer {
    /// Begins one.
    pub fn create(path: &Path) -> Result<Self> {
        let (blocks, stats, digests) = Default::default();
        Ok(Self { file: Output::create_unsynced(path)?, blocks, records: 0, stats, digests })
    }

    /// Adds a record.
    pub fn add(&mut self, key: &str, record: &Record) -> Result<()> {
        record.encode(key, &mut self.stats, &mut self.digests);
        self.added()
    }

    /// Adds a record that another index holds: where its stats and its digests begin there.
    pub(super) fn add_kept(&mut self, stats: &[u8], digests: &[u8]) -> Result<()> {
        let framed = |bytes: &[u8]| {
            let length = bytes.first_chunk().map_or(0, |length| u32::from_le_bytes(*length)) as usize;
            (4 + length).min(bytes.len())
        };
        self.stats.extend_from_slice(&stats[..framed(stats)]);
        self.digests.extend_from_slice(&digests[..framed(digests)]);
        self.added()
    }

    /// Adds a block of another index as it is.
    pub(super) fn copy(&mut self, block: &Block, bytes: &[u8]) -> Result<()> {
        self.flush()?;
        self.file.write(&bytes[block.stats().start..block.digests().end])?;
        self.blocks.push(block.moved(self.at()));
        Ok(())
    }

    /// Adds a block of these bytes, whatever they are.
    pub fn block(&mut self, records: u32, stats: &[u8], digests: &[u8]) -> Result<()> {
        self.flush()?;
        self.file.write(stats)?;
        self.file.write(digests)?;
        self.blocks.push(Block::new(self.at(), records, stats, digests));
        Ok(())
    }

    /// Where the next block begins.
    fn at(&self) -> u64 {
        self.blocks.last().map_or(0, Block::end)
    }

    fn added(&mut self) -> Result<()> {
        self.records += 1;
        if self.stats.len() < BLOCK { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<()> {
        if self.records == 0 {
            return Ok(());
        }
        let (stats, digests) = (std::mem::take(&mut self.stats), std::mem::take(&mut self.digests));
        let records = std::mem::take(&mut self.records);
        self.block(records, &stats, &digests)?;
        // The same room serves the next block.
        (self.stats, self.digests) = (stats, digests);
        self.stats.clear();
        self.digests.clear();
        Ok(())
    }

    /// Ends it, with what the whole rests on.
    pub fn finish(mut self, grounds: &[u8]) -> Result<()> {
        self.flush()?;
        self.file.write(&Table::encode(&self.blocks, grounds))?;
        self.file.commit().map(drop)
    }
}
