//! `Index`: what a repo looked like when it was last built, one flat file that is read in one gulp.
//!
//! ```text
//! "EXPERTIX" u32 version, u32 count
//! count × { u64 offset, u32 length, u32 key length }    sorted by key
//! keys and records
//! BLAKE3 of all before it
//! ```
//! A record belongs to one expert (its key is the expert's folder) and says: the settings it was built with, the
//! folders that were listed, the input files with their digests, the outputs. All of it by stat, so that *up to date*
//! needs no file content. Paths are relative to the repo and end with a NUL, ready for the kernel.
//!
//! The index is only a shortcut: where it is missing, damaged or of another version, files are read again.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::path::Path;

use crate::base::{Digest, Result, Sha256};
use crate::store::stat::{Kind, Links, Stat};
use crate::store::{ActionKey, fs, output};

const MAGIC: &[u8; 8] = b"EXPERTIX";
const VERSION: u32 = 1;
const HEAD: usize = 16;
const ROW: usize = 16;

/// The index of a repo as it was read.
#[derive(Debug, Default)]
pub struct Index {
    bytes: Vec<u8>,
    count: usize,
}

impl Index {
    /// Reads the index; an empty one where there is none that can be trusted.
    pub fn load(path: &Path) -> Self {
        match fs::read(path, 4 << 30) {
            Ok(Some((bytes, _))) => Self::parse(bytes).unwrap_or_default(),
            _ => Self::default(),
        }
    }

    /// The index of these bytes; `None` where they are no whole one of this version.
    pub fn parse(mut bytes: Vec<u8>) -> Option<Self> {
        let body = bytes.len().checked_sub(32)?;
        if blake3::hash(&bytes[..body]).as_bytes() != &bytes[body..] {
            return None;
        }
        bytes.truncate(body);
        let mut reader = Reader { bytes: &bytes };
        if reader.take(8)? != MAGIC || reader.u32()? != VERSION {
            return None;
        }
        let count = reader.u32()? as usize;
        (bytes.len() >= HEAD + count.checked_mul(ROW)?).then_some(Self { bytes, count })
    }

    fn row(&self, i: usize) -> Option<(&[u8], &[u8])> {
        let mut reader = Reader { bytes: self.bytes.get(HEAD + i * ROW..)? };
        let (offset, length, key) = (reader.u64()? as usize, reader.u32()? as usize, reader.u32()? as usize);
        let entry = self.bytes.get(offset..offset.checked_add(key)?.checked_add(length)?)?;
        Some(entry.split_at(key))
    }

    /// The record of this expert.
    pub fn get(&self, key: &str) -> Option<RecordView<'_>> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            let (found, record) = self.row(middle)?;
            match found.cmp(key.as_bytes()) {
                std::cmp::Ordering::Equal => return Some(RecordView { bytes: record }),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// The experts in it.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        (0..self.count).filter_map(|i| std::str::from_utf8(self.row(i)?.0).ok())
    }

    /// Number of experts in it.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Is it empty?
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Writes a new index: what `path` holds now (another build may have written it since), with `changed` laid over
    /// it and only the experts that `keep` names.
    pub fn save(path: &Path, changed: &BTreeMap<String, Record>, keep: &dyn Fn(&str) -> bool) -> Result<()> {
        let now = Self::load(path);
        let mut rows: BTreeMap<&[u8], Row<'_>> =
            (0..now.count).filter_map(|i| now.row(i)).map(|(key, record)| (key, Row::Kept(record))).collect();
        let fitting = changed.iter().filter(|(_, record)| record.fits());
        rows.extend(fitting.map(|(key, record)| (key.as_bytes(), Row::New(record))));
        rows.retain(|key, _| std::str::from_utf8(key).is_ok_and(keep));
        // Records of a large repo are many megabytes: each is encoded twice rather than all of them kept.
        let mut encoded = Vec::new();
        let mut sink = Sink { file: output::Output::create(path)?, waiting: Vec::new(), hasher: blake3::Hasher::new() };
        sink.write(MAGIC)?;
        sink.write(&VERSION.to_le_bytes())?;
        sink.write(&(rows.len() as u32).to_le_bytes())?;
        let mut offset = (HEAD + rows.len() * ROW) as u64;
        for (key, row) in &rows {
            let record = row.bytes(&mut encoded);
            sink.write(&offset.to_le_bytes())?;
            sink.write(&(record.len() as u32).to_le_bytes())?;
            sink.write(&(key.len() as u32).to_le_bytes())?;
            offset += (key.len() + record.len()) as u64;
        }
        for (key, row) in &rows {
            sink.write(key)?;
            sink.write(row.bytes(&mut encoded))?;
        }
        sink.finish()
    }
}

