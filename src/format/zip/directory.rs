//! `Directory`: every entry of an archive, read from its end, each proven against its own header.

use std::collections::BTreeMap;
use std::io::{BufReader, Read, Seek, SeekFrom};

use crate::format::shown::shown;
use crate::format::zip::entry::{Entry, Method, RATIO};
use crate::format::zip::{Fault, Kind, extra_field, local, u16_at, u32_at, u64_at};

/// Most entries. A file of torch has one for each storage.
const MAX_ENTRIES: u64 = 1 << 16;
/// Largest central directory.
const MAX_DIRECTORY: u64 = 8 << 20;
/// Unpacked bytes of all entries together that need no reason; above that they are held against the file's length.
const FREE: u64 = 16 << 20;
/// Longest name.
const MAX_NAME: usize = 1024;

const END: u64 = 22;
const LOCATOR: u64 = 20;
const ZIP64: u64 = 56;
const CENTRAL: usize = 46;

/// The entries of an archive.
#[derive(Debug)]
pub struct Directory {
    /// Name → entry; directories are left out.
    pub entries: BTreeMap<String, Entry>,
}

/// Where the central directory lies, from the end records.
struct End {
    entries: u64,
    size: u64,
    offset: u64,
}

/// Reads and proves the directory of an archive of `len` bytes.
pub fn read<R: Read + Seek>(source: &mut R, len: u64) -> Result<Directory, Fault> {
    let end = end(source, len)?;
    source.seek(SeekFrom::Start(end.offset)).map_err(|e| Fault::io(end.offset, &e))?;
    let mut reader = BufReader::with_capacity(1 << 16, source.by_ref().take(end.size));
    let mut at = end.offset;
    let mut entries = BTreeMap::new();
    // (offset of the local header, name): in file order once sorted.
    let mut order = Vec::new();
    for _ in 0..end.entries {
        let (name, entry, size) = central(&mut reader, at, end.offset)?;
        order.push((entry.header, name.clone()));
        if entries.insert(name.clone(), entry).is_some() {
            return Err(Fault::new(Kind::Duplicate, at, format!("two entries are named `{}`", shown(&name))));
        }
        at += size;
    }
    if at != end.offset + end.size {
        return Err(Fault::new(Kind::Layout, at, "bytes lie between the central directory and the end record"));
    }
    let unpacked = entries.values().fold(0_u64, |sum, entry: &Entry| sum.saturating_add(entry.unpacked));
    if unpacked > len.saturating_mul(RATIO).saturating_add(FREE) {
        let what = format!("the archive's {len} bytes unpack to {unpacked}");
        return Err(Fault::new(Kind::Bomb, end.offset, what));
    }
    order.sort();
    let mut expected = 0;
    for (i, (header, name)) in order.iter().enumerate() {
        if *header != expected {
            return Err(Fault::new(
                Kind::Layout,
                expected.min(*header),
                format!("`{}` begins at byte {header}, but what lies before it ends at byte {expected}", shown(name)),
            ));
        }
        let next = order.get(i + 1).map_or(end.offset, |(next, _)| *next);
        let entry = entries.get_mut(name).expect("every name in the order was inserted");
        local::prove(source, name, entry, next)?;
        expected = next;
    }
    if expected != end.offset {
        return Err(Fault::new(Kind::Layout, expected, "bytes lie before the central directory"));
    }
    entries.retain(|name: &String, _| !name.ends_with('/'));
    Ok(Directory { entries })
}

/// Does an archive end in these last bytes of a file? Then the start of it was covered by something else.
pub fn find_end(tail: &[u8]) -> bool {
    tail.len() >= END as usize && tail.windows(4).any(|w| w == b"PK\x05\x06")
}

