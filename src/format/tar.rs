//! tar: the one function that writes the headers of every entry.
//!
//! Source: POSIX.1-2017, `pax`, "ustar Interchange Format" and "pax Extended Header".
//!
//! ```text
//!   0 name 100   100 mode 8   108 uid 8   116 gid 8   124 size 12   136 mtime 12   148 checksum 8
//! 156 type 1     157 link 100   257 "ustar\0" "00"   265 user 32   297 group 32   329 device 8 8
//! 345 prefix 155   500 zero 12
//! ```
//!
//! Content follows, padded with zeros to 512 bytes; two blocks of zeros end the archive. Where a path or
//! a number does not fit, a pax extended header of the same entry goes before it (type `x`, its content
//! lines `<length> <key>=<value>\n`).

use tar::{EntryType, Header};

use crate::base::RelPath;

/// Headers and contents are padded to this.
pub const BLOCK: usize = 512;

/// What ends an archive: two blocks of zeros.
pub const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// The first number that eleven octal digits cannot say: 8 GiB, or the year 2242.
const OCTAL: u64 = 1 << 33;

/// The zeros after a content of `size` bytes.
pub fn padding(size: u64) -> usize {
    (size.wrapping_neg() % BLOCK as u64) as usize
}

/// The header of a regular file, with the pax header before it where path, size or time need one:
/// a whole number of blocks that depends on the arguments alone.
pub fn header(path: &RelPath, size: u64, mtime: u64) -> Vec<u8> {
    let path = path.as_str();
    let place = if path.is_ascii() { split(path.as_bytes()) } else { None };
    let mut records = Vec::new();
    if place.is_none() {
        record(&mut records, "path", path);
    }
    if size >= OCTAL {
        record(&mut records, "size", &size.to_string());
    }
    if mtime >= OCTAL {
        record(&mut records, "mtime", &mtime.to_string());
    }
    let plain;
    let place = match place {
        Some(place) => place,
        None => {
            plain = substitute(path);
            (&[][..], plain.as_slice())
        }
    };
    let mut out = Vec::with_capacity(BLOCK);
    if !records.is_empty() {
        let name = [b"PaxHeaders/", place.1].concat();
        let name = &name[..name.len().min(100)];
        out.extend_from_slice(block((&[], name), EntryType::XHeader, records.len() as u64, 0).as_bytes());
        records.resize(records.len() + padding(records.len() as u64), 0);
        out.extend_from_slice(&records);
    }
    out.extend_from_slice(block(place, EntryType::Regular, size, mtime).as_bytes());
    out
}

/// One block. A number past eleven octal digits is written in base 256, so that a reader without pax
/// reads the same number as one with it.
fn block((prefix, name): (&[u8], &[u8]), kind: EntryType, size: u64, mtime: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(size);
    header.set_mtime(mtime);
    if let Some(ustar) = header.as_ustar_mut() {
        ustar.name[..name.len()].copy_from_slice(name);
        ustar.prefix[..prefix.len()].copy_from_slice(prefix);
        ustar.set_device_major(0);
        ustar.set_device_minor(0);
    }
    header.set_cksum();
    header
}

/// `path` as prefix and name, where it fits.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.len() <= 100 {
        return Some((&[], path));
    }
    // The longest prefix leaves the shortest name.
    let at = path.iter().take(156).rposition(|byte| *byte == b'/')?;
    let (prefix, name) = (&path[..at], &path[at + 1..]);
    (name.len() <= 100).then_some((prefix, name))
}

/// A name for readers that do not know pax: the end of the path, in ASCII.
fn substitute(path: &str) -> Vec<u8> {
    let plain: Vec<u8> = path.bytes().map(|byte| if byte.is_ascii() { byte } else { b'_' }).collect();
    let tail = &plain[plain.len().saturating_sub(100)..];
    let start = tail.iter().position(|byte| *byte != b'/').unwrap_or(0);
    tail[start..].to_vec()
}

/// Appends `<length> <key>=<value>\n`, whose length counts its own digits.
fn record(out: &mut Vec<u8>, key: &str, value: &str) {
    let rest = key.len() + value.len() + 3;
    let mut len = rest + 1;
    while rest + len.to_string().len() != len {
        len = rest + len.to_string().len();
    }
    out.extend_from_slice(format!("{len} {key}={value}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::new(text).unwrap()
    }

    /// Path and size as the `tar` crate reads them back.
    fn read(bytes: &[u8]) -> (String, u64, u64) {
        let mut archive = ::tar::Archive::new(bytes);
        let entry = archive.entries().unwrap().next().unwrap().unwrap();
        let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        (name, entry.size(), entry.header().mtime().unwrap())
    }

    #[test]
    fn plain_paths_take_one_block() {
        let bytes = header(&path("adapter_model.safetensors"), 1234, 315_532_800);
        assert_eq!(bytes.len(), BLOCK);
        assert_eq!(&bytes[257..265], b"ustar\x0000");
        assert_eq!(&bytes[100..108], b"0000644\0");
        assert_eq!(read(&bytes), ("adapter_model.safetensors".to_owned(), 1234, 315_532_800));
    }

    #[test]
    fn long_foreign_and_huge_entries_read_back() {
        let long = ["d".repeat(200), "e".repeat(200), "f".repeat(200)].join("/");
        let fits = format!("{}/{}", "d".repeat(155), "n".repeat(100));
        for text in [long.as_str(), &fits, "soft_prompts/längst.pt", &"x".repeat(101), &"y".repeat(100), "提示/語.json"]
        {
            for size in [0, OCTAL - 1, OCTAL, 10 << 30] {
                for mtime in [0, 315_532_800, OCTAL - 1] {
                    let bytes = header(&path(text), size, mtime);
                    assert_eq!(bytes.len() % BLOCK, 0);
                    let mut whole = bytes.clone();
                    whole.extend_from_slice(&END);
                    assert_eq!(read(&whole), (text.to_owned(), size, mtime), "{text}");
                    let pax = size >= OCTAL || (text != fits && (text.len() > 100 || !text.is_ascii()));
                    assert_eq!(bytes.len() > BLOCK, pax, "{text} {size}");
                }
            }
        }
    }

    #[test]
    fn record_lengths_count_themselves() {
        for len in (0..1200).chain(9_980..10_010) {
            let mut out = Vec::new();
            record(&mut out, "path", &"p".repeat(len));
            let said: usize = std::str::from_utf8(&out).unwrap().split(' ').next().unwrap().parse().unwrap();
            assert_eq!(said, out.len());
        }
    }

    #[test]
    fn padding_fills_blocks() {
        for (size, pad) in [(0, 0), (1, 511), (511, 1), (512, 0), (513, 511), (u64::MAX, 1)] {
            assert_eq!(padding(size), pad);
        }
    }
}
