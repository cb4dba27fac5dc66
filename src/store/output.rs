//! `Output`: a file that appears at its place whole or not at all: temporary, sync, rename.
//!
//! The temporary lies in the folder of the output, so the rename is atomic. While its writer lives it is locked; a
//! temporary that nobody locks was left by a killed process, and the next writer into the folder removes it.
//!
//! Another host may not see this one's locks, be the folder shared by a network or between containers; and some folders
//! know no locks at all. So the name tells the host, and what another one made, or what cannot be locked, is removed only
//! after a day in which nobody wrote to it. Nothing but this tidying rests on locks.

#![expect(clippy::disallowed_methods, reason = "store owns the disk")]

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::fs::FallocateFlags;

use crate::base::{Error, Result};

/// What the names of temporaries begin with.
pub const TEMPORARY: &str = ".expert-build-tmp-";

/// What may belong to a living process that cannot be asked is left alone for so long.
const ABANDONED: Duration = Duration::from_secs(86_400);

/// What the names of this host's temporaries begin with.
pub fn prefix() -> &'static str {
    static PREFIX: OnceLock<String> = OnceLock::new();
    PREFIX.get_or_init(|| {
        let host = blake3::hash(rustix::system::uname().nodename().to_bytes()).to_hex();
        format!("{TEMPORARY}{}-", &host[..6])
    })
}

/// A file that is being written and not yet at its place. Dropping it removes the temporary.
#[derive(Debug)]
pub struct Output {
    target: PathBuf,
    temporary: tempfile::NamedTempFile,
    /// Must it be on the disk before it is in its place?
    synced: bool,
    flusher: Option<Flusher>,
    /// Bytes written since the flusher was last told.
    unflushed: u64,
    /// Why the temporary could not be locked.
    unlocked: Option<io::Error>,
}

/// Sends what was written to the disk while more is being written, so that the final sync has little left to wait for.
#[derive(Debug)]
struct Flusher {
    wake: Option<std::sync::mpsc::SyncSender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// How many bytes are worth a push to the disk.
const FLUSH: u64 = 16 << 20;

impl Flusher {
    /// `None` where there is no thread or handle to be had: the final sync does all of it then.
    fn start(file: &File) -> Option<Self> {
        let file = file.try_clone().ok()?;
        let (wake, woken) = std::sync::mpsc::sync_channel(1);
        let flush = move || {
            while woken.recv().is_ok() {
                // An error comes again at the final sync, where it counts.
                let _ = file.sync_data();
            }
        };
        let thread = std::thread::Builder::new().name("flusher".into()).spawn(flush).ok()?;
        Some(Self { wake: Some(wake), thread: Some(thread) })
    }

