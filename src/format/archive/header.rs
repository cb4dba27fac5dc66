//! `Header`: one 512-byte tar header, read as if an enemy had written it.
//!
//! ```text
//!   0 name 100   100 mode 8   108 uid 8   116 gid 8   124 size 12   136 mtime 12   148 checksum 8   156 type 1
//! 157 link name 100   257 magic 6   263 version 2   265 uname 32   297 gname 32   329 devmajor 8   337 devminor 8
//! 345 prefix 155 (ustar only)   500 zeros 12
//! ```
//! Source: POSIX.1-2017 pax, "ustar Interchange Format", and the GNU tar manual, "Basic Tar Format". Owner and
//! mode are not read: nothing here obeys them. Does not know what comes before or after the block.

use crate::format::shown;
use crate::format::tar::BLOCK;

/// What a header announces. Everything else is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder, which other tools store.
    Folder,
    /// GNU: the content is the name of the next entry.
    LongName,
    /// pax: the content is records about the next entry.
    Pax,
    /// pax: the content is records about all further entries.
    PaxGlobal,
}

/// A header that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// What it announces.
    pub kind: Kind,
    /// The name, prefix included, as bytes.
    pub name: Vec<u8>,
    /// Length of the content.
    pub size: u64,
    /// Seconds since 1970, where they can be read.
    pub mtime: Option<u64>,
}

impl Header {
    /// Reads a block that is not all zeros. The error is a phrase.
    pub fn parse(block: &[u8; BLOCK]) -> Result<Self, String> {
        check_sum(block)?;
        let name = text(&block[..100]);
        let name = match &block[257..265] {
            b"ustar\x0000" => match text(&block[345..500]) {
                [] => name.to_vec(),
                prefix => [prefix, b"/", name].concat(),
            },
            // GNU keeps times where ustar has the prefix; the oldest tars have no magic at all.
            b"ustar  \0" | b"\0\0\0\0\0\0\0\0" => name.to_vec(),
            _ => return Err("the tar header is of no known format".into()),
        };
        let what = match block[156] {
            b'0' | 0 if name.ends_with(b"/") && size(block)? == 0 => Ok(Kind::Folder),
            b'0' | 0 => Ok(Kind::File),
            b'5' => Ok(Kind::Folder),
            b'L' => Ok(Kind::LongName),
            b'x' => Ok(Kind::Pax),
            b'g' => Ok(Kind::PaxGlobal),
            b'1' => Err(format!("a hard link to `{}`", shown(text(&block[157..257])))),
            b'2' => Err(format!("a symbolic link to `{}`", shown(text(&block[157..257])))),
            b'3' | b'4' => Err("a device node".into()),
            b'6' => Err("a named pipe".into()),
            b'S' => Err("a sparse file".into()),
            b'K' => Err("a link with a long target".into()),
            other => Err(format!("an entry of type `{}`", other.escape_ascii())),
        };
        let kind = what.map_err(|what| format!("`{}` is {what}; a package holds regular files only", shown(&name)))?;
        let size = size(block)?;
        if kind == Kind::Folder && size != 0 {
            return Err(format!("the folder `{}` has a content of {size} bytes", shown(&name)));
        }
        Ok(Self { kind, name, size, mtime: number(&block[136..148]).ok() })
    }
}

/// A name for a message: it may hold anything.
pub fn shown(name: &[u8]) -> String {
    shown::shown(&String::from_utf8_lossy(name))
}

/// The bytes before the first NUL.
fn text(field: &[u8]) -> &[u8] {
    &field[..field.iter().position(|b| *b == 0).unwrap_or(field.len())]
}

fn size(block: &[u8; BLOCK]) -> Result<u64, String> {
    number(&block[124..136]).map_err(|e| format!("the size of `{}` {e}", shown(text(&block[..100]))))
}

