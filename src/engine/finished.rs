//! `Finished`: an expert that was finished, on its way into the index.

use std::path::Path;

use crate::engine::survey::{fingerprint, way_to};
use crate::store::index::{Record, RecordView};
use crate::store::{Stat, fs};

/// What is remembered of an expert, but for what only the end of the run tells.
pub struct Finished {
    /// What to remember.
    pub record: Record,
    /// Folders that packages were written to. Writing one changes the folder's times, so its stat is taken once more at the
    /// end.
    pub written: Written,
}

/// Folders of a record, by index, each with the fingerprint of the names that it had.
pub type Written = Vec<(u32, [u8; 32])>;

/// Lets the tick pass in which the last package was written: another change in it would not change its folder's times.
pub fn let_the_tick_pass() {
    std::thread::sleep(std::time::Duration::from_millis(21));
}

impl Finished {
    /// Adds it to `out`, for the time until the run ends.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.written.len() as u32).to_le_bytes());
        for (at, names) in &self.written {
            out.extend_from_slice(&at.to_le_bytes());
            out.extend_from_slice(names);
        }
        self.record.encode_alone(out);
    }

    /// What was encoded: the folders that packages were written to, and the record.
    pub fn parts(bytes: &[u8]) -> Option<(Written, RecordView<'_>)> {
        let (count, mut rest) = bytes.split_first_chunk()?;
        let mut written = Vec::new();
        for _ in 0..u32::from_le_bytes(*count) {
            let (at, tail) = rest.split_first_chunk()?;
            let (names, tail) = tail.split_first_chunk()?;
            written.push((u32::from_le_bytes(*at), *names));
            rest = tail;
        }
        Some((written, RecordView::alone(rest)?))
    }

    /// What was encoded.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (written, record) = Self::parts(bytes)?;
        Some(Self { written, record: record.decode()? })
    }

    /// The record for the index: folders that packages were written to get the stat that they have now, if nothing but
    /// packages (in the folder `output`) came or went there.
    pub fn settle(mut self, root: &Path, output: &Path) -> Record {
        for (at, names) in &self.written {
            let seen = &mut self.record.folders[*at as usize];
            let folder = root.join(&seen.path);
            let stat = Stat::following(&folder).ok();
            let ours = way_to(output, &folder);
            let same = fs::list(&folder)
                .is_ok_and(|entries| fingerprint(entries.iter().filter_map(|e| e.name.as_deref()), ours) == *names);
            seen.stat = stat.filter(|stat| same && !stat.is_racy(fs::now()));
        }
        self.record
    }
}