/// A record of the index that is being written.
enum Row<'r> {
    Kept(&'r [u8]),
    New(&'r Record),
}

impl Row<'_> {
    /// Its bytes; a new one's are put into `encoded`.
    fn bytes<'b>(&'b self, encoded: &'b mut Vec<u8>) -> &'b [u8] {
        match self {
            Self::Kept(bytes) => bytes,
            Self::New(record) => {
                encoded.clear();
                record.encode(encoded);
                encoded
            }
        }
    }
}

/// The file of an index that is being written, and the hash that it ends with.
struct Sink {
    file: output::Output,
    waiting: Vec<u8>,
    hasher: blake3::Hasher,
}

impl Sink {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() < 1 << 20 { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<()> {
        self.hasher.update(&self.waiting);
        self.file.write(&self.waiting)?;
        self.waiting.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        self.flush()?;
        self.file.write(self.hasher.finalize().as_bytes())?;
        self.file.commit_unsynced().map(drop)
    }
}

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
    /// Can it be written? A path longer than its length field can say would turn all that follows into nonsense.
    fn fits(&self) -> bool {
        let inputs = self.inputs.iter().map(|input| &input.seen);
        let mut all = self.folders.iter().chain(inputs).chain(self.outputs.iter().map(|output| &output.seen));
        all.all(|seen| seen.path.len() <= usize::from(u16::MAX) && !seen.path.contains('\0'))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.settings);
        out.extend_from_slice(&(self.folders.len() as u32).to_le_bytes());
        out.extend_from_slice(&(self.inputs.len() as u32).to_le_bytes());
        out.extend_from_slice(&(self.outputs.len() as u32).to_le_bytes());
        out.extend_from_slice(&(self.memo.len() as u32).to_le_bytes());
        for seen in &self.folders {
            put_seen(out, seen);
        }
        for built in &self.outputs {
            put_seen(out, &built.seen);
            out.extend_from_slice(built.sha256.bytes());
            out.extend_from_slice(built.key.bytes());
            out.push(built.is_package.into());
        }
        for input in &self.inputs {
            put_seen(out, &input.seen);
            out.extend_from_slice(input.digest.hash());
            out.extend_from_slice(&input.digest.size().to_le_bytes());
            out.extend_from_slice(input.sha256.bytes());
        }
        out.extend_from_slice(&self.memo);
    }
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
    out.extend_from_slice(&(seen.path.len() as u16).to_le_bytes());
    out.extend_from_slice(seen.path.as_bytes());
    out.push(0);
}

/// A record in the bytes of the index: nothing is copied to ask whether it still holds.
#[derive(Debug, Clone, Copy)]
pub struct RecordView<'a> {
    bytes: &'a [u8],
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

impl<'a> RecordView<'a> {
    /// Is everything as it was, by stat alone? `below` asks the kernel for a path relative to the repo.
    pub fn check(&self, settings: &[u8; 32], below: &Below<'_>) -> Result<(), Changed> {
        self.try_check(settings, below).unwrap_or(Err(Changed::Damaged))
    }

    fn try_check(&self, settings: &[u8; 32], below: &Below<'_>) -> Option<Result<(), Changed>> {
        let mut reader = Reader { bytes: self.bytes };
        if reader.take(32)? != settings {
            return Some(Err(Changed::Settings));
        }
        let (folders, inputs, outputs, _) = reader.counts()?;
        for _ in 0..folders {
            let (path, then) = reader.seen()?;
            // A folder's size says nothing that its times do not.
            let same = |now: Stat| then.is_some_and(|t| (t.mtime, t.ctime, t.ino) == (now.mtime, now.ctime, now.ino));
            if !below(path, Links::Follow).map_or(then.is_none(), same) {
                return Some(Err(Changed::Folder(shown(path))));
            }
        }
        for _ in 0..outputs {
            let (path, then) = reader.seen()?;
            reader.take(65)?;
            if below(path, Links::Keep) != then {
                return Some(Err(Changed::Output(shown(path))));
            }
        }
        for _ in 0..inputs {
            let (path, then) = reader.seen()?;
            reader.take(72)?;
            if then.is_none() || below(path, Links::Follow) != then {
                return Some(Err(Changed::Input(shown(path))));
            }
        }
        Some(Ok(()))
    }

