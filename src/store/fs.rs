//! Reading files and folders as they are: `DiskFolder` for the spec layer, one-gulp reading, listings.

#![expect(clippy::disallowed_methods, reason = "store owns the disk")]

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::base::{Error, RelPath, Result, Sha256};
use crate::store::output;
use crate::store::stat::{Kind, Links, Stat};

/// An entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Its name; `None` where it is not UTF-8.
    pub name: Option<String>,
    /// The name as bytes made readable.
    pub shown: String,
    /// Is it a folder (a link to one is not)?
    pub is_dir: bool,
    /// Is it a symbolic link?
    pub is_link: bool,
    /// Is it a regular file?
    pub is_file: bool,
}

/// The entries of a folder, sorted by name. A missing folder has none.
pub fn list(folder: &Path) -> Result<Vec<Entry>> {
    let reading = match fs::read_dir(folder) {
        Ok(reading) => reading,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(Vec::new()),
        Err(e) => return Err(Error::io("list", folder, e)),
    };
    let mut entries = Vec::new();
    for entry in reading {
        let entry = entry.map_err(|e| Error::io("list", folder, e))?;
        let kind = entry.file_type().map_err(|e| Error::io("list", folder, e))?;
        let name = entry.file_name();
        entries.push(Entry {
            shown: name.to_string_lossy().into_owned(),
            name: name.into_string().ok(),
            is_dir: kind.is_dir(),
            is_link: kind.is_symlink(),
            is_file: kind.is_file(),
        });
    }
    entries.sort();
    Ok(entries)
}

/// How often what is being written is waited for: about a second in all.
const NAPS: usize = 40;

/// Opens a regular file for reading: never a pipe or a device, which could block for ever.
pub fn open(path: &Path) -> Result<(File, Stat)> {
    open_regular(path, true)
}

/// The same, and, if it is to be `steady`, waits until no writing of it can go unseen.
fn open_regular(path: &Path, steady: bool) -> Result<(File, Stat)> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let nonblock = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let file = File::options().read(true).custom_flags(nonblock).open(path).map_err(|e| Error::io("open", path, e))?;
    let look = || Stat::of_file(&file).map_err(|e| Error::io("read", path, e));
    let mut stat = look()?;
    // A file this young could be written again without its times changing: what is read must be what the stat says.
    let mut naps = if steady && stat.is_file() { NAPS } else { 0 };
    while naps > 0
        && let Some(rest) = stat.youth(now())
    {
        std::thread::sleep(rest);
        stat = look()?;
        naps -= 1;
    }
    match stat.kind {
        Kind::File => Ok((file, stat)),
        Kind::Dir => Err(Error::io("read", path, io::ErrorKind::IsADirectory.into())),
        _ => Err(Error::io("read", path, io::Error::other("it is not a regular file"))),
    }
}

/// Reads a whole file of at most `limit` bytes, with the stat it had. `None` where it does not exist.
pub fn read(path: &Path, limit: u64) -> Result<Option<(Vec<u8>, Stat)>> {
    read_regular(path, limit, true)
}

/// The same for a file that is only ever put in place whole, as those of the cache are: however young it is, no writing of
/// it is waited for.
pub fn read_settled(path: &Path, limit: u64) -> Result<Option<(Vec<u8>, Stat)>> {
    read_regular(path, limit, false)
}

