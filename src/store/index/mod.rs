//! `Index`: what a repo looked like when it was last built, one file that is read in one gulp, or by a run that expects
//! to find nothing to do, block by block.
//!
//! ```text
//! blocks × { stats of its records, digests of its records }     about 128 KiB of stats a block, records sorted by key
//! blocks × { u32 records, u32 length of stats, u32 length of digests, BLAKE3 of stats, BLAKE3 of digests }
//! grounds
//! u32 blocks, u32 length of grounds, u32 version, "EXPERTIX"
//! BLAKE3 of all that follows the blocks
//! ```
//! A record ([`Record`]) belongs to one expert (its key is the expert's folder) and says: the settings it was built with,
//! the folders that were listed, the input files with their digests, the outputs. All of it by stat, so that *up to date*
//! needs no file content; and what only an expert with work to do needs lies apart, so that nobody else reads it.
//!
//! *Grounds* are what the engine rests the whole on, opaque here: an index that has them was written by a run that knew
//! all its records to be those of one request.
//!
//! The index is only a shortcut: where it is missing, damaged or of another version, files are read again.

mod front;
mod record;
mod writer;

use std::collections::BTreeMap;
use std::path::Path;

use crate::base::Result;
use crate::store::fs;
use front::Table;
pub use front::{Block, Front};
use record::Reader;
pub use record::{Below, Built, Changed, Input, Record, RecordView, Seen, StatsView};
use writer::Writer;

/// The index of a repo as it was read.
#[derive(Debug, Default)]
pub struct Index {
    bytes: Vec<u8>,
    table: Table,
    rows: Vec<Row>,
}

/// Where a record lies.
#[derive(Debug, Clone, Copy)]
struct Row {
    /// Where its stats begin.
    stats: usize,
    /// Where its digests begin.
    digests: usize,
}

impl Index {
    /// Reads the index; an empty one where there is none that can be trusted.
    pub fn load(path: &Path) -> Self {
        match fs::read_settled(path, 4 << 30) {
            Ok(Some((bytes, _))) => Self::parse(bytes).unwrap_or_default(),
            _ => Self::default(),
        }
    }

    /// The index of these bytes; `None` where they are no whole one of this version.
    pub fn parse(bytes: Vec<u8>) -> Option<Self> {
        let table = Table::parse(&bytes, bytes.len() as u64)?;
        let mut rows: Vec<Row> = Vec::with_capacity(table.records());
        let mut last: Option<&str> = None;
        for block in table.blocks() {
            let (stats, digests) = (bytes.get(block.stats())?, bytes.get(block.digests())?);
            if !block.is_whole(stats, digests) {
                return None;
            }
            let (mut stats, mut digests) = (Reader { bytes: stats }, Reader { bytes: digests });
            for _ in 0..block.records {
                let at = |reader: Reader<'_>| reader.bytes.as_ptr() as usize - bytes.as_ptr() as usize;
                rows.push(Row { stats: at(stats), digests: at(digests) });
                let key = StatsView::next(&mut stats)?.key();
                let length = digests.u32()? as usize;
                digests.take(length)?;
                if last.replace(key).is_some_and(|last| last >= key) {
                    return None;
                }
            }
            if !stats.bytes.is_empty() || !digests.bytes.is_empty() {
                return None;
            }
        }
        Some(Self { bytes, table, rows })
    }

    /// The bytes of an index of one block that holds this, be it sense or not.
    pub fn of_block(records: u32, stats: &[u8], digests: &[u8]) -> Vec<u8> {
        let block = Block::new(0, records, stats, digests);
        [stats, digests, &Table::encode(&[block], &[])].concat()
    }

