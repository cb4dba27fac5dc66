//! `Stat`: what the kernel says of a file without opening it; two equal stats mean an unchanged file, but for git's racy rule.

use std::ffi::CStr;
use std::io;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, StatxFlags};
use serde::{Deserialize, Serialize};

/// What kind of thing a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub enum Kind {
    /// A regular file.
    File = 0,
    /// A folder.
    Dir = 1,
    /// A symbolic link.
    Link = 2,
    /// A pipe, socket or device.
    Other = 3,
}

/// What to do with a link at the end of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// Ask for what it leads to: for what is read.
    Follow,
    /// Ask for the link itself: for what is written, as a link would be replaced.
    Keep,
}

/// Size, times and identity of a file. Times are nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stat {
    /// What it is.
    pub kind: Kind,
    /// Length in bytes.
    pub size: u64,
    /// When its content was last written.
    pub mtime: i64,
    /// When its content or attributes were last changed; no program can set it.
    pub ctime: i64,
    /// Its number on the file system.
    pub ino: u64,
}

/// File systems keep times in ticks of up to 10 ms (ext4, xfs: the kernel's jiffy).
const TICK: i64 = 20_000_000;

const MASK: StatxFlags =
    StatxFlags::TYPE.union(StatxFlags::SIZE).union(StatxFlags::MTIME).union(StatxFlags::CTIME).union(StatxFlags::INO);

impl Stat {
    /// Of the path itself, not of what a link points to.
    pub fn of(path: &Path) -> io::Result<Self> {
        Self::at(rustix::fs::CWD, path, AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Of what the path leads to.
    pub fn following(path: &Path) -> io::Result<Self> {
        Self::at(rustix::fs::CWD, path, AtFlags::empty())
    }

    /// Of an open file.
    pub fn of_file(file: &std::fs::File) -> io::Result<Self> {
        Self::at(file, c"", AtFlags::EMPTY_PATH)
    }

    /// Of a path relative to an open folder: the cheapest way to ask for many.
    pub fn below(dir: &impl std::os::fd::AsFd, path: &CStr, links: Links) -> io::Result<Self> {
        let flags = if links == Links::Follow { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
        Self::at(dir, path, flags)
    }

    /// The same, of a path that the kernel's NUL does not stand behind yet.
    pub fn below_at(dir: &impl std::os::fd::AsFd, path: &str, links: Links) -> io::Result<Self> {
        let flags = if links == Links::Follow { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
        Self::at(dir, path, flags)
    }

    /// Is it the same folder with the same entries? A folder's size says nothing that its times do not.
    pub fn has_entries_of(&self, then: &Self) -> bool {
        (self.mtime, self.ctime, self.ino) == (then.mtime, then.ctime, then.ino)
    }

    fn at(dir: impl std::os::fd::AsFd, path: impl rustix::path::Arg, flags: AtFlags) -> io::Result<Self> {
        let x = rustix::fs::statx(dir, path, flags | AtFlags::STATX_DONT_SYNC, MASK)?;
        let nanos =
            |t: rustix::fs::StatxTimestamp| t.tv_sec.wrapping_mul(1_000_000_000).wrapping_add(i64::from(t.tv_nsec));
        let kind = match FileType::from_raw_mode(x.stx_mode.into()) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Dir,
            FileType::Symlink => Kind::Link,
            _ => Kind::Other,
        };
        Ok(Self { kind, size: x.stx_size, mtime: nanos(x.stx_mtime), ctime: nanos(x.stx_ctime), ino: x.stx_ino })
    }

    /// Could the file be written again without its stat changing, if it was read at `read_at`? Git's racy rule:
    /// a time that is not clearly older than the reading proves nothing.
    pub fn is_racy(&self, read_at: i64) -> bool {
        self.mtime.max(self.ctime).saturating_add(TICK) > read_at
    }

    /// How long to wait until a writing shows in the times: `None` where it would show now, or where the times lie so
    /// far ahead that no waiting helps (a clock that was set back).
    pub fn youth(&self, now: i64) -> Option<std::time::Duration> {
        let age = now.saturating_sub(self.mtime.max(self.ctime));
        (-TICK..=TICK).contains(&age).then(|| std::time::Duration::from_nanos((TICK - age) as u64 + 1_000_000))
    }

    /// Is it a regular file?
    pub fn is_file(&self) -> bool {
        self.kind == Kind::File
    }

    /// Is it a folder?
    pub fn is_dir(&self) -> bool {
        self.kind == Kind::Dir
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Kind, Stat, TICK};

    /// A file that was written then, and had its attributes changed then.
    fn stat(mtime: i64, ctime: i64) -> Stat {
        Stat { kind: Kind::File, size: 1, mtime, ctime, ino: 1 }
    }

    #[test]
    fn a_time_proves_nothing_until_it_is_clearly_past() {
        const NOW: i64 = 1_000_000_000_000;
        let old = NOW - TICK - 1;
        for (stat, racy) in [
            (stat(old, old), false),
            (stat(NOW, old), true),
            // A restored backup has an old time of writing, but not of its attributes.
            (stat(0, NOW), true),
            (stat(0, old), false),
            // The clock was set back since.
            (stat(old, NOW + 3_600_000_000_000), true),
            (stat(i64::MAX, i64::MAX), true),
            (stat(i64::MIN, i64::MIN), false),
        ] {
            assert_eq!(stat.is_racy(NOW), racy, "{stat:?}");
        }
    }

    #[test]
    fn only_who_is_a_tick_old_is_waited_for() {
        const NOW: i64 = 1_000_000_000_000;
        let waited = |time: i64| stat(time, time).youth(NOW);
        assert_eq!(waited(NOW - TICK - 1), None);
        assert_eq!(waited(NOW), Some(Duration::from_nanos(TICK as u64 + 1_000_000)));
        assert_eq!(waited(NOW + TICK), Some(Duration::from_nanos(2 * TICK as u64 + 1_000_000)));
        // Waiting a day for a clock that was set back would help nobody.
        assert_eq!(waited(NOW + 86_400_000_000_000), None);
        assert_eq!(waited(i64::MAX), None);
    }
}
