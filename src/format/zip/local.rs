//! Proves an entry's own header and data descriptor against the central directory.

use std::io::{Read, Seek, SeekFrom};

use crate::format::shown::shown;
use crate::format::zip::entry::Entry;
use crate::format::zip::{Fault, Kind, extra_field, u16_at, u32_at, u64_at};

const LOCAL: usize = 30;
/// Flag 3: checksum and sizes stand behind the data.
const DESCRIPTOR: u16 = 1 << 3;

/// Checks the entry that begins at `entry.header` and must end at `next`, and sets where its data begins.
pub(super) fn prove<R: Read + Seek>(source: &mut R, name: &str, entry: &mut Entry, next: u64) -> Result<(), Fault> {
    let at = entry.header;
    let told = shown(name);
    let io = |e| Fault::io(at, &e);
    source.seek(SeekFrom::Start(at)).map_err(io)?;
    let mut fixed = [0; LOCAL];
    source.read_exact(&mut fixed).map_err(io)?;
    if &fixed[..4] != b"PK\x03\x04" {
        return Err(Fault::new(Kind::Layout, at, format!("there is no header of `{told}` where the directory says")));
    }
    let mut rest = vec![0; usize::from(u16_at(&fixed, 26)) + usize::from(u16_at(&fixed, 28))];
    source.read_exact(&mut rest).map_err(io)?;
    let (own_name, extra) = rest.split_at(usize::from(u16_at(&fixed, 26)));
    let mismatch = |what: &str| Err(Fault::new(Kind::Mismatch, at, format!("the header of `{told}` {what}")));
    if own_name != name.as_bytes() {
        return mismatch(&format!("calls it `{}`", shown(&String::from_utf8_lossy(own_name))));
    }
    if u16_at(&fixed, 6) != entry.flags || u16_at(&fixed, 8) != entry.method as u16 {
        return mismatch("has other flags or another method than the central directory");
    }
    let Some(wide) = extra_field(extra, 1) else { return mismatch("has a malformed extra field") };
    let streamed = entry.flags & DESCRIPTOR != 0;
    // A streamed entry has zeros here, and the truth in its descriptor.
    let (crc, packed, unpacked) = (u32_at(&fixed, 14), u32_at(&fixed, 18), u32_at(&fixed, 22));
    let sizes = match wide {
        Some(wide) if wide.len() >= 16 && packed == u32::MAX && unpacked == u32::MAX => {
            (u64_at(wide, 8), u64_at(wide, 0))
        }
        _ => (packed.into(), unpacked.into()),
    };
    let exact = crc == entry.crc && sizes == (entry.packed, entry.unpacked);
    let zeros = crc == 0 && (sizes == (0, 0) || wide.is_some());
    if !(exact || streamed && zeros) {
        return mismatch("has another checksum or size than the central directory");
    }

    entry.data = at + (LOCAL + rest.len()) as u64;
    let Some(behind) = next.checked_sub(entry.data).and_then(|room| room.checked_sub(entry.packed)) else {
        return Err(Fault::new(Kind::Size, at, format!("`{told}` reaches into what follows it")));
    };
    if !streamed {
        return match behind {
            0 => Ok(()),
            _ => Err(hidden(entry.data + entry.packed, &told, behind)),
        };
    }
    descriptor(source, entry, behind, &told)
}

/// The data descriptor: with or without its signature, with sizes of 4 or 8 bytes.
fn descriptor<R: Read + Seek>(source: &mut R, entry: &Entry, len: u64, told: &str) -> Result<(), Fault> {
    let at = entry.data + entry.packed;
    if !matches!(len, 12 | 16 | 20 | 24) {
        return Err(hidden(at, told, len));
    }
    let mut buffer = [0; 24];
    let record = &mut buffer[..len as usize];
    source.seek(SeekFrom::Start(at)).and_then(|_| source.read_exact(record)).map_err(|e| Fault::io(at, &e))?;
    let body = match (len, record.strip_prefix(b"PK\x07\x08")) {
        (16 | 24, Some(body)) => body,
        (12 | 20, _) => record,
        _ => return Err(hidden(at, told, len)),
    };
    let sizes = match body.len() {
        12 => (u32_at(body, 4).into(), u32_at(body, 8).into()),
        _ => (u64_at(body, 4), u64_at(body, 12)),
    };
    if u32_at(body, 0) != entry.crc || sizes != (entry.packed, entry.unpacked) {
        let what = format!("the descriptor of `{told}` has another checksum or size than the central directory");
        return Err(Fault::new(Kind::Mismatch, at, what));
    }
    Ok(())
}

fn hidden(at: u64, told: &str, len: u64) -> Fault {
    Fault::new(Kind::Layout, at, format!("{len} bytes that belong to no entry follow `{told}`"))
}
