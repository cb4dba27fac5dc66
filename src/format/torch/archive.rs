//! The zip format: finds the records, reads the object, holds each storage's record against what the object says.

use std::collections::BTreeSet;
use std::io::{BufReader, Read, Seek};

use crate::format::pickle::{self, Heap, Source};
use crate::format::shown::shown;
use crate::format::torch::rebuild::{Rebuilder, Storage};
use crate::format::torch::{FaultKind, Format, MEMORY, TorchFault, TorchFile, finish, walk};
use crate::format::zip::{self, Directory, Entry, Method};

/// Versions of the archive that torch reads (`kMinSupportedFileFormatVersion` to `kMax…`).
const VERSIONS: std::ops::RangeInclusive<u64> = 1..=10;
/// Longest pickle that is deflated: its length costs time, which the file's length then says nothing about.
const MAX_DEFLATED: u64 = 32 << 20;

pub(super) fn read<R: Read + Seek>(source: &mut R, len: u64) -> Result<TorchFile, TorchFault> {
    let directory = zip::read(source, len)?;
    let records = Records::new(&directory)?;
    let byteorder = match records.find("byteorder") {
        Some((name, entry)) => small(source, name, entry)?,
        None => b"little".to_vec(),
    };
    if byteorder != b"little" && byteorder != b"big" {
        return Err(records.wrong("byteorder", "the record `byteorder` says neither `little` nor `big`"));
    }
    let (name, entry) = records.must("version")?;
    let version = String::from_utf8(small(source, name, entry)?).ok().and_then(|v| v.trim_ascii().parse().ok());
    if !version.is_some_and(|v| VERSIONS.contains(&v)) {
        return Err(records.wrong("version", "the record `version` is not a version that torch reads"));
    }

    let (name, entry) = records.must("data.pkl")?;
    let mut heap = Heap::new(MEMORY);
    let mut builder = Rebuilder::new(Format::Zip);
    let pickle = object(source, name, entry, &mut heap, &mut builder)?;
    let found = walk::walk(&mut heap, &builder, pickle.root, entry.data)?;
    drop(heap);

    let mut used = BTreeSet::new();
    for (key, number) in &builder.by_key {
        let record = format!("data/{key}");
        let (name, entry) = records.must(&record)?;
        size(&builder.storages[*number as usize], &record, entry)?;
        used.insert(name);
    }
    let extra = records.unused(&used)?;

    let mut buffer = vec![0; 1 << 16];
    for (name, entry) in &directory.entries {
        entry.prove(name, source, &mut buffer)?;
    }
    Ok(finish(Format::Zip, pickle, found, builder.devices, extra))
}

/// Reads `data.pkl`: one pickle, nothing behind it.
fn object<R: Read + Seek>(
    source: &mut R,
    name: &str,
    entry: &Entry,
    heap: &mut Heap,
    builder: &mut Rebuilder,
) -> Result<pickle::Pickle, TorchFault> {
    if entry.method == Method::Deflated && entry.unpacked > MAX_DEFLATED {
        let what = format!("`data.pkl` unpacks to {} bytes, the limit is 32 MiB", entry.unpacked);
        return Err(TorchFault::new(FaultKind::Limit, entry.data, what));
    }
    let reader = entry.open(name, source)?;
    let mut pickle = Source::new(BufReader::with_capacity(1 << 16, reader), entry.unpacked);
    // The place in a deflated record is no place in the file.
    let deflated = entry.method == Method::Deflated;
    let shown = |what: String, at: u64| match deflated && at > 0 {
        true => format!("{what} (at byte {at} of the unpacked `data.pkl`)"),
        false => what,
    };
    let result = pickle::run(&mut pickle, heap, builder).map_err(|mut fault| {
        fault.what = shown(fault.what, fault.at);
        fault.at = if deflated { 0 } else { fault.at };
        TorchFault::in_pickle(fault, entry.data)
    })?;
    if pickle.left() > 0 {
        let (left, at) = (pickle.left(), pickle.at());
        let what = format!("{left} bytes follow the end of the pickle in `data.pkl`, where a second one may hide");
        let place = entry.data.saturating_add(if deflated { 0 } else { at });
        return Err(TorchFault::new(FaultKind::Pickle, place, shown(what, at)));
    }
    pickle.into_inner().into_inner().finish()?;
    Ok(result)
}