/// A number in octal, or in base 256 where the first bit is set.
fn number(field: &[u8]) -> Result<u64, &'static str> {
    let (first, rest) = field.split_first().ok_or("is missing")?;
    if first & 0x80 != 0 {
        if first & 0x40 != 0 {
            return Err("is negative");
        }
        let start = u64::from(first & 0x3f);
        return rest
            .iter()
            .try_fold(start, |n, b| n.checked_mul(256)?.checked_add(u64::from(*b)))
            .filter(|n| i64::try_from(*n).is_ok())
            .ok_or("is too large");
    }
    let start = field.iter().position(|b| *b != b' ').unwrap_or(field.len());
    let digits = &field[start..];
    let end = digits.iter().position(|b| !(b'0'..=b'7').contains(b)).unwrap_or(digits.len());
    if digits.first() == Some(&b'-') {
        return Err("is negative");
    }
    if end == 0 || digits[end..].iter().any(|b| !matches!(b, 0 | b' ')) {
        return Err("is not an octal number");
    }
    digits[..end]
        .iter()
        .try_fold(0u64, |n, b| n.checked_mul(8)?.checked_add(u64::from(b - b'0')))
        .filter(|n| i64::try_from(*n).is_ok())
        .ok_or("is too large")
}

/// The checksum counts its own field as spaces. Old tars summed signed bytes.
fn check_sum(block: &[u8; BLOCK]) -> Result<(), String> {
    let told = number(&block[148..156]).map_err(|e| format!("the checksum of the tar header {e}"))?;
    let bytes = || block.iter().enumerate().map(|(i, b)| if (148..156).contains(&i) { b' ' } else { *b });
    let unsigned: u64 = bytes().map(u64::from).sum();
    let signed: i64 = bytes().map(|b| i64::from(b.cast_signed())).sum();
    if told == unsigned || i64::try_from(told) == Ok(signed) {
        Ok(())
    } else {
        Err(format!("the checksum of the tar header is wrong ({told}, and it sums to {unsigned})"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Header, Kind, number};

    #[test]
    fn numbers_in_octal_and_base_256() {
        for (field, value) in [
            (&b"0000644\0"[..], Ok(0o644)),
            (b"  644 \0", Ok(0o644)),
            (b"644", Ok(0o644)),
            (b"\x80\0\0\0\0\0\0\0\0\0\x01\x02", Ok(258)),
            (b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", Ok(i64::MAX as u64)),
            (b"\x80\0\0\0\x80\0\0\0\0\0\0\0", Err("is too large")),
            (b"\x81\0\0\0\0\0\0\0\0\0\0\0", Err("is too large")),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", Err("is negative")),
            (b"-0000001\0", Err("is negative")),
            (b"00008\0", Err("is not an octal number")),
            (b"0x10\0", Err("is not an octal number")),
            (b"12\x003", Err("is not an octal number")),
            (b"\0\0\0", Err("is not an octal number")),
            (b"   ", Err("is not an octal number")),
            (b"", Err("is missing")),
            (b"77777777777777777777777", Err("is too large")),
        ] {
            assert_eq!(number(field), value, "{}", field.escape_ascii());
        }
    }

    #[test]
    fn headers_of_the_tar_crate_are_read() {
        for mut header in [tar::Header::new_gnu(), tar::Header::new_ustar(), tar::Header::new_old()] {
            header.set_path("a/b").unwrap();
            header.set_size(7);
            header.set_mtime(9);
            header.set_cksum();
            let read = Header::parse(header.as_bytes()).unwrap();
            assert_eq!(read, Header { kind: Kind::File, name: b"a/b".to_vec(), size: 7, mtime: Some(9) });
        }
        let mut header = tar::Header::new_ustar();
        let long = format!("{}/{}", "d".repeat(120), "f".repeat(90));
        header.set_path(&long).unwrap();
        header.set_size(0);
        header.set_cksum();
        assert_eq!(Header::parse(header.as_bytes()).unwrap().name, long.as_bytes());
    }

    #[test]
    fn signed_sums_are_accepted_and_wrong_ones_are_not() {
        let mut header = tar::Header::new_old();
        header.set_path("é").unwrap();
        header.set_size(0);
        header.set_cksum();
        let mut block = *header.as_bytes();
        assert!(Header::parse(&block).is_ok());
        // Two bytes over 127: the signed sum is 512 less.
        let sum = number(&block[148..156]).unwrap() - 512;
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        assert!(Header::parse(&block).is_ok());
        block[0] ^= 1;
        assert!(Header::parse(&block).unwrap_err().contains("checksum"));
    }
}
