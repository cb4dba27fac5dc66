//! A strict reader of zip archives as `torch.save` writes them: what two readers could see differently is refused.
//!
//! Source: PKWARE's APPNOTE 6.3.10. A crate that reads zip is made to be lenient, and hides what must be seen here:
//! duplicate names, local headers that disagree with the central directory, bytes before, between or after the entries.
//!
//! ```text
//! entry (4.3.7)    "PK\3\4" version flags method time date crc size64? name extra | data | descriptor (4.3.9) if flag 3
//!  ...             entries touch each other: the first begins at byte 0
//! central (4.3.12) "PK\1\2" made-by version flags method time date crc sizes lengths disk attributes offset | name extra
//! zip64 (4.3.14)   "PK\6\6" 44 made-by version disks entries entries size offset      optional; torch always has it
//! locator (4.3.15) "PK\6\7" disk, offset of the record above, disks                   with it
//! end (4.3.16)     "PK\5\6" disks entries entries size offset comment-length          the last 22 bytes of the file
//! ```
//! Sizes of 0xffffffff stand in the extra field 0x0001 (4.5.3). Methods: 0 stored, 8 deflated (4.4.5).
//! Flags (4.4.4) that are let pass: 1 and 2 (how hard deflate worked), 3 (descriptor), 11 (UTF-8).

mod directory;
mod entry;
mod local;

use std::fmt;
use std::io;

use crate::base::Malformed;

pub use directory::{Directory, find_end, read};
pub use entry::{Entry, EntryReader, Method};

/// What is wrong with an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The headers are not laid out as the format says, or bytes lie where none belong.
    Layout,
    /// The end of the archive is missing.
    Truncated,
    /// Two entries have one name.
    Duplicate,
    /// A name is absolute, climbs out with `..` or is no path.
    Path,
    /// The local header and the central directory disagree.
    Mismatch,
    /// A size is impossible.
    Size,
    /// Encrypted, patched or of an unknown method.
    Flags,
    /// A symbolic link or another special file.
    Link,
    /// The checksum does not match.
    Crc,
    /// Unpacks to more than its packed size lets expect.
    Bomb,
    /// More entries than may be.
    Limit,
    /// The source could not be read.
    Unreadable,
}

/// Where and what is wrong with an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Its kind.
    pub kind: Kind,
    /// Place and phrase.
    pub malformed: Malformed,
}

impl Fault {
    /// `what` is wrong at byte `at`.
    pub fn new(kind: Kind, at: u64, what: impl Into<String>) -> Self {
        Self { kind, malformed: Malformed::new(at, what) }
    }

    fn io(at: u64, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::new(Kind::Truncated, at, "the file ends inside the archive"),
            _ => Self::new(Kind::Unreadable, at, error.to_string()),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.malformed.fmt(f)
    }
}

impl std::error::Error for Fault {}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

/// The body of an extra field (4.5.1): a run of `id, length, data`. `None` where the block itself is broken.
fn extra_field(mut block: &[u8], wanted: u16) -> Option<Option<&[u8]>> {
    let mut found = None;
    // Fewer than four bytes at the end are padding, as zipalign and old tools leave it.
    while block.len() >= 4 {
        let (id, len) = (u16_at(block, 0), usize::from(u16_at(block, 2)));
        let body = block.get(4..4 + len)?;
        if id == wanted {
            found = Some(body);
        }
        block = &block[4 + len..];
    }
    Some(found)
}