/// Does the record have the size that the object says?
fn size(storage: &Storage, record: &str, entry: &Entry) -> Result<(), TorchFault> {
    let Storage { dtype, numel, bytes } = storage;
    if entry.unpacked == *bytes {
        return Ok(());
    }
    let mut what = format!(
        "the record `{}` has {} bytes, but {numel} elements of {} take {bytes}",
        shown(record),
        entry.unpacked,
        dtype.name
    );
    // As many elements of another width: then it is the type that is wrong.
    let width = entry.unpacked.checked_div(*numel).filter(|width| width.checked_mul(*numel) == Some(entry.unpacked));
    let kind = match width {
        Some(width @ (1 | 2 | 4 | 8 | 16)) => {
            what += &format!(": as many elements of {width} bytes each");
            FaultKind::Dtype
        }
        _ => FaultKind::Storage,
    };
    Err(TorchFault::new(kind, entry.data, what))
}

/// A record of a few bytes.
fn small<R: Read + Seek>(source: &mut R, name: &str, entry: &Entry) -> Result<Vec<u8>, TorchFault> {
    if entry.unpacked > 64 {
        let what = format!("the record `{}` has {} bytes", shown(name), entry.unpacked);
        return Err(TorchFault::new(FaultKind::Record, entry.data, what));
    }
    let mut reader = entry.open(name, source)?;
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).map_err(|e| reader.fault(&e))?;
    reader.finish()?;
    Ok(bytes)
}

/// The records of an archive: its entries, under the name of the one folder they all lie in.
struct Records<'a> {
    root: &'a str,
    directory: &'a Directory,
}

impl<'a> Records<'a> {
    fn new(directory: &'a Directory) -> Result<Self, TorchFault> {
        let missing = || TorchFault::new(FaultKind::Record, 0, "the archive holds no record `data.pkl`");
        let root = directory.entries.keys().next().ok_or_else(missing)?;
        let Some((root, _)) = root.split_once('/') else {
            let what = format!("the entry `{}` lies in no folder, torch puts all of them into one", shown(root));
            return Err(TorchFault::new(FaultKind::Record, 0, what));
        };
        let records = Self { root, directory };
        for (name, entry) in &directory.entries {
            let fault = |what: String| Err(TorchFault::new(FaultKind::Record, entry.header, what));
            let Some(record) = records.inside(name) else {
                return fault(format!("`{}` lies outside the archive's folder `{}`", shown(name), shown(root)));
            };
            if record == "constants.pkl" || record.starts_with("code/") {
                let what = "a TorchScript archive (torch.jit.save): it holds code, not tensors alone";
                return Err(TorchFault::new(FaultKind::Script, entry.header, what));
            }
            if record != "data.pkl" && [".pkl", ".pickle", ".py", ".so"].iter().any(|end| record.ends_with(end)) {
                return fault(format!("`{}` does not belong into a torch file: it may be code", shown(name)));
            }
        }
        Ok(records)
    }

    fn inside<'n>(&self, name: &'n str) -> Option<&'n str> {
        name.strip_prefix(self.root)?.strip_prefix('/')
    }

    fn find(&self, record: &str) -> Option<(&'a str, &'a Entry)> {
        let name = format!("{}/{record}", self.root);
        self.directory.entries.get_key_value(&name).map(|(name, entry)| (name.as_str(), entry))
    }

    fn must(&self, record: &str) -> Result<(&'a str, &'a Entry), TorchFault> {
        let missing = || {
            let what = format!("the archive holds no record `{}`", shown(record));
            TorchFault::new(FaultKind::Record, 0, what)
        };
        self.find(record).ok_or_else(missing)
    }

    fn wrong(&self, record: &str, what: &str) -> TorchFault {
        TorchFault::new(FaultKind::Record, self.find(record).map_or(0, |(_, entry)| entry.data), what)
    }

    /// Entries that neither torch nor the object has a use for, in words.
    fn unused(&self, used: &BTreeSet<&str>) -> Result<Option<String>, TorchFault> {
        let known =
            ["data.pkl", "version", "byteorder", ".format_version", ".storage_alignment", ".data/serialization_id"];
        let mut unused = self.directory.entries.iter().filter(|(name, _)| {
            !used.contains(name.as_str()) && self.inside(name).is_none_or(|record| !known.contains(&record))
        });
        let Some((first, _)) = unused.next() else { return Ok(None) };
        Ok(Some(match unused.count() {
            0 => format!("the entry `{}` belongs to no tensor", shown(first)),
            more => format!("`{}` and {more} more entries belong to no tensor", shown(first)),
        }))
    }
}