fn read_regular(path: &Path, limit: u64, steady: bool) -> Result<Option<(Vec<u8>, Stat)>> {
    let (mut file, stat) = match open_regular(path, steady) {
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    if stat.size > limit {
        let text = format!("it has {} bytes, over the limit of {limit}", stat.size);
        return Err(Error::io("read", path, io::Error::other(text)));
    }
    let mut bytes = Vec::with_capacity(stat.size as usize);
    (&mut file).take(limit + 1).read_to_end(&mut bytes).map_err(|e| Error::io("read", path, e))?;
    if bytes.len() as u64 > limit {
        return Err(Error::io("read", path, io::Error::other("it grew while it was being read")));
    }
    Ok(Some((bytes, stat)))
}

/// BLAKE3 and length of a file, in bounded memory.
pub fn digest(path: &Path) -> Result<crate::base::Digest> {
    let (mut file, _) = open(path)?;
    let (mut hasher, mut length, mut buffer) = (blake3::Hasher::new(), 0, vec![0; 1 << 18]);
    loop {
        match file.read(&mut buffer).map_err(|e| Error::io("read", path, e))? {
            0 => return Ok(crate::base::Digest::new(*hasher.finalize().as_bytes(), length)),
            count => {
                hasher.update(&buffer[..count]);
                length += count as u64;
            }
        }
    }
}

/// Does the path lead to something else than what had this stat?
pub fn differs(path: &Path, stat: &Stat) -> Result<bool> {
    match Stat::following(path) {
        Ok(now) => Ok(now != *stat),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(e) => Err(Error::io("look at", path, e)),
    }
}

/// The stat of what a path leads to, taken when a later change of it will show; of what does not come to rest, a stat that it
/// will never have.
pub fn steady(path: &Path) -> Option<Stat> {
    for _ in 0..NAPS {
        let stat = Stat::following(path).ok()?;
        let Some(rest) = stat.youth(now()) else { return Some(stat) };
        std::thread::sleep(rest);
    }
    Stat::following(path).ok().map(|stat| Stat { mtime: i64::MIN, ..stat })
}

/// Does this path lead to a regular file?
pub fn is_file(path: &Path) -> bool {
    Stat::following(path).is_ok_and(|s| s.is_file())
}

/// The same, where a disk that cannot be asked is no answer.
pub fn has_file(path: &Path) -> Result<bool> {
    match Stat::following(path) {
        Ok(stat) => Ok(stat.is_file()),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(false),
        Err(e) => Err(Error::io("look at", path, e)),
    }
}

/// Does this path lead to a folder?
pub fn is_dir(path: &Path) -> bool {
    Stat::following(path).is_ok_and(|s| s.is_dir())
}

/// The path with every link resolved.
pub fn canonical(path: &Path) -> Result<PathBuf> {
    fs::canonicalize(path).map_err(|e| Error::io("resolve", path, e))
}

/// Removes a file that may be gone already.
pub fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path, e)),
        _ => Ok(()),
    }
}

/// SHA-256 of a file.
pub fn sha256(path: &Path) -> Result<Sha256> {
    use sha2::Digest as _;
    let (mut file, _) = open(path)?;
    let mut sha = sha2::Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(|e| Error::io("read", path, e))? {
            0 => return Ok(Sha256::new(sha.finalize().into())),
            count => sha.update(&buffer[..count]),
        }
    }
}

/// A folder among the system's temporary ones, removed when it is dropped.
#[derive(Debug)]
pub struct TemporaryFolder {
    folder: tempfile::TempDir,
    /// While it is held, nobody takes the folder for what a killed process left.
    _lock: File,
}

impl TemporaryFolder {
    /// Makes one, and removes those that killed processes left.
    pub fn new() -> Result<Self> {
        let above = std::env::temp_dir();
        output::tidy(&above);
        let failed = |e| Error::io("create a folder in", &above, e);
        loop {
            let folder = tempfile::Builder::new().prefix(output::prefix()).tempdir_in(&above).map_err(failed)?;
            match File::open(folder.path()) {
                Ok(lock) if output::keep_hold(&lock) => return Ok(Self { folder, _lock: lock }),
                // Whoever tidies may have taken it for an orphan before it was locked.
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed(e)),
                _ => {}
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Adds bytes to the end of a file, making it where it is missing.
pub fn append(path: &Path, bytes: &[u8]) -> Result<()> {
    let file = File::options().append(true).create(true).open(path);
    file.and_then(|mut file| io::Write::write_all(&mut file, bytes)).map_err(|e| Error::io("write", path, e))
}

/// Now, in nanoseconds since 1970, by the clock that stamps files.
pub fn now() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX))
}

/// A folder on the disk, for those who only know relative paths.
#[derive(Debug)]
pub struct DiskFolder {
    root: PathBuf,
    /// The folder itself, open: asking for paths relative to it is cheaper than by their whole names.
    handle: Option<File>,
}

impl DiskFolder {
    /// The folder at `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        Self { handle: File::open(&root).ok(), root }
    }

    /// Its path.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What stands at a path below it.
    pub fn stat(&self, path: &RelPath, links: Links) -> Result<Option<Stat>> {
        let stat = match (&self.handle, links) {
            (Some(handle), links) => Stat::below_at(handle, path.as_str(), links),
            (None, Links::Follow) => Stat::following(&path.under(&self.root)),
            (None, Links::Keep) => Stat::of(&path.under(&self.root)),
        };
        match stat {
            Ok(stat) => Ok(Some(stat)),
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            // A link that leads to itself leads nowhere.
            Err(e) if e.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => Ok(None),
            Err(e) => Err(Error::io("look at", path.under(&self.root), e)),
        }
    }

    /// The path on the disk of a file below it.
    pub fn path(&self, path: Option<&RelPath>) -> PathBuf {
        path.map_or_else(|| self.root.clone(), |p| p.under(&self.root))
    }
}
