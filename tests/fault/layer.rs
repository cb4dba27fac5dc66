//! `Layer`: a file system over a folder that is slow, fails at the n-th operation of a kind, knows no locks or goes away.
//!
//! It stands for network folders: locks are not seen through another mount of the same folder, what a file was is
//! remembered for a while, and a file that another host replaced is stale.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

/// What the layer is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Op {
    Lookup,
    Getattr,
    Open,
    Read,
    Readdir,
    Create,
    Write,
    Flush,
    Fsync,
    Fallocate,
    Rename,
    Unlink,
    Mkdir,
}

/// What goes wrong.
#[derive(Default)]
pub struct Faults {
    counts: Mutex<BTreeMap<Op, usize>>,
    failing: Mutex<Option<(Op, usize, i32)>>,
    /// Nanoseconds that each reading takes.
    delay: AtomicU64,
    /// Bytes that may still be written; 0 where nobody counts.
    quota: AtomicU64,
}

impl Faults {
    /// From now on operations are counted anew, and this one of them fails with this error.
    pub fn fail(&self, failing: Option<(Op, usize, i32)>) {
        *held(&self.failing) = failing;
        held(&self.counts).clear();
    }

    /// How often each operation was asked for.
    pub fn counts(&self) -> BTreeMap<Op, usize> {
        held(&self.counts).clone()
    }

    /// From now on each reading takes so long.
    pub fn delay(&self, delay: Duration) {
        self.delay.store(delay.as_nanos() as u64, Ordering::Relaxed);
    }

    /// From now on only so many bytes may be written, or as many as anyone likes.
    pub fn quota(&self, bytes: Option<u64>) {
        self.quota.store(bytes.map_or(0, |bytes| bytes + 1), Ordering::Relaxed);
    }

    fn take(&self, bytes: u64) -> io::Result<()> {
        let left = |quota: u64| if quota == 0 { Some(0) } else { quota.checked_sub(bytes).filter(|left| *left > 0) };
        let taken = self.quota.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left);
        taken.map(drop).map_err(|_| io::Error::from_raw_os_error(OVER_QUOTA))
    }

    fn check(&self, op: Op) -> io::Result<()> {
        let mut counts = held(&self.counts);
        let count = counts.entry(op).or_default();
        *count += 1;
        match *held(&self.failing) {
            Some((failing, number, error)) if failing == op && number == *count => {
                Err(io::Error::from_raw_os_error(error))
            }
            _ => Ok(()),
        }
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A layer that is mounted; gone when dropped.
pub struct Layer {
    pub faults: Arc<Faults>,
    session: Option<BackgroundSession>,
    at: PathBuf,
}

impl Layer {
    /// Shows the folder `from` at `at`, which is made where it is missing. What was seen of a file counts for `ttl`.
    pub fn mount(from: &Path, at: &Path, ttl: Duration) -> Option<Self> {
        fs::create_dir_all(from).unwrap();
        fs::create_dir_all(at).unwrap();
        let faults = Arc::new(Faults::default());
        let shown = Shown {
            root: from.to_path_buf(),
            ttl,
            faults: Arc::clone(&faults),
            paths: Mutex::new(BTreeMap::new()),
            open: Mutex::new(BTreeMap::new()),
            next: AtomicU64::new(1),
        };
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("layer".into()), MountOption::DefaultPermissions];
        config.n_threads = Some(4);
        match fuser::spawn_mount(shown, at, &config) {
            Ok(session) => Some(Self { faults, session: Some(session), at: at.to_path_buf() }),
            Err(e) => {
                eprintln!("SKIPPED: no layer may be mounted here: {e}");
                None
            }
        }
    }

    /// The disk is pulled out: whatever is still asked of it fails, even by those who have files of it open.
    pub fn vanish(&mut self) {
        if let Some(session) = self.session.take() {
            let gone = Command::new("umount").args(["-f", "-l"]).arg(&self.at).status();
            assert!(gone.is_ok_and(|status| status.success()), "`{}` can be unmounted", self.at.display());
            drop(session);
        }
    }
}

impl Drop for Layer {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.vanish();
        }
    }
}

/// The folder as the kernel asks for it.
struct Shown {
    root: PathBuf,
    ttl: Duration,
    faults: Arc<Faults>,
    /// Where each inode was last seen.
    paths: Mutex<BTreeMap<u64, PathBuf>>,
    open: Mutex<BTreeMap<u64, Arc<File>>>,
    next: AtomicU64,
}

const STALE: i32 = 116;
const OVER_QUOTA: i32 = 122;
const NO_SUCH_HANDLE: i32 = 9;

impl Shown {
    fn path(&self, inode: INodeNo) -> io::Result<PathBuf> {
        if inode == INodeNo::ROOT {
            return Ok(self.root.clone());
        }
        held(&self.paths).get(&inode.0).cloned().ok_or_else(|| io::Error::from_raw_os_error(STALE))
    }