    fn wake(&self) {
        if let Some(wake) = &self.wake {
            let _ = wake.try_send(());
        }
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Output {
    /// Begins the file at `target`, making its folder where it is missing. It is on the disk before it is in its place.
    pub fn create(target: &Path) -> Result<Self> {
        Self::begin(target, true)
    }

    /// The same, and nobody waits for the disk or hurries it: for the cache, whose loss costs only time and whose every
    /// reading is checked.
    pub fn create_unsynced(target: &Path) -> Result<Self> {
        Self::begin(target, false)
    }

    fn begin(target: &Path, synced: bool) -> Result<Self> {
        let folder = parent(target);
        fs::create_dir_all(folder).map_err(|e| Error::io("create the folder", folder, e))?;
        loop {
            let temporary = tempfile::Builder::new()
                .prefix(prefix())
                .permissions(mode_0644())
                .tempfile_in(folder)
                .map_err(|e| Error::io("create a temporary file in", folder, nameless_error(e)))?;
            let unlocked = match hold(temporary.as_file()) {
                Ok(false) => continue,
                Ok(true) => None,
                Err(e) => Some(e),
            };
            return Ok(Self { target: target.to_path_buf(), temporary, synced, flusher: None, unflushed: 0, unlocked });
        }
    }

    /// Where it will be.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Why its folder knows no locks, where that is so.
    pub fn unlocked(&self) -> Option<&io::Error> {
        self.unlocked.as_ref()
    }

    /// The file as it is now.
    pub fn file(&self) -> &File {
        self.temporary.as_file()
    }

    /// Asks the file system for the room beforehand: a full disk is told before the work, and writing is faster.
    pub fn reserve(&self, bytes: u64) -> Result<()> {
        if bytes == 0 {
            return Ok(());
        }
        match rustix::fs::fallocate(self.file(), FallocateFlags::KEEP_SIZE, 0, bytes) {
            Err(e @ (rustix::io::Errno::NOSPC | rustix::io::Errno::DQUOT | rustix::io::Errno::FBIG)) => {
                Err(Error::io("reserve room for", &self.target, e.into()))
            }
            // Not every file system can.
            _ => Ok(()),
        }
    }

    /// Writes all of it.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.temporary.as_file_mut().write_all(bytes).map_err(|e| Error::io("write", &self.target, e))?;
        self.grows_by(bytes.len() as u64);
        Ok(())
    }

    /// A handle for whoever writes on another thread, while [`Output::grows_by`] is told how much that is.
    pub fn handle(&self) -> Result<File> {
        self.file().try_clone().map_err(|e| Error::io("write", &self.target, e))
    }

    /// So many bytes more are written, or soon will be.
    pub fn grows_by(&mut self, bytes: u64) {
        self.unflushed += bytes;
        if self.synced && self.unflushed >= FLUSH {
            self.unflushed = 0;
            if self.flusher.is_none() {
                self.flusher = Flusher::start(self.temporary.as_file());
            }
            self.flusher.iter().for_each(Flusher::wake);
        }
    }

    /// Gives it the mode of the file that it replaces, where there is one: for files that are the user's.
    pub fn keep_mode(&self) -> io::Result<()> {
        match fs::metadata(&self.target) {
            Ok(metadata) => self.file().set_permissions(metadata.permissions()),
            Err(_) => Ok(()),
        }
    }

    /// The same, at a place that was not known when the file was begun (on the same file system).
    pub fn commit_at(mut self, target: &Path) -> Result<File> {
        let folder = parent(target);
        fs::create_dir_all(folder).map_err(|e| Error::io("create the folder", folder, e))?;
        self.target = target.to_path_buf();
        // Room that was reserved and not used goes back.
        let length = self.file().metadata().map_err(|e| Error::io("read", target, e))?.len();
        self.file().set_len(length).map_err(|e| Error::io("write", target, e))?;
        self.commit()
    }

    /// Takes it away, as what stands at its place is just as good. Dropping it would hide that the temporary has to stay:
    /// then whoever is told of it has to come here again.
    pub fn discard(self) -> Result<()> {
        let Self { target, temporary, .. } = self;
        temporary.close().map_err(|e| Error::io("remove a temporary file in", parent(&target), e))
    }

    /// Puts it in its place, over whatever is there.
    pub fn commit(mut self) -> Result<File> {
        let (target, sync) = (self.target, self.synced);
        if sync {
            drop(self.flusher.take());
            self.temporary.as_file().sync_all().map_err(|e| Error::io("sync", &target, e))?;
        }
        if fs::symlink_metadata(&target).is_ok_and(|m| m.is_dir()) {
            let exists = io::Error::from(io::ErrorKind::IsADirectory);
            return Err(Error::io("write", &target, exists));
        }
        if is_special(&target) {
            let text = "a device or a pipe stands there, and a file would take its place";
            return Err(Error::io("write", &target, io::Error::other(text)));
        }
        let file = self.temporary.persist(&target).map_err(|e| Error::io("put in place", &target, e.error))?;
        if sync && let Ok(folder) = File::open(parent(&target)) {
            // Not every file system syncs folders; the rename itself was atomic.
            let _ = folder.sync_all();
        }
        Ok(file)
    }
}

/// The error without the name of the temporary, which nobody asked for and which tells nothing.
pub(in crate::store) fn nameless_error(error: io::Error) -> io::Error {
    // The error below it cannot be had: all that tempfile shows of it is its text.
    match error.to_string().split_once(" at path ") {
        Some((cause, _)) => io::Error::new(error.kind(), cause),
        None => error,
    }
}

/// A file without a name in this folder, which is made where it is missing: gone as soon as it is closed.
pub(in crate::store) fn nameless(folder: &Path) -> io::Result<File> {
    fs::create_dir_all(folder)?;
    tempfile::tempfile_in(folder)
}

/// Does the path lead to a device, a pipe or a socket? Links are followed: `/dev/stdout` is one.
fn is_special(target: &Path) -> bool {
    fs::metadata(target).is_ok_and(|m| !m.is_file() && !m.is_dir())
}

/// Writes a small file whole. What is no file, `/dev/null` say, is written to and never replaced.
pub fn write(target: &Path, bytes: &[u8]) -> Result<()> {
    if is_special(target) {
        let written = File::options().write(true).open(target).and_then(|mut file| file.write_all(bytes));
        return written.map_err(|e| Error::io("write", target, e));
    }
    let mut output = Output::create(target)?;
    output.write(bytes)?;
    output.commit().map(drop)
}

/// Removes the temporaries that killed processes left in this folder, and says how many. Never fails: litter is not
/// worth an error.
pub fn tidy(folder: &Path) -> usize {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let mut removed = 0;
    for entry in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(TEMPORARY)) {
        // Nothing else of that name is ours.
        let Ok(kind) = entry.file_type() else { continue };
        if !kind.is_file() && !kind.is_dir() {
            continue;
        }
        // What it is may have changed since: to open a pipe could take for ever, and links are never followed.
        let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW;
        let Ok(file) = File::options().read(true).custom_flags(flags.bits() as i32).open(entry.path()) else {
            continue;
        };
        let orphaned = match file.try_lock() {
            Ok(()) => entry.file_name().to_string_lossy().starts_with(prefix()) || is_abandoned(&file),
            Err(fs::TryLockError::Error(_)) => is_abandoned(&file),
            Err(fs::TryLockError::WouldBlock) => false,
        };
        if orphaned {
            let path = entry.path();
            let gone = if kind.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
            removed += usize::from(gone.is_ok());
        }
    }
    removed
}

/// Did nobody write to it for a day?
fn is_abandoned(file: &File) -> bool {
    let written = file.metadata().and_then(|metadata| metadata.modified());
    written.is_ok_and(|written| written.elapsed().is_ok_and(|age| age > ABANDONED))
}

/// The same in the folder where this file is going to be written.
pub fn tidy_beside(target: &Path) {
    tidy(parent(target));
}

/// Locks a temporary that was just made. `false` where someone who tidies took it for an orphan before it was locked:
/// then it is gone, or about to be.
pub(in crate::store) fn keep_hold(file: &File) -> bool {
    // Where a lock cannot be had (some network folders), nobody takes what is young for an orphan.
    hold(file).unwrap_or(true)
}

fn hold(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    match file.try_lock() {
        Err(fs::TryLockError::WouldBlock) => Ok(false),
        Err(fs::TryLockError::Error(e)) => Err(e),
        Ok(()) => Ok(file.metadata().is_ok_and(|m| m.nlink() > 0)),
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// What any program would give a new file; tempfile's own default is 0600. The umask still takes away what the user
/// wants nobody else to read.
fn mode_0644() -> fs::Permissions {
    use std::os::unix::fs::PermissionsExt as _;
    fs::Permissions::from_mode(0o644)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::{ABANDONED, Output, TEMPORARY, prefix, tidy, write};

    #[test]
    fn devices_and_sockets_are_never_replaced() {
        let dir = tempfile::tempdir().expect("dir");
        let (null, socket) = (dir.path().join("null"), dir.path().join("socket"));
        std::os::unix::fs::symlink("/dev/null", &null).expect("link");
        let _bound = std::os::unix::net::UnixListener::bind(&socket).expect("socket");
        write(&null, b"gone").expect("it takes anything");
        for special in [&null, &socket] {
            let mut output = Output::create(special).expect("created");
            output.write(b"x").expect("written");
            let error = output.commit().expect_err("it stays");
            assert!(std::error::Error::source(&error).expect("a cause").to_string().contains("a device or a pipe"));
            assert!(!std::fs::metadata(special).expect("it is there").is_file());
        }
        assert!(std::fs::symlink_metadata(&null).expect("it is there").is_symlink());
        assert_eq!(std::fs::read_dir(dir.path()).expect("list").count(), 2, "no temporary stays");
    }

    #[test]
    fn appears_whole_or_not_at_all() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("sub/out");
        let mut output = Output::create(&path).expect("create");
        output.write(b"half").expect("write");
        assert!(!path.exists());
        drop(output);
        assert_eq!(std::fs::read_dir(dir.path().join("sub")).expect("dir").count(), 0);
        write(&path, b"whole").expect("write");
        assert_eq!(std::fs::read(&path).expect("read"), b"whole");
    }

    #[test]
    fn whoever_cannot_take_a_temporary_away_says_so() {
        let dir = tempfile::tempdir().expect("dir");
        let begun = || Output::create(&dir.path().join("out")).expect("create");
        begun().discard().expect("it can be removed");
        let output = begun();
        let there: Vec<_> = std::fs::read_dir(dir.path()).expect("dir").flatten().collect();
        assert_eq!(there.len(), 1);
        std::fs::remove_file(there[0].path()).expect("removed by somebody else");
        let told = output.discard().expect_err("nothing is there to be removed").to_string();
        assert!(told.starts_with("cannot remove a temporary file in"), "{told}");
    }

    #[test]
    fn only_orphans_are_tidied() {
        let dir = tempfile::tempdir().expect("dir");
        let orphan = dir.path().join(format!("{}x", prefix()));
        std::fs::write(&orphan, b"").expect("write");
        let folder = dir.path().join(format!("{}folder", prefix()));
        std::fs::create_dir_all(folder.join("sub")).expect("a folder");
        let pipe = dir.path().join(format!("{}pipe", prefix()));
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).expect("a pipe");
        let alive = Output::create(&dir.path().join("out")).expect("create");
        assert_eq!(tidy(dir.path()), 2);
        assert!(!orphan.exists() && !folder.exists() && pipe.exists());
        alive.commit().expect("still there");
    }

    #[test]
    fn what_another_host_made_is_left_alone_for_a_day() {
        let dir = tempfile::tempdir().expect("dir");
        let foreign = dir.path().join(format!("{TEMPORARY}other-x"));
        std::fs::write(&foreign, b"being written").expect("write");
        assert_eq!(tidy(dir.path()), 0);
        let then = SystemTime::now() - ABANDONED - Duration::from_secs(60);
        std::fs::File::options().write(true).open(&foreign).and_then(|f| f.set_modified(then)).expect("an older time");
        assert_eq!(tidy(dir.path()), 1);
        assert!(!foreign.exists());
    }

    #[test]
    fn whoever_tidies_never_takes_a_file_from_its_writer() {
        let dir = tempfile::tempdir().expect("dir");
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    tidy(dir.path());
                }
            });
            let outcome: Result<Vec<()>, _> = (0..3000)
                .map(|i| Output::create_unsynced(&dir.path().join(format!("{}", i % 7)))?.commit().map(drop))
                .collect();
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            outcome.expect("no writer lost its temporary");
        });
    }
}