    fn row(&self, at: usize) -> Option<RecordView<'_>> {
        let row = self.rows.get(at)?;
        let stats = StatsView::next(&mut Reader { bytes: self.bytes.get(row.stats..)? })?;
        let mut digests = Reader { bytes: self.bytes.get(row.digests..)? };
        let length = digests.u32()? as usize;
        Some(RecordView::new(stats, digests.take(length)?))
    }

    /// The record of this expert.
    pub fn get(&self, key: &str) -> Option<RecordView<'_>> {
        self.get_near(key, &mut 0)
    }

    /// The same, by who asks for many in their order: `near` is where the last one was, and becomes where this one is.
    pub fn get_near(&self, key: &str, near: &mut usize) -> Option<RecordView<'_>> {
        let (mut low, mut high) = (0, self.rows.len());
        let last = high.saturating_sub(1);
        let mut guesses = [*near + 1, *near].map(|at| at.min(last)).into_iter();
        while low < high {
            let middle = guesses.next().unwrap_or(low + (high - low) / 2);
            let record = self.row(middle)?;
            match record.stats().key().cmp(key) {
                std::cmp::Ordering::Equal => {
                    *near = middle;
                    return Some(record);
                }
                std::cmp::Ordering::Less => low = low.max(middle + 1),
                std::cmp::Ordering::Greater => high = high.min(middle),
            }
        }
        None
    }

    /// All records, by key.
    pub fn records(&self) -> impl Iterator<Item = RecordView<'_>> {
        (0..self.rows.len()).filter_map(|at| self.row(at))
    }

    /// The experts in it.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.records().map(|record| record.stats().key())
    }

    /// Number of experts in it.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Is it empty?
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Tells one index from another.
    pub fn id(&self) -> &[u8; 32] {
        self.table.id()
    }

    /// What the whole rests on; empty where nobody vouches for that.
    pub fn grounds(&self) -> &[u8] {
        self.table.grounds()
    }

    /// Writes a new index: what `path` holds now (another build may have written it since), with `changed` laid over
    /// it and only the experts that `keep` names.
    pub fn save(path: &Path, changed: &BTreeMap<String, Record>, keep: &dyn Fn(&str) -> bool) -> Result<()> {
        Self::default().save_over(path, changed, keep, &[])
    }

    /// The same, by a run that read this index when it began. The grounds are kept out where another build has written
    /// the index since, or where a record cannot be written: they would speak of other records than those that are there.
    pub fn save_over(
        &self,
        path: &Path,
        changed: &BTreeMap<String, Record>,
        keep: &dyn Fn(&str) -> bool,
        grounds: &[u8],
    ) -> Result<()> {
        let fitting = changed.iter().filter(|(key, record)| record.fits(key));
        let (keys, records): (Vec<&str>, Vec<&Record>) = fitting.map(|(key, record)| (key.as_str(), record)).unzip();
        let grounds = if keys.len() == changed.len() { grounds } else { &[] };
        self.save_each(path, &keys, &mut |at| Ok(records[at].clone()), keep, grounds)
    }

    /// The same with the keys of what changed, sorted, and what brings the record of one, which fits: records of a large repo
    /// are many megabytes, so they are asked for one after the other, and each once.
    pub fn save_each(
        &self,
        path: &Path,
        changed: &[&str],
        record_of: &mut dyn FnMut(usize) -> Result<Record>,
        keep: &dyn Fn(&str) -> bool,
        grounds: &[u8],
    ) -> Result<()> {
        let is_same = Front::open(path).map_or(self.rows.is_empty(), |now| now.id() == self.id());
        let now = if is_same { &Self::default() } else { &Self::load(path) };
        let (now, grounds) = (if is_same { self } else { now }, if is_same { grounds } else { &[] });
        let mut changed = changed.iter().copied().enumerate().filter(|(_, key)| keep(key)).peekable();
        let mut writer = Writer::create(path)?;
        let mut first = 0;
        for (number, block) in now.table.blocks().iter().enumerate() {
            let rows = first..first + block.records as usize;
            first = rows.end;
            // What sorts before the next block's first key belongs here, after the last block everything.
            let next =
                now.table.blocks().get(number + 1).and_then(|_| now.row(first)).map(|record| record.stats().key());
            let is_here = |key: &str| next.is_none_or(|next| key < next);
            let is_touched = changed.peek().is_some_and(|(_, key)| is_here(key));
            if !is_touched && rows.clone().all(|at| now.row(at).is_some_and(|record| keep(record.stats().key()))) {
                writer.copy(block, &now.bytes)?;
                continue;
            }
            for at in rows {
                let Some(record) = now.row(at) else { continue };
                let key = record.stats().key();
                while let Some((at, key)) = changed.next_if(|(_, other)| *other < key) {
                    writer.add(key, &record_of(at)?)?;
                }
                if let Some((at, key)) = changed.next_if(|(_, other)| *other == key) {
                    writer.add(key, &record_of(at)?)?;
                } else if keep(key) {
                    let row = now.rows[at];
                    writer.add_kept(&now.bytes[row.stats..], &now.bytes[row.digests..])?;
                }
            }
            while let Some((at, key)) = changed.next_if(|(_, other)| is_here(other)) {
                writer.add(key, &record_of(at)?)?;
            }
        }
        for (at, key) in changed {
            writer.add(key, &record_of(at)?)?;
        }
        writer.finish(grounds)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Built, Changed, Front, Index, Input, Record, Seen};
    use crate::base::{Digest, Sha256};
    use crate::store::ActionKey;
    use crate::store::stat::{Kind, Stat};

    fn record() -> Record {
        let stat = |ino| Some(Stat { kind: Kind::File, size: 3, mtime: -5, ctime: 7, ino });
        Record {
            settings: [7; 32],
            folders: vec![Seen { path: "e".into(), stat: stat(1) }, Seen { path: "e/soft".into(), stat: None }],
            inputs: vec![Input {
                seen: Seen { path: "e/manifest.json".into(), stat: stat(2) },
                digest: Digest::of(b"abc"),
                sha256: Sha256::of(b"abc"),
            }],
            outputs: vec![Built {
                seen: Seen { path: "e/weights/é".into(), stat: stat(3) },
                sha256: Sha256::of(b"x"),
                key: ActionKey::of("k"),
                is_package: true,
            }],
            memo: b"memo".to_vec(),
        }
    }

    #[test]
    fn reads_back_and_checks_by_stat() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("index");
        let record = record();
        Index::save(&path, &BTreeMap::from([("e".into(), record.clone())]), &|_| true).expect("save");
        Index::save(&path, &BTreeMap::from([("f".into(), Record::default())]), &|_| true).expect("save");
        let index = Index::load(&path);
        assert_eq!(index.len(), 2);
        let view = index.get("e").expect("there");
        assert_eq!(view.decode().as_ref(), Some(&record));
        assert_eq!(view.memo(), Some(&b"memo"[..]));
        assert!(index.get("g").is_none());
        assert_eq!(view.input(c"e/manifest.json"), Some(record.inputs[0].seen.stat));
        assert_eq!(view.input(c"e/README.md"), None);

        let world: BTreeMap<String, Stat> = (record.folders.iter().chain(record.inputs.iter().map(|i| &i.seen)))
            .chain(record.outputs.iter().map(|o| &o.seen))
            .filter_map(|s| Some((s.path.clone(), s.stat?)))
            .collect();
        let check =
            |world: &BTreeMap<String, Stat>| view.check(&[7; 32], &|path, _| world.get(path.to_str().ok()?).copied());
        assert_eq!(check(&world), Ok(()));
        let mut other = world.clone();
        other.get_mut("e/manifest.json").expect("there").ctime += 1;
        assert_eq!(check(&other), Err(Changed::Input("e/manifest.json".into())));
        other.insert("e/soft".into(), Stat { kind: Kind::Dir, size: 0, mtime: 0, ctime: 0, ino: 0 });
        assert_eq!(check(&other), Err(Changed::Folder("e/soft".into())));
        other.remove("e/weights/é");
        assert_eq!(check(&other), Err(Changed::Output("e/weights/é".into())));
        assert_eq!(view.check(&[8; 32], &|_, _| None), Err(Changed::Settings));
    }

    /// Many blocks, of which most are taken over as they are.
    #[test]
    fn what_did_not_change_is_taken_over() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("index");
        let key = |number: u32| format!("e{number:04}");
        let numbered = |number: u32| Record { memo: number.to_le_bytes().to_vec(), ..record() };
        let all = |numbers: &mut dyn Iterator<Item = u32>| numbers.map(|n| (key(n), numbered(n))).collect();
        Index::save(&path, &all(&mut (0..3000).map(|n| n * 2)), &|_| true).expect("save");
        let before = Index::load(&path);
        assert!(before.table.blocks().len() > 2);
        // One between, one before the first, one behind the last, one in a place that is taken; one goes.
        let mut changed: BTreeMap<String, Record> = all(&mut [1001, 9999].into_iter());
        changed.insert("a".into(), numbered(7));
        changed.insert(key(1000), numbered(8));
        let kept = |name: &str| name != key(3000);
        before.save_over(&path, &changed, &kept, b"grounds").expect("save");
        let after = Index::load(&path);
        assert_eq!((after.len(), after.grounds()), (3002, &b"grounds"[..]));
        let is_same = |block: &super::Block| before.table.blocks().iter().any(|b| b.moved(0) == block.moved(0));
        assert!(after.table.blocks().iter().filter(|block| is_same(block)).count() + 4 > before.table.blocks().len());
        for n in (0..3000).map(|n| n * 2).chain([1001, 9999]) {
            let memo = after.get(&key(n)).and_then(|view| view.memo());
            let expected = if n == 1000 { 8 } else { n };
            assert_eq!(memo, Some(&expected.to_le_bytes()[..]).filter(|_| n != 3000), "{n}");
        }
        assert_eq!(after.get("a").and_then(|view| view.decode()), Some(numbered(7)));
        // The front reads the same records, block by block.
        let front = Front::open(&path).expect("whole");
        let mut buffer = Vec::new();
        let mut keys = Vec::new();
        for block in front.blocks() {
            let records = front.stats(block, &mut buffer).expect("whole");
            keys.extend(records.iter().map(|record| record.key().to_owned()));
        }
        assert!(after.keys().eq(keys) && front.id() == after.id() && front.grounds() == b"grounds");
        // Who read an index that is no longer there may not vouch for the one that is.
        before.save_over(&path, &BTreeMap::new(), &|_| true, b"others").expect("save");
        assert_eq!((Index::load(&path).len(), Index::load(&path).grounds()), (3002, &[][..]));
    }

    #[test]
    fn a_path_that_does_not_fit_is_not_remembered_and_harms_no_other() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("index");
        let with = |path: String| {
            let mut record = record();
            record.inputs[0].seen.path = path;
            record
        };
        let longest = "x".repeat(usize::from(u16::MAX));
        let all = [("a", longest.clone()), ("b", longest.clone() + "x"), ("c", "nul\0".into()), ("d", "d".into())];
        let all = all.map(|(key, path)| (key.to_owned(), with(path)));
        Index::save(&path, &BTreeMap::from(all), &|_| true).expect("save");
        let index = Index::load(&path);
        assert_eq!(index.len(), 2);
        assert_eq!(index.get("a").and_then(|view| view.decode()), Some(with(longest)));
        assert_eq!(index.get("d").and_then(|view| view.decode()), Some(with("d".into())));
    }

    #[test]
    fn damage_is_noticed_everywhere() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("index");
        Index::save(&path, &BTreeMap::from([("e".into(), record())]), &|_| true).expect("save");
        let whole = std::fs::read(&path).expect("read");
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            std::fs::write(&path, &bytes).expect("write");
            assert!(Index::load(&path).is_empty(), "byte {at}");
            std::fs::write(&path, &whole[..at]).expect("write");
            assert!(Index::load(&path).is_empty(), "cut at {at}");
        }
    }
}