    fn below(&self, parent: INodeNo, name: &OsStr) -> io::Result<PathBuf> {
        Ok(self.path(parent)?.join(name))
    }

    /// What is there, and from now on known by its inode.
    fn see(&self, path: PathBuf) -> io::Result<FileAttr> {
        let attr = attributes(&fs::symlink_metadata(&path)?);
        held(&self.paths).insert(attr.ino.0, path);
        Ok(attr)
    }

    /// The inode as it is now, unless another file has taken its place.
    fn look(&self, inode: INodeNo, handle: Option<FileHandle>) -> io::Result<FileAttr> {
        if let Some(file) = handle.and_then(|handle| held(&self.open).get(&handle.0).cloned()) {
            return Ok(attributes(&file.metadata()?));
        }
        let attr = attributes(&fs::symlink_metadata(self.path(inode)?)?);
        if inode == INodeNo::ROOT {
            return Ok(FileAttr { ino: inode, ..attr });
        }
        if attr.ino == inode { Ok(attr) } else { Err(io::Error::from_raw_os_error(STALE)) }
    }

    fn keep(&self, file: File) -> FileHandle {
        let handle = self.next.fetch_add(1, Ordering::Relaxed);
        held(&self.open).insert(handle, Arc::new(file));
        FileHandle(handle)
    }

    fn file(&self, handle: FileHandle) -> io::Result<Arc<File>> {
        held(&self.open).get(&handle.0).cloned().ok_or_else(|| io::Error::from_raw_os_error(NO_SUCH_HANDLE))
    }

    fn checked<T>(&self, op: Op, work: impl FnOnce() -> io::Result<T>) -> Result<T, Errno> {
        self.faults.check(op).and_then(|()| work()).map_err(|e| Errno::from_i32(e.raw_os_error().unwrap_or(5)))
    }
}