    /// The whole record, for experts that need work.
    pub fn decode(&self) -> Option<Record> {
        let mut reader = Reader { bytes: self.bytes };
        let settings = reader.array()?;
        let (folders, inputs, outputs, memo) = reader.counts()?;
        let mut record = Record { settings, ..Record::default() };
        for _ in 0..folders {
            record.folders.push(reader.owned_seen()?);
        }
        for _ in 0..outputs {
            record.outputs.push(Built {
                seen: reader.owned_seen()?,
                sha256: Sha256::new(reader.array()?),
                key: ActionKey::new(reader.array()?),
                is_package: reader.take(1)?[0] != 0,
            });
        }
        for _ in 0..inputs {
            record.inputs.push(Input {
                seen: reader.owned_seen()?,
                digest: Digest::new(reader.array()?, reader.u64()?),
                sha256: Sha256::new(reader.array()?),
            });
        }
        record.memo = reader.take(memo)?.to_vec();
        // `memo` finds it from the end.
        reader.bytes.is_empty().then_some(record)
    }

    /// The stat that an input had when it was read; inside, `None` where it proves nothing. Nothing is copied.
    pub fn input(&self, path: &CStr) -> Option<Option<Stat>> {
        let mut reader = Reader { bytes: self.bytes.get(32..)? };
        let (folders, inputs, outputs, _) = reader.counts()?;
        for _ in 0..folders {
            reader.seen()?;
        }
        for _ in 0..outputs {
            reader.seen()?;
            reader.take(65)?;
        }
        for _ in 0..inputs {
            let (found, stat) = reader.seen()?;
            reader.take(72)?;
            if found == path {
                return Some(stat);
            }
        }
        None
    }

    /// What the engine remembered.
    pub fn memo(&self) -> Option<&'a [u8]> {
        let mut reader = Reader { bytes: self.bytes.get(32..)? };
        let (_, _, _, memo) = reader.counts()?;
        self.bytes.get(self.bytes.len().checked_sub(memo)?..)
    }
}

fn shown(path: &CStr) -> String {
    path.to_string_lossy().into_owned()
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.bytes.split_at_checked(count)?;
        self.bytes = tail;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    fn counts(&mut self) -> Option<(usize, usize, usize, usize)> {
        Some((self.u32()? as usize, self.u32()? as usize, self.u32()? as usize, self.u32()? as usize))
    }

    fn seen(&mut self) -> Option<(&'a CStr, Option<Stat>)> {
        let stat = match self.take(1)?[0] {
            u8::MAX => None,
            kind => {
                let kind = [Kind::File, Kind::Dir, Kind::Link, Kind::Other].into_iter().find(|k| *k as u8 == kind)?;
                Some(Stat { kind, size: self.u64()?, mtime: self.i64()?, ctime: self.i64()?, ino: self.u64()? })
            }
        };
        let length = usize::from(self.array().map(u16::from_le_bytes)?);
        let path = CStr::from_bytes_with_nul(self.take(length + 1)?).ok()?;
        Some((path, stat))
    }

    fn owned_seen(&mut self) -> Option<Seen> {
        let (path, stat) = self.seen()?;
        Some(Seen { path: path.to_str().ok()?.to_owned(), stat })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Built, Changed, Index, Input, Record, Seen};
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
        other.remove("e/weights/é");
        assert_eq!(check(&other), Err(Changed::Output("e/weights/é".into())));
        other.insert("e/soft".into(), Stat { kind: Kind::Dir, size: 0, mtime: 0, ctime: 0, ino: 0 });
        assert_eq!(check(&other), Err(Changed::Folder("e/soft".into())));
        assert_eq!(view.check(&[8; 32], &|_, _| None), Err(Changed::Settings));
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