/// The three records at the end (4.3.14 to 4.3.16).
fn end<R: Read + Seek>(source: &mut R, len: u64) -> Result<End, Fault> {
    let missing = |at| Fault::new(Kind::Truncated, at, "the end record of the archive is missing, the file is cut off");
    let at = len.checked_sub(END).ok_or_else(|| missing(len))?;
    let mut record = [0; END as usize];
    read_at(source, at, &mut record)?;
    if &record[..4] != b"PK\x05\x06" {
        let from = len.saturating_sub(END + 0xffff);
        let mut tail = vec![0; usize::try_from(len - from).map_err(|_| missing(len))?];
        read_at(source, from, &mut tail)?;
        // Of a record that is cut off itself, less than its own length is left.
        let whole = |i: &usize| tail.len() - i >= END as usize;
        return Err(match tail.windows(4).rposition(|w| w == b"PK\x05\x06").filter(whole) {
            Some(i) => {
                Fault::new(Kind::Layout, from + i as u64 + END, "bytes or a comment follow the end of the archive")
            }
            None => missing(len),
        });
    }
    if u16_at(&record, 20) != 0 {
        return Err(Fault::new(Kind::Layout, at + 20, "the end record declares a comment that is not there"));
    }
    if u32_at(&record, 4) != 0 {
        return Err(Fault::new(Kind::Layout, at + 4, "the archive spans several disks"));
    }
    let (here, all) = (u16_at(&record, 8), u16_at(&record, 10));
    if here != all {
        return Err(Fault::new(Kind::Layout, at + 8, "the end record counts its entries in two ways"));
    }
    let short = End { entries: all.into(), size: u32_at(&record, 12).into(), offset: u32_at(&record, 16).into() };
    let (found, stop) = match zip64(source, at)? {
        None => (short, at),
        Some((wide, stop)) => {
            let agree = |short: u64, wide: u64, sentinel: u64| short == wide || (short == sentinel && wide >= sentinel);
            if !agree(short.entries, wide.entries, 0xffff)
                || !agree(short.size, wide.size, 0xffff_ffff)
                || !agree(short.offset, wide.offset, 0xffff_ffff)
            {
                return Err(Fault::new(Kind::Mismatch, stop, "the zip64 end record and the end record disagree"));
            }
            (wide, stop)
        }
    };
    if found.offset.checked_add(found.size) != Some(stop) {
        return Err(Fault::new(
            Kind::Layout,
            stop,
            "the central directory does not end where the end records begin: something stands before or inside the archive",
        ));
    }
    if found.entries > MAX_ENTRIES || found.size > MAX_DIRECTORY {
        let what = format!("{} entries; {MAX_ENTRIES} entries with 8 MiB of names are the limit", found.entries);
        return Err(Fault::new(Kind::Limit, found.offset, what));
    }
    Ok(found)
}

/// The zip64 records, where the 20 bytes before the end record are their locator; and where they begin.
fn zip64<R: Read + Seek>(source: &mut R, end: u64) -> Result<Option<(End, u64)>, Fault> {
    let Some(at) = end.checked_sub(LOCATOR) else { return Ok(None) };
    let mut locator = [0; LOCATOR as usize];
    read_at(source, at, &mut locator)?;
    if &locator[..4] != b"PK\x06\x07" {
        return Ok(None);
    }
    let place = u64_at(&locator, 8);
    if place.checked_add(ZIP64) != Some(at) || u32_at(&locator, 4) != 0 || u32_at(&locator, 16) != 1 {
        return Err(Fault::new(Kind::Layout, at, "the zip64 locator does not point at the record before it"));
    }
    let mut record = [0; ZIP64 as usize];
    read_at(source, place, &mut record)?;
    if &record[..4] != b"PK\x06\x06" || u64_at(&record, 4) != ZIP64 - 12 || u64_at(&record, 16) != 0 {
        return Err(Fault::new(Kind::Layout, place, "the zip64 end record is malformed"));
    }
    if u64_at(&record, 24) != u64_at(&record, 32) {
        return Err(Fault::new(Kind::Layout, place + 24, "the zip64 end record counts its entries in two ways"));
    }
    Ok(Some((End { entries: u64_at(&record, 32), size: u64_at(&record, 40), offset: u64_at(&record, 48) }, place)))
}