fn attributes(metadata: &fs::Metadata) -> FileAttr {
    let time = |seconds: i64, nanos: i64| UNIX_EPOCH + Duration::new(seconds as u64, nanos as u32);
    let kind = match metadata.file_type() {
        kind if kind.is_dir() => FileType::Directory,
        kind if kind.is_symlink() => FileType::Symlink,
        _ => FileType::RegularFile,
    };
    FileAttr {
        ino: INodeNo(metadata.ino()),
        size: metadata.len(),
        blocks: metadata.blocks(),
        atime: time(metadata.atime(), metadata.atime_nsec()),
        mtime: time(metadata.mtime(), metadata.mtime_nsec()),
        ctime: time(metadata.ctime(), metadata.ctime_nsec()),
        crtime: UNIX_EPOCH,
        kind,
        perm: (metadata.mode() & 0o7777) as u16,
        nlink: metadata.nlink() as u32,
        uid: metadata.uid(),
        gid: metadata.gid(),
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

fn answer(outcome: Result<(), Errno>, reply: ReplyEmpty) {
    match outcome {
        Ok(()) => reply.ok(),
        Err(e) => reply.error(e),
    }
}

impl Filesystem for Shown {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.checked(Op::Lookup, || self.see(self.below(parent, name)?)) {
            Ok(attr) => reply.entry(&self.ttl, &attr, Generation(0)),
            Err(e) => reply.error(e),
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, handle: Option<FileHandle>, reply: ReplyAttr) {
        match self.checked(Op::Getattr, || self.look(inode, handle)) {
            Ok(attr) => reply.attr(&self.ttl, &attr),
            Err(e) => reply.error(e),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        inode: INodeNo,
        mode: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        modified: Option<TimeOrNow>,
        _: Option<SystemTime>,
        handle: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let outcome = self.checked(Op::Getattr, || {
            let path = self.path(inode)?;
            let file = match handle {
                Some(handle) => Some(self.file(handle)?),
                None if size.is_some() || modified.is_some() => {
                    Some(Arc::new(File::options().write(size.is_some()).read(true).open(&path)?))
                }
                None => None,
            };
            if let (Some(size), Some(file)) = (size, &file) {
                file.set_len(size)?;
            }
            if let Some(mode) = mode {
                fs::set_permissions(&path, fs::Permissions::from_mode(mode & 0o7777))?;
            }
            if let (Some(modified), Some(file)) = (modified, &file) {
                file.set_modified(match modified {
                    TimeOrNow::SpecificTime(time) => time,
                    TimeOrNow::Now => SystemTime::now(),
                })?;
            }
            self.look(inode, handle)
        });
        match outcome {
            Ok(attr) => reply.attr(&self.ttl, &attr),
            Err(e) => reply.error(e),
        }
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        let outcome = self.checked(Op::Mkdir, || {
            let path = self.below(parent, name)?;
            fs::DirBuilder::new().mode(mode & !umask).create(&path)?;
            self.see(path)
        });
        match outcome {
            Ok(attr) => reply.entry(&self.ttl, &attr, Generation(0)),
            Err(e) => reply.error(e),
        }
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer(self.checked(Op::Unlink, || fs::remove_file(self.below(parent, name)?)), reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer(self.checked(Op::Unlink, || fs::remove_dir(self.below(parent, name)?)), reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        into: INodeNo,
        other: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let outcome = self.checked(Op::Rename, || {
            // As over NFS: the new kind of renaming is not known.
            if !flags.is_empty() {
                return Err(io::Error::from_raw_os_error(22));
            }
            let (from, to) = (self.below(parent, name)?, self.below(into, other)?);
            let inode = fs::symlink_metadata(&from)?.ino();
            fs::rename(&from, &to)?;
            let mut paths = held(&self.paths);
            for path in paths.values_mut() {
                if let Some(rest) = path.strip_prefix(&from).ok().filter(|rest| !rest.as_os_str().is_empty()) {
                    *path = to.join(rest);
                }
            }
            paths.insert(inode, to);
            Ok(())
        });
        answer(outcome, reply);
    }

    fn open(&self, _: &Request, inode: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let outcome = self.checked(Op::Open, || {
            let path = self.path(inode)?;
            let access = flags.0 & 3;
            let file =
                File::options().read(access != 1).write(access != 0).truncate(flags.0 & 0o1000 != 0).open(path)?;
            // Another host may have put another file there.
            if file.metadata()?.ino() != inode.0 {
                return Err(io::Error::from_raw_os_error(STALE));
            }
            Ok(self.keep(file))
        });
        match outcome {
            Ok(handle) => reply.opened(handle, FopenFlags::empty()),
            Err(e) => reply.error(e),
        }
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let outcome = self.checked(Op::Create, || {
            let path = self.below(parent, name)?;
            let mut options = File::options();
            options.read(true).write(true).create(true).create_new(flags & 0o200 != 0).truncate(flags & 0o1000 != 0);
            let file = options.mode(mode & !umask).open(&path)?;
            Ok((self.see(path)?, self.keep(file)))
        });
        match outcome {
            Ok((attr, handle)) => reply.created(&self.ttl, &attr, Generation(0), handle, FopenFlags::empty()),
            Err(e) => reply.error(e),
        }
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let delay = self.faults.delay.load(Ordering::Relaxed);
        if delay > 0 {
            std::thread::sleep(Duration::from_nanos(delay));
        }
        let outcome = self.checked(Op::Read, || {
            let (file, mut bytes, mut filled) = (self.file(handle)?, vec![0; size as usize], 0);
            while filled < bytes.len() {
                match file.read_at(&mut bytes[filled..], offset + filled as u64)? {
                    0 => break,
                    count => filled += count,
                }
            }
            bytes.truncate(filled);
            Ok(bytes)
        });
        match outcome {
            Ok(bytes) => reply.data(&bytes),
            Err(e) => reply.error(e),
        }
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let write = || {
            self.faults.take(data.len() as u64)?;
            self.file(handle)?.write_all_at(data, offset)
        };
        match self.checked(Op::Write, write) {
            Ok(()) => reply.written(data.len() as u32),
            Err(e) => reply.error(e),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        answer(self.checked(Op::Flush, || Ok(())), reply);
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        held(&self.open).remove(&handle.0);
        reply.ok();
    }

    fn fsync(&self, _: &Request, _: INodeNo, handle: FileHandle, _: bool, reply: ReplyEmpty) {
        answer(self.checked(Op::Fsync, || self.file(handle).map(drop)), reply);
    }

    fn fallocate(&self, _: &Request, _: INodeNo, _: FileHandle, _: u64, _: u64, _: i32, reply: ReplyEmpty) {
        // As over NFS 3: it cannot.
        answer(self.checked(Op::Fallocate, || Err(io::Error::from_raw_os_error(95))), reply);
    }

    fn readdir(&self, _: &Request, inode: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let outcome = self.checked(Op::Readdir, || {
            let mut names: Vec<_> = fs::read_dir(self.path(inode)?)?.collect::<io::Result<_>>()?;
            names.sort_by_key(fs::DirEntry::file_name);
            Ok(names)
        });
        match outcome {
            Ok(names) => {
                for (number, entry) in names.iter().enumerate().skip(offset as usize) {
                    let kind = match entry.file_type() {
                        Ok(kind) if kind.is_dir() => FileType::Directory,
                        Ok(kind) if kind.is_symlink() => FileType::Symlink,
                        _ => FileType::RegularFile,
                    };
                    let inode = fuser::INodeNo(std::os::unix::fs::DirEntryExt::ino(entry));
                    if reply.add(inode, number as u64 + 1, kind, entry.file_name()) {
                        break;
                    }
                }
                reply.ok();
            }
            Err(e) => reply.error(e),
        }
    }
}
