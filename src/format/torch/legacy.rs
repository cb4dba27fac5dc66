//! The legacy format: five pickles in a row, then the storages.

use std::io::{BufReader, Read, Seek, SeekFrom};

use crate::format::pickle::{self, Heap, NodeKind, Pickle, Source, Value};
use crate::format::shown::shown;
use crate::format::torch::rebuild::Rebuilder;
use crate::format::torch::{FaultKind, Format, MEMORY, TorchFault, TorchFile, finish, unreadable, walk};

/// 0x1950a86a20f9469cfc6c, as a pickle holds it.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const PROTOCOL: i64 = 1001;

pub(super) fn read<R: Read + Seek>(source: &mut R, len: u64) -> Result<TorchFile, TorchFault> {
    source.seek(SeekFrom::Start(0)).map_err(|e| unreadable(0, &e))?;
    let mut heap = Heap::new(MEMORY);
    let mut builder = Rebuilder::new(Format::Legacy);
    let mut bytes = Source::new(BufReader::with_capacity(1 << 16, &mut *source), len);

    let (magic, _) = match run(&mut bytes, &mut heap, &mut builder) {
        Err(fault) if fault.kind != FaultKind::Global => {
            let what = format!("not a torch file: it begins like a pickle, but {}", fault.malformed.what);
            return Err(TorchFault::new(FaultKind::NotTorch, fault.malformed.at, what));
        }
        other => other?,
    };
    if !matches!(magic.root, Value::Long(span) if heap.bytes(span) == MAGIC) {
        let what = "not a torch file: a pickle that torch.save did not write";
        return Err(TorchFault::new(FaultKind::NotTorch, 0, what));
    }
    let (protocol, at) = run(&mut bytes, &mut heap, &mut builder)?;
    if protocol.root != Value::Int(PROTOCOL) {
        let what = format!("the file does not say the protocol {PROTOCOL} of torch's legacy format");
        return Err(TorchFault::new(FaultKind::Pickle, at, what));
    }
    let (system, at) = run(&mut bytes, &mut heap, &mut builder)?;
    if !matches!(system.root, Value::Node(id) if heap.get(id).kind.is_dict()) {
        return Err(TorchFault::new(FaultKind::Pickle, at, "the third pickle is no dict about the machine"));
    }
    let (object, object_at) = run(&mut bytes, &mut heap, &mut builder)?;
    let (keys, keys_at) = run(&mut bytes, &mut heap, &mut builder)?;
    let data = bytes.at();
    drop(bytes);

    let found = walk::walk(&mut heap, &builder, object.root, object_at)?;
    let end = storages(source, &heap, &builder, &keys, [keys_at, data, len])?;
    let extra = (end < len).then(|| format!("bytes follow the last storage, {} in all", len - end));
    Ok(finish(Format::Legacy, object, found, builder.devices, extra))
}

/// One pickle of the row, and where it begins.
fn run<R: Read>(bytes: &mut Source<R>, heap: &mut Heap, builder: &mut Rebuilder) -> Result<(Pickle, u64), TorchFault> {
    let at = bytes.at();
    // Offsets are counted over the whole row, so they are places in the file.
    pickle::run(bytes, heap, builder).map(|pickle| (pickle, at)).map_err(|fault| TorchFault::in_pickle(fault, 0))
}

/// Holds each storage against its declaration; says where the last one ends.
fn storages<R: Read + Seek>(
    source: &mut R,
    heap: &Heap,
    builder: &Rebuilder,
    keys: &Pickle,
    [keys_at, mut at, len]: [u64; 3],
) -> Result<u64, TorchFault> {
    let keys = match keys.root {
        Value::Node(id) if heap.get(id).kind == NodeKind::List => heap.get(id).items.as_slice(),
        _ => return Err(TorchFault::new(FaultKind::Pickle, keys_at, "the list of storages is no list")),
    };
    let mut seen = vec![false; builder.storages.len()];
    for key in keys {
        let Some(key) = heap.text(*key) else {
            return Err(TorchFault::new(FaultKind::Pickle, keys_at, "the key of a storage is no text"));
        };
        let told = shown(key);
        let Some(number) = builder.by_key.get(key) else {
            let what = format!("the storage `{told}` is listed, but the object does not refer to it");
            return Err(TorchFault::new(FaultKind::Storage, keys_at, what));
        };
        if std::mem::replace(&mut seen[*number as usize], true) {
            return Err(TorchFault::new(FaultKind::Storage, keys_at, format!("the storage `{told}` is listed twice")));
        }
        let storage = &builder.storages[*number as usize];
        let mut count = [0; 8];
        source.seek(SeekFrom::Start(at)).and_then(|_| source.read_exact(&mut count)).map_err(|e| unreadable(at, &e))?;
        let count = u64::from_le_bytes(count);
        if count != storage.numel {
            let what = format!("the storage `{told}` has {count} elements, the object says {}", storage.numel);
            return Err(TorchFault::new(FaultKind::Storage, at, what));
        }
        let begin = at.saturating_add(8);
        at = begin.saturating_add(storage.bytes);
        if at > len {
            let what =
                format!("the storage `{told}` has {} bytes, {} are left", storage.bytes, len.saturating_sub(begin));
            return Err(TorchFault::new(FaultKind::Truncated, begin, what));
        }
    }
    if let Some(i) = seen.iter().position(|seen| !seen) {
        let what = format!("the storage `{}` is not in the file", builder.key(i as u32));
        return Err(TorchFault::new(FaultKind::Storage, keys_at, what));
    }
    Ok(at)
}