/// One header of the central directory: its name, the entry, the bytes it took.
fn central<R: Read>(reader: &mut R, at: u64, limit: u64) -> Result<(String, Entry, u64), Fault> {
    let mut fixed = [0; CENTRAL];
    reader.read_exact(&mut fixed).map_err(|e| Fault::io(at, &e))?;
    if &fixed[..4] != b"PK\x01\x02" {
        return Err(Fault::new(Kind::Layout, at, "a header of the central directory is malformed"));
    }
    let lengths = [28, 30, 32].map(|i| usize::from(u16_at(&fixed, i)));
    let mut rest = vec![0; lengths.iter().sum()];
    reader.read_exact(&mut rest).map_err(|e| Fault::io(at, &e))?;
    let name = name(&rest[..lengths[0]], at)?;
    let told = shown(&name);

    let flags = u16_at(&fixed, 8);
    if flags & !0b1000_0000_1110 != 0 {
        let what = if flags & 1 == 1 { "is encrypted" } else { "has flags that no torch file has" };
        return Err(Fault::new(Kind::Flags, at + 8, format!("`{told}` {what} (0x{flags:04x})")));
    }
    let method = match u16_at(&fixed, 10) {
        0 => Method::Stored,
        8 => Method::Deflated,
        other => {
            return Err(Fault::new(Kind::Flags, at + 10, format!("`{told}` is packed by the unknown method {other}")));
        }
    };
    // Unix mode (4.4.15), whatever system the archive says it was made on.
    let file_type = (u32_at(&fixed, 38) >> 16) & 0o170_000;
    if !matches!((file_type, name.ends_with('/')), (0, _) | (0o100_000, false) | (0o040_000, true)) {
        let what = if file_type == 0o120_000 { "a symbolic link" } else { "a special file" };
        return Err(Fault::new(Kind::Link, at + 38, format!("`{told}` is {what}")));
    }
    if u16_at(&fixed, 34) != 0 {
        return Err(Fault::new(Kind::Layout, at + 34, format!("`{told}` lies on another disk")));
    }
    let wide = extra_field(&rest[lengths[0]..lengths[0] + lengths[1]], 1)
        .ok_or_else(|| Fault::new(Kind::Layout, at, format!("the extra field of `{told}` is malformed")))?;
    let mut wide = wide.unwrap_or(&[]);
    let mut size = |i: usize| match u32_at(&fixed, i) {
        0xffff_ffff if wide.len() >= 8 => {
            let value = u64_at(wide, 0);
            wide = &wide[8..];
            value
        }
        value => value.into(),
    };
    // In this order stand the values that the zip64 field holds.
    let (unpacked, packed, header) = (size(24), size(20), size(42));
    let fits = header.checked_add(packed).is_some_and(|end| end <= limit);
    if !fits || (method == Method::Stored && packed != unpacked) {
        let what = format!("`{told}` says it has {unpacked} bytes, {packed} of them in the file: that cannot be");
        return Err(Fault::new(Kind::Size, at + 20, what));
    }
    if name.ends_with('/') && unpacked != 0 {
        return Err(Fault::new(Kind::Path, at, format!("`{told}` is a folder that holds bytes")));
    }
    let entry = Entry { method, flags, crc: u32_at(&fixed, 16), packed, unpacked, header, data: 0 };
    Ok((name, entry, (CENTRAL + rest.len()) as u64))
}

/// A name is a relative path with `/`, in UTF-8.
fn name(bytes: &[u8], at: u64) -> Result<String, Fault> {
    let fault = |what: String| Err(Fault::new(Kind::Path, at + CENTRAL as u64, what));
    let Ok(text) = std::str::from_utf8(bytes) else { return fault("an entry's name is not UTF-8".into()) };
    if text.is_empty() || text.len() > MAX_NAME {
        return fault(format!("an entry's name has {} bytes", text.len()));
    }
    let path = text.strip_suffix('/').unwrap_or(text);
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return fault(format!("the entry `{}` leaves its folder", shown(text)));
    }
    if text.chars().any(|c| c == '\\' || c.is_control()) || text.as_bytes().get(1) == Some(&b':') {
        return fault(format!("the entry's name `{}` is no portable path", shown(text)));
    }
    Ok(text.to_owned())
}

fn read_at<R: Read + Seek>(source: &mut R, at: u64, buffer: &mut [u8]) -> Result<(), Fault> {
    source.seek(SeekFrom::Start(at)).and_then(|_| source.read_exact(buffer)).map_err(|e| Fault::io(at, &e))
}
